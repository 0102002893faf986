/* math_avx512.h - functions of 16 floats that the avx512 level computes itself. */
#ifndef GLIM_KERNELS_X86_MATH_AVX512_H
#define GLIM_KERNELS_X86_MATH_AVX512_H

#include <immintrin.h>

#include "kernels/x86/bytes_avx512.h"

/* e^x within 1.5 ulp where the result is normal; 0 below -105, infinity above 89, NaN of NaN.
 * x = n ln 2 + r, |r| <= ln 2 / 2; the series of e^r up to r^7 / 7! is off by less than 2^-27. */
INLINE __m512 exp_16(__m512 x)
{
    static const float series[] = {1.0f / 5040, 1.0f / 720, 1.0f / 120, 1.0f / 24,
                                   1.0f / 6,    1.0f / 2,   1.0f,       1.0f};
    x = _mm512_max_ps(_mm512_set1_ps(-105), x); /* of NaN and a number: the second operand */
    x = _mm512_min_ps(_mm512_set1_ps(89), x);
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x); /* ln 2: 14 bits, and */
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);     /* the rest */
    __m512 p = _mm512_set1_ps(series[0]);
    UNROLL for (unsigned i = 1; i < sizeof series / sizeof *series; i++)
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(series[i]));
    return _mm512_scalef_ps(p, n);
}

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
