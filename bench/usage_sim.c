/* usage_sim.c - see usage_sim.h. */
#include "usage_sim.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "weights/uses.h"

enum { USE_MAX = 15, LOOK = 32 };
#define NONE UINT32_MAX

void trace_count(const struct trace *t, float *uses)
{
    const uint16_t *c = t->choice;
    for (size_t i = 0; i < t->tokens; i++)
        for (uint32_t l = 0; l < t->layers; l++)
            for (uint32_t k = 0; k < t->used; k++)
                uses[l * t->experts + *c++] += 1;
}

struct slot {
    uint32_t key; /* NONE = empty */
    uint8_t use;
    bool wanted, pinned;
    bool unread; /* pinned, and not used so far */
};

struct sim {
    const struct trace *trace;
    struct slot *slot; /* [slots] */
    uint32_t *slot_of; /* [layers, experts] */
    uint32_t slots, hand;
    struct uses uses;
    struct slot *(*find)(struct sim *s);
};

static size_t keys_of(const struct trace *t) { return (size_t)t->layers * t->experts; }

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void sim_init(struct sim *s, const struct trace *t, uint32_t slots,
                     struct slot *(*find)(struct sim *s))
{
    struct err e;
    *s = (struct sim){.trace = t, .slots = slots, .find = find};
    s->slot = calloc(slots, sizeof *s->slot);
    s->slot_of = malloc(keys_of(t) * sizeof *s->slot_of);
    must(s->slot && s->slot_of && uses_init(&s->uses, t->layers, t->experts, &e) == 0);
    memset(s->slot_of, 0xff, keys_of(t) * sizeof *s->slot_of);
    for (uint32_t i = 0; i < slots; i++)
        s->slot[i].key = NONE;
}

static void sim_deinit(struct sim *s)
{
    uses_deinit(&s->uses);
    free(s->slot);
    free(s->slot_of);
}

static struct slot *next_slot(struct sim *s)
{
    struct slot *const x = &s->slot[s->hand];
    s->hand = (s->hand + 1) % s->slots;
    return x;
}

static struct slot *find_by_clock(struct sim *s)
{
    for (uint64_t n = 0; n < (uint64_t)s->slots * (USE_MAX + 2); n++) {
        struct slot *const x = next_slot(s);
        if (x->key == NONE || (!x->wanted && x->use-- == 0))
            return x;
    }
    return NULL;
}

static struct slot *find_by_score(struct sim *s)
{
    struct slot *least = NULL;
    double low = 0;
    for (uint32_t n = 0, seen = 0; n < s->slots && seen < LOOK; n++) {
        struct slot *const x = next_slot(s);
        if (x->key == NONE)
            return x;
        if (x->wanted || x->pinned)
            continue;
        const double score = uses_score(&s->uses, x->key);
        if (seen++ == 0 || score < low) {
            least = x;
            low = score;
        }
    }
    return least;
}

static void place(struct sim *s, struct slot *x, uint32_t key)
{
    if (x->key != NONE)
        s->slot_of[x->key] = NONE;
    *x = (struct slot){.key = key, .wanted = true};
    s->slot_of[key] = (uint32_t)(x - s->slot);
}

static struct slot *slot_of(const struct sim *s, uint32_t layer, uint16_t expert)
{
    const uint32_t at = s->slot_of[layer * s->trace->experts + expert];
    return at == NONE ? NULL : &s->slot[at];
}

