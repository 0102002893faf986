/* session.c - one timeline: tokens and the cache that goes with them; append, rewind, continue,
 * draft.
 *
 *   T1  kv.length tokens of the timeline are in the cache, and nothing else of it counts;
 *   T2  a token recomputed after a rewind goes through the role it first went through: same bits;
 *   T3  a call that fails leaves the chunks that were finished, each whole.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"

enum { CONTEXT_DEFAULT = 8192, CHUNK_DEFAULT = 256, CHUNK_MAX = 4096, LOGIT_ROWS = 8 };

static const struct model_config *config(const struct glim_session *s)
{
    return &s->model->model.cfg;
}

static int alloc_arrays(struct glim_session *s, struct err *e)
{
    const struct model_config *const c = config(s);
    const uint64_t n = s->kv.capacity, F = sizeof(float);
    s->token = mem_zalloc(n, sizeof *s->token);
    s->role = mem_zalloc(n, sizeof *s->role);
    s->row = mem_zalloc(s->chunk, sizeof *s->row);
    s->state = mem_zalloc(c->hidden, F);
    s->mtp_in = mem_zalloc(s->mtp ? s->chunk * c->hidden : 1, F);
    s->logits = mem_zalloc(c->vocab, F);
    s->many = mem_zalloc(LOGIT_ROWS * c->vocab, F);
    s->many_mtp = mem_zalloc(s->mtp ? LOGIT_ROWS * c->vocab : 1, F);
    if (!s->token || !s->role || !s->row || !s->state || !s->mtp_in || !s->logits || !s->many
        || !s->many_mtp)
        return err_nomem(e, "session", n * 5 + (2 * LOGIT_ROWS + 1) * c->vocab * F);
    return sampler_init(&s->sampler, c->vocab, e);
}

static int init(struct glim_session *s, const struct glim_session_options *o, struct err *e)
{
    const struct model_config *const c = config(s);
    const uint64_t context = o->context_tok ? o->context_tok : min_u64(c->context, CONTEXT_DEFAULT);
    if (context > c->context)
        return err_set(e, GLIM_EINVAL, "context: %llu tokens, the model has %llu",
                       (unsigned long long)context, (unsigned long long)c->context);
    if (o->chunk_tok > CHUNK_MAX)
        return err_set(e, GLIM_EINVAL, "chunk: %llu tokens, expected at most %d",
                       (unsigned long long)o->chunk_tok, CHUNK_MAX);
    if (o->mtp && c->mtp_layers == 0)
        return err_set(e, GLIM_EUNSUPPORTED, "drafts: the model has no MTP layer");
    s->mtp = o->mtp;
    s->chunk = min_u64(o->chunk_tok ? o->chunk_tok : CHUNK_DEFAULT, context);
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(s->model, s->mtp, kv_type_of(o->kv), index);
    if (kv_init(&s->kv, &l, context, e) != 0
        || forward_init(&s->forward, &s->model->model, s->model->pool, s->chunk, context, e) != 0)
        return e->code;
    return alloc_arrays(s, e);
}

int glim_session_new(glim_session **out, glim_model *m, const struct glim_session_options *o,
                     struct glim_error *err)
{
    struct err e = {0};
    *out = NULL;
    struct glim_session_options opt = GLIM_SESSION_OPTIONS_INIT;
    if (o)
        memcpy(&opt, o, o->size < sizeof opt ? o->size : sizeof opt);
    struct glim_session *const s = mem_zalloc(1, sizeof *s);
    if (!s)
        return give(err, &e, err_nomem(&e, "session", sizeof *s));
    s->model = m;
    const int rc = init(s, &opt, &e);
    if (rc != 0) {
        glim_session_free(s);
        return give(err, &e, rc);
    }
    *out = s;
    return give(err, &e, GLIM_OK);
}

void glim_session_free(glim_session *s)
{
    if (!s)
        return;
    sampler_deinit(&s->sampler);
    forward_deinit(&s->forward);
    kv_deinit(&s->kv);
    free(s->token);
    free(s->role);
    free(s->row);
    free(s->state);
    free(s->mtp_in);
    free(s->logits);
    free(s->many);
    free(s->many_mtp);
    free(s);
}

uint64_t glim_session_length(const glim_session *s) { return s->kv.length; }
uint64_t glim_session_context(const glim_session *s) { return s->kv.capacity; }
const int32_t *glim_session_tokens(const glim_session *s) { return s->token; }
const float *glim_session_logits(const glim_session *s)
{
    return s->logits_valid ? s->logits : NULL;
}

int glim_session_rewind(glim_session *s, uint64_t n, struct glim_error *err)
{
    struct err e = {0};
    if (n > s->kv.length)
        return give(err, &e,
                    err_set(&e, GLIM_EINVAL, "rewind to %llu tokens: the timeline has %llu",
                            (unsigned long long)n, (unsigned long long)s->kv.length));
    if (n < s->kv.length) {
        kv_truncate(&s->kv, n);
        s->state_valid = s->logits_valid = false;
    }
    return give(err, &e, GLIM_OK);
}

int session_check(const struct glim_session *s, struct err *e)
{
    return io_any_fault() ? tensorfile_check(s->model->weights.file, e) : GLIM_OK;
}

/* The states that the MTP layer takes: after the final norm, or before it by the knob. */
static const float *mtp_states(const struct glim_session *s)
{
    return config(s)->knobs.mtp_prenorm ? s->forward.prenorm : s->forward.final;
}

