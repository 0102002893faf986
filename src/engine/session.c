/* session.c - one timeline: tokens and the cache that goes with them; append, rewind, continue,
 * draft, look ahead.
 *
 *   T1  kv.length tokens of the timeline are in the cache, and nothing else of it counts: rows,
 *       tokens and roles behind it are scratch;
 *   T2  a token recomputed after a rewind goes through the role it first went through: same bits;
 *   T3  a call that fails leaves the chunks that were finished, each whole;
 *   T4  a token taken from the rows ahead leaves what appending it alone would have left.
 *
 * Pairs. The MTP layer's row at position j joins the state of token j with the token at j + 1.
 * Pairs of a prompt are filled with its chunk; those of decoded tokens may be late, up to LATE_MAX
 * of them, and are filled together when a draft or a prompt wants them. Pairs below kv.mtp_length
 * are filled; while state_valid, s->state holds the states from that position to the last one.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"

enum { LATE_MAX = 64 };

static const struct model_config *config(const struct glim_session *s)
{
    return &s->model->model.cfg;
}

/* A step has room for a prompt's chunk, and with drafts for a token and those after it. */
static uint64_t rows_of(uint64_t chunk, bool mtp)
{
    return mtp ? max_u64(chunk, DRAFT_MAX + 1) : chunk;
}

static uint64_t state_rows(uint64_t chunk) { return LATE_MAX + rows_of(chunk, true); }

/* What a session takes besides cache and workspace so that it can draft: states and logits. */
static uint64_t draft_bytes(const struct model_config *c, uint64_t chunk)
{
    return (state_rows(chunk) * c->hidden + LOGIT_ROWS * c->vocab) * sizeof(float);
}

/* The timeline with its roles, rows, logits. */
static uint64_t array_bytes(const struct model_config *c, const struct session_shape *s)
{
    return plan_add(plan_mul(s->context, sizeof(int32_t) + 1),
                       rows_of(s->chunk, s->mtp) * sizeof(struct row)
                           + (LOGIT_ROWS + 1) * c->vocab * sizeof(float));
}

struct session_sizes session_sizes(const struct glim_model *m, const struct session_shape *s,
                                   bool streamed)
{
    const struct model_config *const c = &m->model.cfg;
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(m, false, s->kv, s->kv_index, index);
    const uint64_t token = kv_bytes_per_token(&l);
    struct session_sizes out = {
        .cache = plan_mul(s->context, token),
        .work = forward_plan(&m->model, rows_of(s->chunk, s->mtp), s->context,
                             pool_threads(m->pool), streamed),
    };
    out.work = plan_add(out.work, array_bytes(c, s));
    if (s->mtp) {
        const struct kv_layout with = cache_layout(m, true, s->kv, s->kv_index, index);
        out.drafts = plan_add(plan_mul(s->context, kv_bytes_per_token(&with) - token),
                                 draft_bytes(c, s->chunk));
    }
    return out;
}

static int alloc_arrays(struct glim_session *s, struct err *e)
{
    const struct model_config *const c = config(s);
    const uint64_t n = s->kv.capacity, F = sizeof(float);
    s->token = mem_zalloc(n, sizeof *s->token);
    s->role = mem_zalloc(n, sizeof *s->role);
    s->row = mem_zalloc(s->rows, sizeof *s->row);
    s->state = mem_zalloc(s->mtp ? state_rows(s->chunk) * c->hidden : 1, F);
    s->logits = mem_zalloc(c->vocab, F);
    s->many = mem_zalloc(LOGIT_ROWS * c->vocab, F);
    s->many_mtp = mem_zalloc(s->mtp ? LOGIT_ROWS * c->vocab : 1, F);
    if (!s->token || !s->role || !s->row || !s->state || !s->logits || !s->many || !s->many_mtp)
        return err_nomem(e, "session",
                         n * 5 + (LOGIT_ROWS + 1) * c->vocab * F
                             + (s->mtp ? draft_bytes(c, s->chunk) : 0));
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
    s->rows = rows_of(s->chunk, s->mtp);
    draft_init(&s->policy);
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(s->model, s->mtp, o->kv, o->kv_index, index);
    const struct session_shape shape = {context, s->chunk, o->kv, o->kv_index, s->mtp};
    if (placement_enter(s->model, &shape, &s->memory_bytes, e) != 0)
        return blame(e, s->model->path);
    if (kv_init(&s->kv, &l, context, e) != 0
        || forward_init(&s->forward, &s->model->model, s->model->pool, s->rows, context, e) != 0)
        return e->code;
    s->forward.stages = &s->model->stages;
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
    placement_leave(s->model, s->memory_bytes);
    sampler_deinit(&s->sampler);
    forward_deinit(&s->forward);
    kv_deinit(&s->kv);
    free(s->token);
    free(s->role);
    free(s->row);
    free(s->state);
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
        s->state_valid = s->state_valid && n > s->kv.mtp_length;
        s->logits_valid = false;
        s->ahead.rows = 0;
        kv_truncate(&s->kv, n);
    }
    return give(err, &e, GLIM_OK);
}

static int session_check(const struct glim_session *s, struct err *e)
{
    return io_any_fault() ? tensorfile_check(s->model->weights.file, e) : GLIM_OK;
}

/* The states that the MTP layer takes: after the final norm, or before it by the knob. */
static const float *mtp_states(const struct glim_session *s)
{
    return config(s)->knobs.mtp_prenorm ? s->forward.prenorm : s->forward.final;
}