/* One layer's visit; how many were there. */
static uint32_t visit(struct sim *s, uint32_t layer, const uint16_t *choice)
{
    const struct trace *const t = s->trace;
    uint32_t hits = 0;
    uses_visit(&s->uses, layer, 1);
    for (uint32_t k = 0; k < t->used; k++) {
        struct slot *const x = slot_of(s, layer, choice[k]);
        uses_add(&s->uses, layer, choice[k], 1);
        hits += x && !x->unread;
        if (!x)
            continue;
        x->wanted = true;
        x->unread = false;
    }
    for (uint32_t k = 0; k < t->used; k++) {
        struct slot *const x = slot_of(s, layer, choice[k]) ? NULL : s->find(s);
        if (x)
            place(s, x, layer * t->experts + choice[k]);
    }
    for (uint32_t k = 0; k < t->used; k++) {
        struct slot *const x = slot_of(s, layer, choice[k]);
        if (!x)
            continue;
        x->wanted = false;
        x->use = (uint8_t)(x->use + (x->use < USE_MAX));
    }
    return hits;
}

static double run(struct sim *s)
{
    const struct trace *const t = s->trace;
    const uint16_t *c = t->choice;
    uint64_t hits = 0;
    for (size_t i = 0; i < t->tokens; i++)
        for (uint32_t l = 0; l < t->layers; l++, c += t->used)
            hits += visit(s, l, c);
    sim_deinit(s);
    return (double)hits / (double)(t->tokens * t->layers * t->used);
}

double sim_clock(const struct trace *t, uint32_t slots)
{
    struct sim s;
    sim_init(&s, t, slots, find_by_clock);
    return run(&s);
}

/* The most used that is in no slot yet. */
static uint32_t most_used(const struct sim *s, const float *uses)
{
    uint32_t most = NONE;
    for (uint32_t k = 0; k < keys_of(s->trace); k++)
        if (s->slot_of[k] == NONE && (most == NONE || uses[k] > uses[most]))
            most = k;
    return most;
}

double sim_scores(const struct trace *t, uint32_t slots, const struct trace *history,
                  uint32_t pinned)
{
    struct sim s;
    float *const uses = calloc(keys_of(t), sizeof *uses);
    sim_init(&s, t, slots, find_by_score);
    must(uses != NULL);
    if (history) {
        trace_count(history, uses);
        uses_begin_with(&s.uses, uses, history->tokens, t->used);
    }
    for (uint32_t i = 0; i < pinned; i++) {
        place(&s, &s.slot[i], most_used(&s, uses));
        s.slot[i].wanted = false;
        s.slot[i].pinned = s.slot[i].unread = true;
    }
    free(uses);
    return run(&s);
}

/* ---- the best ---- */

/* For each choice, the place of the next one of the same expert; SIZE_MAX = none. */
static size_t *next_uses(const struct trace *t)
{
    const size_t n = t->tokens * t->layers * t->used;
    size_t *const next = malloc(n * sizeof *next), *const seen = malloc(keys_of(t) * sizeof *seen);
    must(next && seen);
    memset(seen, 0xff, keys_of(t) * sizeof *seen);
    for (size_t i = n; i-- > 0;) {
        const size_t key = i / t->used % t->layers * t->experts + t->choice[i];
        next[i] = seen[key];
        seen[key] = i;
    }
    free(seen);
    return next;
}

double sim_best(const struct trace *t, uint32_t slots)
{
    size_t *const next = next_uses(t), *const due = calloc(slots, sizeof *due);
    const size_t n = t->tokens * t->layers * t->used;
    struct sim s;
    uint64_t hits = 0;
    uint32_t full = 0;
    must(due != NULL);
    sim_init(&s, t, slots, NULL);
    for (size_t i = 0; i < n; i++) {
        const uint32_t key = (uint32_t)(i / t->used % t->layers * t->experts) + t->choice[i];
        uint32_t at = s.slot_of[key];
        hits += at != NONE;
        if (at == NONE && full < slots) {
            at = full++;
        } else if (at == NONE) {
            at = 0;
            for (uint32_t x = 1; x < slots; x++)
                at = due[x] > due[at] ? x : at;
        }
        if (s.slot[at].key != key)
            place(&s, &s.slot[at], key);
        due[at] = next[i];
    }
    sim_deinit(&s);
    free(due);
    free(next);
    return (double)hits / (double)n;
}
