/* float_avx2.c - float.h and float_panel.h in 16 registers of 32 bytes; 128 KiB of panels. */
#include "kernels/x86/math_avx2.h"

#include "base/dtype.h"
#include "kernels/x86/x86.h"

enum { VECTORS = 4, PAIR = 2, HALVES = 1, PART = 2 };
enum { WIDE = 2, RANKS = 4 };

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
    case DT_F32: return load_first(row + 4 * c, n);
    case DT_F16: return halves_first(row + 2 * c, n);
    case DT_BF16: return as_float(int_up(words_first(row + 2 * c, n), 16));
    default: return f8_of(eight_bytes(row + c, n));
    }
}

#include "kernels/simd/float_panel.h"
