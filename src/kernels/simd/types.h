/* types.h - the integer block types, by family: F(name, type, is it a super-block). */
#ifndef GLIM_KERNELS_SIMD_TYPES_H
#define GLIM_KERNELS_SIMD_TYPES_H

#include "base/dtype.h"

#define SMALL_TYPES(F)                                                                             \
    F(q4_0, DT_Q4_0, false)                                                                        \
    F(q4_1, DT_Q4_1, false)                                                                        \
    F(q5_0, DT_Q5_0, false)                                                                        \
    F(q5_1, DT_Q5_1, false)                                                                        \
    F(q8_0, DT_Q8_0, false)                                                                        \
    F(iq4_nl, DT_IQ4_NL, false)                                                                    \
    F(mxfp4, DT_MXFP4, false)                                                                      \
    F(nvfp4, DT_NVFP4, false)
#define SUPER_TYPES(F)                                                                             \
    F(q2_k, DT_Q2_K, true)                                                                         \
    F(q3_k, DT_Q3_K, true)                                                                         \
    F(q4_k, DT_Q4_K, true)                                                                         \
    F(q5_k, DT_Q5_K, true)                                                                         \
    F(q6_k, DT_Q6_K, true)                                                                         \
    F(iq4_xs, DT_IQ4_XS, true)
#define LATTICE_TYPES(F)                                                                           \
    F(iq3_s, DT_IQ3_S, true)                                                                       \
    F(iq3_xxs, DT_IQ3_XXS, true)                                                                   \
    F(iq2_s, DT_IQ2_S, true)                                                                       \
    F(iq2_xs, DT_IQ2_XS, true)                                                                     \
    F(iq2_xxs, DT_IQ2_XXS, true)                                                                   \
    F(iq1_s, DT_IQ1_S, true)                                                                       \
    F(iq1_m, DT_IQ1_M, true)
#define INTEGER_TYPES(F) SMALL_TYPES(F) SUPER_TYPES(F) LATTICE_TYPES(F)

#endif
