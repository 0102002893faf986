/* bytes_avx512.h - lanes and turning of registers of 64 bytes. */
#ifndef GLIM_KERNELS_X86_BYTES_AVX512_H
#define GLIM_KERNELS_X86_BYTES_AVX512_H

#include "kernels/x86/bytes.h"

/* The first n of 16 lanes. */
INLINE __mmask16 first_lanes(size_t n)
{
    return (__mmask16)(n >= 16 ? 0xffffu : (1u << n) - 1);
}

INLINE size_t round_up_16(size_t n) { return (n + 15) / 16 * 16; }

/* v[i] lane j becomes v[j] lane i, 32-bit lanes. */
INLINE void transpose_16(__m512i v[16])
{
    __m512i a[16];
    for (unsigned i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (unsigned i = 0; i < 16; i += 4) {
        v[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (unsigned i = 0; i < 4; i++) { /* 128-bit lanes: 4 x 4 blocks */
        const __m512i p = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        const __m512i q = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xdd);
        const __m512i r = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        const __m512i s = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xdd);
        a[i] = _mm512_shuffle_i32x4(p, r, 0x88);
        a[i + 8] = _mm512_shuffle_i32x4(p, r, 0xdd);
        a[i + 4] = _mm512_shuffle_i32x4(q, s, 0x88);
        a[i + 12] = _mm512_shuffle_i32x4(q, s, 0xdd);
    }
    UNROLL for (unsigned i = 0; i < 16; i++)
        v[i] = a[i];
}

#endif
