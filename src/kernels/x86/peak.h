/* peak.h - what products of pairs of 16-bit integers, added to 32-bit sums, reach on registers: the
 * limit of products with integer blocks. The skeleton of peak_avx*.c, each of which includes it
 * once, behind its vec_avx*.h and SUMS: independent ones, as many as keep the instruction busy.
 */
#ifndef GLIM_KERNELS_X86_PEAK_H
#define GLIM_KERNELS_X86_PEAK_H

#include "kernels/x86/x86.h"

uint64_t LEVEL(peak)(uint64_t rounds, double *one)
{
    const vint a = int_all((int32_t)*one * 0x10001), b = a;
    vint sum[SUMS];
    UNROLL for (unsigned i = 0; i < SUMS; i++)
        sum[i] = int_zero();
    for (uint64_t r = 0; r < rounds; r++)
        UNROLL for (unsigned i = 0; i < SUMS; i++)
            add_dot_16(&sum[i], a, b);
    double total = 0;
    UNROLL for (unsigned i = 0; i < SUMS; i++) { /* a variable index would put all sums in memory */
        const vint s = sum[i];
        int32_t lane[LANES];
        memcpy(lane, &s, sizeof lane);
        for (unsigned l = 0; l < LANES; l++)
            total += lane[l];
    }
    *one = total;
    return rounds * SUMS * LANES * 2 * 2; /* pairs; a product and an addition */
}

#endif
