/* vector_avx512.c - norms and what works element by element, 16 lanes at a time.
 *
 * Sums are double, lane l of 16 takes the terms l, l + 16, ... and the lanes are added as a tree;
 * norms compute their outputs in double too and round once. The others are f32: softmax, silu and
 * sigmoid within 4 ulp (math_avx512.h), rope and axpy with one rounding less than written out.
 * A remainder is a masked register of the same operations, so nothing depends on alignment.
 */
#include <assert.h>
#include <math.h>

#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

enum { LANES = 16 };

/* ---- sums and results in double ---- */
struct twice { /* 16 floats as doubles */
    __m512d low, high;
};

INLINE struct twice widen(__m512 v)
{
    return (struct twice){_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                          _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1))};
}

INLINE __m512 narrow(struct twice v)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(v.low)),
                              _mm512_cvtpd_ps(v.high), 1);
}

INLINE double sum_lanes(struct twice v)
{
    return _mm512_reduce_add_pd(_mm512_add_pd(v.low, v.high));
}

/* sum of (x - mean)^power, power 1 or 2. */
INLINE double moment(const float *x, size_t n, double mean, int power)
{
    struct twice s = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    const __m512d m = _mm512_set1_pd(mean);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        struct twice v = widen(_mm512_maskz_loadu_ps(have, x + i));
        v.low = _mm512_maskz_sub_pd((__mmask8)have, v.low, m);
        v.high = _mm512_maskz_sub_pd((__mmask8)(have >> 8), v.high, m);
        if (power == 2) {
            s.low = _mm512_fmadd_pd(v.low, v.low, s.low);
            s.high = _mm512_fmadd_pd(v.high, v.high, s.high);
        } else {
            s.low = _mm512_add_pd(s.low, v.low);
            s.high = _mm512_add_pd(s.high, v.high);
        }
    }
    return sum_lanes(s);
}

/* y = g * (x - mean) * inv + b; b may be NULL for 0. */
INLINE void normalise(float *y, const float *x, const float *g, const float *b, size_t n,
                      double mean, double inv)
{
    const __m512d m = _mm512_set1_pd(mean), s = _mm512_set1_pd(inv);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        struct twice v = widen(_mm512_maskz_loadu_ps(have, x + i));
        const struct twice gain = widen(_mm512_maskz_loadu_ps(have, g + i));
        const struct twice base = widen(b ? _mm512_maskz_loadu_ps(have, b + i)
                                          : _mm512_setzero_ps());
        v.low = _mm512_mul_pd(_mm512_sub_pd(v.low, m), s);
        v.high = _mm512_mul_pd(_mm512_sub_pd(v.high, m), s);
        v.low = _mm512_fmadd_pd(v.low, gain.low, base.low);
        v.high = _mm512_fmadd_pd(v.high, gain.high, base.high);
        _mm512_mask_storeu_ps(y + i, have, narrow(v));
    }
}

void rmsnorm_avx512(float *y, const float *x, const float *g, size_t n, float eps)
{
    assert(n > 0);
    const double inv = 1.0 / sqrt(moment(x, n, 0, 2) / (double)n + (double)eps);
    normalise(y, x, g, NULL, n, 0, inv);
}

void layernorm_avx512(float *y, const float *x, const float *g, const float *b, size_t n,
                      float eps)
{
    assert(n > 0);
    const double mean = moment(x, n, 0, 1) / (double)n;
    const double inv = 1.0 / sqrt(moment(x, n, mean, 2) / (double)n + (double)eps);
    normalise(y, x, g, b, n, mean, inv);
}

/* ---- with exponentials ---- */
static __m512 largest(const float *x, size_t n)
{
    const __m512 none = _mm512_set1_ps(-INFINITY);
    __m512 most = none;
    for (size_t i = 0; i < n; i += LANES) /* a NaN is passed over; it comes back through exp */
        most = _mm512_max_ps(_mm512_mask_loadu_ps(none, first_lanes(n - i), x + i), most);
    return _mm512_set1_ps(_mm512_reduce_max_ps(most));
}

