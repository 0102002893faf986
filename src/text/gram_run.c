/* gram_run.c - a run: its memory, and the places in the answer that the caller holds. */
#include "text/gram_run.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* ---- life ---- */

static void make_start(struct grammar_run *r, void *ctx)
{
    (void)ctx;
    run_begin(r);
    run_meet(r, r->g->start[0], 0);
    r->live[0] = run_complete(r);
    r->lives = 1;
}

int grammar_run_new(struct grammar_run **out, const struct grammar *g, const struct tokentrie *v,
                    struct err *e)
{
    assert(g->tokens == v->tokens);
    struct grammar_run *const r = *out = calloc(1, sizeof *r);
    if (!r)
        return err_nomem(e, "grammar", sizeof *r);
    r->g = g;
    r->v = v;
    r->seen = calloc(2 * RUN_ITEMS_MAX, sizeof *r->seen);
    r->seen_at = calloc(2 * RUN_ITEMS_MAX, sizeof *r->seen_at);
    r->way = calloc((size_t)v->depth + 1, sizeof *r->way);
    int rc =
        r->seen && r->seen_at && r->way ? gram_table_init(&r->t, g, RUN_TABLE_BYTES) : GLIM_ENOMEM;
    rc = rc == GLIM_OK ? run_guarded(r, make_start, NULL, e) : err_nomem(e, "grammar", 0);
    if (rc != GLIM_OK) {
        grammar_run_free(r);
        *out = NULL;
    }
    return rc;
}

void grammar_run_free(struct grammar_run *r)
{
    if (!r)
        return;
    gram_table_deinit(&r->t);
    for (int i = 0; i < RUN_MASKS; i++)
        free(r->mask[i].bits);
    free(r->met);
    free(r->seen);
    free(r->seen_at);
    free(r->found);
    free(r->way);
    free(r);
}

size_t grammar_run_size(const struct grammar_run *r)
{
    size_t bytes = sizeof *r + gram_table_bytes(&r->t) + 4 * RUN_ITEMS_MAX * sizeof *r->seen
                   + (r->met_cap + r->found_cap) * sizeof *r->met + r->v->depth * sizeof *r->way;
    for (int i = 0; i < RUN_MASKS; i++)
        bytes += r->mask[i].bits ? r->v->words * sizeof(uint32_t) : 0;
    return bytes;
}

int run_forget(struct grammar_run *r)
{
    struct gram_table fresh;
    uint32_t live[GRAMMAR_LIVE_MAX];
    int rc = gram_table_init(&fresh, r->g, r->t.limit);
    for (uint32_t i = 0; i < r->lives && rc == GLIM_OK; i++)
        rc = gram_copy(&fresh, &r->t, r->live[i], &live[i]);
    if (rc != GLIM_OK) {
        gram_table_deinit(&fresh);
        return rc;
    }
    gram_table_deinit(&r->t);
    r->t = fresh;
    memcpy(r->live, live, r->lives * sizeof *live);
    for (int i = 0; i < RUN_MASKS; i++)
        r->mask[i].state = STATE_NONE;
    return GLIM_OK;
}

int run_guarded(struct grammar_run *r, run_fn *fn, void *ctx, struct err *e)
{
    for (int attempt = 0; attempt < 2; attempt++) {
        r->rc = GLIM_OK;
        r->work = 0;
        fn(r, ctx);
        if (r->rc != GLIM_ELIMIT || attempt > 0)
            break;
        const int rc = run_forget(r);
        if (rc != GLIM_OK)
            r->rc = rc == GLIM_ELIMIT ? GLIM_ELIMIT : GLIM_ENOMEM;
        if (rc != GLIM_OK)
            break;
    }
    if (r->rc == GLIM_ELIMIT)
        return err_set(e, GLIM_ELIMIT,
                       "grammar: more than %zu bytes of states, expected at most "
                       "that: make it smaller or less ambiguous",
                       r->t.limit);
    if (r->rc == RUN_TOO_MANY)
        return err_set(e, GLIM_ELIMIT,
                       "grammar: more than %d ways to read the text at one byte or %d at one "
                       "token, expected at most that: make it less ambiguous",
                       RUN_ITEMS_MAX, RUN_WORK_MAX);
    return r->rc == GLIM_OK ? GLIM_OK : err_nomem(e, "grammar", gram_table_bytes(&r->t));
}

/* ---- places ---- */

grammar_state grammar_start(const struct grammar_run *r)
{
    (void)r;
    return 0;
}

bool grammar_may_end(const struct grammar_run *r, grammar_state s)
{
    assert(s < r->lives);
    return gram_may_end(&r->t, r->live[s]);
}

struct move {
    grammar_state from;
    const char *bytes; /* [len] */
    size_t len;
    int32_t token; /* if >= 0, instead of bytes */
    uint32_t to;
};

