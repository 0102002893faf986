/* quad_peak.h - what products of weights with both bytes of q reach on registers: the limit of
 * products with integer blocks. v q counts as one product, though it takes two of bytes.
 */
#ifndef GLIM_KERNELS_ARM_QUAD_PEAK_H
#define GLIM_KERNELS_ARM_QUAD_PEAK_H

enum { PEAK_FLUSH = 1 << 20 }; /* rounds until sums leave their 32 bits */

/* The sum of all products of some rounds with v = 1, q = 1. */
static double peak_rounds(uint64_t rounds, int8x16_t w, const int8_t q[16])
{
    struct product s[PEAK_SUMS] = {0};
    for (uint64_t r = 0; r < rounds; r++) {
        __asm__("" : "+w"(w)); /* another w, for all that the compiler knows */
        UNROLL for (unsigned i = 0; i < PEAK_SUMS; i++)
            product_add(&s[i], w, q);
    }
    double total = 0;
    UNROLL for (unsigned i = 0; i < PEAK_SUMS; i++) {
        int32_t sum[4];
        vst1q_s32(sum, product_sums(&s[i]));
        total += 256.0 * (sum[0] + sum[1]) + sum[2] + sum[3];
    }
    return total;
}

uint64_t BUILT(peak)(uint64_t rounds, double *one)
{
    const int8_t v = (int8_t)*one;
    const int8_t q[16] = {0, 0, 0, 0, 0, 0, 0, 0, v, v, v, v, v, v, v, v};
    double total = 0;
    for (uint64_t r = 0; r < rounds; r += PEAK_FLUSH)
        total += peak_rounds(rounds - r < PEAK_FLUSH ? rounds - r : PEAK_FLUSH, vdupq_n_s8(v), q);
    *one = total;
    return rounds * PEAK_SUMS * 16 * 2; /* an octet of two rows; a product and an addition */
}

#endif
