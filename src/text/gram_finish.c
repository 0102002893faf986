/* gram_finish.c - from the builder's edges to a packed grammar that is safe to run.
 *
 *   1. edges are sorted by node, and chains of empty edges are shortened;
 *   2. what cannot reach the end of its rule is cut off: every start of a text that is accepted can
 *      be finished;
 *   3. rules that may be empty are known, so that counting them ends;
 *   4. a rule that begins with itself is refused: its stack would grow without a byte being read;
 *   5. bytes that no edge tells apart become one class.
 *
 * Cost: linear in nodes and edges; no recursion.
 */
#include "text/gram_finish.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "text/grammar.h"

/* ---- packing ---- */

void finish_sort(const uint32_t *key, size_t n, uint32_t keys, uint32_t *first, uint32_t *order)
{
    memset(first, 0, ((size_t)keys + 1) * sizeof *first);
    for (size_t i = 0; i < n; i++) {
        if (key[i] != NO_KEY)
            first[key[i] + 1]++;
    }
    for (uint32_t k = 0; k < keys; k++)
        first[k + 1] += first[k];
    for (size_t i = 0; i < n; i++) {
        if (key[i] != NO_KEY)
            order[first[key[i]]++] = (uint32_t)i;
    }
    for (uint32_t k = keys; k > 0; k--)
        first[k] = first[k - 1];
    first[0] = 0;
}

/* Edges in the order of their nodes; f->todo is scratch. */
static int pack_edges(struct finish *f)
{
    const struct gram_builder *const b = f->b;
    struct grammar *const g = f->g;
    uint32_t *const key = malloc((b->edges + 1) * sizeof *key);
    uint32_t *const order = malloc((b->edges + 1) * sizeof *order);
    if (key && order) {
        for (size_t i = 0; i < b->edges; i++)
            key[i] = b->edge[i].from;
        finish_sort(key, b->edges, g->nodes, g->first, order);
        for (size_t i = 0; i < b->edges; i++)
            g->edge[i] = b->edge[order[i]].edge;
    }
    free(key);
    free(order);
    return key && order ? GLIM_OK : finish_nomem(f);
}

/* Where a chain of lone empty edges leads. */
static uint32_t shortcut(const struct grammar *g, uint32_t node)
{
    for (int steps = 0; steps < 64; steps++) { /* bounded: a chain may be a circle */
        const struct gram_edge *const x = &g->edge[g->first[node]];
        if ((g->flags[node] & GRAM_FINAL) || g->first[node + 1] - g->first[node] != 1
            || x->kind != GRAM_EMPTY)
            break;
        node = x->target;
    }
    return node;
}

static void shorten(struct grammar *g)
{
    for (uint32_t n = 0; n < g->nodes; n++) { /* from the back: chains are built forwards */
        const uint32_t node = g->nodes - 1 - n;
        for (uint32_t i = g->first[node]; i < g->first[node + 1]; i++)
            g->edge[i].target = shortcut(g, g->edge[i].target);
    }
    for (uint32_t r = 0; r < g->rules; r++)
        g->start[r] = shortcut(g, g->start[r]);
}

static void index_edges(struct finish *f, uint32_t *key)
{
    struct grammar *const g = f->g;
    for (uint32_t n = 0; n < g->nodes; n++) {
        for (uint32_t i = g->first[n]; i < g->first[n + 1]; i++)
            f->from[i] = n;
    }
    for (uint32_t i = 0; i < g->edges; i++)
        key[i] = g->edge[i].target;
    finish_sort(key, g->edges, g->nodes, f->in_first, f->in_edge);
    for (uint32_t i = 0; i < g->edges; i++)
        key[i] = is_call(&g->edge[i]) ? callee(g, &g->edge[i]) : NO_KEY;
    finish_sort(key, g->edges, g->rules, f->use_first, f->use_edge);
    for (uint32_t r = 0; r < g->rules; r++)
        f->rule_at[g->start[r]] = r + 1;
}

/* ---- what can be finished ---- */

/* May the edge lie on a way to the end, as far as is known? ok: of the nodes; blank: without taking
 * anything. */
