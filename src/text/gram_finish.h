/* gram_finish.h - what the passes of gram_finish share. Internal to gram_finish.c and
 * gram_circle.c. */
#ifndef GLIM_TEXT_GRAM_FINISH_H
#define GLIM_TEXT_GRAM_FINISH_H

#include "text/gram_build.h"

/* Scratch of all passes. */
struct finish {
    struct gram_builder *b;
    struct grammar *g;
    uint32_t *from;                 /* [edges] */
    uint32_t *in_first, *in_edge;   /* edges by target: [nodes + 1], [edges] */
    uint32_t *use_first, *use_edge; /* edges by the rule they call: [rules + 1], [edges] */
    uint32_t *rule_at;              /* [nodes] rule that starts here + 1 */
    uint32_t *todo;                 /* [nodes] */
    uint8_t *ends;                  /* [nodes] the rule's end can be reached */
    uint8_t *blank;                 /* [nodes] ... without taking anything */
    uint8_t *front; /* [nodes] is reached from its rule's start without taking anything */
};

static inline int finish_nomem(struct finish *f)
{
    return err_nomem(f->b->e, "grammar", f->b->edges * sizeof(struct gram_edge));
}

static inline bool is_call(const struct gram_edge *x)
{
    return x->kind == GRAM_CALL || x->kind == GRAM_REPEAT;
}

static inline uint32_t callee(const struct grammar *g, const struct gram_edge *x)
{
    return x->kind == GRAM_CALL ? x->arg : g->repeat[x->arg].rule;
}

/* Sorts the numbers 0..n-1 by key[]: first [keys + 1], order [n]. NO_KEY is left out. */
#define NO_KEY UINT32_MAX
void finish_sort(const uint32_t *key, size_t n, uint32_t keys, uint32_t *first, uint32_t *order);

/* Marks the node in ok [nodes] and notes it in todo [*n], unless it is marked. */
void finish_reach(struct finish *f, uint32_t node, uint8_t *ok, uint32_t *n);

/* GLIM_EINVAL names a rule that begins with itself. f->blank is known; in_first and in_edge are
 * scratch afterwards. */
int finish_refuse_circles(struct finish *f);

#endif