static void keep_state(struct glim_session *s, size_t rows)
{
    const uint64_t d = config(s)->hidden;
    memcpy(s->state, mtp_states(s) + (rows - 1) * d, d * sizeof *s->state);
    s->state_valid = true;
}

static void set_rows(struct glim_session *s, const int32_t *token, size_t n, uint64_t pos)
{
    for (size_t t = 0; t < n; t++)
        s->row[t] = (struct row){&s->kv, pos + t, token[t]};
}

/* After a rewind the last token's hidden state is gone: run that token again, in its own role
 * (T2). */
static int restore_state(struct glim_session *s, struct err *e)
{
    const uint64_t last = s->kv.length - 1;
    set_rows(s, &s->token[last], 1, last);
    if (forward_rows(&s->forward, s->row, 1, s->role[last], e) != 0 || session_check(s, e) != 0)
        return e->code;
    keep_state(s, 1);
    return forward_logits(&s->forward, s->forward.final, 1, s->role[last], s->logits, e);
}

/* Fills the MTP layer's cache for the chunk's pairs (state before the token, token). Row i of
 * mtp_out belongs to token first + i of the chunk; *first is 1 at the start of a timeline, which
 * has no state before it. */
static int run_mtp(struct glim_session *s, const int32_t *token, size_t n, enum kernel_role role,
                   size_t *first, struct err *e)
{
    const uint64_t d = config(s)->hidden, pos = s->kv.length;
    *first = pos == 0;
    const size_t pairs = n - *first;
    if (pairs == 0)
        return GLIM_OK;
    const float *const states = mtp_states(s);
    if (pos > 0)
        memcpy(s->mtp_in, s->state, d * sizeof *s->mtp_in);
    const size_t from_chunk = pos > 0 ? n - 1 : pairs;
    memcpy(s->mtp_in + (pos > 0 ? d : 0), states, from_chunk * d * sizeof *states);
    set_rows(s, token + *first, pairs, pos + *first - 1);
    return forward_mtp(&s->forward, s->row, s->mtp_in, pairs, role, false, e);
}

