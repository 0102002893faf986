/* clock_api.c - where a model's time goes, and what its threads could multiply at most. */
#include <stdatomic.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"

void glim_model_clock(glim_model *m, bool on)
{
    if (on)
        stages_start(&m->stages, m->pool);
    else
        stages_stop(&m->stages);
}

void glim_model_stages(glim_model *m, struct glim_stages *out)
{
    _Static_assert((int)STAGE_COUNT <= (int)GLIM_STAGES_MAX, "every stage has a place");
    uint64_t work_ns[STAGE_COUNT] = {0}, wait_ns[STAGE_COUNT] = {0};
    if (m->stages.pool)
        stages_read(&m->stages, work_ns, wait_ns);
    memset(out, 0, sizeof *out);
    out->stages = STAGE_COUNT;
    for (int i = 0; i < STAGE_COUNT; i++)
        out->stage[i] = (struct glim_stage){stage_name((enum stage)i), work_ns[i], wait_ns[i],
                                            m->stage_bytes[i], m->stage_parameters[i]};
}

enum { PEAK_TRIES = 5, PEAK_PIECES = 8, PEAK_TRY_NS = 20000000, PEAK_ROUNDS_MAX = 1 << 29 };

struct peak_job {
    const struct kernels *k;
    uint64_t rounds;
    atomic_uint_least64_t operations;
};

static void peak_item(void *ctx, size_t i, int worker)
{
    struct peak_job *const j = ctx;
    double one = 1;
    (void)i;
    (void)worker;
    atomic_fetch_add_explicit(&j->operations, j->k->peak(j->rounds, &one), memory_order_relaxed);
}

double glim_model_peak_flop_s(glim_model *m)
{
    const size_t pieces = PEAK_PIECES * (size_t)pool_threads(m->pool);
    double best = 0;
    for (uint64_t tries = 0, rounds = 1 << 10; tries < PEAK_TRIES;) {
        struct peak_job j = {.k = &m->model.kernels, .rounds = rounds};
        const uint64_t begin = now_ns();
        pool_for(m->pool, pieces, peak_item, &j);
        const uint64_t ns = now_ns() - begin;
        if (ns < PEAK_TRY_NS && rounds < PEAK_ROUNDS_MAX) {
            rounds *= 2; /* too short to be told from the start of a job */
            continue;
        }
        const double rate = (double)atomic_load(&j.operations) * 1e9 / (double)ns;
        best = rate > best ? rate : best;
        tries++;
    }
    return best;
}
