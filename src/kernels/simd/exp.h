/* exp.h - e^x of a register of floats, in the names of math_*.h, within 1.1 ulp.
 *
 *     x = n ln 2 + r, |r| <= ln 2 / 2;   e^x = 2^n (1 + r + r^2 q(r))
 *
 * q of degree 4 is the polynomial that minimises the largest relative error (3.1e-9) over r,
 * found by Remez' exchange. n ln 2 is taken off in two steps: the first has 12 bits, so that its
 * product with n is exact. 2^n comes last and rounds once, also where the result is subnormal.
 */
#ifndef GLIM_KERNELS_SIMD_EXP_H
#define GLIM_KERNELS_SIMD_EXP_H

/* m in [0.7, 1.5], n whole: e^x = m 2^n. */
struct exp_parts {
    vfloat m, n;
};

/* x + low, |low| far below x, |x| < 2^9; NaN gives NaN. */
INLINE struct exp_parts exp_parts(vfloat x, vfloat low)
{
    const vfloat n = round_near(mul(x, float_all(0x1.715476p+0f)));
    vfloat r = sub_mul(n, float_all(0x1.62ep-1f), x);
    r = add(sub_mul(n, float_all(0x1.0bfbe8p-15f), r), low);
    vfloat q = float_all(0.001381453996f);
    q = mul_add(q, r, float_all(0.00836874511f));
    q = mul_add(q, r, float_all(0.04166839079f));
    q = mul_add(q, r, float_all(0.166665204f));
    q = mul_add(q, r, float_all(0.4999999343f));
    const vfloat tail = mul_add(mul(r, r), q, r);
    return (struct exp_parts){add(tail, float_all(1)), n};
}

/* x between bounds; a NaN stays. */
INLINE vfloat clamp(vfloat x, float least, float most)
{
    return larger(float_all(least), smaller(float_all(most), x));
}

/* e^(x + low), with 0 below the range and infinity above it. */
INLINE vfloat exp_of_sum(vfloat x, vfloat low)
{
    const struct exp_parts e = exp_parts(clamp(x, -104, 89), low);
    return times_power(e.m, e.n);
}

INLINE vfloat exp_of(vfloat x) { return exp_of_sum(x, float_zero()); }

#endif
