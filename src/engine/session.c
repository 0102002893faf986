/* session.c - one timeline: tokens and the cache that goes with them; append, rewind, continue,
 * draft, look ahead.
 *
 *   T1  kv.length tokens of the timeline are in the cache, and nothing else of it counts: rows,
 *       tokens and roles behind it are scratch;
 *   T2  a token recomputed after a rewind goes through the role it first went through: same bits;
 *   T3  a call that fails leaves the chunks that were finished, each whole;
 *   T4  a token taken from the rows ahead leaves what appending it alone would have left.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"

static const struct model_config *config(const struct glim_session *s)
{
    return &s->model->model.cfg;
}

uint64_t step_rows(uint64_t chunk, bool mtp)
{
    return mtp ? max_u64(chunk, DRAFT_MAX + 1) : chunk;
}

static uint64_t state_rows(uint64_t chunk) { return LATE_MAX + step_rows(chunk, true); }

/* What drafts take besides cache and workspace: states of each session, logits of a stepper. */
static uint64_t draft_bytes(const struct model_config *c, uint64_t chunk, uint64_t sessions)
{
    const uint64_t states = plan_mul(sessions, state_rows(chunk) * c->hidden);
    return plan_mul(plan_add(states, LOGIT_ROWS * c->vocab), sizeof(float));
}

/* A timeline with its roles and logits. */
static uint64_t timeline_bytes(const struct model_config *c, uint64_t context)
{
    return plan_add(plan_mul(context, sizeof(int32_t) + 1), c->vocab * sizeof(float));
}

int stepper_shapes(const struct glim_model *m, const struct session_shape *s,
                   struct stepper_shape out[2])
{
    out[0] = (struct stepper_shape){step_rows(s->chunk, s->mtp), s->context,
                                    max_u64(s->parallel, LOGIT_ROWS), 1};
    out[1] = (struct stepper_shape){step_rows(s->parallel, s->mtp), s->context,
                                    max_u64(s->parallel, LOGIT_ROWS), pool_threads(m->pool)};
    return s->parallel ? 2 : 1;
}

struct session_sizes session_sizes(const struct glim_model *m, const struct session_shape *s,
                                   bool streamed)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t sessions = s->parallel ? s->parallel : 1,
                   cache = s->parallel ? s->cache : s->context;
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(m, false, s->kv, s->kv_index, index);
    const uint64_t token = kv_bytes_per_token(&l);
    struct session_sizes out = {
        .cache = plan_mul(cache, token),
    };
    struct stepper_shape steps[2];
    const int n = stepper_shapes(m, s, steps);
    for (int i = 0; i < n; i++)
        out.work = plan_add(out.work, stepper_bytes(m, &steps[i], streamed));
    out.work = plan_add(out.work, plan_mul(sessions, timeline_bytes(c, s->context)));
    if (s->mtp) {
        const struct kv_layout with = cache_layout(m, true, s->kv, s->kv_index, index);
        out.drafts = plan_add(plan_mul(cache, kv_bytes_per_token(&with) - token),
                              draft_bytes(c, s->chunk, sessions));
    }
    return out;
}

int session_init(struct glim_session *s, struct glim_model *m, const struct session_shape *shape,
                 struct kv_pages *pages, struct stepper *w, struct err *e)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t n = shape->context, F = sizeof(float);
    s->model = m;
    s->w = w;
    s->mtp = shape->mtp;
    s->chunk = shape->chunk;
    draft_init(&s->policy, c->experts_used);
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(m, s->mtp, shape->kv, shape->kv_index, index);
    if (kv_init(&s->kv, &l, n, pages, e) != 0)
        return e->code;
    s->token = mem_zalloc(n + 1, sizeof *s->token); /* one that was drawn when all is full */
    s->role = mem_zalloc(n, sizeof *s->role);
    s->state = mem_zalloc(s->mtp ? state_rows(s->chunk) * c->hidden : 1, F);
    s->logits = mem_zalloc(c->vocab, F);
    if (!s->token || !s->role || !s->state || !s->logits)
        return err_nomem(e, "session",
                         timeline_bytes(c, n) + (s->mtp ? draft_bytes(c, s->chunk, 1) : 0));
    return GLIM_OK;
}

