/* math_avx512.h - functions of 16 floats that the avx512 level computes itself. */
#ifndef GLIM_KERNELS_X86_MATH_AVX512_H
#define GLIM_KERNELS_X86_MATH_AVX512_H

#include <immintrin.h>

#include "kernels/x86/bytes_avx512.h"

/* ---- e^x of 16 floats, within 1.1 ulp ----
 *
 *     x = n ln 2 + r, |r| <= ln 2 / 2;   e^x = 2^n (1 + r + r^2 q(r))
 *
 * q of degree 4 is the polynomial that minimises the largest relative error (3.1e-9) over r,
 * found by Remez' exchange. n ln 2 is taken off in two steps: the first has 12 bits, so that its
 * product with n is exact. 2^n comes last and rounds once, also where the result is subnormal.
 */

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
INLINE __m512 exp_16_sum(__m512 x, __m512 low)
{
    const struct exp_parts e = exp_parts(clamp_ps(x, -104, 89), low);
    return _mm512_scalef_ps(e.m, e.n);
}

INLINE __m512 exp_16(__m512 x) { return exp_16_sum(x, _mm512_setzero_ps()); }

/* The sums of a, b, c and d; lanes 4 apart are added as a tree at the end. */
INLINE __m128 sum_four(__m512 a, __m512 b, __m512 c, __m512 d)
{
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    const __m512 s = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                                   _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

#endif
