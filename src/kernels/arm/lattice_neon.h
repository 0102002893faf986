/* lattice_neon.h - the IQ1, IQ2 and IQ3 super-blocks (simd/points.h), 32 weights at a time, and
 * their scales.
 */
#ifndef GLIM_KERNELS_ARM_LATTICE_NEON_H
#define GLIM_KERNELS_ARM_LATTICE_NEON_H

#include "kernels/arm/vec_neon.h"
#include "kernels/simd/points.h"

/* All ones in byte i where bit i of 16 is set. */
INLINE uint8x16_t bytes_of_bits(uint32_t bits)
{
    const uint8x16_t which = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    const uint8x16_t byte = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
    return vtstq_u8(byte, which);
}

/* Two points of eight coordinates: `value` of each two-bit field. */
INLINE int8x16_t eights(const uint16_t *grid, const uint32_t at[2], const int8_t *value)
{
    static const int16_t down[8] = {0, -2, -4, -6, -8, -10, -12, -14};
    const uint16x8_t a = vshlq_u16(vdupq_n_u16(grid[at[0]]), vld1q_s16(down));
    const uint16x8_t b = vshlq_u16(vdupq_n_u16(grid[at[1]]), vld1q_s16(down));
    const uint8x16_t v = vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b));
    const int8x16_t table = vreinterpretq_s8_u32(vdupq_n_u32(load_32((const uint8_t *)value)));
    return vqtbl1q_s8(table, vandq_u8(v, vdupq_n_u8(3)));
}

/* Four points of four coordinates. */
INLINE int8x16_t fours(const uint16_t *grid, const uint32_t at[4], const int8_t *value)
{
    const uint64_t four = grid[at[0]] | (uint32_t)grid[at[1]] << 16 | (uint64_t)grid[at[2]] << 32
                        | (uint64_t)grid[at[3]] << 48;
    const uint8x8_t v = vcreate_u8(four), low = vand_u8(v, vdup_n_u8(15)), high = vshr_n_u8(v, 4);
    const int8x16_t table = vreinterpretq_s8_u64(vdupq_n_u64(load_64((const uint8_t *)value)));
    return vqtbl1q_s8(table, vcombine_u8(vzip1_u8(low, high), vzip2_u8(low, high)));
}

/* The 32 weights of part c of the block at p. */
INLINE void lattice_part(enum dtype t, const uint8_t *p, unsigned c, int8x16_t v[2])
{
    const struct points x = lattice_points(t, p, c);
    const uint32_t bits = (uint32_t)(has_seven_signs(t) ? even_signs(x.bits) : x.bits);
    UNROLL for (unsigned h = 0; h < 2; h++) {
        const int8x16_t point = has_points_of_4(t)
                                  ? fours(points_of(t), x.at + 4 * h, values_of(t))
                                  : eights(points_of(t), x.at + 2 * h, values_of(t));
        const int8x16_t mask = vreinterpretq_s8_u8(bytes_of_bits(bits >> 16 * h));
        if (t == DT_IQ1_S || t == DT_IQ1_M) /* 8 * point +- 1 */
            v[h] = vaddq_s8(point, vorrq_s8(mask, vdupq_n_s8(1)));
        else
            v[h] = vsubq_s8(veorq_s8(point, mask), mask);
    }
}

/* ---- scales: 2 s + 1 ---- */

INLINE int8x16_t odd_scales(uint8x8_t low, uint8x8_t high)
{
    const uint8x16_t s = vcombine_u8(low, high);
    return vreinterpretq_s8_u8(vorrq_u8(vaddq_u8(s, s), vdupq_n_u8(1)));
}

/* Sixteen nibbles, the low one of each byte first. */
INLINE int8x16_t odd_nibbles(const uint8_t *p)
{
    const uint8x8_t v = vld1_u8(p), low = vand_u8(v, vdup_n_u8(15)), high = vshr_n_u8(v, 4);
    return odd_scales(vzip1_u8(low, high), vzip2_u8(low, high));
}

INLINE uint32x4_t words_at(const uint8_t *p) { return vreinterpretq_u32_u8(vld1q_u8(p)); }

/* The top four bits of eight words of 32 bits. */
INLINE int8x16_t odd_top_nibbles(uint32x4_t a, uint32x4_t b)
{
    const uint16x8_t top = vcombine_u16(vshrn_n_u32(a, 16), vshrn_n_u32(b, 16));
    return odd_scales(vshr_n_u8(vshrn_n_u16(top, 8), 4), vdup_n_u8(0));
}

/* IQ2_XXS: every second of 16 words. */
INLINE int8x16_t iq2_xxs_scales(const uint8_t *p)
{
    return odd_top_nibbles(vuzp2q_u32(words_at(p), words_at(p + 16)),
                           vuzp2q_u32(words_at(p + 32), words_at(p + 48)));
}

INLINE int8x16_t iq1_s_scales(const uint8_t *p)
{
    const uint16x8_t words = vreinterpretq_u16_u8(vld1q_u8(p));
    const uint8x8_t top = vmovn_u16(vshrq_n_u16(words, 12));
    return odd_scales(vand_u8(top, vdup_n_u8(7)), vdup_n_u8(0));
}

/* IQ1_M: four fields of three bits in each of four words. */
INLINE int8x16_t iq1_m_scales(const uint8_t *p)
{
    static const int16_t down[8] = {0, -3, -6, -9, 0, -3, -6, -9};
    const uint16x4_t four = vreinterpret_u16_u8(vld1_u8(p));
    const uint16x8_t a = vcombine_u16(vdup_lane_u16(four, 0), vdup_lane_u16(four, 1));
    const uint16x8_t b = vcombine_u16(vdup_lane_u16(four, 2), vdup_lane_u16(four, 3));
    const uint8x8_t low = vmovn_u16(vshlq_u16(a, vld1q_s16(down)));
    const uint8x8_t high = vmovn_u16(vshlq_u16(b, vld1q_s16(down)));
    return odd_scales(vand_u8(low, vdup_n_u8(7)), vand_u8(high, vdup_n_u8(7)));
}

/* The integer scales of a block's 8 groups of 32 or 16 of 16. */
INLINE int8x16_t lattice_scales(enum dtype t, const uint8_t *p)
{
    switch (t) {
    case DT_IQ2_XXS: return iq2_xxs_scales(p + 2);
    case DT_IQ2_XS: return odd_nibbles(p + 66);
    case DT_IQ2_S: return odd_nibbles(p + 74);
    case DT_IQ3_XXS: return odd_top_nibbles(words_at(p + 66), words_at(p + 82));
    case DT_IQ3_S: {
        const uint8x8_t s = vcreate_u8(fields_as_bytes(load_32(p + 106), 4, 8));
        return odd_scales(s, vdup_n_u8(0));
    }
    case DT_IQ1_S: return iq1_s_scales(p + 34);
    default: return iq1_m_scales(p + 48); /* IQ1_M */
    }
}

#endif