/* Logits of every row of the chunk, LOGIT_ROWS at a time, to the caller. */
static int report_all(struct glim_session *s, const struct glim_append *a, size_t done, size_t n,
                      enum kernel_role role, size_t first_pair, struct err *e)
{
    const uint64_t d = config(s)->hidden, v = config(s)->vocab;
    struct forward *const f = &s->forward;
    for (size_t t0 = 0; t0 < n; t0 += LOGIT_ROWS) {
        const size_t rows = n - t0 < LOGIT_ROWS ? n - t0 : LOGIT_ROWS;
        if (forward_logits(f, f->final + t0 * d, rows, role, s->many, e) != 0)
            return e->code;
        const size_t skip = s->mtp && t0 < first_pair ? first_pair - t0 : 0;
        if (s->mtp && rows > skip
            && forward_logits(f, f->mtp_out + (t0 + skip - first_pair) * d, rows - skip, role,
                              s->many_mtp, e)
                   != 0)
            return e->code;
        if (session_check(s, e) != 0)
            return e->code;
        for (size_t t = 0; t < rows; t++) {
            const float *const mtp = s->mtp && t >= skip ? s->many_mtp + (t - skip) * v : NULL;
            if (a->on_logits(a->ctx, done + t0 + t, s->many + t * v, mtp) != 0)
                return err_set(e, GLIM_ESTOPPED, "stopped by the caller");
        }
    }
    memcpy(s->logits, s->many + (n - 1) % LOGIT_ROWS * v, v * sizeof *s->logits);
    return GLIM_OK;
}

/* The rows after the last token only: into s->logits and, if the caller looks, s->many_mtp. */
static int report_last(struct glim_session *s, const struct glim_append *a, size_t n,
                       enum kernel_role role, size_t first_pair, struct err *e)
{
    const uint64_t d = config(s)->hidden;
    struct forward *const f = &s->forward;
    if (forward_logits(f, f->final + (n - 1) * d, 1, role, s->logits, e) != 0)
        return e->code;
    if (!s->mtp || !a->on_logits || n == first_pair)
        return GLIM_OK;
    return forward_logits(f, f->mtp_out + (n - 1 - first_pair) * d, 1, role, s->many_mtp, e);
}

/* One chunk: caches, states and logits; the timeline grows at the end, when all of it has worked
 * (T3). */
static int append_chunk(struct glim_session *s, const struct glim_append *a, size_t done, size_t n,
                        struct err *e)
{
    const enum kernel_role role = a->flags & GLIM_APPEND_DECODE ? ROLE_DECODE : ROLE_PREFILL;
    const bool last = done + n == a->n;
    const int32_t *const token = a->tokens + done;
    size_t first_pair = 0;
    set_rows(s, token, n, s->kv.length);
    s->logits_valid = false;
    if (forward_rows(&s->forward, s->row, n, role, e) != 0
        || (s->mtp && run_mtp(s, token, n, role, &first_pair, e) != 0))
        return e->code;
    if (a->on_logits && a->flags & GLIM_APPEND_ALL_LOGITS) {
        if (report_all(s, a, done, n, role, first_pair, e) != 0)
            return e->code;
    } else if (last && report_last(s, a, n, role, first_pair, e) != 0) {
        return e->code;
    }
    if (session_check(s, e) != 0)
        return e->code;
    keep_state(s, n);
    memcpy(s->token + s->kv.length, token, n * sizeof *token);
    memset(s->role + s->kv.length, (int)role, n);
    s->kv.length += n;
    s->kv.mtp_length = s->mtp ? s->kv.length - 1 : 0;
    s->logits_valid = last;
    return GLIM_OK;
}

static int check_tokens(const struct glim_session *s, const struct glim_append *a, struct err *e)
{
    const uint64_t room = s->kv.capacity - s->kv.length;
    if (a->n == 0)
        return err_set(e, GLIM_EINVAL, "append: no tokens");
    if (a->n > room)
        return err_set(e, GLIM_ELIMIT,
                       "context full: %zu more tokens after %llu, the context has room for %llu",
                       a->n, (unsigned long long)s->kv.length, (unsigned long long)s->kv.capacity);
    for (size_t i = 0; i < a->n; i++) {
        if (a->tokens[i] < 0 || (uint64_t)a->tokens[i] >= config(s)->vocab)
            return err_set(e, GLIM_EINVAL, "token %zu is %d, expected 0 to %llu", i, a->tokens[i],
                           (unsigned long long)config(s)->vocab - 1);
    }
    return GLIM_OK;
}

