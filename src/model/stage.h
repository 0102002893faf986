/* stage.h - where a model's time goes: a clock that is told which part runs.
 *
 * The time that passes in a stage is split in what threads work for it and what they wait, both in
 * the mean over the threads; all stages together are the time that has passed. The clock is read
 * some ten times a layer, and not at all while it is off.
 */
#ifndef GLIM_MODEL_STAGE_H
#define GLIM_MODEL_STAGE_H

#include "base/pool.h"

enum stage {
    STAGE_ATTENTION, /* projections, the indexer's too, scores and sums over the cache, output */
    STAGE_INDEXER,   /* its keys, scores and choice */
    STAGE_ROUTER,
    STAGE_EXPERTS,   /* routed and shared, and their sum */
    STAGE_DENSE,
    STAGE_HEAD,
    STAGE_REST,      /* embedding, norms, sums of the residual stream */
    STAGE_OUTSIDE,   /* between steps: drawing a token, text, the caller */
    STAGE_COUNT
};

const char *stage_name(enum stage s);

struct stages { /* zero-initialise: off */
    struct pool *pool; /* whose idle time counts; NULL while off */
    enum stage at;
    uint64_t since_ns, idle_ns;      /* when `at` began; pool_idle_ns then */
    uint64_t wall_ns[STAGE_COUNT];   /* passed in each stage */
    uint64_t lost_ns[STAGE_COUNT];   /* waited in it by all threads together */
};

/* Starts at zero, outside. Takes the pool's meter. */
void stages_start(struct stages *s, struct pool *pool);
void stages_stop(struct stages *s);
/* Up to now, while on. */
void stages_read(struct stages *s, uint64_t work_ns[STAGE_COUNT], uint64_t wait_ns[STAGE_COUNT]);

void stages_switch(struct stages *s, enum stage next); /* while on */

/* From now on it is `next`. s may be NULL or off. */
static inline void stages_enter(struct stages *s, enum stage next)
{
    if (s && s->pool)
        stages_switch(s, next);
}

#endif
