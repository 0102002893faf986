/* gram_step.c - from state to state: closures over empty edges, calls and ends of rules.
 *
 * A byte moves every item that takes it; then what follows without a byte is added: empty edges,
 * the beginnings of called rules (the stack grows), what comes after a rule that may end (it
 * shrinks). A call that is the last thing of its rule pushes nothing, so that lists written as
 * right recursion do not grow.
 */
#include "text/gram_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* ---- closure ---- */

static void fault(struct grammar_run *r, int rc)
{
    if (r->rc == GLIM_OK)
        r->rc = rc;
}

void run_begin(struct grammar_run *r)
{
    r->mets = r->founds = 0;
    if (++r->generation == 0) {
        memset(r->seen_at, 0, 2 * RUN_ITEMS_MAX * sizeof *r->seen_at);
        r->generation = 1;
    }
}

/* Where the set keeps `item`: an entry of this generation, or a free one. */
static uint32_t *seen_slot(struct grammar_run *r, uint64_t item)
{
    const uint32_t slots = 2 * RUN_ITEMS_MAX;
    uint32_t i = (uint32_t)((item * 0x9E3779B97F4A7C15u) >> 40) & (slots - 1);
    while (r->seen_at[i] == r->generation && r->met[r->seen[i]] != item)
        i = (i + 1) & (slots - 1);
    return &r->seen[i];
}

static void remember(struct grammar_run *r, uint32_t k)
{
    uint32_t *const slot = seen_slot(r, r->met[k]);
    *slot = k;
    r->seen_at[slot - r->seen] = r->generation;
}

static bool is_new(struct grammar_run *r, uint64_t item)
{
    if (r->mets > RUN_FEW)
        return r->seen_at[seen_slot(r, item) - r->seen] != r->generation;
    for (size_t i = 0; i < r->mets; i++) {
        if (r->met[i] == item)
            return false;
    }
    return true;
}

void run_meet(struct grammar_run *r, uint32_t node, uint32_t stack)
{
    const uint64_t item = item_of(node, stack);
    if (r->rc != GLIM_OK || !is_new(r, item))
        return;
    if (r->mets >= RUN_ITEMS_MAX || r->work++ >= RUN_WORK_MAX) {
        fault(r, RUN_TOO_MANY);
        return;
    }
    if (mem_grow(&r->met, &r->met_cap, r->mets + 1, sizeof *r->met) != GLIM_OK) {
        fault(r, GLIM_ENOMEM);
        return;
    }
    r->met[r->mets++] = item;
    for (size_t k = r->mets == RUN_FEW + 1 ? 0 : r->mets - 1; r->mets > RUN_FEW && k < r->mets; k++)
        remember(r, (uint32_t)k);
}

static void find(struct grammar_run *r, uint64_t item)
{
    if (mem_grow(&r->found, &r->found_cap, r->founds + 1, sizeof *r->found) != GLIM_OK)
        fault(r, GLIM_ENOMEM);
    else
        r->found[r->founds++] = item;
}

static void enter(struct grammar_run *r, uint32_t rule, struct gram_frame f)
{
    uint32_t stack = 0;
    const int rc = gram_push(&r->t, f, &stack);
    if (rc != GLIM_OK)
        fault(r, rc);
    else
        run_meet(r, r->g->start[rule], stack);
}

/* A rule has ended: goes on behind the call. */
static void leave(struct grammar_run *r, uint32_t stack)
{
    if (stack == 0) {
        find(r, ITEM_END);
        return;
    }
    struct gram_frame f = r->t.frame[stack];
    const struct gram_edge *const x = &r->g->edge[f.edge];
    if (x->kind == GRAM_CALL) {
        run_meet(r, x->target, f.below);
        return;
    }
    const struct gram_repeat *const n = &r->g->repeat[x->arg];
    f.count++;
    if (f.count >= n->min)
        run_meet(r, x->target, f.below);
    const bool again = f.count < n->max;
    if (n->max == GRAM_UNBOUNDED && f.count > n->min)
        f.count = n->min;
    if (again)
        enter(r, n->rule, f);
}

static void follow(struct grammar_run *r, uint32_t k, uint32_t stack)
{
    const struct grammar *const g = r->g;
    const struct gram_edge *const x = &g->edge[k];
    if (x->kind == GRAM_EMPTY) {
        run_meet(r, x->target, stack);
    } else if (x->kind == GRAM_CALL && g->flags[x->target] == (GRAM_FINAL | GRAM_BARE)) {
        run_meet(r, g->start[x->arg], stack);
    } else if (x->kind == GRAM_CALL) {
        enter(r, x->arg, (struct gram_frame){k, 0, stack});
    } else {
        if (g->repeat[x->arg].min == 0)
            run_meet(r, x->target, stack);
        enter(r, g->repeat[x->arg].rule, (struct gram_frame){k, 0, stack});
    }
}

static void expand(struct grammar_run *r, uint64_t item)
{
    const struct grammar *const g = r->g;
    const uint32_t node = item_node(item), stack = item_stack(item);
    bool takes = false;
    if (g->flags[node] & GRAM_FINAL)
        leave(r, stack);
    for (uint32_t k = g->first[node]; k < g->first[node + 1]; k++) {
        if (g->edge[k].kind == GRAM_BYTES || g->edge[k].kind == GRAM_TOKEN)
            takes = true;
        else
            follow(r, k, stack);
    }
    if (takes)
        find(r, item);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Follows all that was met; the state that it makes. */
uint32_t run_complete(struct grammar_run *r)
{
    uint32_t state = STATE_NONE;
    for (size_t i = 0; i < r->mets && r->rc == GLIM_OK; i++)
        expand(r, r->met[i]);
    if (r->rc != GLIM_OK)
        return STATE_NONE;
    if (r->founds > 1)
        qsort(r->found, r->founds, sizeof *r->found, by_value);
    const size_t n = r->founds;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) { /* several ways to the end are one */
        if (i == 0 || r->found[i] != r->found[i - 1])
            r->found[kept++] = r->found[i];
    }
    const int rc = gram_intern(&r->t, r->found, kept, &state);
    if (rc != GLIM_OK)
        fault(r, rc);
    return rc == GLIM_OK ? state : STATE_NONE;
}

/* Goes along all edges of the state that have this byte, or this token. */
static void meet_all(struct grammar_run *r, uint32_t state, uint8_t kind, uint32_t value)
{
    const struct grammar *const g = r->g;
    const struct gram_state s = r->t.state[state];
    run_begin(r);
    for (uint32_t i = 0; i < s.items; i++) {
        const uint64_t item = r->t.item[s.item + i];
        const uint32_t node = item == ITEM_END ? 0 : item_node(item);
        for (uint32_t k = g->first[node]; item != ITEM_END && k < g->first[node + 1]; k++) {
            const struct gram_edge *const x = &g->edge[k];
            const bool fits = kind == GRAM_BYTES ? x->lo <= value && value <= x->hi
                                                 : x->arg == value;
            if (x->kind == kind && fits)
                run_meet(r, x->target, item_stack(item));
        }
    }
}

uint32_t run_step_slow(struct grammar_run *r, uint32_t state, unsigned class)
{
    meet_all(r, state, GRAM_BYTES, r->g->class_byte[class]);
    const uint32_t next = run_complete(r);
    if (r->rc == GLIM_OK)
        r->t.next[(size_t)state * r->g->classes + class] = next;
    return next;
}

uint32_t run_step_token(struct grammar_run *r, uint32_t state, int32_t token)
{
    meet_all(r, state, GRAM_TOKEN, (uint32_t)token);
    return run_complete(r);
}
