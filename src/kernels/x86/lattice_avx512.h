/* lattice_avx512.h - chunks of the IQ1, IQ2 and IQ3 super-blocks: points of fixed lists, signed.
 *
 * A point is 8 coordinates of 2 bits (IQ1, IQ2) or 4 of 4 bits (IQ3) in 16 bits; looked up one by
 * one, widened together. These types are bound by the look-ups: 8 or 16 loads for 64 weights, where
 * memory would give those 64 weights in three cycles. Layouts: kernels/ref/dequant_iq.c.
 */
#ifndef GLIM_KERNELS_X86_LATTICE_AVX512_H
#define GLIM_KERNELS_X86_LATTICE_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "base/dtype.h"
#include "kernels/ref/iq_tables.h"
#include "kernels/x86/bytes_avx512.h"

/* Eight points of eight coordinates: `value` of each two-bit field. */
INLINE __m512i eights(const uint16_t *grid, const uint16_t at[8], const int8_t *value)
{
    const __m128i p = _mm_setr_epi16((short)grid[at[0]], (short)grid[at[1]], (short)grid[at[2]],
                                     (short)grid[at[3]], (short)grid[at[4]], (short)grid[at[5]],
                                     (short)grid[at[6]], (short)grid[at[7]]);
    const __m512i field = _mm512_set1_epi64(0x0e0c0a0806040200);
    const __m512i v = _mm512_multishift_epi64_epi8(field, _mm512_cvtepu16_epi64(p));
    uint32_t four;
    memcpy(&four, value, sizeof four);
    return _mm512_shuffle_epi8(_mm512_set1_epi32((int)four),
                               _mm512_and_si512(v, _mm512_set1_epi8(3)));
}

/* Sixteen points of four coordinates. */
INLINE __m512i fours(const uint16_t *grid, const uint16_t at[16], const int8_t *value)
{
    uint16_t p[16];
    UNROLL for (unsigned i = 0; i < 16; i++)
        p[i] = grid[at[i]];
    __m256i packed;
    memcpy(&packed, p, sizeof packed);
    const __m512i wide = _mm512_cvtepu8_epi16(packed);
    const __m512i v = _mm512_or_si512(wide, _mm512_slli_epi16(wide, 4));
    uint64_t eight;
    memcpy(&eight, value, sizeof eight);
    return _mm512_shuffle_epi8(_mm512_set1_epi64((long long)eight),
                               _mm512_and_si512(v, _mm512_set1_epi8(7)));
}

INLINE __m512i negated(__m512i v, uint64_t signs)
{
    return _mm512_mask_sub_epi8(v, signs, _mm512_setzero_si512(), v);
}

/* Eight bytes of seven sign bits: the eighth makes their number even. */
INLINE uint64_t even_signs(uint64_t seven)
{
    uint64_t p = seven ^ seven >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return seven | (p & 0x0101010101010101) << 7;
}

/* 28 bits as four bytes of seven */
INLINE uint64_t sevens(uint32_t bits) { return _pdep_u64(bits, 0x7f7f7f7f); }

