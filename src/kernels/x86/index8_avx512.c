/* index8_avx512.c - simd/index8.h with `vpdpbusd`, which multiplies four bytes of 16 keys at once:
 * 128 multiply-adds a cycle. It wants its first operand without a sign, so keys are taken plus 128,
 * and 128 sum(v[h]) is where a head's sum begins, negative.
 */
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

enum { WIDE = 2, HEADS = 8, COLUMNS = 4 };

INLINE vint key_words(const uint8_t *p, size_t n)
{
    const __mmask64 have = n < VEC_BYTES ? (1ull << n) - 1 : ~0ull;
    return int_xor(_mm512_maskz_loadu_epi8(have, p), _mm512_set1_epi8(INT8_MIN));
}

INLINE int32_t head_word(const int8_t *v) { return (int32_t)load_32((const uint8_t *)v); }

INLINE int32_t head_start(const int8_t *v, size_t n)
{
    vint sum = int_zero();
    for (size_t i = 0; i < n; i += VEC_BYTES)
        add_dot_8(&sum, _mm512_set1_epi8(1), int_load(v + i));
    return -128 * _mm512_reduce_add_epi32(sum);
}

INLINE void add_products(vint *sum, vint keys, vint heads) { add_dot_8(sum, keys, heads); }

#include "kernels/simd/index8.h"
