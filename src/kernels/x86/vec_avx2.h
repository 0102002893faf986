/* vec_avx2.h - the registers of the avx2 level: 32 bytes, 8 lanes of 32 bits (vec_avx512.h says
 * what the names mean).
 */
#ifndef GLIM_KERNELS_X86_VEC_AVX2_H
#define GLIM_KERNELS_X86_VEC_AVX2_H

#include "kernels/x86/bytes.h"

#define LEVEL(name) name##_avx2

enum { VEC_BYTES = 32, LANES = 8 };

typedef __m256i vint;
typedef __m256 vfloat;
typedef __m256i vlanes; /* all bits of a lane, or none */

/* ---- integers ---- */
INLINE vint int_zero(void) { return _mm256_setzero_si256(); }
INLINE vint int_load(const void *p) { return load_256(p); }
INLINE void int_store(void *p, vint v) { _mm256_storeu_si256(p, v); }
INLINE vint int_all(int32_t v) { return _mm256_set1_epi32(v); }
INLINE vint int_twice(vint v) { return _mm256_or_si256(v, _mm256_slli_epi32(v, 16)); }
INLINE vint int_and(vint a, vint b) { return _mm256_and_si256(a, b); }
INLINE vint int_or(vint a, vint b) { return _mm256_or_si256(a, b); }
INLINE vint int_up(vint v, unsigned bits) { return _mm256_slli_epi32(v, (int)bits); }
INLINE vint int_down(vint v, unsigned bits) { return _mm256_srli_epi32(v, (int)bits); }
INLINE vint int_down_signed(vint v, unsigned bits) { return _mm256_srai_epi32(v, (int)bits); }
INLINE vint int_add(vint a, vint b) { return _mm256_add_epi32(a, b); }
INLINE vint mul_16(vint a, vint b) { return _mm256_mullo_epi16(a, b); }

INLINE vint dot_16(vint sum, vint a, vint b)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}

/* As intrinsics, gcc 12 adds two products before it adds the sum, and runs out of registers. */
INLINE void add_dot_16(vint *sum, vint a, vint b)
{
    vint product;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
            : "+x"(*sum), "=&x"(product)
            : "x"(a), "x"(b));
}

/* Each lane in two halves of 16 bits, which must hold their sums. */
INLINE void add_dot_8(vint *sum, vint a, vint b)
{
    vint product;
    __asm__("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
            : "+x"(*sum), "=&x"(product)
            : "x"(a), "x"(b));
}

INLINE vint dot_8_sums(vint sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }

INLINE vint even_bytes(vint v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
INLINE vint odd_bytes(vint v) { return _mm256_srai_epi16(v, 8); }

/* Bytes without a sign: 0, 2, ... (1, 3, ...) as integers of 16 bits; each plus n. */
INLINE vint even_unsigned(vint v) { return int_and(v, int_all(0x00ff00ff)); }
INLINE vint odd_unsigned(vint v) { return _mm256_srli_epi16(v, 8); }
INLINE vint bytes_plus(vint v, int n)
{
    return n ? _mm256_add_epi8(v, _mm256_set1_epi8((char)n)) : v;
}

/* Lane i of 16 bits: a b + a' b' of its two bytes, those of a without a sign, with saturation. */
INLINE vint dot_8(vint a, vint b) { return _mm256_maddubs_epi16(a, b); }

INLINE __m128i half_of(__m256i v, unsigned h)
{
    return h ? _mm256_extracti128_si256(v, 1) : _mm256_castsi256_si128(v);
}

INLINE vint widen_signed(__m256i v, unsigned h) { return _mm256_cvtepi16_epi32(half_of(v, h)); }
INLINE vint widen_unsigned(__m256i v, unsigned h) { return _mm256_cvtepu16_epi32(half_of(v, h)); }

/* ---- floats ---- */
INLINE vfloat float_zero(void) { return _mm256_setzero_ps(); }
INLINE vfloat float_load(const void *p) { return _mm256_loadu_ps(p); }
INLINE void float_store(float *p, vfloat v) { _mm256_storeu_ps(p, v); }
INLINE vfloat float_all(float v) { return _mm256_set1_ps(v); }
INLINE vfloat half_all(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_set1_epi16((short)load_16(p)));
}
INLINE vfloat float_of(vint v) { return _mm256_cvtepi32_ps(v); }
INLINE vfloat as_float(vint v) { return _mm256_castsi256_ps(v); }
INLINE vint as_int(vfloat v) { return _mm256_castps_si256(v); }
INLINE vfloat sub(vfloat a, vfloat b) { return _mm256_sub_ps(a, b); }
INLINE vfloat mul(vfloat a, vfloat b) { return _mm256_mul_ps(a, b); }
INLINE vfloat add(vfloat a, vfloat b) { return _mm256_add_ps(a, b); }
INLINE vfloat mul_add(vfloat a, vfloat b, vfloat c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vfloat sub_mul(vfloat a, vfloat b, vfloat c) { return _mm256_fnmadd_ps(a, b, c); }

INLINE float lanes_sum(vfloat v)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* ---- lanes that are two parts of four, and in them four rows ---- */
INLINE vint parts_of_four(const vint v[4])
{
    const vint a = int_add(_mm256_unpacklo_epi32(v[0], v[1]), _mm256_unpackhi_epi32(v[0], v[1]));
    const vint b = int_add(_mm256_unpacklo_epi32(v[2], v[3]), _mm256_unpackhi_epi32(v[2], v[3]));
    return int_add(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

INLINE __m128 four_of_parts(const vfloat *v)
{
    const __m256 two = add(v[0], v[1]);
    return _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps(two, 1));
}

/* ---- of LANES rows ---- */
INLINE vint ints_at(const uint8_t *const row[LANES], size_t at) { return eight_ints(row, at); }

INLINE vfloat halves_at(const uint8_t *const row[LANES], size_t at)
{
    return _mm256_cvtph_ps(eight_halves(row, at));
}

/* ---- the first n lanes ---- */
INLINE vlanes lanes_first(size_t n)
{
    const vint index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(int_all(n >= LANES ? LANES : (int)n), index);
}

INLINE vfloat lanes_load(vlanes have, const float *p) { return _mm256_maskload_ps(p, have); }
INLINE void lanes_store(float *p, vlanes have, vfloat v) { _mm256_maskstore_ps(p, have, v); }

INLINE void transpose(vint v[LANES])
{
    vint a[LANES];
    for (unsigned i = 0; i < LANES; i += 2) {
        a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (unsigned i = 0; i < LANES; i += 4) {
        v[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        v[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        v[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        v[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    for (unsigned i = 0; i < LANES / 2; i++) { /* 128-bit lanes: 2 x 2 blocks */
        a[i] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x20);
        a[i + 4] = _mm256_permute2x128_si256(v[i], v[i + 4], 0x31);
    }
    UNROLL for (unsigned i = 0; i < LANES; i++)
        v[i] = a[i];
}

#endif
