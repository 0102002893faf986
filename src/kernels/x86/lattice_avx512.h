/* lattice_avx512.h - chunks of the IQ1, IQ2 and IQ3 super-blocks (lattice.h), 64 weights. */
#ifndef GLIM_KERNELS_X86_LATTICE_AVX512_H
#define GLIM_KERNELS_X86_LATTICE_AVX512_H

#include "kernels/x86/lattice.h"
#include "kernels/x86/vec_avx512.h"

/* Eight points of eight coordinates: `value` of each two-bit field. */
INLINE vint eights(const uint16_t *grid, const struct points *a, const struct points *b,
                   const int8_t *value)
{
    const __m128i p = eight_points(grid, a->at, b->at);
    const vint field = _mm512_set1_epi64(0x0e0c0a0806040200);
    const vint v = _mm512_multishift_epi64_epi8(field, _mm512_cvtepu16_epi64(p));
    return _mm512_shuffle_epi8(int_all((int)load_32((const uint8_t *)value)),
                               _mm512_and_si512(v, _mm512_set1_epi8(3)));
}

/* Sixteen points of four coordinates. */
INLINE vint fours(const uint16_t *grid, const struct points *a, const struct points *b,
                  const int8_t *value)
{
    const __m256i packed = _mm256_setr_m128i(eight_points(grid, a->at, a->at + 4),
                                             eight_points(grid, b->at, b->at + 4));
    const vint wide = _mm512_cvtepu8_epi16(packed);
    const vint v = _mm512_or_si512(wide, _mm512_slli_epi16(wide, 4));
    return _mm512_shuffle_epi8(
        _mm512_set1_epi64((long long)load_64((const uint8_t *)value)),
        _mm512_and_si512(v, _mm512_set1_epi8(7)));
}

INLINE vint lattice_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    const struct points a = lattice_points(t, p, 2 * c), b = lattice_points(t, p, 2 * c + 1);
    const uint64_t both = a.bits | (uint64_t)b.bits << 32;
    const uint64_t bits = has_seven_signs(t) ? even_signs(both) : both;
    if (has_points_of_4(t)) {
        const vint v = fours(points_of(t), &a, &b, values_of(t));
        return _mm512_mask_sub_epi8(v, bits, int_zero(), v);
    }
    const vint v = eights(points_of(t), &a, &b, values_of(t));
    if (t != DT_IQ1_S && t != DT_IQ1_M)
        return _mm512_mask_sub_epi8(v, bits, int_zero(), v);
    const vint one = _mm512_set1_epi8(1); /* 8 * point +- 1 */
    return _mm512_mask_sub_epi8(_mm512_add_epi8(v, one), bits, v, one);
}

#endif
