/* gram_circle.c - refuses rules that begin with themselves (left recursion).
 *
 * The front of a rule is what can be reached from its start without taking anything. A rule that is
 * called there begins its caller; the callers form no circle.
 */
#include "text/gram_finish.h"

#include <stdlib.h>
#include <string.h>

static bool may_be_blank(const struct finish *f, const struct gram_edge *x)
{
    if (x->kind == GRAM_REPEAT && f->g->repeat[x->arg].min == 0)
        return true;
    return is_call(x) && f->blank[f->g->start[callee(f->g, x)]];
}

static void find_front(struct finish *f)
{
    const struct grammar *const g = f->g;
    uint32_t n = 0;
    for (uint32_t r = 0; r < g->rules; r++)
        finish_reach(f, g->start[r], f->front, &n);
    while (n > 0) {
        const uint32_t node = f->todo[--n];
        for (uint32_t i = g->first[node]; i < g->first[node + 1]; i++) {
            if (g->edge[i].kind == GRAM_EMPTY || may_be_blank(f, &g->edge[i]))
                finish_reach(f, g->edge[i].target, f->front, &n);
        }
    }
}

/* The rule that a node belongs to, for all nodes: rules do not share any. */
static void find_owners(struct finish *f, uint32_t *owner)
{
    const struct grammar *const g = f->g;
    for (uint32_t r = 0; r < g->rules; r++) {
        uint32_t n = 0;
        f->todo[n++] = g->start[r];
        owner[g->start[r]] = r;
        while (n > 0) {
            const uint32_t node = f->todo[--n];
            for (uint32_t i = g->first[node]; i < g->first[node + 1]; i++) {
                const uint32_t to = g->edge[i].target;
                if (owner[to] == NO_KEY) {
                    owner[to] = r;
                    f->todo[n++] = to;
                }
            }
        }
    }
}

/* Takes away rules that no remaining rule begins with until none is left, or a circle is. before
 * [rules]: a remaining rule that begins with this one. Returns how many are left. */
static uint32_t untangle(struct finish *f, const uint32_t *owner, uint32_t *uses, uint32_t *before)
{
    const struct grammar *const g = f->g;
    uint32_t n = 0, left = g->rules;
    memset(uses, 0, g->rules * sizeof *uses);
    for (uint32_t i = 0; i < g->edges; i++)
        uses[is_call(&g->edge[i]) ? callee(g, &g->edge[i]) : 0] +=
            is_call(&g->edge[i]) && f->front[f->from[i]];
    for (uint32_t r = 0; r < g->rules; r++) {
        if (uses[r] == 0)
            f->todo[n++] = r;
    }
    while (n > 0) {
        const uint32_t gone = f->todo[--n];
        left--;
        before[gone] = NO_KEY;
        for (uint32_t i = f->in_first[gone]; i < f->in_first[gone + 1]; i++) {
            const uint32_t r = callee(g, &g->edge[f->in_edge[i]]);
            if (--uses[r] == 0)
                f->todo[n++] = r;
        }
    }
    for (uint32_t i = 0; left > 0 && i < g->edges; i++) {
        if (is_call(&g->edge[i]) && f->front[f->from[i]] && uses[owner[f->from[i]]] > 0)
            before[callee(g, &g->edge[i])] = owner[f->from[i]];
    }
    return left;
}

static int refuse_circle(struct finish *f, const uint32_t *uses, const uint32_t *before)
{
    uint32_t r = 0;
    while (uses[r] == 0)
        r++;
    for (uint32_t i = 0; i < f->g->rules; i++)
        r = before[r];
    for (uint32_t i = 0; i < f->g->rules && !f->b->rule[r].name; i++)
        r = before[r]; /* a repetition has no name of its own */
    return err_set(f->b->e, GLIM_EINVAL,
                   "grammar: rule \"%s\" begins with itself (left recursion): write it as a "
                   "repetition",
                   f->b->rule[r].name ? f->b->rule[r].name : "?");
}

int finish_refuse_circles(struct finish *f)
{
    const struct grammar *const g = f->g;
    const size_t n = (size_t)g->nodes + g->rules + g->edges + 1;
    uint32_t *const owner = malloc(n * sizeof *owner), *const key = malloc(n * sizeof *key);
    uint32_t *const uses = calloc((size_t)g->rules + 1, sizeof *uses);
    uint32_t *const before = calloc((size_t)g->rules + 1, sizeof *before);
    int rc = owner && key && uses && before ? GLIM_OK : finish_nomem(f);
    if (rc == GLIM_OK) {
        memset(owner, 0xFF, n * sizeof *owner);
        find_front(f);
        find_owners(f, owner);
        for (uint32_t i = 0; i < g->edges; i++) /* calls in front, by the rule that they are in */
            key[i] = is_call(&g->edge[i]) && f->front[f->from[i]] ? owner[f->from[i]] : NO_KEY;
        finish_sort(key, g->edges, g->rules, f->in_first, f->in_edge);
        if (untangle(f, owner, uses, before) > 0)
            rc = refuse_circle(f, uses, before);
    }
    free(owner);
    free(key);
    free(uses);
    free(before);
    return rc;
}
