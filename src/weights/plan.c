/* plan.c - see plan.h. */
#include "weights/plan.h"

#include "base/util.h"

/* One slot of each class, and one of each layer. */
static uint64_t one_a_class(const struct plan_class *class, size_t classes)
{
    uint64_t bytes = 0;
    for (size_t c = 0; c < classes; c++)
        bytes = plan_add(bytes, class[c].slot_bytes);
    return bytes;
}

static uint64_t one_a_layer(const struct plan_class *class, size_t classes)
{
    uint64_t bytes = 0;
    for (size_t c = 0; c < classes; c++)
        bytes = plan_add(bytes, plan_mul(class[c].layers, class[c].slot_bytes));
    return bytes;
}

uint64_t plan_slots(struct plan_class *class, size_t classes, uint64_t experts_per_layer,
                    uint64_t experts_used, uint64_t room)
{
    const uint64_t single = max_u64(one_a_class(class, classes), 1);
    const uint64_t least = max_u64(min_u64(room / single, experts_used), 1);
    const uint64_t all = max_u64(one_a_layer(class, classes), 1);
    const uint64_t rest = room - min_u64(room, plan_mul(least, single));
    uint64_t bytes = 0;
    for (size_t c = 0; c < classes; c++) {
        struct plan_class *const x = &class[c];
        const uint64_t share = (uint64_t)((long double)rest * (long double)x->layers
                                          / (long double)all);
        x->slots = min_u64(least + share, plan_mul(x->layers, experts_per_layer));
        bytes = plan_add(bytes, plan_mul(x->slots, x->slot_bytes));
    }
    return bytes;
}

void plan_make(const struct plan_need *need, struct plan *out)
{
    const uint64_t fixed = plan_add(need->always_bytes, need->session_bytes);
    const uint64_t mapped = plan_add(need->mapped_bytes, need->mapped_session_bytes);
    const uint64_t used = min_u64(need->experts_used, need->experts_per_layer);
    *out = (struct plan){
        .least_room_bytes = plan_mul(used, one_a_class(need->class, need->classes)),
    };
    const uint64_t streamed = plan_add(fixed, out->least_room_bytes);
    out->least_bytes = min_u64(mapped, need->classes ? streamed : UINT64_MAX);
    if (mapped <= need->budget_bytes) {
        out->place = PLAN_MAPPED;
    } else if (need->classes && streamed <= need->budget_bytes) {
        out->place = PLAN_STREAMED;
        out->room_bytes = need->budget_bytes - fixed;
        out->slot_bytes = plan_slots(need->class, need->classes, need->experts_per_layer, used,
                                     out->room_bytes);
        for (size_t c = 0; c < need->classes; c++)
            out->slots += need->class[c].slots;
    }
}
