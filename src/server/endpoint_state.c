/* endpoint_state.c - how things stand: /health, /metrics. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "server/endpoint.h"
#include "server/respond.h"

void endpoint_health(struct server *s, struct exchange *x)
{
    struct buf body;
    buf_init(&body);
    const enum server_phase phase = atomic_load(&s->phase);
    /* llama.cpp's shape, which load balancers know. */
    if (phase == SERVER_READY)
        buf_adds(&body, "{\"status\":\"ok\"}");
    else
        buf_addf(&body,
                 "{\"error\":{\"code\":503,\"message\":\"%s\",\"type\":\"unavailable_error\"}}",
                 phase == SERVER_LOADING ? "Loading model" : "Stopping");
    exchange_reply(x, phase == SERVER_READY ? 200 : 503, json_media, &body);
    buf_deinit(&body);
}

/* Claude Code asks this whether anybody is there. */
void endpoint_hello(struct server *s, struct exchange *x)
{
    (void)s;
    struct buf body;
    buf_init(&body);
    buf_adds(&body, "{}");
    exchange_reply(x, 200, json_media, &body);
    buf_deinit(&body);
}

/* ---- metrics ---- */

static void put_metric(struct buf *out, const char *name, const char *type, const char *help,
                       double v)
{
    buf_addf(out, "# HELP glim_%s %s\n# TYPE glim_%s %s\nglim_%s %.17g\n", name, help, name, type,
             name, v);
}

static double rate(uint64_t n, uint64_t ns)
{
    return ns ? (double)n * 1e9 / (double)ns : 0;
}

static void put_service(struct buf *out, const struct glim_service_state *t)
{
    static const char counter[] = "counter", gauge[] = "gauge";
    put_metric(out, "prompt_tokens_total", counter, "Prompt tokens, cached ones included.",
               (double)t->prompt_tok);
    put_metric(out, "prompt_tokens_cached_total", counter, "Prompt tokens found in the cache.",
               (double)t->cached_tok);
    put_metric(out, "prompt_seconds_total", counter, "Time worked for prompts.",
               (double)t->prompt_ns / 1e9);
    put_metric(out, "tokens_predicted_total", counter, "Tokens generated.", (double)t->output_tok);
    put_metric(out, "tokens_predicted_seconds_total", counter, "Time worked for answers.",
               (double)t->generate_ns / 1e9);
    put_metric(out, "prompt_tokens_seconds", gauge, "Prompt tokens computed a second.",
               rate(t->prompt_tok - t->cached_tok, t->prompt_ns));
    put_metric(out, "predicted_tokens_seconds", gauge, "Tokens generated a second.",
               rate(t->output_tok, t->generate_ns));
    put_metric(out, "drafted_tokens_total", counter, "Draft tokens.", (double)t->drafted_tok);
    put_metric(out, "accepted_tokens_total", counter, "Draft tokens that were right.",
               (double)t->accepted_tok);
    put_metric(out, "steps_total", counter, "Steps of generation.", (double)t->steps);
    put_metric(out, "step_rows_total", counter, "Requests in these steps, added up.",
               (double)t->step_rows);
    put_metric(out, "requests_processing", gauge, "Requests being worked on.", (double)t->running);
    put_metric(out, "requests_deferred", gauge, "Requests that wait.", (double)t->waiting);
    put_metric(out, "requests_done_total", counter, "Requests that ended.", (double)t->done);
    put_metric(out, "requests_failed_total", counter, "Requests that failed.", (double)t->failed);
    put_metric(out, "requests_stopped_total", counter, "Requests that were stopped.",
               (double)t->stopped);
    put_metric(out, "requests_refused_total", counter, "Requests that found the queue full.",
               (double)t->refused);
    put_metric(out, "cache_tokens_used", gauge, "Room taken in the cache, in tokens.",
               (double)t->cache_used_tok);
    put_metric(out, "cache_tokens_kept", gauge, "Room taken by kept prefixes, in tokens.",
               (double)t->cache_kept_tok);
    put_metric(out, "requests_set_back_total", counter,
               "Times that a request gave its room to an older one.", (double)t->set_back);
    put_metric(out, "cache_tokens", gauge, "Room in the cache, in tokens.", (double)t->cache_tok);
    put_metric(out, "disk_restored_tokens_total", counter, "Tokens of prompts read from --kv-dir.",
               (double)t->restored_tok);
    put_metric(out, "disk_saved_bytes_total", counter, "Written to --kv-dir.",
               (double)t->saved_bytes);
    put_metric(out, "disk_save_failures_total", counter, "Pages that could not be written there.",
               (double)t->save_failed);
}

/* The model's own drive is 0, mirrors follow. */
static void put_drives(struct buf *out, const struct glim_streaming *t)
{
    static const char name[] = "glim_drive_bytes_read_total";
    buf_addf(out, "# HELP %s Read from each drive.\n# TYPE %s counter\n", name, name);
    for (size_t i = 0; i < COUNT_OF(t->drive_bytes); i++) {
        if (i == 0 || t->drive_bytes[i] > 0)
            buf_addf(out, "%s{drive=\"%zu\"} %llu\n", name, i,
                     (unsigned long long)t->drive_bytes[i]);
    }
}

static void put_streaming(struct buf *out, const struct server *s)
{
    struct glim_streaming t;
    glim_model_streaming(s->model, &t);
    if (!t.streamed)
        return;
    put_metric(out, "experts_wanted_total", "counter", "Experts that steps asked for.",
               (double)t.wanted);
    put_metric(out, "experts_hit_total", "counter", "Of these, in memory.", (double)t.hits);
    put_metric(out, "expert_bytes_read_total", "counter", "Read from the files.",
               (double)t.read_bytes);
    put_metric(out, "expert_wait_seconds_total", "counter", "Steps had only reads to wait for.",
               (double)t.wait_ns / 1e9);
    put_metric(out, "expert_room_bytes", "gauge", "Memory for experts.", (double)t.room_bytes);
    put_metric(out, "always_bytes", "gauge", "Memory of weights that every token reads.",
               (double)t.always_bytes);
    put_drives(out, &t);
}

void endpoint_metrics(struct server *s, struct exchange *x)
{
    struct buf out;
    struct glim_service_state state;
    uint64_t connections, requests;
    buf_init(&out);
    glim_service_state(s->service, &state);
    put_service(&out, &state);
    put_streaming(&out, s);
    http_counts(s->http, &connections, &requests);
    put_metric(&out, "http_connections", "gauge", "Connections.", (double)connections);
    put_metric(&out, "http_requests_total", "counter", "HTTP requests.", (double)requests);
    put_metric(&out, "http_client_errors_total", "counter", "Requests answered with 4xx.",
               (double)atomic_load(&s->asked[0]));
    put_metric(&out, "http_server_errors_total", "counter", "Requests answered with 5xx.",
               (double)atomic_load(&s->asked[1]));
    respond(s, x, NULL, "text/plain; version=0.0.4", &out);
    buf_deinit(&out);
}

void endpoint_embeddings(struct server *s, struct exchange *x)
{
    struct fault f = {0};
    (void)fault_set(&f, FAULT_UNSUPPORTED, NULL, "%s answers prompts, it makes no embeddings",
                    s->name);
    respond_fault(s, x, NULL, &f);
}
