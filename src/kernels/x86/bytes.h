/* bytes.h - loads at any address, fields of bits, and what all x86 levels write often. */
#ifndef GLIM_KERNELS_X86_BYTES_H
#define GLIM_KERNELS_X86_BYTES_H

#include <immintrin.h>
#include <stdbool.h>
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

INLINE __m256i load_256(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
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

/* Eight integers of 16 bits, each twice. */
INLINE __m256i each_twice(__m128i v)
{
    return _mm256_setr_m128i(_mm_unpacklo_epi16(v, v), _mm_unpackhi_epi16(v, v));
}

/* ---- bits: one instruction where it is fast (avx512's processors), shifts elsewhere ---- */

/* n = 4 or 8 fields of `width` <= 7 bits, the lowest first, as bytes; v has no other bits. */
INLINE uint64_t fields_as_bytes(uint64_t v, unsigned width, unsigned n)
{
#if defined(__BMI2__)
    return _pdep_u64(v, 0x0101010101010101u * ((1u << width) - 1)) + 0 * n;
#else
    const uint64_t four = (1ull << 4 * width) - 1, two = (1ull << 2 * width) - 1;
    const uint64_t one = (1ull << width) - 1;
    if (n > 4)
        v = (v & four) | (v << (32 - 4 * width) & four << 32);
    v = (v & two * 0x0000000100000001) | (v << (16 - 2 * width) & two * 0x0001000000010000);
    return (v & one * 0x0001000100010001) | (v << (8 - width) & one * 0x0100010001000100);
#endif
}

/* The low bytes of four words of 16 bits, whose high bytes are 0. */
INLINE uint32_t low_bytes(uint64_t v)
{
#if defined(__BMI2__)
    return (uint32_t)_pext_u64(v, 0x00ff00ff00ff00ff);
#else
    const uint64_t pairs = (v | v >> 8) & 0x0000ffff0000ffff;
    return (uint32_t)(pairs | pairs >> 16);
#endif
}

/* Sixteen nibbles as integers of 16 bits, the low one of each byte first. */
INLINE __m256i nibbles_epi16(uint64_t v)
{
    const uint64_t low = fields_as_bytes(v & 0xffffffff, 4, 8);
    const uint64_t high = fields_as_bytes(v >> 32, 4, 8);
    return _mm256_cvtepi8_epi16(_mm_set_epi64x((long long)high, (long long)low));
}

#endif
