/* kvrow_avx512.h - elements of cached rows as floats. */
#ifndef GLIM_KERNELS_X86_KVROW_AVX512_H
#define GLIM_KERNELS_X86_KVROW_AVX512_H

#include "kernels/kernels.h"
#include "kernels/x86/bytes_avx512.h"

/* Rows behind those that are being met. */
struct ahead {
    const void *const *row;
    size_t n, bytes; /* of each */
};

/* Calls for one of `parts` shares of them: all at once would keep other loads waiting. */
INLINE void call_ahead(const struct ahead *a, size_t part, size_t parts)
{
    for (size_t i = a->n * part / parts; i < a->n * (part + 1) / parts; i++)
        for (size_t at = 0; at < a->bytes; at += 64)
            _mm_prefetch((const char *)a->row[i] + at, _MM_HINT_T0);
}

/* Elements of a block that begins at p, from the at-th on. */
INLINE __m512 load_block_16(const uint8_t *p, size_t at, __mmask16 have)
{
    const __m128i v = _mm_maskz_loadu_epi8(have, p + sizeof(float) + at);
    const __m512 s = _mm512_castsi512_ps(_mm512_set1_epi32((int)load_32(p)));
    return _mm512_mul_ps(s, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v)));
}

/* 16 elements from the at-th on, a multiple of 16; those in `have`, the others are 0 (of blocks:
 * 0 or NaN) and not read. */
INLINE __m512 load_row_16(enum kv_type t, const uint8_t *row, size_t at, __mmask16 have)
{
    switch (t) {
    case KV_Q8:
        return load_block_16(row + at / KV_BLOCK * (KV_BLOCK + sizeof(float)), at % KV_BLOCK, have);
    case KV_I8: return load_block_16(row, at, have);
    case KV_F32: return _mm512_maskz_loadu_ps(have, row + 4 * at);
    case KV_F16: return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(have, row + 2 * at));
    default: {
        const __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(have, row + 2 * at));
        return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    }
    }
}

#endif
