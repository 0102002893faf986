/* layout.h - integer blocks, where things stand in them. Two families:
 *
 *   small  blocks of 32 (NVFP4: 64, of four 16s): w = d v (+ m), a float d for each group;
 *   super  blocks of 256: w = d s v (- dmin m), small integers s and m for each group of 32 or 16.
 *
 * Every function here is inlined into loops with the type as a constant: the switches vanish.
 * Layouts: kernels/ref/dequant_*.c.
 */
#ifndef GLIM_KERNELS_SIMD_LAYOUT_H
#define GLIM_KERNELS_SIMD_LAYOUT_H

#include "kernels/simd/points.h"

/* ---- super-blocks ---- */

struct super_info {
    unsigned bytes, d_at, dmin_at; /* dmin_at 0: no minimum */
};

INLINE struct super_info super_info(enum dtype t)
{
    switch (t) {
    case DT_Q2_K: return (struct super_info){84, 80, 82};
    case DT_Q3_K: return (struct super_info){110, 108, 0};
    case DT_Q4_K: return (struct super_info){144, 0, 2};
    case DT_Q5_K: return (struct super_info){176, 0, 2};
    case DT_Q6_K: return (struct super_info){210, 208, 0};
    case DT_IQ4_XS: return (struct super_info){136, 0, 0};
    case DT_IQ3_S: return (struct super_info){110, 0, 0};
    case DT_IQ3_XXS: return (struct super_info){98, 0, 0};
    case DT_IQ2_S: return (struct super_info){82, 0, 0};
    case DT_IQ2_XS: return (struct super_info){74, 0, 0};
    case DT_IQ2_XXS: return (struct super_info){66, 0, 0};
    case DT_IQ1_S: return (struct super_info){50, 0, 0};
    default: return (struct super_info){56, 0, 0}; /* IQ1_M */
    }
}

INLINE bool is_k_or_iq4(enum dtype t)
{
    return t == DT_Q2_K || t == DT_Q3_K || t == DT_Q4_K || t == DT_Q5_K || t == DT_Q6_K
        || t == DT_IQ4_XS;
}

/* What the levels of x86 add to weights v, so that they are bytes without a sign. */
INLINE unsigned super_added(enum dtype t)
{
    switch (t) {
    case DT_Q2_K:
    case DT_Q4_K:
    case DT_Q5_K: return 0;
    case DT_Q3_K: return 4;
    case DT_Q6_K: return 32;
    case DT_IQ4_XS: return 128;
    default: return LATTICE_ADDED;
    }
}

INLINE float super_d(enum dtype t, const uint8_t *p)
{
    return is_k_or_iq4(t) ? load_half(p + super_info(t).d_at) : lattice_d(t, p);
}

/* The 6-bit scales and minima of Q4_K and Q5_K, 8 bytes each; dequant_k.c has their places. */
INLINE void k_scales(const uint8_t *p, uint64_t *scale, uint64_t *min)
{
    const uint32_t a = load_32(p), b = load_32(p + 4), c = load_32(p + 8);
    const uint32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, two = 0x03030303;
    *scale = (a & six) | (uint64_t)((c & four) | (a >> 6 & two) << 4) << 32;
    *min = (b & six) | (uint64_t)((c >> 4 & four) | (b >> 6 & two) << 4) << 32;
}

/* ---- small blocks ---- */

struct small_info {
    unsigned bytes, len, min_at; /* min_at 0: no minimum */
};

INLINE struct small_info small_info(enum dtype t)
{
    switch (t) {
    case DT_Q4_0: return (struct small_info){18, 32, 0};
    case DT_Q4_1: return (struct small_info){20, 32, 2};
    case DT_Q5_0: return (struct small_info){22, 32, 0};
    case DT_Q5_1: return (struct small_info){24, 32, 2};
    case DT_IQ4_NL: return (struct small_info){18, 32, 0};
    case DT_MXFP4: return (struct small_info){17, 32, 0};
    case DT_NVFP4: return (struct small_info){36, 64, 0};
    default: return (struct small_info){34, 32, 0}; /* Q8_0 */
    }
}

static const int8_t minus_8[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
static const int8_t e2m1_twice[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* Half of 2^(e - 127), as dequant_basic.c has it. */
INLINE float e8m0_half(uint8_t e)
{
    const uint32_t bits = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Half of an unsigned e4m3: its seven bits are those of an f16 smaller by 2^8; 0x7f means 0. */
INLINE float ue4m3_half(uint8_t v)
{
    const unsigned seven = v & 0x7f;
    return v == 0x7f ? 0 : half_float((uint16_t)(seven << 7)) * 128.0f;
}

/* The scale of group i of the block at p (i > 0 for NVFP4 only). */
INLINE float small_scale(enum dtype t, const uint8_t *p, unsigned i)
{
    return t == DT_MXFP4 ? e8m0_half(p[0]) : t == DT_NVFP4 ? ue4m3_half(p[i]) : load_half(p);
}

#endif