INLINE __m512i iq2_xxs_chunk(const uint8_t *p, unsigned c)
{
    const uint8_t *const a = p + 2 + 16 * c, *const b = a + 8;
    const uint16_t at[8] = {a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
    const uint64_t signs = sevens(load_32(a + 4)) | sevens(load_32(b + 4)) << 32;
    return negated(eights(iq2_xxs_grid, at, iq2_value), even_signs(signs));
}

INLINE __m512i iq2_xs_chunk(const uint8_t *p, unsigned c)
{
    uint16_t at[8];
    uint64_t q[2];
    memcpy(q, p + 2 + 16 * c, sizeof q);
    memcpy(at, q, sizeof at);
    UNROLL for (unsigned i = 0; i < 8; i++)
        at[i] &= 511;
    const uint64_t top = 0xfe00fe00fe00fe00;
    const uint64_t signs = sevens((uint32_t)_pext_u64(q[0], top))
                         | sevens((uint32_t)_pext_u64(q[1], top)) << 32;
    return negated(eights(iq2_xs_grid, at, iq2_value), even_signs(signs));
}

INLINE __m512i iq2_s_chunk(const uint8_t *p, unsigned c)
{
    const uint8_t *const index = p + 2 + 8 * c;
    const unsigned top = load_16(p + 66 + 2 * c);
    uint16_t at[8];
    UNROLL for (unsigned i = 0; i < 8; i++)
        at[i] = (uint16_t)(index[i] | (top >> 2 * i & 3) << 8);
    return negated(eights(iq2_s_grid, at, iq2_value), load_64(p + 34 + 8 * c));
}

INLINE __m512i iq3_xxs_chunk(const uint8_t *p, unsigned c)
{
    uint16_t at[16];
    UNROLL for (unsigned i = 0; i < 16; i++)
        at[i] = p[2 + 16 * c + i];
    const uint8_t *const s = p + 66 + 8 * c;
    const uint64_t signs = sevens(load_32(s)) | sevens(load_32(s + 4)) << 32;
    return negated(fours(iq3_xxs_grid, at, iq3_xxs_value), even_signs(signs));
}

INLINE __m512i iq3_s_chunk(const uint8_t *p, unsigned c)
{
    const unsigned top = load_16(p + 66 + 2 * c);
    uint16_t at[16];
    UNROLL for (unsigned i = 0; i < 16; i++)
        at[i] = (uint16_t)(p[2 + 16 * c + i] | (top >> i & 1) << 8);
    return negated(fours(iq3_s_grid, at, iq3_s_value), load_64(p + 74 + 8 * c));
}

/* IQ1 in eighths: 8 * point +- 1. */
INLINE __m512i iq1_points(const uint16_t at[8], uint64_t down)
{
    static const int8_t eighths[4] = {-8, 0, 8, 0};
    const __m512i v = eights(iq1_grid, at, eighths), one = _mm512_set1_epi8(1);
    return _mm512_mask_sub_epi8(_mm512_add_epi8(v, one), down, v, one);
}

INLINE __m512i iq1_s_chunk(const uint8_t *p, unsigned c)
{
    const uint8_t *const index = p + 8 * c + 2;
    const unsigned a = load_16(p + 34 + 4 * c), b = load_16(p + 36 + 4 * c);
    uint16_t at[8];
    UNROLL for (unsigned i = 0; i < 8; i++)
        at[i] = (uint16_t)(index[i] | ((i < 4 ? a : b) >> 3 * (i % 4) & 7) << 8);
    const uint64_t low = a >> 15 ? 0xffffffff : 0, high = b >> 15 ? 0xffffffff : 0;
    return iq1_points(at, low | high << 32);
}

INLINE __m512i iq1_m_chunk(const uint8_t *p, unsigned c)
{
    const uint32_t high = load_32(p + 32 + 4 * c);
    uint16_t at[8];
    UNROLL for (unsigned i = 0; i < 8; i++)
        at[i] = (uint16_t)(p[8 * c + i] | (high >> 4 * i & 7) << 8);
    const uint64_t down = _pdep_u64(_pext_u32(high, 0x88888888), 0x0101010101010101) * 0xff;
    return iq1_points(at, down);
}

/* 2 s + 1, s in 16-bit lanes */
INLINE __m256i odd_scales(__m256i s)
{
    return _mm256_add_epi16(_mm256_add_epi16(s, s), _mm256_set1_epi16(1));
}

/* Eight integers of 16 bits, each twice. */
INLINE __m256i each_twice(__m128i v)
{
    return _mm256_setr_m128i(_mm_unpacklo_epi16(v, v), _mm_unpackhi_epi16(v, v));
}

/* 16 nibbles as integers */
INLINE __m256i nibbles_16(uint64_t v)
{
    const uint64_t low = _pdep_u64(v & 0xffffffff, 0x0f0f0f0f0f0f0f0f);
    const uint64_t high = _pdep_u64(v >> 32, 0x0f0f0f0f0f0f0f0f);
    return _mm256_cvtepi8_epi16(_mm_set_epi64x((long long)high, (long long)low));
}

INLINE __m256i iq1_m_scales(const uint8_t *p)
{
    const __m128i four = _mm_cvtsi64_si128((long long)load_64(p));
    const __m256i words = each_twice(_mm_unpacklo_epi16(four, four)); /* each of four, four times */
    const __m256i shift = _mm256_set1_epi64x(0x0009000600030000);
    return _mm256_and_si256(_mm256_srlv_epi16(words, shift), _mm256_set1_epi16(7));
}

/* The integer scales of the 16 groups of 16 of a block. */
INLINE __m256i lattice_scales(enum dtype t, const uint8_t *p)
{
    switch (t) {
    case DT_IQ2_XXS: {
        const __m512i s = _mm512_srli_epi64(_mm512_loadu_si512(p + 2), 60);
        return odd_scales(each_twice(_mm512_cvtepi64_epi16(s)));
    }
    case DT_IQ2_XS: return odd_scales(nibbles_16(load_64(p + 66)));
    case DT_IQ2_S: return odd_scales(nibbles_16(load_64(p + 74)));
    case DT_IQ3_XXS: {
        const __m256i s = _mm256_srli_epi32(
            _mm256_loadu_si256((const __m256i *)(const void *)(p + 66)), 28);
        return odd_scales(each_twice(_mm256_cvtepi32_epi16(s)));
    }
    case DT_IQ3_S:
        return odd_scales(twice_epi16(_pdep_u64(load_32(p + 106), 0x0f0f0f0f0f0f0f0f)));
    case DT_IQ1_S: {
        const __m128i s = _mm_and_si128(_mm_srli_epi16(load_128(p + 34), 12), _mm_set1_epi16(7));
        return odd_scales(each_twice(s));
    }
    default: return odd_scales(iq1_m_scales(p + 48)); /* IQ1_M */
    }
}

INLINE __m512i lattice_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    switch (t) {
    case DT_IQ2_XXS: return iq2_xxs_chunk(p, c);
    case DT_IQ2_XS: return iq2_xs_chunk(p, c);
    case DT_IQ2_S: return iq2_s_chunk(p, c);
    case DT_IQ3_XXS: return iq3_xxs_chunk(p, c);
    case DT_IQ3_S: return iq3_s_chunk(p, c);
    case DT_IQ1_S: return iq1_s_chunk(p, c);
    default: return iq1_m_chunk(p, c);
    }
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
    default: /* IQ1_M: spread over the top nibbles of its scale words */
        return 0.125f * _cvtsh_ss((unsigned short)_pext_u64(load_64(p + 48), 0xf000f000f000f000));
    }
}

#endif
