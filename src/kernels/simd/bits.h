/* bits.h - what the levels of all architectures write often: loads at any address, halves, fields
 * of bits, calling for memory ahead.
 */
#ifndef GLIM_KERNELS_SIMD_BITS_H
#define GLIM_KERNELS_SIMD_BITS_H

#if defined(__x86_64__)
#include <immintrin.h>
#endif
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

/* The line at p will be read soon. On x86 it is called into the second-level cache: the first takes
 * no more lines at once than loads need that are under way, and memory would wait. */
INLINE void call_for(const void *p)
{
#if defined(__x86_64__)
    __builtin_prefetch(p, 0, 2);
#else
    __builtin_prefetch(p);
#endif
}

/* The value of an f16, by the processor's own conversion. */
INLINE float half_float(uint16_t bits)
{
#if defined(__x86_64__)
    return _cvtsh_ss(bits);
#else
    __fp16 half;
    memcpy(&half, &bits, sizeof half);
    return (float)half;
#endif
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

INLINE size_t bit_count(unsigned v) { return (size_t)__builtin_popcount(v); }

INLINE float load_half(const uint8_t *p) { return half_float(load_16(p)); }

/* ---- fields: one instruction where it is fast (avx512's processors), shifts elsewhere ---- */

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

#endif
