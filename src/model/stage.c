/* stage.c - see stage.h. */
#include "model/stage.h"

#include <assert.h>
#include <string.h>

#include "base/util.h"

const char *stage_name(enum stage s)
{
    static const char *const name[STAGE_COUNT] = {
        [STAGE_ATTENTION] = "attention", [STAGE_INDEXER] = "indexer", [STAGE_ROUTER] = "router",
        [STAGE_EXPERTS] = "experts",     [STAGE_DENSE] = "dense",
        [STAGE_HEAD] = "head",           [STAGE_REST] = "rest",       [STAGE_OUTSIDE] = "outside",
    };
    assert((unsigned)s < STAGE_COUNT);
    return name[s];
}

void stages_start(struct stages *s, struct pool *pool)
{
    memset(s, 0, sizeof *s);
    pool_meter(pool, true);
    s->pool = pool;
    s->at = STAGE_OUTSIDE;
    s->since_ns = now_ns();
    s->idle_ns = pool_idle_ns(pool, s->since_ns);
}

void stages_stop(struct stages *s)
{
    if (s->pool)
        pool_meter(s->pool, false);
    s->pool = NULL;
}

void stages_switch(struct stages *s, enum stage next)
{
    const uint64_t now = now_ns(), idle = pool_idle_ns(s->pool, now);
    s->wall_ns[s->at] += now - s->since_ns;
    s->lost_ns[s->at] += idle - s->idle_ns;
    s->since_ns = now;
    s->idle_ns = idle;
    s->at = next;
}

void stages_read(struct stages *s, uint64_t work_ns[STAGE_COUNT], uint64_t wait_ns[STAGE_COUNT])
{
    const uint64_t threads = (uint64_t)pool_threads(s->pool);
    stages_switch(s, s->at);
    for (int i = 0; i < STAGE_COUNT; i++) {
        wait_ns[i] = min_u64(s->lost_ns[i] / threads, s->wall_ns[i]);
        work_ns[i] = s->wall_ns[i] - wait_ns[i];
    }
}