void session_deinit(struct glim_session *s)
{
    kv_deinit(&s->kv);
    free(s->token);
    free(s->role);
    free(s->state);
    free(s->logits);
}

int session_shape_of(const struct glim_model *m, const struct glim_session_options *o,
                     struct session_shape *out, struct err *e)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t context = o->context_tok ? o->context_tok : min_u64(c->context, CONTEXT_DEFAULT);
    if (context > c->context)
        return err_set(e, GLIM_EINVAL, "context: %llu tokens, the model has %llu",
                       (unsigned long long)context, (unsigned long long)c->context);
    if (o->chunk_tok > CHUNK_MAX)
        return err_set(e, GLIM_EINVAL, "chunk: %llu tokens, expected at most %d",
                       (unsigned long long)o->chunk_tok, CHUNK_MAX);
    if (o->mtp && c->mtp_layers == 0)
        return err_set(e, GLIM_EUNSUPPORTED, "drafts: the model has no MTP layer");
    *out = (struct session_shape){.context = context, .chunk = min_u64(o->chunk_tok, context),
                                  .kv = o->kv, .kv_index = o->kv_index, .mtp = o->mtp};
    return GLIM_OK;
}

static int init(struct glim_session *s, const struct glim_session_options *o, struct err *e)
{
    struct session_shape shape;
    if (session_shape_of(s->model, o, &shape, e) != 0)
        return e->code;
    if (placement_enter(s->model, &shape, &s->memory_bytes, e) != 0)
        return blame(e, s->model->path);
    if (session_init(s, s->model, &shape, NULL, &s->own, e) != 0)
        return e->code;
    struct stepper_shape steps[2];
    (void)stepper_shapes(s->model, &shape, steps);
    return stepper_init(&s->own, s->model, &steps[0], shape.mtp, e);
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
    placement_leave(s->model, s->memory_bytes);
    stepper_deinit(&s->own);
    session_deinit(s);
    free(s);
}

uint64_t glim_session_length(const glim_session *s) { return s->kv.length; }
uint64_t glim_session_context(const glim_session *s) { return s->kv.capacity; }
uint64_t glim_session_chunk(const glim_session *s) { return s->chunk; }
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
        s->state_valid = s->state_valid && n > s->kv.mtp_length;
        s->logits_valid = false;
        s->ahead.rows = 0;
        kv_truncate(&s->kv, n);
    }
    return give(err, &e, GLIM_OK);
}

/* Runs the whole MTP layer over the pairs of a chunk of n tokens behind the timeline, which is not
 * late. Row i of mtp_out belongs to token first + i of the chunk; *first is 1 at the start of a
 * timeline, which has no state before it. */
static int run_mtp(struct glim_session *s, size_t n, enum kernel_role role, size_t *first,
                   struct err *e)
{
    const uint64_t pos = s->kv.length;
    *first = pos == 0;
    const size_t pairs = n - *first;
    if (pairs == 0)
        return GLIM_OK;
    const uint64_t begin = pos + *first - 1;
    if (session_rows(s, s->token + pos + *first, pairs, begin, e) != 0)
        return e->code;
    return forward_mtp(&s->w->forward, s->w->row, session_state(s, begin), pairs, role, false, e);
}

/* Logits of every row of the chunk, LOGIT_ROWS at a time, to the caller. */
static int report_all(struct glim_session *s, const struct glim_append *a, size_t done, size_t n,
                      enum kernel_role role, size_t first_pair, struct err *e)
{
    const uint64_t d = config(s)->hidden, v = config(s)->vocab;
    struct forward *const f = &s->w->forward;
    for (size_t t0 = 0; t0 < n; t0 += LOGIT_ROWS) {
        const size_t rows = n - t0 < LOGIT_ROWS ? n - t0 : LOGIT_ROWS;
        if (forward_logits(f, f->final + t0 * d, rows, role, s->w->many, e) != 0)
            return e->code;
        const size_t skip = s->mtp && t0 < first_pair ? first_pair - t0 : 0;
        if (s->mtp && rows > skip
            && forward_logits(f, f->mtp_out + (t0 + skip - first_pair) * d, rows - skip, role,
                              s->w->many_mtp, e)
                   != 0)
            return e->code;
        if (session_check(s, e) != 0)
            return e->code;
        for (size_t t = 0; t < rows; t++) {
            const float *const mtp = s->mtp && t >= skip ? s->w->many_mtp + (t - skip) * v : NULL;
            if (a->on_logits(a->ctx, done + t0 + t, s->w->many + t * v, mtp) != 0)
                return err_set(e, GLIM_ESTOPPED, "stopped by the caller");
        }
    }
    memcpy(s->logits, s->w->many + (n - 1) % LOGIT_ROWS * v, v * sizeof *s->logits);
    return GLIM_OK;
}

