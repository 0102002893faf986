/* points.h - what the IQ1, IQ2 and IQ3 super-blocks are made of: points of fixed lists, signed.
 *
 * A point is 8 coordinates of 2 bits (IQ1, IQ2) or 4 of 4 bits (IQ3) in 16 bits; looked up one by
 * one, widened together by each level. These types are bound by the look-ups: 4 or 8 loads for
 * 32 weights, where memory would give those in a few cycles. Layouts: kernels/ref/dequant_iq.c.
 */
#ifndef GLIM_KERNELS_SIMD_POINTS_H
#define GLIM_KERNELS_SIMD_POINTS_H

#include "base/dtype.h"
#include "kernels/ref/iq_tables.h"
#include "kernels/simd/bits.h"

/* 32 weights: their points, 4 of 8 weights or 8 of 4, and a bit for each weight: negative (IQ1:
 * shifted down). Of types with seven_signs the top bits of bytes are missing. */
struct points {
    uint32_t at[8];
    uint32_t bits;
};

INLINE bool has_points_of_4(enum dtype t) { return t == DT_IQ3_S || t == DT_IQ3_XXS; }

/* The list, and what its coordinates stand for (IQ1: in eighths). */
INLINE const uint16_t *points_of(enum dtype t)
{
    switch (t) {
    case DT_IQ2_XXS: return iq2_xxs_grid;
    case DT_IQ2_XS: return iq2_xs_grid;
    case DT_IQ2_S: return iq2_s_grid;
    case DT_IQ3_XXS: return iq3_xxs_grid;
    case DT_IQ3_S: return iq3_s_grid;
    default: return iq1_grid;
    }
}

enum { LATTICE_ADDED = 64 }; /* layout.h: super_added */

static const int8_t iq1_eighths[4] = {-8, 0, 8, 0};

INLINE const int8_t *values_of(enum dtype t)
{
    switch (t) {
    case DT_IQ2_XXS:
    case DT_IQ2_XS:
    case DT_IQ2_S: return iq2_value;
    case DT_IQ3_XXS: return iq3_xxs_value;
    case DT_IQ3_S: return iq3_s_value;
    default: return iq1_eighths;
    }
}

INLINE bool has_seven_signs(enum dtype t)
{
    return t == DT_IQ2_XXS || t == DT_IQ2_XS || t == DT_IQ3_XXS;
}

/* Bytes of seven sign bits: the eighth makes their number even. */
INLINE uint64_t even_signs(uint64_t seven)
{
    uint64_t p = seven ^ seven >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return seven | (p & 0x0101010101010101) << 7;
}

/* The low 28 bits of the word at p as four bytes of seven. */
INLINE uint32_t sevens(const uint8_t *p)
{
    return (uint32_t)fields_as_bytes(load_32(p) & 0x0fffffff, 7, 4);
}

/* IQ1_M: bit 3 of four nibbles as four bytes of ones */
INLINE uint32_t top_bits(uint32_t nibbles)
{
    return (uint32_t)fields_as_bytes(nibbles >> 3 & 0x1111, 4, 4) * 0xff;
}

INLINE struct points iq2_xs_points(uint64_t q)
{
    struct points x;
    UNROLL for (unsigned i = 0; i < 4; i++)
        x.at[i] = (uint32_t)(q >> 16 * i) & 511;
    x.bits = low_bytes(q >> 9 & 0x007f007f007f007f);
    return x;
}

/* n points: a byte of the index, and `width` bits of `top` above it. */
INLINE struct points indexed(unsigned n, const uint8_t *index, uint32_t top, unsigned width,
                             unsigned step)
{
    struct points x = {.bits = 0};
    UNROLL for (unsigned i = 0; i < n; i++)
        x.at[i] = index[i] | (top >> step * i & ((1u << width) - 1)) << 8;
    return x;
}

/* The 32 weights from 32 h on of the block at p. */
INLINE struct points lattice_points(enum dtype t, const uint8_t *p, unsigned h)
{
    struct points x;
    switch (t) {
    case DT_IQ2_XXS:
        x = indexed(4, p + 2 + 8 * h, 0, 0, 0);
        x.bits = sevens(p + 6 + 8 * h);
        return x;
    case DT_IQ2_XS:
        return iq2_xs_points(load_64(p + 2 + 8 * h));
    case DT_IQ2_S:
        x = indexed(4, p + 2 + 4 * h, p[66 + h], 2, 2);
        x.bits = load_32(p + 34 + 4 * h);
        return x;
    case DT_IQ3_XXS:
        x = indexed(8, p + 2 + 8 * h, 0, 0, 0);
        x.bits = sevens(p + 66 + 4 * h);
        return x;
    case DT_IQ3_S:
        x = indexed(8, p + 2 + 8 * h, p[66 + h], 1, 1);
        x.bits = load_32(p + 74 + 4 * h);
        return x;
    case DT_IQ1_S: {
        const unsigned top = load_16(p + 34 + 2 * h);
        x = indexed(4, p + 2 + 4 * h, top, 3, 3);
        x.bits = top >> 15 ? 0xffffffff : 0;
        return x;
    }
    default: { /* IQ1_M */
        const unsigned top = load_16(p + 32 + 2 * h);
        x = indexed(4, p + 4 * h, top, 3, 4);
        x.bits = top_bits(top);
        return x;
    }
    }
}

/* The top nibbles of IQ1_M's four scale words, an f16. */
INLINE float iq1_m_d(const uint8_t *p)
{
    const uint32_t v = low_bytes(load_64(p) >> 12 & 0x000f000f000f000f);
    const uint32_t pairs = v | v >> 4;
    return half_float((uint16_t)((pairs & 0xff) | (pairs >> 8 & 0xff00)));
}

/* The block's float; powers of two make the integer scales whole. */
INLINE float lattice_d(enum dtype t, const uint8_t *p)
{
    switch (t) {
    case DT_IQ2_XXS:
    case DT_IQ2_XS:
    case DT_IQ2_S:
    case DT_IQ1_S: return load_half(p) * 0.125f;
    case DT_IQ3_XXS: return load_half(p) * 0.25f;
    case DT_IQ3_S: return load_half(p);
    default: return iq1_m_d(p + 48) * 0.125f;
    }
}

#endif
