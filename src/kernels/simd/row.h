/* row.h - elements of cached rows as floats, and calling for rows ahead. */
#ifndef GLIM_KERNELS_SIMD_ROW_H
#define GLIM_KERNELS_SIMD_ROW_H

#include "kernels/kernels.h"
#include "kernels/simd/bits.h"

/* Rows behind those that are being met. */
struct ahead {
    const void *const *row;
    size_t n, bytes; /* of each */
};

INLINE void call_for_row(const uint8_t *row, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 64)
        call_for(row + at);
}

/* Calls for one of `parts` shares of them: all at once would keep other loads waiting. */
INLINE void call_ahead(const struct ahead *a, size_t part, size_t parts)
{
    for (size_t i = a->n * part / parts; i < a->n * (part + 1) / parts; i++)
        call_for_row(a->row[i], a->bytes);
}

/* The first n lanes, 0 in the others. */
INLINE vfloat keep_first(vfloat v, size_t n) { return n < LANES ? keep(mask_first(n), v) : v; }

/* Elements of a block that begins at p, from the at-th on. */
INLINE vfloat load_block(const uint8_t *p, size_t at, size_t n)
{
    const vfloat s = as_float(int_all((int32_t)load_32(p)));
    return mul(s, float_of(bytes_first(p + sizeof(float) + at, n)));
}

/* LANES elements from the at-th on, a multiple of LANES; the first n of them, the others are 0 (of
 * blocks: 0 or NaN) and not read. */
INLINE vfloat load_row(enum kv_type t, const uint8_t *row, size_t at, size_t n)
{
    switch (t) {
    case KV_Q8:
        return load_block(row + at / KV_BLOCK * (KV_BLOCK + sizeof(float)), at % KV_BLOCK, n);
    case KV_I8: return load_block(row, at, n);
    case KV_F32: return load_first(row + 4 * at, n);
    case KV_F16: return halves_first(row + 2 * at, n);
    default: return as_float(int_up(words_first(row + 2 * at, n), 16));
    }
}

#endif
