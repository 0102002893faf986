/* decode_types.h - what one call of decode_*.h passes on, and its function for each type.
 *
 * Each family is a file of its own, since a type is compiled for one, two and four vectors: minutes
 * in one piece.
 */
#ifndef GLIM_KERNELS_X86_DECODE_TYPES_H
#define GLIM_KERNELS_X86_DECODE_TYPES_H

#include "kernels/simd/types.h"
#include "kernels/x86/x86.h"

enum {
    VECTORS = 4, /* that a pass takes */
    PASSES = 16, /* more vectors than 64 come in several calls */
};

struct vectors { /* parts of the packed vectors of one pass */
    const int16_t *q[VECTORS];
    const int8_t *high, *low; /* of the first */
    const float *scale[VECTORS], *sum[VECTORS];
};

struct call {
    float *y;
    size_t y_stride, T;
    const struct matrix *w;
    uint64_t r0, r1;
    struct vectors pass[PASSES];
};

#define DECLARE_ROWS(name, type, super) void LEVEL(rows_##name)(const struct call *c);
INTEGER_TYPES(DECLARE_ROWS)

#endif
