/* request.c - see request.h. */
#include "engine/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static void *copy(const void *from, size_t n, size_t size, bool *failed)
{
    if (n == 0 || !from)
        return NULL;
    void *const p = mem_zalloc(n, size);
    if (!p)
        *failed = true;
    else
        memcpy(p, from, n * size);
    return p;
}

static char *copy_text(const char *from, bool *failed)
{
    return from ? copy(from, strlen(from) + 1, 1, failed) : NULL;
}

static void copy_generate(struct request *q, const struct glim_generate *g, bool *failed)
{
    struct glim_generate *const to = &q->generate;
    *to = (struct glim_generate)GLIM_GENERATE_INIT;
    memcpy(to, g, min_u64(g->size, sizeof *to));
    to->size = sizeof *to;
    q->stop = to->stops ? mem_zalloc(to->stops, sizeof *q->stop) : NULL;
    *failed = *failed || (to->stops && !q->stop);
    for (size_t i = 0; !*failed && i < to->stops; i++)
        q->stop[i] = copy_text(to->stop[i], failed);
    q->stop_token = copy(to->stop_token, to->stop_tokens, sizeof *q->stop_token, failed);
    q->bias = copy(to->sampling.bias, to->sampling.biases, sizeof *q->bias, failed);
    q->tools = copy_text(to->tools, failed);
    to->stop = (const char *const *)q->stop;
    to->stop_token = q->stop_token;
    to->sampling.bias = q->bias;
    to->tools = q->tools;
    to->on_event = NULL;
    to->ctx = NULL;
}

static int check(const struct glim_request *r, struct err *e)
{
    if (r->prompts == 0)
        return err_set(e, GLIM_EINVAL, "prompt: no tokens");
    if (r->top_logprobs > GLIM_TOP_LOGPROBS_MAX)
        return err_set(e, GLIM_EINVAL, "top_logprobs: %u, expected at most %d", r->top_logprobs,
                       GLIM_TOP_LOGPROBS_MAX);
    if (!r->on_done)
        return err_set(e, GLIM_EINVAL, "request: no on_done");
    return GLIM_OK;
}

static void fill(struct request *q, const struct glim_request *r, bool *failed)
{
    q->submitted_ns = now_ns();
    q->deadline_ns = r->timeout_ns ? plan_add(q->submitted_ns, r->timeout_ns) : 0;
    q->prompts = r->prompts;
    q->prompt = copy(r->prompt, r->prompts, sizeof *q->prompt, failed);
    q->role = mem_zalloc(r->prompts, 1);
    *failed = *failed || !q->role;
    for (size_t i = 0; !*failed && i < r->prompts; i++)
        q->role[i] = r->sampled && r->sampled[i] ? ROLE_DECODE : ROLE_PREFILL;
    q->owner = copy_text(r->owner ? r->owner : "", failed);
    copy_generate(q, &r->generate, failed);
    q->logprobs = r->logprobs;
    q->prompt_logprobs = r->prompt_logprobs;
    q->top_logprobs = r->top_logprobs;
    q->no_answer = r->no_answer;
    q->on_event = r->on_event;
    q->on_done = r->on_done;
    q->ctx = r->ctx;
}

int request_new(struct request **out, const struct glim_request *r, bool keyed, struct err *e)
{
    struct glim_request full = GLIM_REQUEST_INIT;
    memcpy(&full, r, min_u64(r->size, sizeof full));
    *out = NULL;
    if (check(&full, e) != 0)
        return e->code;
    bool failed = false;
    struct request *const q = mem_zalloc(1, sizeof *q);
    if (q)
        fill(q, &full, &failed);
    if (!q || failed) {
        request_free(q);
        return err_nomem(e, "request", full.prompts * 5);
    }
    if (keyed && snapshot_key_init(&q->key, full.secret, full.secret_bytes, e) != 0) {
        request_free(q);
        return err_prefix(e, "request");
    }
    *out = q;
    return GLIM_OK;
}

void request_free(struct request *r)
{
    if (!r)
        return;
    for (size_t i = 0; r->stop && i < r->generate.stops; i++)
        free(r->stop[i]);
    snapshot_key_deinit(&r->key);
    free(r->stop);
    free(r->stop_token);
    free(r->bias);
    free(r->tools);
    free(r->owner);
    free(r->role);
    free(r->prompt);
    free(r);
}

int request_over(const struct request *r, struct err *e)
{
    if (atomic_load(&r->cancelled))
        return err_set(e, GLIM_ESTOPPED, "cancelled");
    const uint64_t now = now_ns();
    if (r->deadline_ns && now >= r->deadline_ns)
        return err_set(e, GLIM_ESTOPPED, "no answer within %.3f s",
                       (double)(r->deadline_ns - r->submitted_ns) / 1e9);
    return GLIM_OK;
}