/* The rows after the last token only: into s->logits and, if the caller looks, s->w->many_mtp. */
static int report_last(struct glim_session *s, const struct glim_append *a, size_t n,
                       enum kernel_role role, size_t first_pair, struct err *e)
{
    const uint64_t d = config(s)->hidden;
    struct forward *const f = &s->w->forward;
    if (forward_logits(f, f->final + (n - 1) * d, 1, role, s->logits, e) != 0)
        return e->code;
    if (!s->mtp || !a->on_logits || n == first_pair)
        return GLIM_OK;
    return forward_logits(f, f->mtp_out + (n - 1 - first_pair) * d, 1, role, s->w->many_mtp, e);
}

/* What becomes of a chunk's pairs: their logits are wanted, or just their cache, or they may be
 * late. */
enum pairing { PAIRS_RUN, PAIRS_FILL, PAIRS_LATE };

static enum kernel_role role_of(const struct glim_append *a)
{
    return a->flags & GLIM_APPEND_DECODE ? ROLE_DECODE : ROLE_PREFILL;
}

static enum pairing pairing_of(const struct glim_session *s, const struct glim_append *a, size_t n,
                               bool last, enum kernel_role role)
{
    if (a->on_logits && (last || a->flags & GLIM_APPEND_ALL_LOGITS))
        return PAIRS_RUN;
    return role == ROLE_PREFILL || session_late_pairs(s) + n > LATE_MAX ? PAIRS_FILL : PAIRS_LATE;
}

/* The chunk's tokens stand behind the timeline, their states are kept. */
static int pair_chunk(struct glim_session *s, enum pairing p, size_t n, enum kernel_role role,
                      size_t *first_pair, struct err *e)
{
    if (!s->mtp || p == PAIRS_LATE)
        return GLIM_OK;
    return p == PAIRS_RUN ? run_mtp(s, n, role, first_pair, e)
                          : session_fill(s, s->kv.mtp_length, s->kv.length + n - 1, e);
}

int session_lay(struct glim_session *s, const int32_t *token, size_t n, enum kernel_role role,
                bool pairs, struct err *e)
{
    const uint64_t pos = s->kv.length;
    s->logits_valid = false;
    s->ahead.rows = 0;
    if (s->mtp && pos > 0 && !s->state_valid && session_restore(s, e) != 0)
        return e->code;
    if (s->mtp && pairs && session_catch_up(s, e) != 0)
        return e->code;
    memmove(s->token + pos, token, n * sizeof *s->token);
    memset(s->role + pos, (int)role, n);
    return kv_own(&s->kv, pos, pos + n, e);
}

void session_grow(struct glim_session *s, size_t n, bool pairs)
{
    s->kv.length += n;
    if (s->mtp && pairs)
        session_paired(s);
    s->state_valid = s->mtp;
}

/* One chunk: caches, states and logits; the timeline grows at the end, when all of it has worked
 * (T3). */
static int append_chunk(struct glim_session *s, const struct glim_append *a, size_t done, size_t n,
                        struct err *e)
{
    const enum kernel_role role = role_of(a);
    const bool last = done + n == a->n;
    const enum pairing p = pairing_of(s, a, n, last, role);
    const uint64_t pos = s->kv.length;
    size_t first_pair = 0;
    if (session_lay(s, a->tokens + done, n, role, p != PAIRS_LATE, e) != 0
        || session_step(s, s->token + pos, n, pos, role, e) != 0)
        return e->code;
    session_keep(s, pos, 0, n);
    if (pair_chunk(s, p, n, role, &first_pair, e) != 0)
        return e->code;
    if (a->on_logits && a->flags & GLIM_APPEND_ALL_LOGITS) {
        if (report_all(s, a, done, n, role, first_pair, e) != 0)
            return e->code;
    } else if (last && report_last(s, a, n, role, first_pair, e) != 0) {
        return e->code;
    }
    if (session_check(s, e) != 0)
        return e->code;
    session_grow(s, n, p != PAIRS_LATE);
    s->logits_valid = last;
    habits_step(s->model);
    return GLIM_OK;
}

