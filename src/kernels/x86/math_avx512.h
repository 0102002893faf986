/* math_avx512.h - what the skeletons of simd/ beside the products ask of vec_avx512.h's registers;
 * math_avx2.h and arm/math_neon.h have the same names. What a name means stands here.
 */
#ifndef GLIM_KERNELS_X86_MATH_AVX512_H
#define GLIM_KERNELS_X86_MATH_AVX512_H

#include "kernels/x86/vec_avx512.h"

/* ---- some of the lanes ---- */
typedef __mmask16 vmask; /* any lanes */

INLINE vmask mask_first(size_t n) { return first_lanes(n); }
INLINE vmask mask_and(vmask a, vmask b) { return a & b; }
INLINE unsigned mask_bits(vmask m) { return m; } /* bit l: lane l */
INLINE vmask less(vfloat a, vfloat b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vmask equal(vfloat a, vfloat b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
INLINE vmask int_above(vint a, vint b) { return _mm512_cmpgt_epi32_mask(a, b); } /* signed */
INLINE vmask int_equal(vint a, vint b) { return _mm512_cmpeq_epi32_mask(a, b); }
/* a where m, else b; or 0 */
INLINE vfloat choose(vmask m, vfloat a, vfloat b) { return _mm512_mask_mov_ps(b, m, a); }
INLINE vfloat keep(vmask m, vfloat v) { return _mm512_maskz_mov_ps(m, v); }
INLINE vint int_choose(vmask m, vint a, vint b) { return _mm512_mask_mov_epi32(b, m, a); }

/* The first n of LANES floats at p, or all; the others are 0, or stay. */
INLINE vfloat load_first(const void *p, size_t n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

INLINE void store_first(void *p, size_t n, vfloat v)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
}

/* ---- integers of 32 bits ---- */
INLINE vint lane_numbers(void)
{
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
INLINE vint int_load_first(const void *p, size_t n)
{
    return _mm512_maskz_loadu_epi32(first_lanes(n), p);
}
INLINE vint int_max(vint a, vint b) { return _mm512_max_epi32(a, b); } /* signed */
INLINE vint int_near(vfloat v) { return _mm512_cvtps_epi32(v); } /* to nearest, ties to even */

/* ---- floats ---- */
INLINE vfloat divide(vfloat a, vfloat b) { return _mm512_div_ps(a, b); }
INLINE vfloat size_of(vfloat v) { return _mm512_abs_ps(v); }
INLINE vfloat round_near(vfloat v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vfloat round_down(vfloat v) { return _mm512_floor_ps(v); }
/* a > b ? a : b, so b if one of them is NaN; likewise */
INLINE vfloat larger(vfloat a, vfloat b) { return _mm512_max_ps(a, b); }
INLINE vfloat smaller(vfloat a, vfloat b) { return _mm512_min_ps(a, b); }
INLINE float lanes_max(vfloat v) { return _mm512_reduce_max_ps(v); }
/* a b - c */
INLINE vfloat mul_sub(vfloat a, vfloat b, vfloat c) { return _mm512_fmsub_ps(a, b, c); }
/* a b - c in even lanes, a b + c in odd ones */
INLINE vfloat mul_sub_add(vfloat a, vfloat b, vfloat c) { return _mm512_fmaddsub_ps(a, b, c); }
/* v 2^n, n whole, rounded once if v and v 2^(n/2) are normal; n < 250, and below -250 counts as
 * that or as itself */
INLINE vfloat times_power(vfloat v, vfloat n) { return _mm512_scalef_ps(v, n); }

/* p[4] = the sums of a, b, c and d; lanes 4 apart are added as a tree at the end. */
INLINE void store_sums(float *p, vfloat a, vfloat b, vfloat c, vfloat d)
{
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    const __m512 s = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                                   _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps(s, 1));
    _mm_storeu_ps(p, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

/* ---- lanes among themselves ---- */
INLINE vmask mask_with(int bits) /* lanes whose number has one of these bits */
{
    return _mm512_test_epi32_mask(lane_numbers(), int_all(bits));
}

INLINE vfloat neighbours(vfloat v) { return _mm512_permute_ps(v, 0xb1); } /* l takes l ^ 1 */
INLINE vfloat evens_twice(vfloat v) { return _mm512_moveldup_ps(v); }
INLINE vfloat odds_twice(vfloat v) { return _mm512_movehdup_ps(v); }

INLINE vfloat partners(vfloat v, int half) /* l takes l ^ half, a power of two */
{
    return _mm512_permutexvar_ps(_mm512_xor_epi32(lane_numbers(), int_all(half)), v);
}

/* Lanes 0, 2, ... of a, then of b; 1, 3, ... */
INLINE vfloat evens_of(vfloat a, vfloat b)
{
    const vint even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, even, b);
}

INLINE vfloat odds_of(vfloat a, vfloat b)
{
    const vint odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, odd, b);
}

/* ---- doubles, half as many ---- */
typedef __m512d vdouble;

INLINE vdouble double_all(double v) { return _mm512_set1_pd(v); }
INLINE vdouble double_add(vdouble a, vdouble b) { return _mm512_add_pd(a, b); }
INLINE vdouble double_sub(vdouble a, vdouble b) { return _mm512_sub_pd(a, b); }
INLINE vdouble double_mul(vdouble a, vdouble b) { return _mm512_mul_pd(a, b); }
INLINE vdouble double_mul_add(vdouble a, vdouble b, vdouble c)
{
    return _mm512_fmadd_pd(a, b, c);
}
INLINE vdouble widen_low(vfloat v) { return _mm512_cvtps_pd(_mm512_castps512_ps256(v)); }
INLINE vdouble widen_high(vfloat v) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)); }
INLINE vfloat narrow(vdouble low, vdouble high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high),
                              1);
}
INLINE double doubles_sum(vdouble v) { return _mm512_reduce_add_pd(v); } /* as lanes_sum */

INLINE vdouble doubles_first(vdouble v, size_t n) /* n <= LANES / 2 lanes, 0 in the others */
{
    return _mm512_maskz_mov_pd((__mmask8)first_lanes(n), v);
}

/* ---- other types in memory: the first n of LANES, or all; the others are 0, or stay ---- */
INLINE vfloat halves_first(const uint8_t *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

INLINE vint words_first(const uint8_t *p, size_t n) /* 16 bits without a sign */
{
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

INLINE vint bytes_first(const uint8_t *p, size_t n) /* with a sign */
{
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p));
}

INLINE void store_halves(uint8_t *p, size_t n, vfloat v) /* to nearest, ties to even */
{
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

INLINE void store_words(uint8_t *p, size_t n, vint v) /* integers below 2^16 */
{
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtepi32_epi16(v));
}

INLINE void store_bytes(uint8_t *p, size_t n, vint v) /* integers from -128 to 127 */
{
    _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtepi32_epi8(v));
}

#endif