/* e^(x - max): the difference's own rounding error goes into the exponential, where it would
 * otherwise count for as much as the difference is long. */
INLINE __m512 exp_below(__m512 x, __m512 max)
{
    const __m512 d = _mm512_sub_ps(x, max), back = _mm512_sub_ps(d, x);
    const __m512 low = _mm512_sub_ps(_mm512_sub_ps(x, _mm512_sub_ps(d, back)),
                                     _mm512_add_ps(max, back));
    const __mmask16 near = _mm512_cmp_ps_mask(d, _mm512_set1_ps(-104), _CMP_GE_OQ);
    return exp_16_sum(d, _mm512_maskz_mov_ps(near, low));
}

void softmax_avx512(float *x, size_t n)
{
    assert(n > 0);
    const __m512 max = largest(x, n);
    struct twice s = {_mm512_setzero_pd(), _mm512_setzero_pd()};
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512 e = exp_below(_mm512_maskz_loadu_ps(have, x + i), max);
        const struct twice v = widen(_mm512_maskz_mov_ps(have, e));
        s.low = _mm512_add_pd(s.low, v.low);
        s.high = _mm512_add_pd(s.high, v.high);
        _mm512_mask_storeu_ps(x + i, have, e);
    }
    const __m512 sum = _mm512_set1_ps((float)sum_lanes(s));
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        _mm512_mask_storeu_ps(x + i, have,
                              _mm512_div_ps(_mm512_maskz_loadu_ps(have, x + i), sum));
    }
}

/* v and up give v / (1 + e^-v) * up. With e = e^-|v| = m 2^n this is v / (1 + e) * up, times e
 * below zero: 2^n is then multiplied in two halves around up, for neither the small factor nor the
 * product without it may leave the range before the result does. */
INLINE __m512 silu_times(__m512 v, __m512 up)
{
    const __m512 one = _mm512_set1_ps(1), zero = _mm512_setzero_ps();
    const __mmask16 below = _mm512_cmp_ps_mask(v, zero, _CMP_LT_OQ);
    const __mmask16 lost = _mm512_cmp_ps_mask(v, _mm512_set1_ps(-INFINITY), _CMP_EQ_OQ);
    const __m512 away = _mm512_sub_ps(zero, _mm512_abs_ps(v));
    const struct exp_parts e = exp_parts(clamp_ps(away, -300, 0), zero);
    const __m512 whole = _mm512_add_ps(one, _mm512_scalef_ps(e.m, e.n));
    const __m512 m = _mm512_mask_mul_ps(v, below, clamp_ps(v, -300, 0), e.m);
    const __m512 n = _mm512_maskz_mov_ps(below, e.n);
    const __m512 half = _mm512_floor_ps(_mm512_mul_ps(n, _mm512_set1_ps(0.5f)));
    const __m512 y = _mm512_mul_ps(_mm512_scalef_ps(_mm512_div_ps(m, whole), half), up);
    return _mm512_mask_mov_ps(_mm512_scalef_ps(y, _mm512_sub_ps(n, half)), lost,
                              _mm512_set1_ps(NAN));
}

void silu_mul_avx512(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        _mm512_mask_storeu_ps(y + i, have, silu_times(_mm512_maskz_loadu_ps(have, gate + i),
                                                      _mm512_maskz_loadu_ps(have, up + i)));
    }
}

void sigmoid_avx512(float *y, const float *x, size_t n)
{
    const __m512 one = _mm512_set1_ps(1), zero = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(have, x + i);
        const __m512 e = exp_16(_mm512_sub_ps(zero, _mm512_abs_ps(v)));
        const __mmask16 below = _mm512_cmp_ps_mask(v, zero, _CMP_LT_OQ);
        const __m512 part = _mm512_mask_mov_ps(one, below, e);
        _mm512_mask_storeu_ps(y + i, have, _mm512_div_ps(part, _mm512_add_ps(one, e)));
    }
}

void exp_avx512(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        _mm512_mask_storeu_ps(y + i, have, exp_16(_mm512_maskz_loadu_ps(have, x + i)));
    }
}