int session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                 struct err *e)
{
    const uint64_t pos = s->kv.length;
    struct forward *const f = &s->w->forward;
    assert(n >= 1 && n <= LOGIT_ROWS && n <= s->w->rows && n <= s->kv.capacity - pos);
    s->logits_valid = false;
    if (session_late_pairs(s) + n > LATE_MAX && session_catch_up(s, e) != 0)
        return e->code;
    if (session_step(s, token, n, pos, ROLE_DECODE, e) != 0
        || forward_logits(f, f->final, n, ROLE_DECODE, s->w->many, e) != 0
        || session_check(s, e) != 0)
        return e->code;
    s->ahead = (struct ahead){.at = pos, .rows = n, .paired = paired};
    memcpy(s->ahead.token, token, n * sizeof *token);
    habits_step(s->model);
    return GLIM_OK;
}

bool session_take(struct glim_session *s, int32_t token)
{
    const struct ahead *const a = &s->ahead;
    const uint64_t pos = s->kv.length, v = config(s)->vocab;
    if (pos < a->at || pos - a->at >= a->rows || a->token[pos - a->at] != token)
        return false;
    const size_t i = (size_t)(pos - a->at);
    if (i == 0 && a->paired) {
        assert(session_late_pairs(s) == 0 && pos > 0);
        s->kv.mtp_length = pos;
    }
    s->token[pos] = token;
    s->role[pos] = ROLE_DECODE;
    session_keep(s, pos, i, 1);
    memcpy(s->logits, s->w->many + i * v, v * sizeof *s->logits);
    s->kv.length = pos + 1;
    s->state_valid = s->mtp;
    s->logits_valid = true;
    return true;
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

static int session_append(struct glim_session *s, const struct glim_append *a, struct err *e)
{
    if (check_tokens(s, a, e) != 0)
        return e->code;
    for (size_t done = 0; done < a->n;) {
        const size_t n = (size_t)min_u64(rows_of_role(s->chunk, role_of(a)), a->n - done);
        if (append_chunk(s, a, done, n, e) != 0)
            return e->code;
        done += n;
        if (done < a->n && a->progress && a->progress(a->ctx, done, a->n) != 0)
            return err_set(e, GLIM_ESTOPPED, "stopped by the caller after %zu of %zu tokens", done,
                           a->n);
    }
    const float *const mtp = s->mtp && s->kv.length > 1 ? s->w->many_mtp : NULL;
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
    return s->state_valid ? session_catch_up(s, e) : session_restore(s, e);
}

/* Pair k of a chain: the state that foretold the last draft, and that draft. The rows it writes to
 * the MTP cache lie beyond mtp_length and are overwritten when the true tokens come. */
int session_draft(struct glim_session *s, int32_t next, size_t n, draft_choose_fn *choose,
                  void *ctx, int32_t *out, float *logits, struct err *e)
{
    if (check_draft(s, next, n, e) != 0)
        return e->code;
    const struct model_config *const c = config(s);
    const float *state = s->state;
    for (size_t k = 0; k < n; k++) {
        const int32_t token = k == 0 ? next : out[k - 1];
        const bool reuse = k > 0 && c->index_share_mtp;
        if (session_rows(s, &token, 1, s->kv.length - 1 + k, e) != 0
            || forward_mtp(&s->w->forward, s->w->row, state, 1, ROLE_DECODE, reuse, e) != 0)
            return e->code;
        state = s->w->forward.mtp_out;
        float *const l = logits ? logits + k * c->vocab : s->w->many_mtp;
        if (forward_logits(&s->w->forward, state, 1, ROLE_DECODE, l, e) != 0
            || session_check(s, e) != 0)
            return e->code;
        out[k] = choose ? choose(ctx, l, k) : sample_argmax(l, c->vocab);
    }
    return GLIM_OK;
}

int glim_session_draft(glim_session *s, int32_t next, size_t n, int32_t *out, float *logits,
                       struct glim_error *err)
{
    struct err e = {0};
    return give(err, &e, session_draft(s, next, n, NULL, NULL, out, logits, &e));
}
