/* index8_avx2.c - simd/index8.h with `vpmaddwd` on bytes widened to 16 bits: 32 multiply-adds a
 * cycle. `vpmaddubsw` takes bytes as they are, but its sums of two need another `vpmaddwd` (and
 * `vpsignb` before, for sums that keep below 2^15): as many instructions for as many products.
 */
#include "kernels/x86/math_avx2.h"
#include "kernels/x86/x86.h"

enum { WIDE = 2, HEADS = 4, COLUMNS = 2 };

INLINE vint key_words(const uint8_t *p, size_t n)
{
    return _mm256_cvtepi8_epi16(n < 16 ? load_some(p, n, 1) : load_128(p));
}

INLINE int32_t head_word(const int8_t *v)
{
    return (int32_t)((uint32_t)(uint16_t)v[0] | (uint32_t)(uint16_t)v[1] << 16);
}

INLINE int32_t head_start(const int8_t *v, size_t n)
{
    (void)v;
    (void)n;
    return 0;
}

INLINE void add_products(vint *sum, vint keys, vint heads) { add_dot_16(sum, keys, heads); }

#include "kernels/simd/index8.h"
