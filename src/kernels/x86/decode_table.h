/* decode_table.h - which function of decode_*.h multiplies a type, and the calls of them. The
 * skeleton of decode_avx*.c.
 */
#ifndef GLIM_KERNELS_X86_DECODE_TABLE_H
#define GLIM_KERNELS_X86_DECODE_TABLE_H

#include "kernels/x86/decode_types.h"

#define ROWS_OF(name, type, super) [type] = LEVEL(rows_##name),

static void (*const rows_of[DT_COUNT])(const struct call *c) = {INTEGER_TYPES(ROWS_OF)};

static struct vectors vectors_at(const void *const *x, size_t T, size_t cols)
{
    const struct packed_at at = packed_layout(cols);
    struct vectors v = {
        .high = (const int8_t *)x[0] + at.bytes,
        .low = (const int8_t *)x[0] + at.bytes + round_up_64(cols),
    };
    for (size_t i = 0; i < VECTORS; i++) {
        const uint8_t *const p = x[i < T ? i : 0];
        v.q[i] = (const int16_t *)(const void *)(p + at.q);
        v.scale[i] = (const float *)(const void *)(p + at.scale);
        v.sum[i] = (const float *)(const void *)(p + at.sum);
    }
    return v;
}

bool LEVEL(blocks_known)(enum dtype t) { return rows_of[t] != NULL; }

void LEVEL(blocks_decode)(float *y, size_t y_stride, const void *const *x, size_t T,
                          const struct matrix *w, uint64_t r0, uint64_t r1)
{
    for (size_t first = 0; first < T; first += PASSES * VECTORS) {
        struct call c = {.y = y + first * y_stride, .y_stride = y_stride, .w = w, .r0 = r0,
                         .r1 = r1};
        c.T = T - first < PASSES * VECTORS ? T - first : PASSES * VECTORS;
        for (size_t v = 0; v < c.T; v += VECTORS)
            c.pass[v / VECTORS] = vectors_at(x + first + v, c.T - v, (size_t)w->cols);
        rows_of[w->type](&c);
    }
}

#endif