static bool passes(const struct grammar *g, const struct gram_edge *x, const uint8_t *ok,
                   bool blank)
{
    switch (x->kind) {
    case GRAM_BYTES:
    case GRAM_TOKEN: return !blank;
    case GRAM_EMPTY: return true;
    case GRAM_CALL: return ok[g->start[x->arg]];
    default: return g->repeat[x->arg].min == 0 || ok[g->start[g->repeat[x->arg].rule]];
    }
}

void finish_reach(struct finish *f, uint32_t node, uint8_t *ok, uint32_t *n)
{
    if (ok[node])
        return;
    ok[node] = 1;
    f->todo[(*n)++] = node;
}

/* Marks in ok [nodes] those from which the end of their rule can be reached. */
static void find_ends(struct finish *f, uint8_t *ok, bool blank)
{
    const struct grammar *const g = f->g;
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->nodes; i++) {
        if (g->flags[i] & GRAM_FINAL)
            finish_reach(f, i, ok, &n);
    }
    while (n > 0) {
        const uint32_t node = f->todo[--n], rule = f->rule_at[node];
        for (uint32_t i = f->in_first[node]; i < f->in_first[node + 1]; i++) {
            if (passes(g, &g->edge[f->in_edge[i]], ok, blank))
                finish_reach(f, f->from[f->in_edge[i]], ok, &n);
        }
        for (uint32_t i = rule ? f->use_first[rule - 1] : 0; rule && i < f->use_first[rule]; i++) {
            const uint32_t x = f->use_edge[i];
            if (ok[g->edge[x].target] && passes(g, &g->edge[x], ok, blank))
                finish_reach(f, f->from[x], ok, &n);
        }
    }
}

/* Cuts off what never ends. */
static int prune(struct finish *f)
{
    struct grammar *const g = f->g;
    find_ends(f, f->ends, false);
    if (!f->ends[g->start[0]])
        return err_set(f->b->e, GLIM_EINVAL,
                       "grammar: no finite text matches it: a rule needs itself to end");
    uint32_t kept = 0;
    for (uint32_t n = 0; n < g->nodes; n++) {
        uint32_t i = g->first[n];
        g->first[n] = kept;
        for (; i < g->first[n + 1]; i++) {
            struct gram_edge x = g->edge[i];
            if (!f->ends[x.target] || !passes(g, &x, f->ends, false))
                continue;
            if (x.kind == GRAM_REPEAT && !f->ends[g->start[g->repeat[x.arg].rule]])
                x.kind = GRAM_EMPTY;
            g->edge[kept++] = x;
        }
    }
    g->first[g->nodes] = g->edges = kept;
    return GLIM_OK;
}

/* Repetitions of what may be empty are optional, and bounded where they are counted: the states of
 * one byte hold all the counts. */
static int settle_repeats(struct finish *f)
{
    struct grammar *const g = f->g;
    find_ends(f, f->blank, true);
    for (uint32_t i = 0; i < g->repeats; i++) {
        struct gram_repeat *const r = &g->repeat[i];
        if (!f->blank[g->start[r->rule]])
            continue;
        r->min = 0;
        if (r->max != GRAM_UNBOUNDED && r->max > GRAM_EMPTY_REPEAT_MAX)
            return err_set(f->b->e, GLIM_ELIMIT,
                           "grammar: up to %u repetitions of something that may be empty, expected "
                           "at most %d: repeat something that is not empty",
                           r->max, GRAM_EMPTY_REPEAT_MAX);
    }
    return GLIM_OK;
}

/* ---- byte classes ---- */

static void classify_bytes(struct grammar *g)
{
    bool begins[257] = {[0] = true};
    /* What tokens are sorted by (tokentrie.h) has classes of its own. */
    static const uint8_t also[] = {0x20, 0x22, 0x23, 0x41, 0x5B, 0x5C, 0x5D, 0x61,
                                   0x7B, 0x80, 0x90, 0xA0, 0xC0, 0xC2, 0xE0, 0xE1,
                                   0xED, 0xEE, 0xF0, 0xF1, 0xF4, 0xF5};
    for (size_t i = 0; i < sizeof also; i++)
        begins[also[i]] = true;
    for (uint32_t i = 0; i < g->edges; i++) {
        if (g->edge[i].kind != GRAM_BYTES)
            continue;
        begins[g->edge[i].lo] = true;
        begins[g->edge[i].hi + 1] = true;
    }
    for (unsigned c = 0; c < 256; c++) {
        if (begins[c])
            g->class_byte[g->classes++] = (uint8_t)c;
        g->class_of[c] = (uint8_t)(g->classes - 1);
    }
}

