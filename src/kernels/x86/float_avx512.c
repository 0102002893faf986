/* float_avx512.c - float.h and float_panel.h in 32 registers of 64 bytes; 256 KiB of panels. */
#include "kernels/x86/math_avx512.h"

#include "base/dtype.h"
#include "kernels/x86/x86.h"

enum { VECTORS = 4, PAIR = 2, HALVES = 2, PART = 4 };
enum { WIDE = 4, RANKS = 2 };

/* The seven low bits of an e4m3 are those of an f16; all ones is NaN. */
INLINE vfloat f8_of(__m128i bytes)
{
    const __m256i b = _mm256_cvtepu8_epi16(bytes);
    const __m256i seven = _mm256_and_si256(b, _mm256_set1_epi16(0x7f));
    const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(b, _mm256_set1_epi16(0x80)), 8);
    const __mmask16 nan = _mm256_cmpeq_epi16_mask(seven, _mm256_set1_epi16(0x7f));
    const __m256i half = _mm256_mask_mov_epi16(_mm256_slli_epi16(seven, 7), nan,
                                               _mm256_set1_epi16(0x7e00));
    return _mm512_cvtph_ps(_mm256_or_si256(half, sign));
}

INLINE vfloat weights_at(enum dtype t, const uint8_t *row, size_t c, size_t n)
{
    switch (t) {
    case DT_F32: return load_first(row + 4 * c, n);
    case DT_F16: return halves_first(row + 2 * c, n);
    case DT_BF16: return as_float(int_up(words_first(row + 2 * c, n), 16));
    default: return f8_of(_mm_maskz_loadu_epi8(lanes_first(n), row + c));
    }
}

#include "kernels/simd/float_panel.h"
