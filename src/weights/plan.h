/* plan.h - what of a budget of memory goes where. Pure: sizes in, places out. What the engine does
 * with a model (engine/placement.c) and what `glim plan` prints is this one answer.
 *
 * If everything fits, weights are used as the files are mapped. Else
 *
 *   1. weights that every token reads are in memory, and what sessions need is;
 *   2. what is left holds experts, in slots; with the least that works it holds those that one
 *      token uses in a layer.
 */
#ifndef GLIM_WEIGHTS_PLAN_H
#define GLIM_WEIGHTS_PLAN_H

#include "base/util.h"

/* Sizes that are compared and no more: UINT64_MAX where a sum or product does not fit. */
static inline uint64_t plan_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
static inline uint64_t plan_mul(uint64_t a, uint64_t b)
{
    uint64_t n;
    return mul_u64(a, b, &n) ? n : UINT64_MAX;
}

struct plan_class { /* of layers whose experts take equal room */
    uint64_t slot_bytes, layers;
    uint64_t slots; /* out */
};

struct plan_need {
    uint64_t budget_bytes;
    uint64_t mapped_bytes;         /* weights that are used, as they stand in the files */
    uint64_t mapped_session_bytes; /* of sessions, if nothing is streamed */
    uint64_t always_bytes;         /* weights that every token reads, as they are held in memory */
    uint64_t session_bytes;        /* of sessions, if experts are streamed */
    uint64_t experts_per_layer, experts_used;
    struct plan_class *class;      /* [classes]; none: a model without experts */
    size_t classes;
};

enum plan_place { PLAN_REFUSED, PLAN_STREAMED, PLAN_MAPPED };

struct plan {
    enum plan_place place;
    uint64_t least_bytes;      /* the least budget that is not refused */
    uint64_t least_room_bytes; /* what experts need of it */
    uint64_t room_bytes;       /* what is left for slots; 0 unless streamed */
    uint64_t slots, slot_bytes; /* how many that makes, and what they take */
};

/* Fills need->class[].slots too, if experts are streamed. Sums saturate. */
void plan_make(const struct plan_need *need, struct plan *out);

/* Slots of at most `room` bytes: to each class those that one token uses, or as many as there is
 * room for, but one at least; the rest by layers, so that each layer has as many as any other.
 * Returns the bytes that they take. */
uint64_t plan_slots(struct plan_class *class, size_t classes, uint64_t experts_per_layer,
                    uint64_t experts_used, uint64_t room);

#endif
