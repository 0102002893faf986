/* job.c - one request that is worked on; see service.h. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/service.h"

_Static_assert(sizeof(struct sample_logprob) == sizeof(struct glim_logprob), "same layout");

/* ---- events ---- */

static int on_event(void *ctx, const struct glim_event *ev)
{
    struct job *const j = ctx;
    struct err ignored;
    if (job_over(j, &ignored) != 0)
        return 1;
    return j->r->on_event ? j->r->on_event(j->r->ctx, ev) : 0;
}

int job_over(const struct job *j, struct err *e)
{
    if (atomic_load(&j->service->stopping))
        return err_set(e, GLIM_ESTOPPED, "the service is being stopped");
    return request_over(j->r, e);
}

/* Sets what a TOKEN or PROMPT_TOKEN event says of its token, drawn from these logits. */
static void note_logprobs(struct job *j, const float *logits, int32_t token)
{
    const uint64_t v = j->service->model->model.cfg.vocab;
    const double total = logprob_total(logits, v);
    j->output.tops = j->r->top_logprobs;
    j->output.top = (const struct glim_logprob *)(const void *)j->top;
    logprob_top(logits, v, total, j->top, j->output.tops);
    j->output.logprob = (float)((double)logits[token] - total);
}

/* ---- beginning ---- */

static void show_phase(struct job *j, enum glim_phase phase)
{
    atomic_store(&j->r->phase, phase);
    atomic_store(&j->r->done_tok, min_u64(j->s.kv.length, j->r->prompts));
}

int job_new(struct job **out, struct glim_service *v, struct request *r, struct err *e)
{
    struct job *const j = mem_zalloc(1, sizeof *j);
    *out = j;
    if (!j)
        return err_nomem(e, "request", sizeof *j);
    j->service = v;
    j->r = r;
    j->begin_ns = now_ns();
    j->result.queue_ns = j->begin_ns - r->submitted_ns;
    j->want = r->prompts;
    r->generate.on_event = on_event;
    r->generate.ctx = j;
    if (v->encrypts && !(j->key = keyring_find(&v->keyring, &r->key)))
        return err_nomem(e, "request", sizeof *j->key);
    if (session_init(&j->s, v->model, &v->shape, &v->pages, &v->prompt, e) != 0)
        return e->code;
    j->s.policy = v->policy;
    memcpy(j->s.token, r->prompt, r->prompts * sizeof *j->s.token);
    memcpy(j->s.role, r->role, r->prompts);
    show_phase(j, GLIM_PHASE_PROMPT);
    return GLIM_OK;
}

static void join(struct job *j)
{
    /* The last token is computed, unless what comes of it is known. */
    const uint64_t most = j->drawn ? j->want : j->want - 1;
    uint64_t complete;
    j->joined = true;
    j->kept.reads = false;
    if (j->r->prompt_logprobs && !j->answering)
        return;
    (void)prefix_join(&j->service->prefix, &j->s.kv, j->key, j->s.token, j->s.role, most,
                      &complete);
    j->s.state_valid = false;
    kept_begin(j, complete, most);
}

static void count_found(struct job *j)
{
    const uint64_t found = j->s.kv.length;
    if (j->answering || found == 0)
        return;
    j->service->counts.cached_tok += found - j->result.cached_tok;
    j->result.cached_tok = found;
    atomic_store(&j->r->cached_tok, found);
    show_phase(j, GLIM_PHASE_PROMPT);
}

bool job_join(struct job *j)
{
    if (!j->joined && j->s.kv.length == 0) {
        join(j);
        count_found(j);
    }
    if (!j->kept.reads)
        return true;
    const bool all = kept_read(j);
    count_found(j);
    return all;
}

/* ---- going on ---- */

/* A token that is not shown as text, with what note_logprobs has set. */
static int show_scored(struct job *j, enum glim_event_kind kind, int32_t token)
{
    size_t len = 0;
    const struct glim_tokenizer *const t = j->service->model->tokenizer;
    const char *const bytes = tok_bytes(t->tok, token, &len);
    const struct glim_event ev = {.kind = kind,
                                  .text = bytes ? bytes : "",
                                  .len = len,
                                  .token = token,
                                  .tool = -1,
                                  .logprob = j->output.logprob,
                                  .top = j->output.top,
                                  .tops = j->output.tops};
    return on_event(j, &ev);
}

void job_draw(struct job *j, struct sampler *sampler, const float *logits)
{
    j->next = output_draw(&j->output, sampler, logits);
    if (j->r->logprobs)
        note_logprobs(j, logits, j->next);
}

static int take_next(struct job *j, bool *ended, struct err *e)
{
    struct output *const a = &j->output;
    const int32_t token = j->next;
    bool keep, more;
    if (output_take(a, token, &keep, &more, e) != 0)
        return e->code;
    if (!keep && j->r->logprobs)
        (void)show_scored(j, GLIM_EVENT_END_TOKEN, token); /* it ends, whoever wants it to */
    if (keep) {
        j->s.token[j->s.kv.length] = token; /* of the answer, also where it is its last */
        j->result.tokens++;
        j->service->counts.output_tok++;
        atomic_store(&j->r->output_tok, a->usage.output_tok);
    }
    j->drawn = more && a->usage.output_tok < a->most;
    *ended = !j->drawn;
    a->usage.generate_ns = now_ns() - a->begin_ns;
    return job_over(j, e);
}

