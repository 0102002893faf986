/* one_by_one.h - the lanes that select.h chooses, stored one by one: for registers that no
 * instruction compresses. Few scores are chosen.
 */
#ifndef GLIM_KERNELS_SIMD_ONE_BY_ONE_H
#define GLIM_KERNELS_SIMD_ONE_BY_ONE_H

#include "kernels/simd/bits.h"

INLINE void store_chosen(int32_t *key, int32_t *at, unsigned bits, vint keys, vint positions)
{
    int32_t k[LANES], p[LANES];
    int_store(k, keys);
    int_store(p, positions);
    for (; bits; bits &= bits - 1, at++) {
        const int lane = __builtin_ctz(bits);
        if (key)
            *key++ = k[lane];
        *at = p[lane];
    }
}

#endif