/* ---- all of it ---- */

static bool reserve(struct finish *f)
{
    const struct gram_builder *const b = f->b;
    struct grammar *const g = f->g;
    g->nodes = (uint32_t)b->nodes;
    g->edges = (uint32_t)b->edges;
    g->rules = (uint32_t)b->rules;
    g->repeats = (uint32_t)b->repeats;
    const size_t nodes = b->nodes + 1, edges = b->edges + 1, rules = b->rules + 1;
    const size_t index = nodes > rules ? nodes : rules;
    g->first = calloc(nodes, sizeof *g->first);
    g->flags = calloc(nodes, sizeof *g->flags);
    g->edge = calloc(edges, sizeof *g->edge);
    g->repeat = calloc(b->repeats + 1, sizeof *g->repeat);
    g->start = calloc(rules, sizeof *g->start);
    f->from = calloc(edges, sizeof *f->from);
    f->in_first = calloc(index, sizeof *f->in_first);
    f->in_edge = calloc(edges, sizeof *f->in_edge);
    f->use_first = calloc(rules, sizeof *f->use_first);
    f->use_edge = calloc(edges, sizeof *f->use_edge);
    f->rule_at = calloc(index, sizeof *f->rule_at);
    f->todo = calloc(nodes + edges + rules, sizeof *f->todo);
    f->ends = calloc(nodes, 1);
    f->blank = calloc(nodes, 1);
    f->front = calloc(nodes, 1);
    return g->first && g->flags && g->edge && g->repeat && g->start && f->from && f->in_first
           && f->in_edge && f->use_first && f->use_edge && f->rule_at && f->todo && f->ends
           && f->blank && f->front;
}

static void fill(struct finish *f)
{
    const struct gram_builder *const b = f->b;
    if (b->repeats > 0)
        memcpy(f->g->repeat, b->repeat, b->repeats * sizeof *b->repeat);
    for (size_t r = 0; r < b->rules; r++) {
        f->g->start[r] = b->rule[r].frag.start;
        f->g->flags[b->rule[r].frag.end] = GRAM_FINAL;
    }
}

static int finish(struct finish *f)
{
    struct grammar *const g = f->g;
    fill(f);
    int rc = pack_edges(f);
    if (rc != GLIM_OK)
        return rc;
    shorten(g);
    index_edges(f, f->todo);
    rc = prune(f);
    if (rc != GLIM_OK)
        return rc;
    memset(f->rule_at, 0, g->nodes * sizeof *f->rule_at);
    index_edges(f, f->todo);
    rc = settle_repeats(f);
    if (rc == GLIM_OK)
        rc = finish_refuse_circles(f);
    for (uint32_t n = 0; n < g->nodes; n++) {
        if (g->first[n] == g->first[n + 1])
            g->flags[n] |= GRAM_BARE;
    }
    classify_bytes(g);
    return rc;
}

int gram_finish(struct gram_builder *b, uint32_t tokens, struct grammar **out)
{
    *out = NULL;
    if (b->rc != GLIM_OK)
        return b->rc;
    struct finish f = {.b = b, .g = calloc(1, sizeof *f.g)};
    int rc = f.g && reserve(&f) ? finish(&f) : finish_nomem(&f);
    uint32_t *const scratch[] = {f.from,     f.in_first, f.in_edge, f.use_first,
                                 f.use_edge, f.rule_at,  f.todo};
    for (size_t i = 0; i < COUNT_OF(scratch); i++)
        free(scratch[i]);
    free(f.ends);
    free(f.blank);
    free(f.front);
    if (rc == GLIM_OK) {
        f.g->tokens = tokens;
        *out = f.g;
    } else {
        grammar_free(f.g);
    }
    return b->rc = rc;
}
