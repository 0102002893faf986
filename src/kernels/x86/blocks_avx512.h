/* blocks_avx512.h - integer blocks as vectors: what the products of all types are built from.
 *
 * A chunk is 64 consecutive weights v of a row as signed bytes in their own order. Two families:
 *
 *   small  blocks of 32 (NVFP4: 64, of four 16s): w = d v (+ m), a float d for each group;
 *   super  blocks of 256: w = d s v (- dmin m), small integers s and m for each group of 32 or 16.
 *
 * Super-blocks multiply v by s first, as 16-bit integers, so that one float d is left for 256
 * weights. Bounds, with |q| <= 8191 (x86.h): |s v| <= 4096 (Q6_K 128*32, IQ4_XS 32*127; the others
 * below 2048), and a lane of decode adds 16 products, 16*4096*8191 < 2^29; prefill flushes a lane
 * after 64, 64*4096*8191 < 2^31. Small blocks: |v| <= 128, 32 products.
 *
 * Every function here is inlined into loops with the type as a constant: the switches vanish.
 * Layouts: kernels/ref/dequant_*.c.
 */
#ifndef GLIM_KERNELS_X86_BLOCKS_AVX512_H
#define GLIM_KERNELS_X86_BLOCKS_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/ref/iq_tables.h"
#include "kernels/x86/bytes_avx512.h"
#include "kernels/x86/lattice_avx512.h"
#include "kernels/x86/x86.h"

enum { CHUNKS = PACK_GROUP / PACK_CHUNK, PARTS = PACK_GROUP / PACK_SUM };

/* low for the first 32 bytes, high for the others */
INLINE __m512i halves_epi8(int low, int high)
{
    return _mm512_inserti64x4(_mm512_set1_epi8((char)low), _mm256_set1_epi8((char)high), 1);
}

INLINE __m512i halves_epi16(int low, int high)
{
    return _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
}

/* Bytes whose bit `low` (first half) or `high` (second half) is set, of 32 bytes at p. */
INLINE __mmask64 bits_at(const uint8_t *p, unsigned low, unsigned high)
{
    return _mm512_test_epi8_mask(load_256_twice(p), halves_epi8(1 << low, 1 << high));
}

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

/* Nibbles of 32 bytes: first the 32 low ones, then the 32 high ones. */
INLINE __m512i nibbles_32(const uint8_t *p)
{
    const __m512i v = load_256_twice(p);
    return _mm512_and_si512(_mm512_mask_srli_epi16(v, 0xffff0000u, v, 4), _mm512_set1_epi8(15));
}

/* Of two blocks of 16 bytes: low nibbles of the first, its high ones, then the second's. */
INLINE __m512i nibbles_16_16(__m128i a, __m128i b)
{
    const __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_broadcastsi128_si256(a)),
                                         _mm256_broadcastsi128_si256(b), 1);
    return _mm512_and_si512(_mm512_mask_srli_epi16(v, 0xff00ff00u, v, 4), _mm512_set1_epi8(15));
}

/* Two-bit fields `shift` up (first half) and the next ones (second half) of 32 bytes. */
INLINE __m512i pairs_32(const uint8_t *p, int shift)
{
    const __m512i v = _mm512_srlv_epi16(load_256_twice(p), halves_epi16(shift, shift + 2));
    return _mm512_and_si512(v, _mm512_set1_epi8(3));
}

INLINE __m512i table_of_16(const int8_t *value, __m512i index)
{
    const __m512i table = _mm512_broadcast_i32x4(load_128((const uint8_t *)value));
    return _mm512_shuffle_epi8(table, index);
}

/* v of chunk c of a block */
INLINE __m512i super_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    switch (t) {
    case DT_Q2_K:
        return pairs_32(p + 16 + c / 2 * 32, (int)(c % 2 * 4));
    case DT_Q3_K: {
        const __m512i v = pairs_32(p + 32 + c / 2 * 32, (int)(c % 2 * 4));
        const __mmask64 high = bits_at(p, 2 * c, 2 * c + 1);
        return _mm512_mask_sub_epi8(v, _knot_mask64(high), v, _mm512_set1_epi8(4));
    }
    case DT_Q4_K:
        return nibbles_32(p + 16 + 32 * c);
    case DT_Q5_K: {
        const __m512i v = nibbles_32(p + 48 + 32 * c);
        return _mm512_mask_add_epi8(v, bits_at(p + 16, 2 * c, 2 * c + 1), v,
                                    _mm512_set1_epi8(16));
    }
    case DT_Q6_K: {
        const __m512i low = _mm512_loadu_si512(p + c / 2 * 64);
        const __m512i four = _mm512_and_si512(c % 2 ? _mm512_srli_epi16(low, 4) : low,
                                              _mm512_set1_epi8(15));
        const __m512i two = pairs_32(p + 128 + c / 2 * 32, (int)(c % 2 * 4));
        return _mm512_sub_epi8(_mm512_or_si512(four, _mm512_slli_epi16(two, 4)),
                               _mm512_set1_epi8(32));
    }
    case DT_IQ4_XS: {
        const uint8_t *const q = p + 8 + 32 * c;
        return table_of_16(iq4_value, nibbles_16_16(load_128(q), load_128(q + 16)));
    }
    default:
        return lattice_chunk(t, p, c);
    }
}

