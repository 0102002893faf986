/* prefill_types.h - the integer block types by what prompts need of x: F(name, type, super).
 *
 * docs/quality.md has the figures: x of 8 bits adds more than a twentieth to what the rounding of
 * the fine types' weights costs, and not to that of the others.
 */
#ifndef GLIM_KERNELS_X86_PREFILL_TYPES_H
#define GLIM_KERNELS_X86_PREFILL_TYPES_H

#include "kernels/simd/types.h"

#define FINE_TYPES(F)                                                                              \
    F(q6_k, DT_Q6_K, true)                                                                         \
    F(q5_0, DT_Q5_0, false)                                                                        \
    F(q5_1, DT_Q5_1, false)

/* Of those that bear 8 bits: weights of up to 5 bits, whose products with x, two in a lane of 16
 * bits, leave room for the next (avx2); and wider ones. */
#define NARROW_TYPES(F)                                                                            \
    F(q2_k, DT_Q2_K, true)                                                                         \
    F(q3_k, DT_Q3_K, true)                                                                         \
    F(q4_k, DT_Q4_K, true)                                                                         \
    F(q5_k, DT_Q5_K, true)                                                                         \
    F(q4_0, DT_Q4_0, false)                                                                        \
    F(q4_1, DT_Q4_1, false)
#define WIDE_TYPES(F)                                                                              \
    F(q8_0, DT_Q8_0, false)                                                                        \
    F(iq4_nl, DT_IQ4_NL, false)                                                                    \
    F(mxfp4, DT_MXFP4, false)                                                                      \
    F(nvfp4, DT_NVFP4, false)                                                                      \
    F(iq4_xs, DT_IQ4_XS, true)                                                                     \
    LATTICE_TYPES(F)

#endif
