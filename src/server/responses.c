/* responses.c - the replies of OpenAI's Responses API, as events or whole.
 *
 *   response.created, response.in_progress (or response.queued, of one in the background)
 *   for each item: its events (responses_items.c)
 *   response.completed | response.incomplete | response.failed
 *
 * Each event has the next sequence_number, from 0. Every object of the response repeats the
 * request's settings.
 */
#include "server/responses.h"

#include <inttypes.h>
#include <string.h>

#include "base/util.h"
#include "server/fieldlist.h"
#include "server/emit.h"
#include "server/openai.h"
#include "server/responses_store.h"

void responses_begin_event(struct generation *g, const char *type, struct buf *out)
{
    struct responses *const own = g->own;
    buf_addf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%" PRIu64, type, type,
             own->sequence++);
}

void responses_end_event(struct buf *out) { buf_adds(out, "}\n\n"); }

/* ---- the response object ---- */

/* The request's settings, as they were given or as they are without. */
static void put_settings(const struct generation *g, struct buf *out)
{
    static const char *const settings[][2] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"previous_response_id", "null"},
        {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"store", "true"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_logprobs", "0"},
        {"truncation", "\"disabled\""},
    };
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct json_object *const v = block_get(g->body, settings[i][0]);
        emit_key(out, false, settings[i][0]);
        if (v)
            json_write_python(out, v);
        else
            buf_adds(out, settings[i][1]);
    }
    emit_key(out, false, "temperature");
    emit_real(out, g->generate.sampling.temperature);
    emit_key(out, false, "top_p");
    emit_real(out, g->generate.sampling.top_p);
}

static void put_usage(const struct generation *g, struct buf *out)
{
    struct totals t;
    generation_totals(g, &t);
    buf_addf(out,
             ",\"usage\":{\"input_tokens\":%" PRIu64 ",\"input_tokens_details\":{\"cached_tokens\":"
             "%" PRIu64 ",\"cache_write_tokens\":0},\"output_tokens\":%" PRIu64
             ",\"output_tokens_details\":{\"reasoning_tokens\":%" PRIu64
             "},\"total_tokens\":%" PRIu64 "}",
             t.prompt_tok, t.cached_tok, t.output_tok, t.reasoning_tok,
             t.prompt_tok + t.output_tok);
}

/* Only one in the background can be seen waiting. */
static const char *status_of(const struct generation *g)
{
    const struct answer *const a = &g->choice[0].answer;
    if (atomic_load(&g->gone))
        return "cancelled";
    if (g->failed)
        return "failed";
    if (!a->ended)
        return g->background && !a->begun ? "queued" : "in_progress";
    return responses_cut(a) ? "incomplete" : "completed";
}

static void put_error(const struct generation *g, struct buf *out)
{
    const struct fault *const f = &g->fault;
    if (!g->failed || atomic_load(&g->gone)) {
        buf_adds(out, "null");
        return;
    }
    buf_addf(out, "{\"code\":\"%s\",\"message\":",
             f->kind == FAULT_CONTEXT ? "context_length_exceeded"
             : f->kind == FAULT_BUSY  ? "server_is_overloaded"
                                      : "server_error");
    openai_put_message(f, out);
    buf_addc(out, '}');
}

static void put_response(const struct generation *g, struct buf *out)
{
    const struct responses *const own = g->own;
    const struct answer *const a = &g->choice[0].answer;
    buf_addf(out,
             "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%" PRIu64
             ",\"status\":\"%s\",\"background\":%s,\"incomplete_details\":%s,\"error\":",
             exchange_id(g->x) + 4, g->seconds, status_of(g), g->background ? "true" : "false",
             responses_cut(a) ? "{\"reason\":\"max_output_tokens\"}" : "null");
    put_error(g, out);
    emit_key(out, false, "model");
    emit_string(out, own->model);
    put_settings(g, out);
    buf_adds(out, ",\"output\":");
    responses_output(g, a, out);
    if (a->ended)
        put_usage(g, out);
    else
        buf_adds(out, ",\"usage\":null");
    buf_addc(out, '}');
}

static void response_event(struct generation *g, const char *type, struct buf *out)
{
    responses_begin_event(g, type, out);
    buf_adds(out, ",\"response\":");
    put_response(g, out);
    responses_end_event(out);
}

/* ---- struct dialect ---- */

static void responses_begin(struct generation *g, struct buf *out)
{
    response_event(g, "response.created", out);
    response_event(g, g->background ? "response.queued" : "response.in_progress", out);
}

static void responses_end(struct generation *g, struct choice *c, struct buf *out)
{
    (void)g, (void)c, (void)out;
}

/* For the next request of the conversation, and for who asks for it; who saw it fail does not. */
static void responses_keep(struct generation *g)
{
    const struct responses *const own = g->own;
    struct buf whole, output;
    if (!own->store || (g->failed && !g->background))
        return;
    buf_init(&whole);
    buf_init(&output);
    put_response(g, &whole);
    responses_output(g, &g->choice[0].answer, &output);
    if (!whole.failed && !output.failed)
        responses_store_put(g->server->responses, exchange_owner(g->x), exchange_id(g->x) + 4,
                            own->previous, block_get(g->body, "input"), &output, &whole);
    buf_deinit(&whole);
    buf_deinit(&output);
}

static void responses_finish(struct generation *g, struct buf *out)
{
    const bool cut = responses_cut(&g->choice[0].answer);
    response_event(g, cut ? "response.incomplete" : "response.completed", out);
}

static void responses_whole(struct generation *g, struct buf *out)
{
    put_response(g, out);
}

/* Once a stream has begun, a failure is the response's. Of the two events the openai packages take
 * the first for an exception, Codex reads the second. */
static void responses_fail(struct generation *g, const struct fault *f, struct buf *out)
{
    responses_begin_event(g, "error", out);
    buf_addc(out, ',');
    openai_put_error(f, out);
    responses_end_event(out);
    response_event(g, "response.failed", out);
}

/* Clients of this API take comments for silence. */
static void responses_keepalive(struct generation *g, struct buf *out)
{
    responses_begin_event(g, "keepalive", out);
    responses_end_event(out);
}

static void responses_count(const struct generation *g, struct buf *out)
{
    buf_addf(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%zu}", g->prompt[0].n);
}

const struct dialect dialect_responses = {
    .name = "responses",
    .read = responses_read,
    .begin = responses_begin,
    .open = responses_open,
    .delta = responses_delta,
    .close = responses_close,
    .end = responses_end,
    .finish = responses_finish,
    .fail = responses_fail,
    .overflow_in_stream = true,
    .keepalive = responses_keepalive,
    .keep = responses_keep,
    .whole = responses_whole,
    .count = responses_count,
    .error = openai_error,
    .id_header = "x-request-id",
};
