/* dots_neon.h - inner products of four vectors with one, in f32. Lane l of half h adds columns
 * 8i + 4h + l in ascending i by fused multiply-add, columns after the last eight go to lanes from
 * the first half on; halves, then lanes are added. A product does not know its neighbours.
 */
#ifndef GLIM_KERNELS_ARM_DOTS_NEON_H
#define GLIM_KERNELS_ARM_DOTS_NEON_H

#include "kernels/arm/vec_neon.h"

enum { DOTS = 4 };

/* out[j] = <a[j], b>, [n] */
INLINE void four_dots(float out[DOTS], const float *const a[DOTS], const float *b, size_t n)
{
    float32x4_t s[DOTS][2];
    UNROLL for (unsigned j = 0; j < DOTS; j++)
        s[j][0] = s[j][1] = vdupq_n_f32(0);
    size_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES)
        UNROLL for (unsigned h = 0; h < 2; h++) {
            const float32x4_t x = vld1q_f32(b + i + h * LANES);
            UNROLL for (unsigned j = 0; j < DOTS; j++)
                s[j][h] = vfmaq_f32(s[j][h], vld1q_f32(a[j] + i + h * LANES), x);
        }
    UNROLL for (unsigned h = 0; h < 2; h++)
        if (i + h * LANES < n) {
            const size_t at = i + h * LANES, have = lanes_first(n - at);
            const float32x4_t x = lanes_load(have, b + at);
            UNROLL for (unsigned j = 0; j < DOTS; j++)
                s[j][h] = vfmaq_f32(s[j][h], lanes_load(have, a[j] + at), x);
        }
    UNROLL for (unsigned j = 0; j < DOTS; j++)
        out[j] = lanes_sum(vaddq_f32(s[j][0], s[j][1]));
}

#endif
