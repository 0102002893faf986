/* peak.h - what products of small integers, added to 32-bit sums, reach on registers: the limit of
 * products with integer blocks. The skeleton of peak_avx*.c, each of which includes it once, behind
 * its vec_avx*.h,
 *
 *     SUMS                independent ones, as many as keep the instruction busy
 *     ADD_DOT             the instruction
 *     PRODUCTS, ONES      that it adds to a lane; and a lane of as many ones
 */
#ifndef GLIM_KERNELS_X86_PEAK_H
#define GLIM_KERNELS_X86_PEAK_H

#include "kernels/x86/x86.h"

uint64_t LEVEL(peak)(uint64_t rounds, double *one)
{
    const vint a = int_all((int32_t)*one * ONES), b = a;
    vint sum[SUMS];
    UNROLL for (unsigned i = 0; i < SUMS; i++)
        sum[i] = int_zero();
    for (uint64_t r = 0; r < rounds; r++)
        UNROLL for (unsigned i = 0; i < SUMS; i++)
            ADD_DOT(&sum[i], a, b);
    double total = 0;
    UNROLL for (unsigned i = 0; i < SUMS; i++) { /* a variable index would put all sums in memory */
        const vint s = sum[i];
        int32_t lane[LANES];
        memcpy(lane, &s, sizeof lane);
        for (unsigned l = 0; l < LANES; l++)
            total += lane[l];
    }
    *one = total;
    return rounds * SUMS * LANES * PRODUCTS * 2; /* a product and an addition */
}

#endif
