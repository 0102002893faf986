/* vec_avx512.h - the registers of the avx512 level: 64 bytes, 16 lanes of 32 bits.
 *
 * decode_*.h, prefill.h and float.h are written in these names; vec_avx2.h has the same ones, half
 * as wide. What a name means stands here.
 */
#ifndef GLIM_KERNELS_X86_VEC_AVX512_H
#define GLIM_KERNELS_X86_VEC_AVX512_H

#include "kernels/x86/bytes_avx512.h"

#ifndef LEVEL /* a level above may use these registers too */
#define LEVEL(name) name##_avx512
#endif

enum { VEC_BYTES = 64, LANES = 16 };

typedef __m512i vint;     /* integers of 8, 16 or 32 bits: the operation says */
typedef __m512 vfloat;    /* f32 */
typedef __mmask16 vlanes; /* which lanes of 32 bits */

/* ---- integers ---- */
INLINE vint both(__m256i a, __m256i b)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

INLINE vint int_zero(void) { return _mm512_setzero_si512(); }
INLINE vint int_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE void int_store(void *p, vint v) { _mm512_storeu_si512(p, v); }
INLINE vint int_all(int32_t v) { return _mm512_set1_epi32(v); }
INLINE vint int_twice(vint v) { return _mm512_or_si512(v, _mm512_slli_epi32(v, 16)); }
INLINE vint int_xor(vint a, vint b) { return _mm512_xor_si512(a, b); }
INLINE vint int_and(vint a, vint b) { return _mm512_and_si512(a, b); }
INLINE vint int_or(vint a, vint b) { return _mm512_or_si512(a, b); }
INLINE vint int_up(vint v, unsigned bits) { return _mm512_slli_epi32(v, bits); }
INLINE vint int_down(vint v, unsigned bits) { return _mm512_srli_epi32(v, bits); }
INLINE vint int_down_signed(vint v, unsigned bits) { return _mm512_srai_epi32(v, bits); }
INLINE vint int_add(vint a, vint b) { return _mm512_add_epi32(a, b); }
INLINE vint mul_16(vint a, vint b) { return _mm512_mullo_epi16(a, b); }

/* Lane i of 32 bits: sum + a b + a' b' of its two integers of 16 bits. */
INLINE vint dot_16(vint sum, vint a, vint b) { return _mm512_dpwssd_epi32(sum, a, b); }

/* The same, for long loops. Not the intrinsic: gcc 12 then copies all sums twice in each round,
 * which costs a tenth of the speed. */
INLINE void add_dot_16(vint *sum, vint a, vint b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
}

/* Lane i: sum + the products of its four bytes of a, which have no sign, with those of b. */
INLINE void add_dot_8(vint *sum, vint a, vint b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
}

/* Lane i of 32 bits: what the products that add_dot_8 added to it come to. */
INLINE vint dot_8_sums(vint sum) { return sum; }

/* Signed bytes 0, 2, ... (1, 3, ...) as integers of 16 bits. */
INLINE vint even_bytes(vint v) { return _mm512_srai_epi16(_mm512_slli_epi16(v, 8), 8); }
INLINE vint odd_bytes(vint v) { return _mm512_srai_epi16(v, 8); }

/* Bytes without a sign: 0, 2, ... (1, 3, ...) as integers of 16 bits; each plus n. */
INLINE vint even_unsigned(vint v) { return int_and(v, int_all(0x00ff00ff)); }
INLINE vint odd_unsigned(vint v) { return _mm512_srli_epi16(v, 8); }
INLINE vint bytes_plus(vint v, int n)
{
    return n ? _mm512_add_epi8(v, _mm512_set1_epi8((char)n)) : v;
}

/* Lane i of 16 bits: a b + a' b' of its two bytes, those of a without a sign, with saturation. */
INLINE vint dot_8(vint a, vint b) { return _mm512_maddubs_epi16(a, b); }

/* Sixteen integers of 16 bits, those of register h of the 16/LANES it takes; without a sign. */
INLINE vint widen_signed(__m256i v, unsigned h)
{
    (void)h;
    return _mm512_cvtepi16_epi32(v);
}

INLINE vint widen_unsigned(__m256i v, unsigned h)
{
    (void)h;
    return _mm512_cvtepu16_epi32(v);
}

/* ---- floats ---- */
INLINE vfloat float_zero(void) { return _mm512_setzero_ps(); }
INLINE vfloat float_load(const void *p) { return _mm512_loadu_ps(p); }
INLINE void float_store(float *p, vfloat v) { _mm512_storeu_ps(p, v); }
INLINE vfloat float_all(float v) { return _mm512_set1_ps(v); }
INLINE vfloat half_all(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)load_16(p)));
}
INLINE vfloat float_of(vint v) { return _mm512_cvtepi32_ps(v); }
INLINE vfloat as_float(vint v) { return _mm512_castsi512_ps(v); }
INLINE vint as_int(vfloat v) { return _mm512_castps_si512(v); }
INLINE vfloat sub(vfloat a, vfloat b) { return _mm512_sub_ps(a, b); }
INLINE vfloat mul(vfloat a, vfloat b) { return _mm512_mul_ps(a, b); }
INLINE vfloat add(vfloat a, vfloat b) { return _mm512_add_ps(a, b); }
INLINE vfloat mul_add(vfloat a, vfloat b, vfloat c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vfloat sub_mul(vfloat a, vfloat b, vfloat c) { return _mm512_fnmadd_ps(a, b, c); }

/* Halves added to each other until one lane is left. */
INLINE float lanes_sum(vfloat v) { return _mm512_reduce_add_ps(v); }

/* ---- lanes that are four parts, and in them four rows ---- */
/* Of four rows' sums, four lanes of which are a part: each part's in one lane. */
INLINE vint parts_of_four(const vint v[4])
{
    const vint a = int_add(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const vint b = int_add(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    return int_add(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

/* Each row's parts together: (0 + 2) + (1 + 3). */
INLINE __m128 four_of_parts(const vfloat *v)
{
    const __m256 two = _mm256_add_ps(_mm512_castps512_ps256(v[0]),
                                     _mm512_extractf32x8_ps(v[0], 1));
    return _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps(two, 1));
}

/* ---- of LANES rows, `at` bytes from their starts ---- */
INLINE vint ints_at(const uint8_t *const row[LANES], size_t at)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(eight_ints(row, at)), eight_ints(row + 8, at),
                              1);
}

INLINE vfloat halves_at(const uint8_t *const row[LANES], size_t at)
{
    return _mm512_cvtph_ps(_mm256_setr_m128i(eight_halves(row, at), eight_halves(row + 8, at)));
}

/* ---- the first n lanes, all if n >= LANES ---- */
INLINE vlanes lanes_first(size_t n) { return first_lanes(n); }
INLINE vfloat lanes_load(vlanes have, const float *p) { return _mm512_maskz_loadu_ps(have, p); }
INLINE void lanes_store(float *p, vlanes have, vfloat v) { _mm512_mask_storeu_ps(p, have, v); }

/* v[i] lane j becomes v[j] lane i, 32-bit lanes. */
INLINE void transpose(vint v[LANES]) { transpose_16(v); }

#endif