int session_append(struct glim_session *s, const struct glim_append *a, struct err *e)
{
    if (check_tokens(s, a, e) != 0)
        return e->code;
    if (s->mtp && s->kv.length > 0 && !s->state_valid && restore_state(s, e) != 0)
        return e->code;
    for (size_t done = 0; done < a->n;) {
        const size_t n = (size_t)min_u64(s->chunk, a->n - done);
        if (append_chunk(s, a, done, n, e) != 0)
            return e->code;
        done += n;
        if (done < a->n && a->progress && a->progress(a->ctx, done, a->n) != 0)
            return err_set(e, GLIM_ESTOPPED, "stopped by the caller after %zu of %zu tokens", done,
                           a->n);
    }
    const float *const mtp = s->mtp && s->kv.length > 1 ? s->many_mtp : NULL;
    if (a->on_logits && !(a->flags & GLIM_APPEND_ALL_LOGITS)
        && a->on_logits(a->ctx, a->n - 1, s->logits, mtp) != 0)
        return err_set(e, GLIM_ESTOPPED, "stopped by the caller");
    return GLIM_OK;
}

int glim_session_append(glim_session *s, const struct glim_append *a, struct glim_error *err)
{
    struct err e = {0};
    struct glim_append full = GLIM_APPEND_INIT;
    memcpy(&full, a, a->size < sizeof full ? a->size : sizeof full);
    return give(err, &e, session_append(s, &full, &e));
}

static int check_draft(struct glim_session *s, int32_t next, size_t n, struct err *e)
{
    if (!s->mtp)
        return err_set(e, GLIM_EINVAL, "drafts: the session was made without mtp");
    if (s->kv.length == 0)
        return err_set(e, GLIM_EINVAL, "drafts: the timeline is empty");
    if (next < 0 || (uint64_t)next >= config(s)->vocab)
        return err_set(e, GLIM_EINVAL, "token %d, expected 0 to %llu", next,
                       (unsigned long long)config(s)->vocab - 1);
    if (n > s->kv.capacity - s->kv.length + 1)
        return err_set(e, GLIM_ELIMIT,
                       "context full: %zu drafts after %llu tokens, the context has room for %llu",
                       n, (unsigned long long)s->kv.length, (unsigned long long)s->kv.capacity);
    return s->state_valid ? GLIM_OK : restore_state(s, e);
}

/* Pair k of a chain: the state that foretold the last draft, and that draft. The rows it writes to
 * the MTP cache lie beyond mtp_length and are overwritten when the true tokens come. */
static int draft(struct glim_session *s, int32_t next, size_t n, int32_t *out, float *logits,
                 struct err *e)
{
    if (check_draft(s, next, n, e) != 0)
        return e->code;
    const struct model_config *const c = config(s);
    memcpy(s->mtp_in, s->state, c->hidden * sizeof *s->mtp_in);
    for (size_t k = 0; k < n; k++) {
        const int32_t token = k == 0 ? next : out[k - 1];
        set_rows(s, &token, 1, s->kv.length - 1 + k);
        if (forward_mtp(&s->forward, s->row, s->mtp_in, 1, ROLE_DECODE, k > 0 && c->index_share_mtp,
                        e)
            != 0)
            return e->code;
        memcpy(s->mtp_in, s->forward.mtp_out, c->hidden * sizeof *s->mtp_in);
        float *const l = logits ? logits + k * c->vocab : s->many_mtp;
        if (forward_logits(&s->forward, s->mtp_in, 1, ROLE_DECODE, l, e) != 0
            || session_check(s, e) != 0)
            return e->code;
        out[k] = sample_argmax(l, c->vocab);
    }
    return GLIM_OK;
}

int glim_session_draft(glim_session *s, int32_t next, size_t n, int32_t *out, float *logits,
                       struct glim_error *err)
{
    struct err e = {0};
    return give(err, &e, draft(s, next, n, out, logits, &e));
}
