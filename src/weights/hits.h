/* hits.h - what share of the experts that generation wants would be in memory, found by playing:
 * tokens draw their experts, and the slots (slots.h) hold what they would hold, after many tokens
 * of the same use. Nothing is read, and no memory of slots is touched.
 *
 * A formula would have to know what slots are emptied by. With few slots a share of the experts
 * says little: those of a token's early layers may be gone when the next one comes.
 */
#ifndef GLIM_WEIGHTS_HITS_H
#define GLIM_WEIGHTS_HITS_H

#include "weights/experts.h"
#include "weights/weights.h"

struct slot_classes;

struct hits_in {
    const struct weights *weights;
    const struct experts *experts;
    const struct slot_classes *classes; /* theirs */
    uint64_t layers;      /* that a token goes through; the first of experts' */
    uint64_t used;        /* experts that it wants in each */
    uint64_t room_bytes;  /* for slots */
    const double *weight; /* [per_layer] how often each is wanted, in any unit; > 0 */
};

/* *rate in [0, 1]. The same in every run. GLIM_ENOMEM. */
int hits_rate(const struct hits_in *in, double *rate, struct err *e);

#endif
