/* scales_avx512.h - the integer scales and minima of two super-blocks of K and IQ4 types at once.
 *
 * A register holds 16 words of the first block, then 16 of the second. Q4_K and Q5_K: 8 scales and
 * 8 minima, each for 32 columns. The others: 16 scales, each for 16, and Q2_K's minima apart.
 */
#ifndef GLIM_KERNELS_X86_SCALES_AVX512_H
#define GLIM_KERNELS_X86_SCALES_AVX512_H

#include "kernels/x86/vec_avx512.h"

/* Word j: bits of byte low[j], down[j] further down, those of `mask`; of byte top[j], those that
 * are top_down[j] - 8 further down, of `top_mask`; minus `less`. */
struct cut {
    unsigned at; /* the first of 16 bytes of a block, of which low and top are some */
    uint16_t low[16], down[16], mask[16], top[16], top_down[16], top_mask[16];
    int16_t less;
};

#define FOUR(v) v, v, v, v
#define EIGHT(v) FOUR(v), FOUR(v)
#define FOUR_FROM(v) v, v + 1, v + 2, v + 3

/* Bytes d d dmin dmin a[4] b[4] c[4]. Scale g < 4: six bits of a[g]; g >= 4: the low nibble of
 * c[g - 4] and the two top bits of a[g - 4]. Minima: b, and the high nibbles of c. */
static const struct cut cut_k = {
    .low = {FOUR_FROM(4), FOUR_FROM(12), FOUR_FROM(8), FOUR_FROM(12)},
    .down = {EIGHT(0), FOUR(0), FOUR(4)},
    .mask = {FOUR(0x3f), FOUR(0x0f), FOUR(0x3f), FOUR(0x0f)},
    .top = {FOUR(0), FOUR_FROM(4), FOUR(0), FOUR_FROM(8)},
    .top_down = {EIGHT(10), EIGHT(10)},
    .top_mask = {FOUR(0), FOUR(0x30), FOUR(0), FOUR(0x30)},
};

/* From byte 2 on: the low nibbles of 8 bytes, then their high ones; the two top bits in 4 bytes, of
 * which bits 0 and 1 come first. */
static const struct cut cut_q3_k = {
    .at = 94,
    .low = {FOUR_FROM(2), FOUR_FROM(6), FOUR_FROM(2), FOUR_FROM(6)},
    .down = {EIGHT(0), EIGHT(4)},
    .mask = {EIGHT(0x0f), EIGHT(0x0f)},
    .top = {FOUR_FROM(10), FOUR_FROM(10), FOUR_FROM(10), FOUR_FROM(10)},
    .top_down = {FOUR(4), FOUR(6), FOUR(8), FOUR(10)},
    .top_mask = {EIGHT(0x30), EIGHT(0x30)},
    .less = 32,
};

/* Bytes d d h[2] l[4]: eight times the next four bits of l and the next two of h, each twice. */
static const struct cut cut_iq4_xs = {
    .low = {FOUR(4), FOUR(5), FOUR(6), FOUR(7)},
    .down = {0, 0, 4, 4, 0, 0, 4, 4, 0, 0, 4, 4, 0, 0, 4, 4},
    .mask = {EIGHT(0x0f), EIGHT(0x0f)},
    .top = {EIGHT(2), EIGHT(3)},
    .top_down = {4, 4, 6, 6, 8, 8, 10, 10, 4, 4, 6, 6, 8, 8, 10, 10},
    .top_mask = {EIGHT(0x30), EIGHT(0x30)},
    .less = 32,
};

INLINE vint words_of(const uint16_t w[16])
{
    return _mm512_broadcast_i64x4(load_256((const uint8_t *)w));
}

/* 16 bytes of each of two blocks */
INLINE __m256i two_128(const uint8_t *const p[2], size_t at)
{
    return _mm256_setr_m128i(load_128(p[0] + at), load_128(p[1] + at));
}

INLINE vint cut_scales(const struct cut *c, const uint8_t *const p[2])
{
    const vint v = _mm512_castsi256_si512(two_128(p, c->at));
    const vint second = both(_mm256_setzero_si256(), _mm256_set1_epi8(16));
    const vint low = _mm512_permutexvar_epi8(int_or(words_of(c->low), second), v);
    const vint top = _mm512_permutexvar_epi8( /* in the words' high bytes */
        int_or(_mm512_slli_epi16(words_of(c->top), 8), second), v);
    const vint s = _mm512_ternarylogic_epi32( /* a | b & c */
        int_and(_mm512_srlv_epi16(low, words_of(c->down)), words_of(c->mask)),
        _mm512_srlv_epi16(top, words_of(c->top_down)), words_of(c->top_mask), 0xf8);
    return c->less ? _mm512_sub_epi16(s, _mm512_set1_epi16(c->less)) : s;
}

INLINE bool has_groups_of_32(enum dtype t) { return t == DT_Q4_K || t == DT_Q5_K; }

/* min: of types that have minima */
INLINE vint two_scales(enum dtype t, const uint8_t *const p[2], vint *min)
{
    switch (t) {
    case DT_Q2_K: {
        const vint words = _mm512_cvtepu8_epi16(two_128(p, 0));
        *min = _mm512_srli_epi16(words, 4);
        return int_and(words, _mm512_set1_epi16(15));
    }
    case DT_Q3_K: return cut_scales(&cut_q3_k, p);
    case DT_Q6_K: return _mm512_cvtepi8_epi16(two_128(p, 192));
    case DT_IQ4_XS: return cut_scales(&cut_iq4_xs, p);
    default: return *min = cut_scales(&cut_k, p);
    }
}

/* The numbers of the 16 parts of block i in lanes of 32 bits; of Q4_K and Q5_K the minima. */
INLINE vint parts_of(enum dtype t, vint words, unsigned i)
{
    if (!has_groups_of_32(t))
        return _mm512_cvtepi16_epi32(i ? _mm512_extracti64x4_epi64(words, 1)
                                       : _mm512_castsi512_si256(words));
    const vint each = _mm512_setr_epi32(8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15);
    const vint word = _mm512_add_epi32(each, int_all((int)(16 * i)));
    return _mm512_maskz_permutexvar_epi16(0x55555555, word, words);
}

/* The scales of chunk c of block i in the 16-bit lanes of its evens, or its odds. */
INLINE vint fold_of(enum dtype t, vint scale, unsigned i, unsigned c)
{
    const vint four = _mm512_setr_epi64(0, 0, 0x0001000100010001, 0x0001000100010001,
                                        0x0002000200020002, 0x0002000200020002,
                                        0x0003000300030003, 0x0003000300030003);
    const vint group = has_groups_of_32(t) ? int_and(_mm512_srli_epi16(four, 1), int_all(0x10001))
                                           : four;
    const unsigned first = 16 * i + (has_groups_of_32(t) ? 2 : 4) * c;
    const vint word = _mm512_add_epi16(group, _mm512_set1_epi16((short)first));
    return _mm512_permutexvar_epi16(word, scale);
}

#endif
