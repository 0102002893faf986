/* math_neon.h - what the skeletons of simd/ beside the products ask of vec_neon.h's registers
 * (x86/math_avx512.h and vec_avx512.h say what the names mean).
 */
#ifndef GLIM_KERNELS_ARM_MATH_NEON_H
#define GLIM_KERNELS_ARM_MATH_NEON_H

#include "kernels/arm/vec_neon.h"

/* ---- some of the lanes ---- */
typedef uint32x4_t vmask; /* all bits of a lane, or none */
typedef int32x4_t vint;

INLINE vint lane_numbers(void) { return (vint){0, 1, 2, 3}; }
INLINE vint int_all(int32_t v) { return vdupq_n_s32(v); }
INLINE vmask mask_first(size_t n)
{
    return vcgtq_s32(int_all(n < LANES ? (int32_t)n : LANES), lane_numbers());
}
INLINE vmask mask_with(int bits) { return vtstq_s32(lane_numbers(), int_all(bits)); }
INLINE vmask mask_and(vmask a, vmask b) { return vandq_u32(a, b); }
INLINE unsigned mask_bits(vmask m) { return vaddvq_u32(vandq_u32(m, (vmask){1, 2, 4, 8})); }
INLINE vmask less(vfloat a, vfloat b) { return vcltq_f32(a, b); }
INLINE vmask equal(vfloat a, vfloat b) { return vceqq_f32(a, b); }
INLINE vmask int_above(vint a, vint b) { return vcgtq_s32(a, b); }
INLINE vmask int_equal(vint a, vint b) { return vceqq_s32(a, b); }
INLINE vfloat choose(vmask m, vfloat a, vfloat b) { return vbslq_f32(m, a, b); }
INLINE vint int_choose(vmask m, vint a, vint b) { return vbslq_s32(m, a, b); }

/* ---- the first n of LANES elements in memory, or all ---- */

/* `bytes` each, in the low bytes, 0 above them. */
INLINE uint64_t some_bytes(const uint8_t *p, size_t n, size_t bytes)
{
    uint64_t some = 0;
    if (n >= LANES)
        memcpy(&some, p, LANES * bytes);
    else
        memcpy(&some, p, n * bytes);
    return some;
}

INLINE void store_some(uint8_t *p, size_t n, size_t bytes, uint64_t some)
{
    if (n >= LANES)
        memcpy(p, &some, LANES * bytes);
    else
        memcpy(p, &some, n * bytes);
}

INLINE vfloat load_first(const void *p, size_t n)
{
    float some[LANES] = {0};
    if (n >= LANES)
        return float_load(p);
    memcpy(some, p, n * sizeof *some);
    return vld1q_f32(some);
}

INLINE void float_store(float *p, vfloat v) { vst1q_f32(p, v); }

INLINE void store_first(void *p, size_t n, vfloat v)
{
    float some[LANES];
    if (n >= LANES) {
        memcpy(p, &v, sizeof v);
        return;
    }
    vst1q_f32(some, v);
    memcpy(p, some, n * sizeof *some);
}

INLINE vfloat halves_first(const uint8_t *p, size_t n)
{
    return vcvt_f32_f16(vreinterpret_f16_u64(vcreate_u64(some_bytes(p, n, 2))));
}

INLINE vint words_first(const uint8_t *p, size_t n)
{
    return vreinterpretq_s32_u32(vmovl_u16(vcreate_u16(some_bytes(p, n, 2))));
}

INLINE vint bytes_first(const uint8_t *p, size_t n)
{
    return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(some_bytes(p, n, 1)))));
}

INLINE uint64_t eight_bytes(uint16x4_t v) { return vget_lane_u64(vreinterpret_u64_u16(v), 0); }

INLINE void store_halves(uint8_t *p, size_t n, vfloat v)
{
    store_some(p, n, 2, eight_bytes(vreinterpret_u16_f16(vcvt_f16_f32(v))));
}

INLINE void store_words(uint8_t *p, size_t n, vint v)
{
    store_some(p, n, 2, eight_bytes(vmovn_u32(vreinterpretq_u32_s32(v))));
}

INLINE void store_bytes(uint8_t *p, size_t n, vint v)
{
    const int16x4_t words = vmovn_s32(v);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    store_some(p, n, 1, vget_lane_u64(vreinterpret_u64_s8(bytes), 0));
}

/* ---- integers of 32 bits ---- */
INLINE vfloat as_float(vint v) { return vreinterpretq_f32_s32(v); }
INLINE vint as_int(vfloat v) { return vreinterpretq_s32_f32(v); }
INLINE vint int_zero(void) { return int_all(0); }
INLINE vint int_load(const int32_t *p) { return vld1q_s32(p); }
INLINE vint int_load_first(const void *p, size_t n) { return as_int(load_first(p, n)); }
INLINE void int_store(int32_t *p, vint v) { vst1q_s32(p, v); }
INLINE vint int_and(vint a, vint b) { return vandq_s32(a, b); }
INLINE vint int_or(vint a, vint b) { return vorrq_s32(a, b); }
INLINE vint int_xor(vint a, vint b) { return veorq_s32(a, b); }
INLINE vint int_add(vint a, vint b) { return vaddq_s32(a, b); }
INLINE vint int_max(vint a, vint b) { return vmaxq_s32(a, b); }
INLINE vint int_up(vint v, unsigned bits) { return vshlq_s32(v, int_all((int32_t)bits)); }
INLINE vint int_down_signed(vint v, unsigned bits) { return vshlq_s32(v, int_all(-(int32_t)bits)); }
INLINE vint int_down(vint v, unsigned bits)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), int_all(-(int32_t)bits)));
}
INLINE vint int_near(vfloat v) { return vcvtnq_s32_f32(v); }
INLINE vfloat float_of(vint v) { return vcvtq_f32_s32(v); }

