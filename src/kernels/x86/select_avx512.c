/* select_avx512.c - simd/select.h in registers of 64 bytes. */
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

INLINE void store_chosen(int32_t *key, int32_t *at, unsigned bits, vint keys, vint positions)
{
    const vmask head = mask_first(bit_count(bits)), which = (vmask)bits;
    if (key)
        _mm512_mask_storeu_epi32(key, head, _mm512_maskz_compress_epi32(which, keys));
    _mm512_mask_storeu_epi32(at, head, _mm512_maskz_compress_epi32(which, positions));
}

#include "kernels/simd/select.h"
