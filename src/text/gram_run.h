/* gram_run.h - the inside of a grammar_run. Internal to text/grammar. */
#ifndef GLIM_TEXT_GRAM_RUN_H
#define GLIM_TEXT_GRAM_RUN_H

#include "text/gram_table.h"
#include "text/grammar.h"

enum {
    RUN_MASKS = 64,             /* masks kept */
    RUN_TABLE_BYTES = 32 << 20, /* states of one run */
    RUN_ITEMS_MAX = 16384,      /* items looked at for one byte */
    RUN_WORK_MAX = 1 << 20,     /* the same, for one mask or one token */
    RUN_FEW = 12,               /* items that are searched one by one */
};

struct grammar_run {
    const struct grammar *g;
    const struct tokentrie *v;
    struct gram_table t;
    uint32_t
        live[GRAMMAR_LIVE_MAX]; /* states that the caller holds or STATE_NONE; first: the start */
    uint32_t lives;

    /* Closure of the current byte: what was met, in the order it was met, and a set of it. */
    uint64_t *met;
    size_t mets, met_cap;
    uint32_t *seen; /* [2 * RUN_ITEMS_MAX] number in met + 1, of the generation */
    uint32_t *seen_at;
    uint32_t generation;
    uint64_t *found; /* those of them that take bytes or tokens */
    size_t founds, found_cap;

    uint32_t work; /* items looked at since the current call began */
    int rc;        /* fault of the current call */
    uint32_t *way; /* [v->depth + 1] states along the current token */
    struct {
        uint32_t state; /* STATE_NONE: free */
        uint32_t *bits;
    } mask[RUN_MASKS];
    uint32_t mask_at;
};

enum { RUN_TOO_MANY = 1 }; /* r->rc: RUN_ITEMS_MAX or RUN_WORK_MAX; else a GLIM_E... */

/* A closure: begin, meet the items to start from, complete. */
void run_begin(struct grammar_run *r);
void run_meet(struct grammar_run *r, uint32_t node, uint32_t stack);
uint32_t run_complete(struct grammar_run *r);

uint32_t run_step_token(struct grammar_run *r, uint32_t state, int32_t token);

/* The state after a byte of this class. Faults go to r->rc, and the result is STATE_NONE. */
uint32_t run_step_slow(struct grammar_run *r, uint32_t state, unsigned class);

static inline uint32_t run_step(struct grammar_run *r, uint32_t state, unsigned class)
{
    const uint32_t next = r->t.next[(size_t)state * r->g->classes + class];
    return next == STATE_UNKNOWN ? run_step_slow(r, state, class) : next;
}

/* Rebuilds the tables with the states that are held alone. */
int run_forget(struct grammar_run *r);

/* Runs fn, which works from r->rc == GLIM_OK; if the tables are full, forgets and runs it once
 * more. */
typedef void run_fn(struct grammar_run *r, void *ctx);
int run_guarded(struct grammar_run *r, run_fn *fn, void *ctx, struct err *e);

#endif
