/* lattice.h - IQ1, IQ2 and IQ3 super-blocks (simd/points.h) in 128 and 256 bits: points side by
 * side, scales. lattice_avx*.h widen the points.
 */
#ifndef GLIM_KERNELS_X86_LATTICE_H
#define GLIM_KERNELS_X86_LATTICE_H

#include "kernels/simd/points.h"
#include "kernels/x86/bytes.h"

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

#endif
