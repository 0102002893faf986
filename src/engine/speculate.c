/* speculate.c - see speculate.h. */
#include "engine/speculate.h"

#include <assert.h>

#include "base/util.h"
#include "weights/store.h"

int speculate_begin(struct speculation *x, struct glim_session *s, const struct drawing *drawing,
                    int drafts, struct err *e)
{
    *x = (struct speculation){.s = s, .drawing = drawing, .drafts = drafts};
    if (drafts < GLIM_DRAFTS_OFF || drafts > GLIM_DRAFTS_MAX)
        return err_set(e, GLIM_EINVAL, "drafts: %d, expected %d to %d", drafts, GLIM_DRAFTS_OFF,
                       GLIM_DRAFTS_MAX);
    if (drafts > 0 && !s->mtp)
        return err_set(e, GLIM_EINVAL, "drafts: %d, but the session was made without mtp", drafts);
    draft_pause(&s->policy);
    return GLIM_OK;
}

/* The last step will yield no more tokens. */
static void settle(struct speculation *x)
{
    if (x->open && x->drafts == GLIM_DRAFTS_AUTO)
        draft_tell(&x->s->policy, &x->last);
    x->open = false;
}

void speculate_end(struct speculation *x)
{
    if (!x->s)
        return;
    settle(x);
    x->last = (struct draft_step){0};
    draft_pause(&x->s->policy);
}

/* The rows behind the timeline take the drafts, so they stand before the tokens drafted next. */
static int32_t choose(void *ctx, const float *logits, size_t k)
{
    const struct speculation *const x = ctx;
    struct glim_session *const s = x->s;
    const uint64_t n = s->kv.length + 1 + k;
    const int32_t token = session_draw(s, s->w->sampler, x->drawing, logits, n);
    s->token[n] = token;
    return token;
}

static size_t length_wanted(struct speculation *x, uint64_t more)
{
    struct glim_session *const s = x->s;
    if (!s->mtp || x->drafts == GLIM_DRAFTS_OFF)
        return 0;
    const uint64_t room = s->kv.capacity - s->kv.length - 1; /* behind the token itself */
    const size_t most = (size_t)min_u64(min_u64(more, room), GLIM_DRAFTS_MAX);
    if (x->drafts == GLIM_DRAFTS_AUTO)
        return draft_length(&s->policy, most);
    return (size_t)min_u64((uint64_t)x->drafts, most);
}

/* What had to be read so far, and was waited for. */
static struct store_counts reads_of(const struct glim_session *s)
{
    const struct store *const store = s->model->model.experts.store;
    struct store_counts c = {0};
    if (store)
        store_count(store, &c);
    return c;
}

/* Since `from`: experts that were not in memory, and what was waited for them. */
static void reads_since(const struct glim_session *s, const struct store_counts *from,
                        uint64_t *experts, double *wait_ns)
{
    const struct store_counts c = reads_of(s);
    *experts = (c.wanted - c.hits) - (from->wanted - from->hits);
    *wait_ns = (double)(c.wait_ns - from->wait_ns);
}

/* token[0] is drawn; token[1..] become drafts. Returns how many. A draft layer that fails makes no
 * drafts: the answer does not need it. */
static size_t make_drafts(struct speculation *x, int32_t *token, size_t n)
{
    struct glim_session *const s = x->s;
    struct err ignored;
    if (n == 0)
        return 0;
    /* Pairs of the last few tokens are part of the price, those of a time without drafts not. */
    const bool few = session_late_pairs(s) <= GLIM_DRAFTS_MAX;
    uint64_t begin = now_ns();
    if (session_catch_up(s, &ignored) != 0)
        return 0;
    begin = few ? begin : now_ns();
    const struct store_counts before = reads_of(s);
    s->token[s->kv.length] = token[0];
    if (session_draft(s, token[0], n, choose, x, token + 1, NULL, &ignored) != 0)
        return 0;
    x->last.draft_ns = (double)(now_ns() - begin);
    reads_since(s, &before, &x->last.draft_reads, &x->last.draft_wait_ns);
    return n;
}

/* A step of token[0] and n drafts; without them if one of their rows fails. */
static int look(struct speculation *x, const int32_t *token, size_t n, struct err *e)
{
    const struct store_counts before = reads_of(x->s);
    const uint64_t begin = now_ns();
    if (n > 0 && session_look(x->s, token, n + 1, true, e) != 0)
        n = 0;
    if (n == 0 && session_look(x->s, token, 1, false, e) != 0)
        return e->code;
    x->last.step_ns = (double)(now_ns() - begin);
    reads_since(x->s, &before, &x->last.step_reads, &x->last.step_wait_ns);
    x->last.drafted = n;
    x->open = true;
    x->verifications += n > 0;
    x->drafted += n;
    return GLIM_OK;
}

int speculate_append(struct speculation *x, int32_t token, uint64_t more, struct err *e)
{
    struct glim_session *const s = x->s;
    if (x->last.judged < x->last.drafted) {
        x->last.judged++;
        if (session_take(s, token)) {
            x->last.right++;
            x->accepted++;
            return GLIM_OK;
        }
    }
    settle(x);
    int32_t tokens[GLIM_DRAFTS_MAX + 1] = {token};
    x->last = (struct draft_step){0};
    const size_t n = make_drafts(x, tokens, length_wanted(x, more));
    if (look(x, tokens, n, e) != 0)
        return e->code;
    const bool taken = session_take(s, token);
    assert(taken);
    (void)taken;
    return GLIM_OK;
}