static void move(struct grammar_run *r, void *ctx)
{
    struct move *const m = ctx;
    uint32_t s = r->live[m->from];
    if (m->token >= 0)
        s = run_step_token(r, s, m->token);
    for (size_t i = 0; i < m->len && s != STATE_NONE && r->rc == GLIM_OK; i++)
        s = run_step(r, s, r->g->class_of[(uint8_t)m->bytes[i]]);
    m->to = s;
}

/* A place for the state: the one that has it, or a free one. */
static int hold(struct grammar_run *r, uint32_t state, grammar_state *to, struct err *e)
{
    uint32_t i = 0, place = GRAMMAR_LIVE_MAX;
    for (; i < r->lives && r->live[i] != state; i++) {
        if (r->live[i] == STATE_NONE && place == GRAMMAR_LIVE_MAX)
            place = i;
    }
    if (i < r->lives)
        place = i;
    else if (place == GRAMMAR_LIVE_MAX && r->lives < GRAMMAR_LIVE_MAX)
        place = r->lives++;
    if (place == GRAMMAR_LIVE_MAX)
        return err_set(e, GLIM_ELIMIT, "grammar: %d states are held, expected at most %d",
                       GRAMMAR_LIVE_MAX + 1, GRAMMAR_LIVE_MAX);
    r->live[place] = state;
    *to = place;
    return GLIM_OK;
}

static int go(struct grammar_run *r, struct move *m, grammar_state *to, struct err *e)
{
    assert(m->from < r->lives && r->live[m->from] != STATE_NONE);
    const int rc = run_guarded(r, move, m, e);
    return rc == GLIM_OK && m->to != STATE_NONE ? hold(r, m->to, to, e) : rc;
}

int grammar_accept_bytes(struct grammar_run *r, grammar_state from, const char *bytes, size_t len,
                         grammar_state *to, struct err *e)
{
    struct move m = {.from = from, .bytes = bytes, .len = len, .token = -1};
    const int rc = go(r, &m, to, e);
    if (rc == GLIM_OK && m.to == STATE_NONE)
        return err_set(e, GLIM_EINVAL, "grammar: this text of %zu bytes is not allowed here", len);
    return rc;
}

int grammar_accept(struct grammar_run *r, grammar_state from, int32_t token, grammar_state *to,
                   struct err *e)
{
    struct move m = {.from = from, .token = token, .to = STATE_NONE};
    const bool plain = tok_attr(r->v->t, token) == TOK_NORMAL;
    if (plain) {
        m.bytes = tok_bytes(r->v->t, token, &m.len);
        m.token = -1;
    }
    const int rc = token < 0 || (plain && m.len == 0) ? GLIM_OK : go(r, &m, to, e);
    if (rc == GLIM_OK && m.to == STATE_NONE)
        return err_set(e, GLIM_EINVAL, "grammar: token %d is not allowed here", token);
    return rc;
}

void grammar_keep(struct grammar_run *r, grammar_state keep)
{
    assert(keep < r->lives && r->live[keep] != STATE_NONE);
    for (uint32_t i = 1; i < r->lives; i++) {
        if (i != keep)
            r->live[i] = STATE_NONE;
    }
    r->lives = keep + 1;
}

struct forced {
    grammar_state from;
    struct buf *out;
    size_t max;
};

/* The class of the only byte that may come, or -1. */
static int only_class(const struct grammar_run *r, uint32_t state)
{
    const struct gram_state *const s = &r->t.state[state];
    int class = -1;
    for (uint32_t i = 0; i < s->items; i++) {
        const uint64_t item = r->t.item[s->item + i];
        const uint32_t node = item == ITEM_END ? 0 : item_node(item);
        if (item == ITEM_END)
            return -1;
        for (uint32_t k = r->g->first[node]; k < r->g->first[node + 1]; k++) {
            const struct gram_edge *const x = &r->g->edge[k];
            if (x->kind == GRAM_TOKEN || (x->kind == GRAM_BYTES && x->lo != x->hi))
                return -1;
            if (x->kind == GRAM_BYTES && class >= 0 && class != r->g->class_of[x->lo])
                return -1;
            if (x->kind == GRAM_BYTES)
                class = r->g->class_of[x->lo];
        }
    }
    return class;
}

static void force(struct grammar_run *r, void *ctx)
{
    const struct forced *const f = ctx;
    uint32_t s = r->live[f->from];
    buf_clear(f->out);
    for (int class; f->out->len < f->max && (class = only_class(r, s)) >= 0;) {
        const uint32_t next = run_step(r, s, (unsigned)class);
        if (r->rc != GLIM_OK)
            return;
        buf_addc(f->out, (char)r->g->class_byte[class]);
        s = next;
    }
}

int grammar_forced(struct grammar_run *r, grammar_state s, size_t max, struct buf *out,
                   struct err *e)
{
    struct forced f = {.from = s, .out = out, .max = max};
    assert(s < r->lives);
    const int rc = run_guarded(r, force, &f, e);
    return rc == GLIM_OK && out->failed ? err_nomem(e, "forced text", out->len) : rc;
}
