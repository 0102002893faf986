/* float_avx2.c - float.h in 16 registers of 32 bytes. */
#include "kernels/x86/vec_avx2.h"

#include "base/dtype.h"
#include "kernels/x86/x86.h"

enum { VECTORS = 4, PAIR = 2, HALVES = 1, PART = 2 };

/* n <= LANES weights of `bytes` each; AVX2 masks only loads of 32 bits. */
INLINE __m128i some_weights(const uint8_t *p, size_t n, size_t bytes)
{
    uint8_t some[16] = {0};
    memcpy(some, p, n * bytes);
    return load_128(some);
}

INLINE __m128i words_at(const uint8_t *p, size_t n)
{
    return n < LANES ? some_weights(p, n, 2) : load_128(p);
}

/* The seven low bits of an e4m3 are those of an f16; all ones is NaN. */
INLINE vfloat f8_of(__m128i bytes)
{
    const __m128i b = _mm_cvtepu8_epi16(bytes), ones = _mm_set1_epi16(0x7f);
    const __m128i seven = _mm_and_si128(b, ones);
    const __m128i sign = _mm_slli_epi16(_mm_and_si128(b, _mm_set1_epi16(0x80)), 8);
    const __m128i nan = _mm_and_si128(_mm_cmpeq_epi16(seven, ones), _mm_set1_epi16(0x7e00));
    const __m128i half = _mm_or_si128(_mm_slli_epi16(seven, 7), nan);
    return _mm256_cvtph_ps(_mm_or_si128(half, sign));
}

INLINE vfloat weights_at(enum dtype t, const uint8_t *row, size_t c, size_t n)
{
    switch (t) {
    case DT_F32:
        return n < LANES ? lanes_load(lanes_first(n), (const float *)(const void *)(row + 4 * c))
                         : float_load(row + 4 * c);
    case DT_F16:
        return _mm256_cvtph_ps(words_at(row + 2 * c, n));
    case DT_BF16:
        return as_float(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words_at(row + 2 * c, n)), 16));
    default:
        return f8_of(n < LANES ? some_weights(row + c, n, 1)
                               : _mm_cvtsi64_si128((long long)load_64(row + c)));
    }
}

#include "kernels/simd/float.h"
