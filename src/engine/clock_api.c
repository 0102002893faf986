/* clock_api.c - where a model's time goes. */
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