/* ---- floats ---- */
INLINE vfloat sub(vfloat a, vfloat b) { return vsubq_f32(a, b); }
INLINE vfloat divide(vfloat a, vfloat b) { return vdivq_f32(a, b); }
INLINE vfloat size_of(vfloat v) { return vabsq_f32(v); }
INLINE vfloat keep(vmask m, vfloat v) { return choose(m, v, float_zero()); }
INLINE vfloat round_near(vfloat v) { return vrndnq_f32(v); }
INLINE vfloat round_down(vfloat v) { return vrndmq_f32(v); }
INLINE vfloat larger(vfloat a, vfloat b) { return choose(vcgtq_f32(a, b), a, b); }
INLINE vfloat smaller(vfloat a, vfloat b) { return choose(vcltq_f32(a, b), a, b); }
INLINE float lanes_max(vfloat v) { return vmaxvq_f32(v); }
INLINE vfloat sub_mul(vfloat a, vfloat b, vfloat c) { return vfmsq_f32(c, a, b); }
INLINE vfloat mul_sub(vfloat a, vfloat b, vfloat c) { return vfmaq_f32(vnegq_f32(c), a, b); }
INLINE vfloat mul_sub_add(vfloat a, vfloat b, vfloat c)
{
    const vint signs = {INT32_MIN, 0, INT32_MIN, 0};
    return vfmaq_f32(as_float(int_xor(as_int(c), signs)), a, b);
}

/* 2^n, |n| < 126 */
INLINE vfloat power_of(vint n) { return as_float(int_up(int_add(n, int_all(127)), 23)); }

INLINE vfloat times_power(vfloat v, vfloat n)
{
    const vint whole = int_max(int_near(n), int_all(-250)), half = int_down_signed(whole, 1);
    return mul(mul(v, power_of(half)), power_of(vsubq_s32(whole, half)));
}

INLINE void store_sums(float *p, vfloat a, vfloat b, vfloat c, vfloat d)
{
    vst1q_f32(p, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}

/* ---- lanes among themselves ---- */
INLINE vfloat neighbours(vfloat v) { return vrev64q_f32(v); }
INLINE vfloat evens_twice(vfloat v) { return vtrn1q_f32(v, v); }
INLINE vfloat odds_twice(vfloat v) { return vtrn2q_f32(v, v); }
INLINE vfloat partners(vfloat v, int half)
{
    return half == 1 ? vrev64q_f32(v) : vextq_f32(v, v, 2);
}
INLINE vfloat evens_of(vfloat a, vfloat b) { return vuzp1q_f32(a, b); }
INLINE vfloat odds_of(vfloat a, vfloat b) { return vuzp2q_f32(a, b); }

INLINE vint low_pairs(vint a, vint b) /* lanes 0 and 1 of a, then of b */
{
    return vcombine_s32(vget_low_s32(a), vget_low_s32(b));
}

INLINE vint high_pairs(vint a, vint b)
{
    return vcombine_s32(vget_high_s32(a), vget_high_s32(b));
}

INLINE void transpose(vint v[LANES])
{
    const vint a = vtrn1q_s32(v[0], v[1]), b = vtrn2q_s32(v[0], v[1]);
    const vint c = vtrn1q_s32(v[2], v[3]), d = vtrn2q_s32(v[2], v[3]);
    v[0] = low_pairs(a, c);
    v[1] = low_pairs(b, d);
    v[2] = high_pairs(a, c);
    v[3] = high_pairs(b, d);
}

/* ---- doubles, half as many ---- */
typedef float64x2_t vdouble;

INLINE vdouble double_all(double v) { return vdupq_n_f64(v); }
INLINE vdouble double_add(vdouble a, vdouble b) { return vaddq_f64(a, b); }
INLINE vdouble double_sub(vdouble a, vdouble b) { return vsubq_f64(a, b); }
INLINE vdouble double_mul(vdouble a, vdouble b) { return vmulq_f64(a, b); }
INLINE vdouble double_mul_add(vdouble a, vdouble b, vdouble c) { return vfmaq_f64(c, a, b); }
INLINE vdouble widen_low(vfloat v) { return vcvt_f64_f32(vget_low_f32(v)); }
INLINE vdouble widen_high(vfloat v) { return vcvt_high_f64_f32(v); }
INLINE vfloat narrow(vdouble low, vdouble high)
{
    return vcvt_high_f32_f64(vcvt_f32_f64(low), high);
}
INLINE double doubles_sum(vdouble v) { return vaddvq_f64(v); }
INLINE vdouble doubles_first(vdouble v, size_t n)
{
    return n == 0 ? double_all(0) : n == 1 ? vsetq_lane_f64(0, v, 1) : v;
}

#endif
