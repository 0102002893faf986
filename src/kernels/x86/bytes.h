/* bytes.h - loads at any address, and what all x86 levels write often. */
#ifndef GLIM_KERNELS_X86_BYTES_H
#define GLIM_KERNELS_X86_BYTES_H

#include "kernels/simd/bits.h"

INLINE __m256i load_256(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

INLINE __m128i load_128(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* Of eight rows, `at` bytes from their starts. */
INLINE __m256i eight_ints(const uint8_t *const row[8], size_t at)
{
    return _mm256_setr_epi32((int)load_32(row[0] + at), (int)load_32(row[1] + at),
                             (int)load_32(row[2] + at), (int)load_32(row[3] + at),
                             (int)load_32(row[4] + at), (int)load_32(row[5] + at),
                             (int)load_32(row[6] + at), (int)load_32(row[7] + at));
}

INLINE __m128i eight_halves(const uint8_t *const row[8], size_t at)
{
    return _mm_setr_epi16((short)load_16(row[0] + at), (short)load_16(row[1] + at),
                          (short)load_16(row[2] + at), (short)load_16(row[3] + at),
                          (short)load_16(row[4] + at), (short)load_16(row[5] + at),
                          (short)load_16(row[6] + at), (short)load_16(row[7] + at));
}

/* Four rows' integers of 16 bits, put together outside the vector registers: inserted one by one,
 * they would take the units that multiply. */
INLINE uint64_t four_shorts(const uint8_t *const p[4], size_t at)
{
    const uint64_t a = load_16(p[0] + at), b = load_16(p[1] + at);
    const uint64_t c = load_16(p[2] + at), d = load_16(p[3] + at);
    return a | b << 16 | (c | d << 16) << 32;
}

/* Eight bytes, each twice, as 16-bit integers. */
INLINE __m256i twice_epi16(uint64_t eight)
{
    const __m128i v = _mm_cvtsi64_si128((long long)eight);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(v, v));
}

/* Eight integers of 16 bits, each twice. */
INLINE __m256i each_twice(__m128i v)
{
    return _mm256_setr_m128i(_mm_unpacklo_epi16(v, v), _mm_unpackhi_epi16(v, v));
}

/* Sixteen nibbles as integers of 16 bits, the low one of each byte first. */
INLINE __m256i nibbles_epi16(uint64_t v)
{
    const uint64_t low = fields_as_bytes(v & 0xffffffff, 4, 8);
    const uint64_t high = fields_as_bytes(v >> 32, 4, 8);
    return _mm256_cvtepi8_epi16(_mm_set_epi64x((long long)high, (long long)low));
}

#endif
