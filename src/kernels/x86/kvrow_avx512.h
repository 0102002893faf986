/* kvrow_avx512.h - elements of cached rows as floats. */
#ifndef GLIM_KERNELS_X86_KVROW_AVX512_H
#define GLIM_KERNELS_X86_KVROW_AVX512_H

#include "kernels/kernels.h"
#include "kernels/x86/bytes_avx512.h"

/* 16 elements from the at-th on, those in `have`; the others are 0 and not read. */
INLINE __m512 load_row_16(enum kv_type t, const uint8_t *row, size_t at, __mmask16 have)
{
    switch (t) {
    case KV_F32: return _mm512_maskz_loadu_ps(have, row + 4 * at);
    case KV_F16: return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(have, row + 2 * at));
    default: {
        const __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(have, row + 2 * at));
        return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    }
    }
}

#endif
