/* lattice_avx2.h - chunks of the IQ1, IQ2 and IQ3 super-blocks (lattice.h), 32 weights. */
#ifndef GLIM_KERNELS_X86_LATTICE_AVX2_H
#define GLIM_KERNELS_X86_LATTICE_AVX2_H

#include "kernels/x86/lattice.h"
#include "kernels/x86/vec_avx2.h"

/* All ones in byte i where bit i of `bits` is set. */
INLINE vint bytes_of_bits(uint32_t bits)
{
    const vint which = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202,
                                          0x0303030303030303);
    const vint one = _mm256_set1_epi64x((long long)0x8040201008040201);
    const vint byte = _mm256_shuffle_epi8(int_all((int)bits), which);
    return _mm256_cmpeq_epi8(_mm256_and_si256(byte, one), one);
}

/* Four points of eight coordinates: `value` of each two-bit field. */
INLINE vint eights(const uint16_t *grid, const uint32_t at[4], const int8_t *value)
{
    const uint64_t four = grid[at[0]] | (uint32_t)grid[at[1]] << 16 | (uint64_t)grid[at[2]] << 32
                        | (uint64_t)grid[at[3]] << 48;
    const vint each = _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302,
                                         0x0504050405040504, 0x0706070607060706);
    const vint p = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)four), each);
    const vint up = _mm256_set1_epi64x(0x0001001001001000); /* fields 2i, 2i+1 to the top */
    const vint two = _mm256_srli_epi16(_mm256_mullo_epi16(p, up), 12);
    const vint v = _mm256_or_si256(two, _mm256_slli_epi16(two, 6));
    return _mm256_shuffle_epi8(int_all((int)load_32((const uint8_t *)value)),
                               _mm256_and_si256(v, _mm256_set1_epi8(3)));
}

/* Eight points of four coordinates. */
INLINE vint fours(const uint16_t *grid, const uint32_t at[8], const int8_t *value)
{
    const vint wide = _mm256_cvtepu8_epi16(eight_points(grid, at, at + 4));
    const vint v = _mm256_or_si256(wide, _mm256_slli_epi16(wide, 4));
    return _mm256_shuffle_epi8(
        _mm256_set1_epi64x((long long)load_64((const uint8_t *)value)),
        _mm256_and_si256(v, _mm256_set1_epi8(7)));
}

INLINE vint lattice_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    const struct points x = lattice_points(t, p, c);
    const vint v = has_points_of_4(t) ? fours(points_of(t), x.at, values_of(t))
                                      : eights(points_of(t), x.at, values_of(t));
    const uint64_t bits = has_seven_signs(t) ? even_signs(x.bits) : x.bits;
    const vint mask = bytes_of_bits((uint32_t)bits);
    if (t == DT_IQ1_S || t == DT_IQ1_M) /* 8 * point +- 1 */
        return bytes_plus(_mm256_add_epi8(v, _mm256_or_si256(mask, _mm256_set1_epi8(1))),
                          LATTICE_ADDED);
    return bytes_plus(_mm256_sub_epi8(_mm256_xor_si256(v, mask), mask), LATTICE_ADDED);
}

#endif
