/* math_avx2.h - what the skeletons of simd/ beside the products ask of vec_avx2.h's registers
 * (math_avx512.h says what the names mean). Masked stores are slow: full registers go without.
 */
#ifndef GLIM_KERNELS_X86_MATH_AVX2_H
#define GLIM_KERNELS_X86_MATH_AVX2_H

#include "kernels/x86/vec_avx2.h"

/* ---- some of the lanes ---- */
typedef __m256i vmask; /* all bits of a lane, or none */

INLINE vmask mask_first(size_t n) { return lanes_first(n); }
INLINE vmask mask_and(vmask a, vmask b) { return _mm256_and_si256(a, b); }
INLINE unsigned mask_bits(vmask m) { return (unsigned)_mm256_movemask_ps(as_float(m)); }
INLINE vmask less(vfloat a, vfloat b) { return as_int(_mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
INLINE vmask equal(vfloat a, vfloat b) { return as_int(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
INLINE vmask int_above(vint a, vint b) { return _mm256_cmpgt_epi32(a, b); }
INLINE vmask int_equal(vint a, vint b) { return _mm256_cmpeq_epi32(a, b); }
INLINE vfloat choose(vmask m, vfloat a, vfloat b) { return _mm256_blendv_ps(b, a, as_float(m)); }
INLINE vfloat keep(vmask m, vfloat v) { return _mm256_and_ps(as_float(m), v); }
INLINE vint int_choose(vmask m, vint a, vint b) { return _mm256_blendv_epi8(b, a, m); }

INLINE vfloat load_first(const void *p, size_t n)
{
    return n < LANES ? lanes_load(lanes_first(n), p) : float_load(p);
}

INLINE void store_first(void *p, size_t n, vfloat v)
{
    if (n < LANES)
        lanes_store(p, lanes_first(n), v);
    else
        float_store(p, v);
}

/* ---- integers of 32 bits ---- */
INLINE vint lane_numbers(void) { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
INLINE vint int_load_first(const void *p, size_t n) { return as_int(load_first(p, n)); }
INLINE vint int_xor(vint a, vint b) { return _mm256_xor_si256(a, b); }
INLINE vint int_max(vint a, vint b) { return _mm256_max_epi32(a, b); }
INLINE vint int_near(vfloat v) { return _mm256_cvtps_epi32(v); }

/* ---- floats ---- */
INLINE vfloat divide(vfloat a, vfloat b) { return _mm256_div_ps(a, b); }
INLINE vfloat size_of(vfloat v) { return _mm256_and_ps(v, as_float(int_all(INT32_MAX))); }
INLINE vfloat round_near(vfloat v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vfloat round_down(vfloat v) { return _mm256_floor_ps(v); }
INLINE vfloat larger(vfloat a, vfloat b) { return _mm256_max_ps(a, b); }
INLINE vfloat smaller(vfloat a, vfloat b) { return _mm256_min_ps(a, b); }

INLINE float lanes_max(vfloat v)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

INLINE vfloat mul_sub(vfloat a, vfloat b, vfloat c) { return _mm256_fmsub_ps(a, b, c); }
INLINE vfloat mul_sub_add(vfloat a, vfloat b, vfloat c) { return _mm256_fmaddsub_ps(a, b, c); }

/* 2^n, |n| < 126 */
INLINE vfloat power_of(vint n) { return as_float(int_up(int_add(n, int_all(127)), 23)); }

INLINE vfloat times_power(vfloat v, vfloat n)
{
    const vint whole = int_max(int_near(n), int_all(-250)), half = int_down_signed(whole, 1);
    return mul(mul(v, power_of(half)), power_of(_mm256_sub_epi32(whole, half)));
}

INLINE void store_sums(float *p, vfloat a, vfloat b, vfloat c, vfloat d)
{
    const __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}

/* ---- lanes among themselves ---- */
INLINE vmask mask_with(int bits)
{
    return _mm256_cmpgt_epi32(_mm256_and_si256(lane_numbers(), int_all(bits)), int_zero());
}

INLINE vfloat neighbours(vfloat v) { return _mm256_permute_ps(v, 0xb1); }
INLINE vfloat evens_twice(vfloat v) { return _mm256_moveldup_ps(v); }
INLINE vfloat odds_twice(vfloat v) { return _mm256_movehdup_ps(v); }

INLINE vfloat partners(vfloat v, int half)
{
    return _mm256_permutevar8x32_ps(v, _mm256_xor_si256(lane_numbers(), int_all(half)));
}

/* Pairs of 32 bits: those of a and b by turns become a's, then b's. */
INLINE vfloat pairs_in_order(vfloat v)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}

INLINE vfloat evens_of(vfloat a, vfloat b)
{
    return pairs_in_order(_mm256_shuffle_ps(a, b, 0x88));
}

INLINE vfloat odds_of(vfloat a, vfloat b) { return pairs_in_order(_mm256_shuffle_ps(a, b, 0xdd)); }

/* ---- doubles, half as many ---- */
typedef __m256d vdouble;

INLINE vdouble double_all(double v) { return _mm256_set1_pd(v); }
INLINE vdouble double_add(vdouble a, vdouble b) { return _mm256_add_pd(a, b); }
INLINE vdouble double_sub(vdouble a, vdouble b) { return _mm256_sub_pd(a, b); }
INLINE vdouble double_mul(vdouble a, vdouble b) { return _mm256_mul_pd(a, b); }
INLINE vdouble double_mul_add(vdouble a, vdouble b, vdouble c)
{
    return _mm256_fmadd_pd(a, b, c);
}
INLINE vdouble widen_low(vfloat v) { return _mm256_cvtps_pd(_mm256_castps256_ps128(v)); }
INLINE vdouble widen_high(vfloat v) { return _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1)); }
INLINE vfloat narrow(vdouble low, vdouble high)
{
    return _mm256_setr_m128(_mm256_cvtpd_ps(low), _mm256_cvtpd_ps(high));
}

INLINE double doubles_sum(vdouble v)
{
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

INLINE vdouble doubles_first(vdouble v, size_t n)
{
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    const __m256i have = _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), lane);
    return _mm256_and_pd(_mm256_castsi256_pd(have), v);
}

/* ---- other types in memory ---- */

/* n < LANES elements of `bytes` each; AVX2 masks only loads of 32 bits. */
INLINE __m128i load_some(const uint8_t *p, size_t n, size_t bytes)
{
    uint8_t some[16] = {0};
    memcpy(some, p, n * bytes);
    return load_128(some);
}

INLINE void store_some(uint8_t *p, size_t n, size_t bytes, __m128i v)
{
    uint8_t some[16];
    memcpy(some, &v, sizeof some);
    memcpy(p, some, n * bytes);
}

INLINE __m128i eight_words(const uint8_t *p, size_t n)
{
    return n < LANES ? load_some(p, n, 2) : load_128(p);
}

INLINE __m128i eight_bytes(const uint8_t *p, size_t n)
{
    return n < LANES ? load_some(p, n, 1) : _mm_cvtsi64_si128((long long)load_64(p));
}

INLINE vfloat halves_first(const uint8_t *p, size_t n)
{
    return _mm256_cvtph_ps(eight_words(p, n));
}

INLINE vint words_first(const uint8_t *p, size_t n)
{
    return _mm256_cvtepu16_epi32(eight_words(p, n));
}

INLINE vint bytes_first(const uint8_t *p, size_t n)
{
    return _mm256_cvtepi8_epi32(eight_bytes(p, n));
}

INLINE void store_eight(uint8_t *p, size_t n, size_t bytes, __m128i v)
{
    if (n >= LANES)
        memcpy(p, &v, LANES * bytes);
    else
        store_some(p, n, bytes, v);
}

INLINE void store_halves(uint8_t *p, size_t n, vfloat v)
{
    store_eight(p, n, 2, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

INLINE __m128i low_words(vint v)
{
    return _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

INLINE void store_words(uint8_t *p, size_t n, vint v) { store_eight(p, n, 2, low_words(v)); }

INLINE void store_bytes(uint8_t *p, size_t n, vint v)
{
    const __m128i words = _mm_packs_epi32(half_of(v, 0), half_of(v, 1));
    store_eight(p, n, 1, _mm_packs_epi16(words, words));
}

#endif