/* ---- sums of two ---- */
void add_avx512(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        _mm512_mask_storeu_ps(y + i, have, _mm512_add_ps(_mm512_maskz_loadu_ps(have, y + i),
                                                         _mm512_maskz_loadu_ps(have, x + i)));
    }
}

void axpy_avx512(float *y, float a, const float *x, size_t n)
{
    const __m512 factor = _mm512_set1_ps(a);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        _mm512_mask_storeu_ps(y + i, have,
                              _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(have, x + i),
                                              _mm512_maskz_loadu_ps(have, y + i)));
    }
}

/* ---- rotations ---- */

/* Pairs stand together, and so do their cos and sin: a c - b s in even lanes, b c + a s in odd. */
static void rope_neighbours(float *x, const float *cos_sin, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(have, x + i);
        const __m512 cs = _mm512_maskz_loadu_ps(have, cos_sin + i);
        const __m512 other = _mm512_mul_ps(_mm512_permute_ps(v, 0xb1), _mm512_movehdup_ps(cs));
        _mm512_mask_storeu_ps(x + i, have, _mm512_fmaddsub_ps(v, _mm512_moveldup_ps(cs), other));
    }
}

static void rope_halves(float *x, const float *cos_sin, size_t n)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28,
                                           30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const size_t half = n / 2;
    for (size_t i = 0; i < half; i += LANES) {
        const __mmask16 have = first_lanes(half - i);
        const float *const at = cos_sin + 2 * i;
        const size_t rest = n - 2 * i;
        const __m512 cs = _mm512_maskz_loadu_ps(first_lanes(rest), at);
        const __mmask16 more = rest > LANES ? first_lanes(rest - LANES) : 0;
        const __m512 next = _mm512_maskz_loadu_ps(more, at + LANES);
        const __m512 c = _mm512_permutex2var_ps(cs, even, next);
        const __m512 s = _mm512_permutex2var_ps(cs, odd, next);
        const __m512 a = _mm512_maskz_loadu_ps(have, x + i);
        const __m512 b = _mm512_maskz_loadu_ps(have, x + half + i);
        _mm512_mask_storeu_ps(x + i, have, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + half + i, have, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

void rope_avx512(float *x, const float *cos_sin, size_t n, bool interleaved)
{
    assert(n % 2 == 0);
    if (interleaved)
        rope_neighbours(x, cos_sin, n);
    else
        rope_halves(x, cos_sin, n);
}

/* The stages inside a register: lane l meets lane l ^ half. */
INLINE __m512 butterflies(__m512 v, size_t n)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    UNROLL for (int half = 1; half < LANES; half *= 2) {
        if ((size_t)half >= n)
            break;
        const __m512i bit = _mm512_set1_epi32(half);
        const __m512 other = _mm512_permutexvar_ps(_mm512_xor_epi32(lane, bit), v);
        v = _mm512_mask_sub_ps(_mm512_add_ps(v, other), _mm512_test_epi32_mask(lane, bit), other,
                               v);
    }
    return v;
}

void hadamard_avx512(float *x, size_t n)
{
    assert(n > 0 && (n & (n - 1)) == 0);
    const __mmask16 have = first_lanes(n);
    for (size_t i = 0; i < n; i += LANES)
        _mm512_mask_storeu_ps(x + i, have,
                              butterflies(_mm512_maskz_loadu_ps(have, x + i), n));
    for (size_t half = LANES; half < n; half *= 2)
        for (size_t start = 0; start < n; start += 2 * half)
            for (size_t i = start; i < start + half; i += LANES) {
                const __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + half);
                _mm512_storeu_ps(x + i, _mm512_add_ps(a, b));
                _mm512_storeu_ps(x + i + half, _mm512_sub_ps(a, b));
            }
    const __m512 scale = _mm512_set1_ps((float)(1.0 / sqrt((double)n)));
    for (size_t i = 0; i < n; i += LANES)
        _mm512_mask_storeu_ps(x + i, have,
                              _mm512_mul_ps(_mm512_maskz_loadu_ps(have, x + i), scale));
}
