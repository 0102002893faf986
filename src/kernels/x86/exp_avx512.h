/* exp_avx512.h - e^x of 16 floats, within 1.1 ulp.
 *
 *     x = n ln 2 + r, |r| <= ln 2 / 2;   e^x = 2^n (1 + r + r^2 q(r))
 *
 * q of degree 4 is the polynomial that minimises the largest relative error (3.1e-9) over r,
 * found by Remez' exchange. n ln 2 is taken off in two steps: the first has 12 bits, so that its
 * product with n is exact. 2^n comes last and rounds once, also where the result is subnormal.
 */
#ifndef GLIM_KERNELS_X86_EXP_AVX512_H
#define GLIM_KERNELS_X86_EXP_AVX512_H

#include "kernels/x86/bytes_avx512.h"

/* m in [0.7, 1.5], n whole: e^x = m 2^n. */
struct exp_parts {
    __m512 m, n;
};

/* x + low, |low| far below x, |x| < 2^9; NaN gives NaN. */
INLINE struct exp_parts exp_parts(__m512 x, __m512 low)
{
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62ep-1f), x);
    r = _mm512_add_ps(_mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.0bfbe8p-15f), r), low);
    __m512 q = _mm512_set1_ps(0.001381453996f);
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0.00836874511f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0.04166839079f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0.166665204f));
    q = _mm512_fmadd_ps(q, r, _mm512_set1_ps(0.4999999343f));
    const __m512 tail = _mm512_fmadd_ps(_mm512_mul_ps(r, r), q, r);
    return (struct exp_parts){_mm512_add_ps(tail, _mm512_set1_ps(1)), n};
}

/* x between bounds; a NaN stays. */
INLINE __m512 clamp_ps(__m512 x, float least, float most)
{
    return _mm512_max_ps(_mm512_set1_ps(least), _mm512_min_ps(_mm512_set1_ps(most), x));
}

/* e^(x + low), with 0 below the range and infinity above it. */
INLINE __m512 exp_ps(__m512 x, __m512 low)
{
    const struct exp_parts e = exp_parts(clamp_ps(x, -104, 89), low);
    return _mm512_scalef_ps(e.m, e.n);
}

#endif
