/* gram_mask.c - the tokens that may come next.
 *
 * Where the grammar takes all characters of a class alike for n characters (trie_class_bytes), the
 * class's tokens of up to n characters are a mask that is ready. What that does not decide is
 * walked: the trie in preorder, with the state of each byte on the way; a byte that leads nowhere
 * skips the subtree. A state keeps its mask.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text/gram_run.h"

enum {
    LARGE = 24
}; /* nodes of a subtree from which on it is worth a look whether all is allowed */

/* ---- characters of a class ---- */

/* Adds the states after the bytes of x from byte k on to *all: STATE_UNKNOWN: none yet. Recurses
 * over the bytes of a character: 4 deep at most. */
static void after_bytes(struct grammar_run *r, uint32_t state, const struct trie_bytes *x, size_t k,
                        uint32_t *all)
{
    const unsigned last = r->g->class_of[x->hi[k]];
    for (unsigned c = r->g->class_of[x->lo[k]]; c <= last && *all != STATE_MIXED; c++) {
        const uint32_t next = run_step(r, state, c);
        if (next != STATE_NONE && k + 1 < x->len)
            after_bytes(r, next, x, k + 1, all);
        else
            *all = *all == STATE_UNKNOWN || *all == next ? next : STATE_MIXED;
    }
}

/* The state after any character of the class, or STATE_MIXED. */
static uint32_t uniform(struct grammar_run *r, uint32_t state, int which)
{
    uint32_t all = r->t.state[state].uniform[which];
    size_t n;
    const struct trie_bytes *const x = trie_class_bytes(which, &n);
    if (all != STATE_UNKNOWN)
        return all;
    for (size_t i = 0; i < n && all != STATE_MIXED; i++)
        after_bytes(r, state, &x[i], 0, &all);
    if (r->rc != GLIM_OK)
        return STATE_NONE;
    r->t.state[state].uniform[which] = all;
    return all;
}

/* For how many characters, up to those of the longest token, the class is taken alike. *more:
 * longer tokens may be allowed, too. */
static uint32_t uniform_chars(struct grammar_run *r, uint32_t state, int which, bool *more)
{
    const uint32_t most = r->v->trie[which].chars;
    uint32_t n = 0;
    *more = false;
    while (n < most && r->rc == GLIM_OK) {
        const uint32_t next = uniform(r, state, which);
        *more = next == STATE_MIXED;
        if (next == STATE_MIXED || next == STATE_NONE)
            break;
        n = next == state ? most : n + 1;
        state = next;
    }
    return n;
}

/* ---- walking ---- */

static void set(uint32_t *bits, int32_t token)
{
    bits[token / 32] |= 1u << token % 32;
}

/* Tokens of nodes begin to end. */
static void set_all(uint32_t *bits, const struct trie *t, uint32_t begin, uint32_t end)
{
    for (uint32_t i = begin; i < end; i++) {
        if (t->node[i].token >= 0)
            set(bits, t->node[i].token);
    }
}

static void walk(struct grammar_run *r, uint32_t state, int which, uint32_t *bits)
{
    const struct trie *const t = &r->v->trie[which];
    const uint8_t *const class_of = r->g->class_of;
    uint32_t *const way = r->way;
    way[0] = state;
    for (uint32_t i = 0; i < t->nodes;) {
        const struct trie_node *const x = &t->node[i];
        const uint32_t next = run_step(r, way[x->depth - 1], class_of[x->byte]);
        if (next == STATE_NONE) {
            i = x->end;
            continue;
        }
        if (which != TRIE_OTHER && x->end - i > LARGE && uniform(r, next, which) == next) {
            set_all(bits, t, i, x->end); /* all that follows is of the class */
            i = x->end;
            continue;
        }
        way[x->depth] = next;
        if (x->token >= 0)
            set(bits, x->token);
        i++;
    }
}

static void allow_class(struct grammar_run *r, uint32_t state, int which, uint32_t *bits)
{
    const struct trie *const t = &r->v->trie[which];
    bool more = true;
    const uint32_t n = which == TRIE_OTHER ? 0 : uniform_chars(r, state, which, &more);
    if (n > 0) {
        const uint32_t *const ready = t->upto[n];
        for (uint32_t i = 0; i < r->v->words; i++)
            bits[i] |= ready[i];
    }
    if (more && r->rc == GLIM_OK)
        walk(r, state, which, bits);
}

static void allow_special(const struct grammar_run *r, uint32_t state, uint32_t *bits)
{
    const struct gram_state *const s = &r->t.state[state];
    for (uint32_t i = 0; i < s->items; i++) {
        const uint64_t item = r->t.item[s->item + i];
        if (item == ITEM_END)
            continue;
        const uint32_t node = item_node(item);
        for (uint32_t k = r->g->first[node]; k < r->g->first[node + 1]; k++) {
            if (r->g->edge[k].kind == GRAM_TOKEN)
                set(bits, (int32_t)r->g->edge[k].arg);
        }
    }
}

/* ---- masks that are kept ---- */

/* The place of the oldest mask, for the state; NULL without memory. */
static uint32_t *claim(struct grammar_run *r, uint32_t *at)
{
    *at = r->mask_at;
    r->mask_at = (r->mask_at + 1) % RUN_MASKS;
    if (!r->mask[*at].bits)
        r->mask[*at].bits = malloc(r->v->words * sizeof(uint32_t));
    if (!r->mask[*at].bits) {
        r->rc = GLIM_ENOMEM;
        return NULL;
    }
    if (r->mask[*at].state != STATE_NONE)
        r->t.state[r->mask[*at].state].mask = -1;
    r->mask[*at].state = STATE_NONE;
    memset(r->mask[*at].bits, 0, r->v->words * sizeof(uint32_t));
    return r->mask[*at].bits;
}

struct wanted {
    grammar_state s;
    uint32_t *mask;
};

static void make_mask(struct grammar_run *r, void *ctx)
{
    const struct wanted *const w = ctx;
    const uint32_t state = r->live[w->s];
    const int32_t have = r->t.state[state].mask;
    uint32_t at = have >= 0 ? (uint32_t)have : 0;
    uint32_t *const bits = have >= 0 ? r->mask[at].bits : claim(r, &at);
    for (int k = 0; have < 0 && k < TRIE_COUNT && r->rc == GLIM_OK; k++)
        allow_class(r, state, k, bits);
    if (r->rc != GLIM_OK)
        return;
    if (have < 0) {
        allow_special(r, state, bits);
        r->mask[at].state = state;
        r->t.state[state].mask = (int32_t)at;
    }
    memcpy(w->mask, bits, r->v->words * sizeof *bits);
}

int grammar_mask(struct grammar_run *r, grammar_state s, uint32_t *mask, struct err *e)
{
    struct wanted w = {s, mask};
    assert(s < r->lives && r->live[s] != STATE_NONE);
    return run_guarded(r, make_mask, &w, e);
}
