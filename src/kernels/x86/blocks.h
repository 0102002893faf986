/* blocks.h - integer blocks, what all levels know of them: families, bounds, scales.
 *
 * A chunk is VEC_BYTES consecutive weights v of a row as signed bytes in their own order. Two
 * families:
 *
 *   small  blocks of 32 (NVFP4: 64, of four 16s): w = d v (+ m), a float d for each group;
 *   super  blocks of 256: w = d s v (- dmin m), small integers s and m for each group of 32 or 16.
 *
 * Super-blocks multiply v by s first, as 16-bit integers, so that one float d is left for 256
 * weights. Bounds, with |q| <= 8191 (x86.h): |s v| <= 4096 (Q6_K 128*32, IQ4_XS 32*127; the others
 * below 2048), and a lane of decode adds 256/LANES products, 32*4096*8191 < 2^30; prefill flushes a
 * lane after 64, 64*4096*8191 < 2^31. Small blocks: |v| <= 128, 32 products.
 *
 * Every function here is inlined into loops with the type as a constant: the switches vanish.
 * blocks_avx*.h unpack chunks; decode.h and prefill.h multiply them. Layouts:
 * kernels/ref/dequant_*.c.
 */
#ifndef GLIM_KERNELS_X86_BLOCKS_H
#define GLIM_KERNELS_X86_BLOCKS_H

#include "kernels/ref/iq_tables.h"
#include "kernels/x86/bytes.h"
#include "kernels/x86/lattice.h"
#include "kernels/x86/x86.h"

enum { PARTS = PACK_GROUP / PACK_SUM };

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

INLINE __m256i q3_k_scales(const uint8_t *p)
{
    const uint64_t low = load_64(p);
    const __m128i four = _mm_set_epi64x((long long)(low >> 4 & 0x0f0f0f0f0f0f0f0f),
                                        (long long)(low & 0x0f0f0f0f0f0f0f0f));
    const __m128i top = _mm_srlv_epi32(_mm_set1_epi32((int)load_32(p + 8)),
                                       _mm_setr_epi32(0, 2, 4, 6));
    const __m128i two = _mm_slli_epi16(_mm_and_si128(top, _mm_set1_epi8(3)), 4);
    return _mm256_cvtepi8_epi16(_mm_sub_epi8(_mm_or_si128(four, two), _mm_set1_epi8(32)));
}

INLINE __m256i iq4_xs_scales(const uint8_t *p)
{
    const uint64_t low = fields_as_bytes(load_32(p + 4), 4, 8);
    const uint64_t top = fields_as_bytes(load_16(p + 2), 2, 8) << 4;
    return _mm256_sub_epi16(twice_epi16(low | top), _mm256_set1_epi16(32));
}

/* The integer scales and minima of a block's 16 groups of 16 (groups of 32: each twice). */
INLINE void super_scales(enum dtype t, const uint8_t *p, __m256i *scale, __m256i *min)
{
    uint64_t s, m;
    switch (t) {
    case DT_Q2_K:
        *scale = _mm256_cvtepi8_epi16(_mm_and_si128(load_128(p), _mm_set1_epi8(15)));
        *min = _mm256_cvtepi8_epi16(
            _mm_and_si128(_mm_srli_epi16(load_128(p), 4), _mm_set1_epi8(15)));
        break;
    case DT_Q3_K:
        *scale = q3_k_scales(p + 96);
        break;
    case DT_Q4_K:
    case DT_Q5_K:
        k_scales(p + 4, &s, &m);
        *scale = twice_epi16(s);
        *min = twice_epi16(m);
        break;
    case DT_Q6_K:
        *scale = _mm256_cvtepi8_epi16(load_128(p + 192));
        break;
    case DT_IQ4_XS:
        *scale = iq4_xs_scales(p);
        break;
    default:
        *scale = lattice_scales(t, p);
    }
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
    return v == 0x7f ? 0 : _cvtsh_ss((unsigned short)(seven << 7)) * 128.0f;
}

/* The scale of group i of the block at p (i > 0 for NVFP4 only). */
INLINE float small_scale(enum dtype t, const uint8_t *p, unsigned i)
{
    return t == DT_MXFP4 ? e8m0_half(p[0]) : t == DT_NVFP4 ? ue4m3_half(p[i]) : load_half(p);
}

#endif
