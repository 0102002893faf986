/* lattice.h - what the IQ1, IQ2 and IQ3 super-blocks are made of: points of fixed lists, signed.
 *
 * A point is 8 coordinates of 2 bits (IQ1, IQ2) or 4 of 4 bits (IQ3) in 16 bits; looked up one by
 * one, widened together (lattice_avx*.h). These types are bound by the look-ups: 4 or 8 loads for
 * 32 weights, where memory would give those in a few cycles. Layouts: kernels/ref/dequant_iq.c.
 */
#ifndef GLIM_KERNELS_X86_LATTICE_H
#define GLIM_KERNELS_X86_LATTICE_H

#include "base/dtype.h"
#include "kernels/ref/iq_tables.h"
#include "kernels/x86/bytes.h"

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

/* Eight points side by side. */
INLINE __m128i eight_points(const uint16_t *grid, const uint32_t a[4], const uint32_t b[4])
{
    return _mm_setr_epi16((short)grid[a[0]], (short)grid[a[1]], (short)grid[a[2]],
                          (short)grid[a[3]], (short)grid[b[0]], (short)grid[b[1]],
                          (short)grid[b[2]], (short)grid[b[3]]);
}

/* 2 s + 1, s in 16-bit lanes */
INLINE __m256i odd_scales(__m256i s)
{
    return _mm256_add_epi16(_mm256_add_epi16(s, s), _mm256_set1_epi16(1));
}

/* The top four bits of eight words of 32 bits, each twice as 16 bits. */
INLINE __m256i top_nibbles_twice(__m256i words)
{
    const __m256i s = _mm256_srli_epi32(words, 28);
    return _mm256_or_si256(s, _mm256_slli_epi32(s, 16));
}

/* IQ2_XXS: every second of 16 words, in order. */
INLINE __m256i odd_words(const uint8_t *p)
{
    const __m256 a = _mm256_castsi256_ps(load_256(p)), b = _mm256_castsi256_ps(load_256(p + 32));
    return _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd)), 0xd8);
}

INLINE __m256i iq1_m_scales(const uint8_t *p)
{
    const __m128i four = _mm_cvtsi64_si128((long long)load_64(p));
    const __m256i words = each_twice(_mm_unpacklo_epi16(four, four)); /* each of four, four times */
    const __m256i up = _mm256_set1_epi64x(0x0010008004002000); /* field i to the top: 2^(13-3i) */
    return _mm256_srli_epi16(_mm256_mullo_epi16(words, up), 13);
}

/* The integer scales of the 16 groups of 16 of a block. */
INLINE __m256i lattice_scales(enum dtype t, const uint8_t *p)
{
    switch (t) {
    case DT_IQ2_XXS: return odd_scales(top_nibbles_twice(odd_words(p + 2)));
    case DT_IQ2_XS: return odd_scales(nibbles_epi16(load_64(p + 66)));
    case DT_IQ2_S: return odd_scales(nibbles_epi16(load_64(p + 74)));
    case DT_IQ3_XXS: return odd_scales(top_nibbles_twice(load_256(p + 66)));
    case DT_IQ3_S: return odd_scales(twice_epi16(fields_as_bytes(load_32(p + 106), 4, 8)));
    case DT_IQ1_S: {
        const __m128i s = _mm_and_si128(_mm_srli_epi16(load_128(p + 34), 12), _mm_set1_epi16(7));
        return odd_scales(each_twice(s));
    }
    default: return odd_scales(iq1_m_scales(p + 48)); /* IQ1_M */
    }
}

/* The top nibbles of IQ1_M's four scale words, an f16. */
INLINE float iq1_m_d(const uint8_t *p)
{
    const uint32_t v = low_bytes(load_64(p) >> 12 & 0x000f000f000f000f);
    const uint32_t pairs = v | v >> 4;
    return _cvtsh_ss((unsigned short)((pairs & 0xff) | (pairs >> 8 & 0xff00)));
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
