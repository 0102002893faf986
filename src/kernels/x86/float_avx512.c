/* float_avx512.c - float.h in 32 registers of 64 bytes. */
#include "kernels/x86/vec_avx512.h"

#include "base/dtype.h"
#include "kernels/x86/x86.h"

enum { VECTORS = 4, PAIR = 2, HALVES = 2, PART = 4 };

INLINE vfloat weights_at(enum dtype t, const uint8_t *row, size_t c, size_t n)
{
    const vlanes have = lanes_first(n);
    switch (t) {
    case DT_F32:
        return _mm512_maskz_loadu_ps(have, row + 4 * c);
    case DT_F16:
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(have, row + 2 * c));
    case DT_BF16: {
        const vint v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(have, row + 2 * c));
        return as_float(_mm512_slli_epi32(v, 16));
    }
    default: { /* the seven low bits of an e4m3 are those of an f16; all ones is NaN */
        const __m256i b = _mm256_cvtepu8_epi16(_mm_maskz_loadu_epi8(have, row + c));
        const __m256i seven = _mm256_and_si256(b, _mm256_set1_epi16(0x7f));
        const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(b, _mm256_set1_epi16(0x80)), 8);
        const __mmask16 nan = _mm256_cmpeq_epi16_mask(seven, _mm256_set1_epi16(0x7f));
        const __m256i half = _mm256_mask_mov_epi16(_mm256_slli_epi16(seven, 7), nan,
                                                   _mm256_set1_epi16(0x7e00));
        return _mm512_cvtph_ps(_mm256_or_si256(half, sign));
    }
    }
}

#include "kernels/simd/float.h"
