/* uses.h - how often each routed expert is used: what slots are emptied by (slots.h), and what a
 * history across runs keeps.
 *
 *     share(n) = share(n - 1) * 2^(-1/h) + used(n) * (1 - 2^(-1/h))      after each token n
 *     score    = RECENT_PART * share with h = RECENT_TOK + the rest of it with h = HABIT_TOK
 *
 * Every expert has a score, in memory or not, so that one which comes back is known. A prompt's
 * step counts as its tokens, as if they had been spread evenly. A history of earlier runs is where
 * habits begin, as if it were the last HISTORY_TOK tokens. Time is tokens through the first layer
 * of experts. bench/usage.c is how the figures were found.
 *
 * Cost: two multiplications and two additions a use; 20 bytes an expert.
 */
#ifndef GLIM_WEIGHTS_USES_H
#define GLIM_WEIGHTS_USES_H

#include <stdint.h>

#include "base/err.h"

/* A mean that fades. Sums grow by a unit that grows, so that nothing has to shrink. */
struct fading {
    double *sum; /* [layers, per_layer] in units */
    double half_tok, unit;
    double add;  /* units that a row of this visit adds */
};

struct uses {
    uint64_t layers, per_layer;
    uint32_t *count; /* [layers, per_layer] rows since uses_forget_counts */
    uint64_t tokens; /* since then */
    struct fading recent, habit;
};

int uses_init(struct uses *u, uint64_t layers, uint64_t per_layer, struct err *e);
void uses_deinit(struct uses *u);

/* A step of `rows` rows visits a layer; then each of its experts with how many rows used it. */
void uses_visit(struct uses *u, uint64_t layer, uint64_t rows);
void uses_add(struct uses *u, uint64_t layer, uint32_t expert, uint32_t rows);

/* At least 0; key: layer * per_layer + expert. */
double uses_score(const struct uses *u, uint32_t key);

/* A history: [layers, per_layer] uses of so many tokens, at least 0 and finite, used experts each.
 * Before the first visit. */
void uses_begin_with(struct uses *u, const float *history, uint64_t tokens, uint64_t used);
void uses_forget_counts(struct uses *u);

#endif
