/* blocks_neon.h - integer blocks (simd/layout.h), unpacked 32 weights of a row at a time: signed
 * bytes in their own order; and their scales, which are bytes too. Nothing is read outside of a
 * block. Every function here is inlined into loops with the type as a constant.
 */
#ifndef GLIM_KERNELS_ARM_BLOCKS_NEON_H
#define GLIM_KERNELS_ARM_BLOCKS_NEON_H

#include "kernels/arm/lattice_neon.h"
#include "kernels/simd/layout.h"

/* ---- what 16 bytes hold ---- */

INLINE uint8x16_t low_nibbles(uint8x16_t v) { return vandq_u8(v, vdupq_n_u8(15)); }
INLINE uint8x16_t high_nibbles(uint8x16_t v) { return vshrq_n_u8(v, 4); }
INLINE uint8x16_t nibbles(uint8x16_t v, unsigned high)
{
    return low_nibbles(vshlq_u8(v, vdupq_n_s8((int8_t)(-4 * (int)high))));
}

/* The two-bit field `shift` up of each byte. */
INLINE uint8x16_t pairs(uint8x16_t v, unsigned shift)
{
    return vandq_u8(vshlq_u8(v, vdupq_n_s8((int8_t)-(int)shift)), vdupq_n_u8(3));
}

/* Bit `from` of each byte, alone, as bit `to`. */
INLINE uint8x16_t bit_moved(uint8x16_t v, unsigned from, unsigned to)
{
    return vandq_u8(vshlq_u8(v, vdupq_n_s8((int8_t)((int)to - (int)from))),
                    vdupq_n_u8((uint8_t)(1u << to)));
}

INLINE int8x16_t minus(uint8x16_t v, int8_t low)
{
    return vsubq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(low));
}

INLINE int8x16_t table_of_16(const int8_t *value, uint8x16_t index)
{
    return vqtbl1q_s8(vld1q_s8(value), index);
}

/* ---- super-blocks ---- */

/* Half h, 16 weights, of part c, 32 weights, of the block at p. */
INLINE int8x16_t super_half(enum dtype t, const uint8_t *p, unsigned c, unsigned h)
{
    const unsigned two_at = c % 4 * 2, at = 16 * h;
    switch (t) {
    case DT_Q2_K:
        return vreinterpretq_s8_u8(pairs(vld1q_u8(p + 16 + c / 4 * 32 + at), two_at));
    case DT_Q3_K: {
        const uint8x16_t two = pairs(vld1q_u8(p + 32 + c / 4 * 32 + at), two_at);
        return minus(vorrq_u8(two, bit_moved(vld1q_u8(p + at), c, 2)), 4);
    }
    case DT_Q4_K:
        return vreinterpretq_s8_u8(nibbles(vld1q_u8(p + 16 + c / 2 * 32 + at), c % 2));
    case DT_Q5_K: {
        const uint8x16_t four = nibbles(vld1q_u8(p + 48 + c / 2 * 32 + at), c % 2);
        return vreinterpretq_s8_u8(vorrq_u8(four, bit_moved(vld1q_u8(p + 16 + at), c, 4)));
    }
    case DT_Q6_K: {
        const uint8x16_t four = nibbles(vld1q_u8(p + c / 4 * 64 + c % 2 * 32 + at), c / 2 % 2);
        const uint8x16_t two = pairs(vld1q_u8(p + 128 + c / 4 * 32 + at), two_at);
        return minus(vorrq_u8(four, vshlq_n_u8(two, 4)), 32);
    }
    default: /* IQ4_XS */
        return table_of_16(iq4_value, nibbles(vld1q_u8(p + 8 + 16 * c), h));
    }
}

/* Are a super-block's scales for 16 weights each, not 32? */
INLINE bool has_scales_of_16(enum dtype t)
{
    return t == DT_Q2_K || t == DT_Q3_K || t == DT_Q6_K || t == DT_IQ2_XS || t == DT_IQ2_S
        || t == DT_IQ1_M;
}

/* Eight bytes, and eight of 0. */
INLINE int8x16_t eight_scales(uint64_t v) { return vcombine_s8(vcreate_s8(v), vdup_n_s8(0)); }

