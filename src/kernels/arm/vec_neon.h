/* vec_neon.h - registers of 16 bytes, 4 lanes of 32 bits, in the names that simd/float.h is written
 * in (x86/vec_avx512.h says what they mean), and loads.
 */
#ifndef GLIM_KERNELS_ARM_VEC_NEON_H
#define GLIM_KERNELS_ARM_VEC_NEON_H

#include <arm_neon.h>

#include "kernels/simd/bits.h"

#define LEVEL(name) name##_neon

enum { LANES = 4 };

typedef float32x4_t vfloat;
typedef size_t vlanes; /* how many, from the first */

INLINE vfloat float_zero(void) { return vdupq_n_f32(0); }

INLINE vfloat float_load(const void *p)
{
    return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p));
}

INLINE vfloat float_all(float v) { return vdupq_n_f32(v); }
INLINE vfloat mul(vfloat a, vfloat b) { return vmulq_f32(a, b); }
INLINE vfloat add(vfloat a, vfloat b) { return vaddq_f32(a, b); }
INLINE vfloat mul_add(vfloat a, vfloat b, vfloat c) { return vfmaq_f32(c, a, b); }

/* Halves added to each other until one lane is left. */
INLINE float lanes_sum(vfloat v)
{
    const float32x2_t two = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* The eight bytes at p, twice. */
INLINE int64x2_t twice_at(const void *p)
{
    int64_t two;
    memcpy(&two, p, sizeof two);
    return vdupq_n_s64(two);
}

/* ---- the first n lanes, all if n >= LANES ---- */
INLINE vlanes lanes_first(size_t n) { return n < LANES ? n : LANES; }

INLINE vfloat lanes_load(vlanes have, const float *p)
{
    if (have == LANES)
        return vld1q_f32(p);
    float v[LANES] = {0};
    for (size_t i = 0; i < have; i++)
        v[i] = p[i];
    return vld1q_f32(v);
}

INLINE void lanes_store(float *p, vlanes have, vfloat v)
{
    if (have == LANES) {
        vst1q_f32(p, v);
        return;
    }
    float some[LANES];
    vst1q_f32(some, v);
    for (size_t i = 0; i < have; i++)
        p[i] = some[i];
}

#endif