int job_reached(struct job *j, const float *logits, bool *ended, struct err *e)
{
    j->s.w = &j->service->decode;
    *ended = false;
    if (j->drawn)
        return GLIM_OK;
    j->result.prompt_ns = now_ns() - j->begin_ns;
    j->service->counts.prompt_tok += j->r->prompts;
    show_phase(j, GLIM_PHASE_ANSWER);
    *ended = j->r->no_answer;
    if (*ended)
        return GLIM_OK;
    j->answering = true;
    if (output_open(&j->output, &j->s, &j->r->generate, e) != 0
        || speculate_begin(&j->spec, &j->s, &j->output.drawing, j->r->generate.drafts, e)
               != 0)
        return e->code;
    job_draw(j, j->s.w->sampler, logits);
    return take_next(j, ended, e);
}

int job_take(struct job *j, bool *ended, struct err *e)
{
    j->drawn = false;
    j->want = j->s.kv.length;
    return take_next(j, ended, e);
}

void job_set_back(struct job *j)
{
    j->service->counts.set_back++;
    if (j->answering)
        speculate_end(&j->spec);
    kv_truncate(&j->s.kv, 0);
    j->s.kv.mtp_length = 0;
    j->s.state_valid = j->s.logits_valid = false;
    j->s.ahead.rows = 0;
    j->s.w = &j->service->prompt;
    j->joined = j->kept.reads = false;
}

void job_keep(struct job *j, bool ends)
{
    struct err ignored;
    struct glim_session *const s = &j->s;
    if (ends && s->mtp && s->state_valid)
        (void)session_catch_up(s, &ignored);
    const uint64_t paired = s->mtp ? s->kv.mtp_length : s->kv.length;
    const uint64_t n = ends ? min_u64(s->kv.length, paired + 1) : min_u64(s->kv.length, paired);
    if (n > 0)
        prefix_keep(&j->service->prefix, &s->kv, j->key, s->token, s->role, n, paired, ends);
}

uint64_t job_same_role(const struct job *j, uint64_t most)
{
    const uint64_t at = j->s.kv.length, end = at + min_u64(most, j->want - at);
    uint64_t n = 0;
    while (at + n < end && j->s.role[at + n] == j->s.role[at])
        n++;
    return n;
}

/* ---- the prompt's own log-probabilities ---- */

struct scoring {
    struct job *j;
    uint64_t at; /* of the append's first token */
};

/* Logits after token `index` foretell the next one. */
static int on_logits(void *ctx, size_t index, const float *logits, const float *mtp)
{
    const struct scoring *const x = ctx;
    const uint64_t next = x->at + index + 1;
    (void)mtp;
    if (next >= x->j->r->prompts)
        return 0;
    note_logprobs(x->j, logits, x->j->r->prompt[next]);
    return show_scored(x->j, GLIM_EVENT_PROMPT_TOKEN, x->j->s.token[next]);
}

int job_prompt_logprobs(struct job *j, struct err *e)
{
    struct glim_session *const s = &j->s;
    struct glim_error ge;
    j->output.logprob = 0;
    j->output.tops = 0;
    if (show_scored(j, GLIM_EVENT_PROMPT_TOKEN, s->token[0]) != 0)
        return err_set(e, GLIM_ESTOPPED, "stopped by the caller");
    while (s->kv.length < j->want) {
        struct scoring x = {j, s->kv.length};
        struct glim_append a = GLIM_APPEND_INIT;
        a.tokens = j->r->prompt + x.at;
        a.n = job_same_role(j, UINT64_MAX);
        a.flags = GLIM_APPEND_ALL_LOGITS
                  | (s->role[x.at] == ROLE_DECODE ? GLIM_APPEND_DECODE : 0u);
        a.on_logits = on_logits;
        a.ctx = &x;
        if (glim_session_append(s, &a, &ge) != 0)
            return err_set(e, ge.code, "%s", ge.text);
    }
    return GLIM_OK;
}

/* ---- the end ---- */

static void count_end(struct job *j, int rc)
{
    struct glim_service_state *const c = &j->service->counts;
    c->done += rc == 0 && j->result.usage.finish != GLIM_FINISH_STOPPED;
    c->stopped += rc == GLIM_ESTOPPED
                  || (rc == 0 && j->result.usage.finish == GLIM_FINISH_STOPPED);
    c->failed += rc != 0 && rc != GLIM_ESTOPPED;
    c->drafted_tok += j->spec.drafted;
    c->accepted_tok += j->spec.accepted;
}

/* Cancelled: not an error, but an answer that was stopped. */
static int result_code(struct job *j, int rc)
{
    if (rc != GLIM_ESTOPPED || !atomic_load(&j->r->cancelled))
        return rc;
    j->result.usage.finish = GLIM_FINISH_STOPPED;
    return GLIM_OK;
}

void job_end(struct job *j, int rc, const struct err *e)
{
    struct glim_service *const v = j->service;
    struct request *const r = j->r;
    struct err later;
    if (j->answering) {
        speculate_end(&j->spec);
        v->policy = j->s.policy;
        if (rc == 0 && (rc = output_end(&j->output, &later)) != 0)
            e = &later;
        j->result.usage = j->output.usage;
        j->result.usage.verifications = j->spec.verifications;
        j->result.usage.drafted_tok = j->spec.drafted;
        j->result.usage.accepted_tok = j->spec.accepted;
    }
    rc = result_code(j, rc);
    j->result.usage.prompt_tok = r->prompts;
    j->result.code = rc;
    j->result.error = rc ? e->text : "";
    j->result.token = j->s.token ? j->s.token + r->prompts : NULL;
    count_end(j, rc);
    if (j->s.token)
        job_keep(j, true);
    place_remember(j);
    service_forget(v, j);
    r->on_done(r->ctx, &j->result);
    if (j->answering)
        output_close(&j->output);
    session_deinit(&j->s);
    request_free(r);
    free(j);
}