/* The 6-bit scales (low 8 bytes) and minima of Q4_K and Q5_K; dequant_k.c has their places. */
INLINE void k_scales(const uint8_t *p, uint64_t *scale, uint64_t *min)
{
    const uint32_t a = load_32(p), b = load_32(p + 4), c = load_32(p + 8);
    const uint32_t six = 0x3f3f3f3f, four = 0x0f0f0f0f, two = 0x03030303;
    *scale = (a & six) | (uint64_t)((c & four) | (a >> 6 & two) << 4) << 32;
    *min = (b & six) | (uint64_t)((c >> 4 & four) | (b >> 6 & two) << 4) << 32;
}

INLINE __m256i q3_k_scales(const uint8_t *p)
{
    uint64_t low;
    memcpy(&low, p, sizeof low);
    const __m128i four = _mm_set_epi64x((long long)(low >> 4 & 0x0f0f0f0f0f0f0f0f),
                                        (long long)(low & 0x0f0f0f0f0f0f0f0f));
    const __m128i top = _mm_srlv_epi32(_mm_set1_epi32((int)load_32(p + 8)),
                                       _mm_setr_epi32(0, 2, 4, 6));
    const __m128i two = _mm_slli_epi16(_mm_and_si128(top, _mm_set1_epi8(3)), 4);
    return _mm256_cvtepi8_epi16(_mm_sub_epi8(_mm_or_si128(four, two), _mm_set1_epi8(32)));
}

INLINE __m256i iq4_xs_scales(const uint8_t *p)
{
    const uint64_t low = _pdep_u64(load_32(p + 4), 0x0f0f0f0f0f0f0f0f);
    const uint64_t top = _pdep_u64(load_16(p + 2), 0x3030303030303030);
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

/* v of a chunk: the block at a and the one at b (a again where the row ends after a). */
INLINE __m512i small_chunk(enum dtype t, const uint8_t *a, const uint8_t *b)
{
    switch (t) {
    case DT_Q4_0:
        return table_of_16(minus_8, nibbles_16_16(load_128(a + 2), load_128(b + 2)));
    case DT_Q4_1:
        return nibbles_16_16(load_128(a + 4), load_128(b + 4));
    case DT_Q5_0:
    case DT_Q5_1: {
        const unsigned at = t == DT_Q5_0 ? 2 : 4;
        const __m512i v = nibbles_16_16(load_128(a + at + 4), load_128(b + at + 4));
        const __mmask64 high = load_32(a + at) | (uint64_t)load_32(b + at) << 32;
        if (t == DT_Q5_1)
            return _mm512_mask_add_epi8(v, high, v, _mm512_set1_epi8(16));
        return _mm512_mask_sub_epi8(v, _knot_mask64(high), v, _mm512_set1_epi8(16));
    }
    case DT_IQ4_NL:
        return table_of_16(iq4_value, nibbles_16_16(load_128(a + 2), load_128(b + 2)));
    case DT_MXFP4:
        return table_of_16(e2m1_twice, nibbles_16_16(load_128(a + 1), load_128(b + 1)));
    case DT_NVFP4: { /* groups of 16 in 8 bytes: low nibbles, then high ones */
        const __m512i v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
                                                   load_256_twice(a + 4));
        const __m512i q = _mm512_mask_srli_epi16(v, 0xf0f0f0f0u, v, 4);
        return table_of_16(e2m1_twice, _mm512_and_si512(q, _mm512_set1_epi8(15)));
    }
    default: { /* Q8_0 */
        const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(a + 2));
        return _mm512_inserti64x4(_mm512_castsi256_si512(low),
                                  _mm256_loadu_si256((const __m256i *)(const void *)(b + 2)), 1);
    }
    }
}

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

/* ---- signed bytes to 16-bit lanes ---- */
INLINE __m512i even_bytes(__m512i v) { return _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8); }
INLINE __m512i odd_bytes(__m512i v) { return _mm512_srai_epi16(v, 8); }

INLINE __m512 f32_of(__m512i v) { return _mm512_cvtepi32_ps(v); }

#endif
