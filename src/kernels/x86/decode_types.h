/* decode_types.h - the types that decode.h multiplies, by family, and what one call passes on.
 *
 * Each family is a file of its own, since a type is compiled for one, two and four vectors: minutes
 * in one piece. Included behind VECTORS (decode.h).
 */
#ifndef GLIM_KERNELS_X86_DECODE_TYPES_H
#define GLIM_KERNELS_X86_DECODE_TYPES_H

#include "kernels/x86/x86.h"

#define SMALL_TYPES(F)                                                                             \
    F(q4_0, DT_Q4_0)                                                                               \
    F(q4_1, DT_Q4_1)                                                                               \
    F(q5_0, DT_Q5_0)                                                                               \
    F(q5_1, DT_Q5_1)                                                                               \
    F(q8_0, DT_Q8_0)                                                                               \
    F(iq4_nl, DT_IQ4_NL)                                                                           \
    F(mxfp4, DT_MXFP4)                                                                             \
    F(nvfp4, DT_NVFP4)
#define SUPER_TYPES(F)                                                                             \
    F(q2_k, DT_Q2_K)                                                                               \
    F(q3_k, DT_Q3_K)                                                                               \
    F(q4_k, DT_Q4_K)                                                                               \
    F(q5_k, DT_Q5_K)                                                                               \
    F(q6_k, DT_Q6_K)                                                                               \
    F(iq4_xs, DT_IQ4_XS)
#define LATTICE_TYPES(F)                                                                           \
    F(iq3_s, DT_IQ3_S)                                                                             \
    F(iq3_xxs, DT_IQ3_XXS)                                                                         \
    F(iq2_s, DT_IQ2_S)                                                                             \
    F(iq2_xs, DT_IQ2_XS)                                                                           \
    F(iq2_xxs, DT_IQ2_XXS)                                                                         \
    F(iq1_s, DT_IQ1_S)                                                                             \
    F(iq1_m, DT_IQ1_M)

struct vectors { /* parts of the packed vectors of one pass */
    const int16_t *q[VECTORS];
    const float *scale[VECTORS], *sum[VECTORS];
};

enum { PASSES = 16 }; /* more vectors than 64 come in several calls */

struct call {
    float *y;
    size_t y_stride, T;
    const struct matrix *w;
    uint64_t r0, r1;
    struct vectors pass[PASSES];
};

#define DECLARE_ROWS(name, type) void LEVEL(rows_##name)(const struct call *c);
SMALL_TYPES(DECLARE_ROWS)
SUPER_TYPES(DECLARE_ROWS)
LATTICE_TYPES(DECLARE_ROWS)

#endif