/* The state of the token at pos, kv.mtp_length at least. */
static float *state_at(const struct glim_session *s, uint64_t pos)
{
    return s->state + (pos - s->kv.mtp_length) * config(s)->hidden;
}

/* Keeps states of n rows of the last step, from `first` on, as those of position pos and on. */
static void keep_states(struct glim_session *s, uint64_t pos, size_t first, size_t n)
{
    const uint64_t d = config(s)->hidden;
    if (s->mtp)
        memcpy(state_at(s, pos), mtp_states(s) + first * d, n * d * sizeof *s->state);
}

/* The MTP layer's cache holds all pairs of the timeline now: of the states, the last is enough. */
static void pairs_done(struct glim_session *s)
{
    const uint64_t last = s->kv.length - 1;
    memmove(s->state, state_at(s, last), config(s)->hidden * sizeof *s->state);
    s->kv.mtp_length = last;
}

uint64_t session_late_pairs(const struct glim_session *s)
{
    return s->mtp && s->kv.length ? s->kv.length - 1 - s->kv.mtp_length : 0;
}

/* Of `rows` that a step may have, what one of this role may. */
static uint64_t rows_of_role(uint64_t rows, enum kernel_role role)
{
    return role == ROLE_DECODE ? min_u64(rows, DECODE_ROWS) : rows;
}

static void set_rows(struct glim_session *s, const int32_t *token, size_t n, uint64_t pos)
{
    for (size_t t = 0; t < n; t++)
        s->row[t] = (struct row){&s->kv, pos + t, token[t]};
}

/* A step of the main layers. What was computed ahead is gone. */
static int step(struct glim_session *s, const int32_t *token, size_t n, uint64_t pos,
                enum kernel_role role, struct err *e)
{
    s->ahead.rows = 0;
    set_rows(s, token, n, pos);
    return forward_rows(&s->forward, s->row, n, role, e);
}

/* After a rewind the last token's hidden state is gone: run that token again, in its own role
 * (T2). */
static int restore_state(struct glim_session *s, struct err *e)
{
    const uint64_t last = s->kv.length - 1;
    if (step(s, &s->token[last], 1, last, s->role[last], e) != 0 || session_check(s, e) != 0)
        return e->code;
    keep_states(s, last, 0, 1);
    s->state_valid = true;
    return GLIM_OK;
}

/* Fills the MTP layer's cache for the pairs of positions [first, end): their states stand in
 * s->state, their tokens and roles in token and role, one position later. */
static int fill_pairs(struct glim_session *s, uint64_t first, uint64_t end, struct err *e)
{
    while (first < end) {
        const enum kernel_role role = s->role[first + 1];
        size_t n = 1;
        while (first + n < end && n < rows_of_role(s->rows, role) && s->role[first + n + 1] == role)
            n++;
        set_rows(s, &s->token[first + 1], n, first);
        if (forward_mtp_fill(&s->forward, s->row, state_at(s, first), n, role, e) != 0)
            return e->code;
        first += n;
    }
    return GLIM_OK;
}

int session_catch_up(struct glim_session *s, struct err *e)
{
    if (session_late_pairs(s) == 0)
        return GLIM_OK;
    if (fill_pairs(s, s->kv.mtp_length, s->kv.length - 1, e) != 0)
        return e->code;
    pairs_done(s);
    return GLIM_OK;
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
    set_rows(s, s->token + pos + *first, pairs, begin);
    return forward_mtp(&s->forward, s->row, state_at(s, begin), pairs, role, false, e);
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
                          : fill_pairs(s, s->kv.mtp_length, s->kv.length + n - 1, e);
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
    s->logits_valid = false;
    if (s->mtp && p != PAIRS_LATE && session_catch_up(s, e) != 0)
        return e->code;
    memmove(s->token + pos, a->tokens + done, n * sizeof *s->token);
    memset(s->role + pos, (int)role, n);
    if (step(s, s->token + pos, n, pos, role, e) != 0)
        return e->code;
    keep_states(s, pos, 0, n);
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
    s->kv.length += n;
    if (s->mtp && p != PAIRS_LATE)
        pairs_done(s);
    s->state_valid = s->mtp;
    s->logits_valid = last;
    habits_step(s->model);
    return GLIM_OK;
}

int session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                 struct err *e)
{
    const uint64_t pos = s->kv.length;
    struct forward *const f = &s->forward;
    assert(n >= 1 && n <= LOGIT_ROWS && n <= s->rows && n <= s->kv.capacity - pos);
    s->logits_valid = false;
    if (session_late_pairs(s) + n > LATE_MAX && session_catch_up(s, e) != 0)
        return e->code;
    if (step(s, token, n, pos, ROLE_DECODE, e) != 0
        || forward_logits(f, f->final, n, ROLE_DECODE, s->many, e) != 0 || session_check(s, e) != 0)
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
    keep_states(s, pos, i, 1);
    memcpy(s->logits, s->many + i * v, v * sizeof *s->logits);
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
    if (s->mtp && s->kv.length > 0 && !s->state_valid && restore_state(s, e) != 0)
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
    return s->state_valid ? session_catch_up(s, e) : restore_state(s, e);
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
        set_rows(s, &token, 1, s->kv.length - 1 + k);
        if (forward_mtp(&s->forward, s->row, state, 1, ROLE_DECODE, k > 0 && c->index_share_mtp, e)
            != 0)
            return e->code;
        state = s->forward.mtp_out;
        float *const l = logits ? logits + k * c->vocab : s->many_mtp;
        if (forward_logits(&s->forward, state, 1, ROLE_DECODE, l, e) != 0
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
