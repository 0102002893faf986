/* usage_sim.h - experts in a memory that holds some of them, simulated over recorded choices:
 * emptied by scores of use as weights/slots.c does, by the clock that was there before, around a
 * pinned set, and as it would be best.
 */
#ifndef GLIM_BENCH_USAGE_SIM_H
#define GLIM_BENCH_USAGE_SIM_H

#include <stddef.h>
#include <stdint.h>

/* One token is `layers` visits of `used` experts each. */
struct trace {
    uint32_t layers, experts, used;
    size_t tokens, room;
    uint16_t *choice; /* [tokens, layers, used] */
};

/* Adds the uses of every expert [layers, experts]. */
void trace_count(const struct trace *t, float *uses);

/* Shares of the choices that are found in memory of `slots` experts, empty at first. */

/* Scores (weights/uses.h), beginning with the uses of an earlier trace, or none; `pinned` slots
 * hold what was used most in it for good. */
double sim_scores(const struct trace *t, uint32_t slots, const struct trace *history,
                  uint32_t pinned);
/* A clock: a use is one more, up to 15; the hand takes one off, and empties where none is left. */
double sim_clock(const struct trace *t, uint32_t slots);
/* What is needed last goes (Belady). */
double sim_best(const struct trace *t, uint32_t slots);

#endif