INLINE int8x16_t q3_k_scales(const uint8_t *p)
{
    static const int32_t down[4] = {0, -2, -4, -6};
    const uint8x8_t low = vld1_u8(p);
    const uint8x16_t four =
        vcombine_u8(vand_u8(low, vdup_n_u8(15)), vshr_n_u8(low, 4));
    const uint32x4_t top = vshlq_u32(vdupq_n_u32(load_32(p + 8)), vld1q_s32(down));
    const uint8x16_t two = vandq_u8(vreinterpretq_u8_u32(top), vdupq_n_u8(3));
    return minus(vorrq_u8(four, vshlq_n_u8(two, 4)), 32);
}

INLINE int8x16_t iq4_xs_scales(const uint8_t *p)
{
    const uint64_t low = fields_as_bytes(load_32(p + 4), 4, 8);
    const uint64_t top = fields_as_bytes(load_16(p + 2), 2, 8) << 4;
    return minus(vreinterpretq_u8_s8(eight_scales(low | top)), 32);
}

/* The integer scales and minima of a block's 8 groups of 32 or 16 of 16. */
INLINE void super_scales(enum dtype t, const uint8_t *p, int8x16_t *scale, int8x16_t *min)
{
    uint64_t s, m;
    switch (t) {
    case DT_Q2_K:
        *scale = vreinterpretq_s8_u8(low_nibbles(vld1q_u8(p)));
        *min = vreinterpretq_s8_u8(high_nibbles(vld1q_u8(p)));
        break;
    case DT_Q3_K:
        *scale = q3_k_scales(p + 96);
        break;
    case DT_Q4_K:
    case DT_Q5_K:
        k_scales(p + 4, &s, &m);
        *scale = eight_scales(s);
        *min = eight_scales(m);
        break;
    case DT_Q6_K:
        *scale = vreinterpretq_s8_u8(vld1q_u8(p + 192));
        break;
    case DT_IQ4_XS:
        *scale = iq4_xs_scales(p);
        break;
    default:
        *scale = lattice_scales(t, p);
    }
}

/* ---- small blocks ---- */

/* 16 weights of five bits: those of q's low or high nibbles, and of `bits`. */
INLINE int8x16_t q5_half(const uint8_t *bits, const uint8_t *q, unsigned h)
{
    const uint8x16_t high = vandq_u8(bytes_of_bits(load_16(bits + 2 * h)), vdupq_n_u8(16));
    return vreinterpretq_s8_u8(vorrq_u8(nibbles(vld1q_u8(q), h), high));
}

/* A group of 16 in 8 bytes: low nibbles, then high ones. */
INLINE uint8x16_t nibbles_8(const uint8_t *p)
{
    const uint8x8_t v = vld1_u8(p);
    return vcombine_u8(vand_u8(v, vdup_n_u8(15)), vshr_n_u8(v, 4));
}

/* Where part c, 32 weights, of a group at p starts; NVFP4's blocks have two. */
INLINE const uint8_t *small_at(enum dtype t, const uint8_t *p, size_t c)
{
    return p + c * 32 / small_info(t).len * small_info(t).bytes;
}

/* Half h of part c of a group at p. */
INLINE int8x16_t small_half(enum dtype t, const uint8_t *p, size_t c, unsigned h)
{
    const uint8_t *const a = small_at(t, p, c);
    switch (t) {
    case DT_Q4_0: return minus(nibbles(vld1q_u8(a + 2), h), 8);
    case DT_Q4_1: return vreinterpretq_s8_u8(nibbles(vld1q_u8(a + 4), h));
    case DT_Q5_0: return vsubq_s8(q5_half(a + 2, a + 6, h), vdupq_n_s8(16));
    case DT_Q5_1: return q5_half(a + 4, a + 8, h);
    case DT_IQ4_NL: return table_of_16(iq4_value, nibbles(vld1q_u8(a + 2), h));
    case DT_MXFP4: return table_of_16(e2m1_twice, nibbles(vld1q_u8(a + 1), h));
    case DT_NVFP4: return table_of_16(e2m1_twice, nibbles_8(a + 4 + c % 2 * 16 + 8 * h));
    default: return vreinterpretq_s8_u8(vld1q_u8(a + 2 + 16 * h)); /* Q8_0 */
    }
}

#endif
