/* bytes_avx512.h - loads at any address, turning, and what all avx512 files write often. */
#ifndef GLIM_KERNELS_X86_BYTES_AVX512_H
#define GLIM_KERNELS_X86_BYTES_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
/* Arrays of vectors live in registers only where every index is a constant. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* The first n of 16 lanes. */
INLINE __mmask16 first_lanes(size_t n)
{
    return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

INLINE __m512i load_256_twice(const uint8_t *p)
{
    return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE __m128i load_128(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

INLINE uint16_t load_16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE uint32_t load_32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE uint64_t load_64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE float load_half(const uint8_t *p) { return _cvtsh_ss(load_16(p)); }

/* Eight bytes, each twice, as 16-bit integers. */
INLINE __m256i twice_epi16(uint64_t eight)
{
    const __m128i v = _mm_cvtsi64_si128((long long)eight);
    return _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(v, v));
}

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
