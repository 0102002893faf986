/* lattice_avx512.h - the IQ1, IQ2 and IQ3 super-blocks (simd/points.h) in registers of 64 bytes.
 *
 * Decode takes the blocks of two rows. 64 points are looked up at once, those of a block of IQ3 or
 * of two of the others, and without a load for each: a permutation finds 64 bytes among 128, and
 * bits of the indices above the seventh say which of several is right. Halves of points are bytes.
 * Signs and scales are fields of the same few words and are cut out of them together.
 */
#ifndef GLIM_KERNELS_X86_LATTICE_AVX512_H
#define GLIM_KERNELS_X86_LATTICE_AVX512_H

#include "kernels/x86/lattice.h"
#include "kernels/x86/lattice_tables.h"
#include "kernels/x86/vec_avx512.h"

/* Two blocks, before their chunks are unpacked. */
struct looked_up {
    vint points[2][2]; /* of each block, or, if of eight coordinates, of both in the first: in lanes
                        * of 128 bits 8 of 16 as words, and the other 8 */
    vint scale;        /* words: 16 scales of each */
    uint64_t bits[2][4]; /* of each weight: negative; IQ1: shifted down */
};

INLINE bool is_iq1(enum dtype t) { return t == DT_IQ1_S || t == DT_IQ1_M; }

/* a in the first four qwords, b in the others */
INLINE vint both_all(uint64_t a, uint64_t b)
{
    return both(_mm256_set1_epi64x((long long)a), _mm256_set1_epi64x((long long)b));
}

/* Byte j of each qword: eight bits of it from bit (at >> 8 j & 63) on, round and round. */
INLINE vint fields(vint v, uint64_t at)
{
    return _mm512_multishift_epi64_epi8(_mm512_set1_epi64((long long)at), v);
}

/* ---- lists ---- */

struct list {
    const uint8_t *half[2];
    size_t n;
};

INLINE struct list list_of(enum dtype t)
{
    switch (t) {
    case DT_IQ2_XXS: return (struct list){{iq2_xxs_halves[0], iq2_xxs_halves[1]}, 256};
    case DT_IQ2_XS: return (struct list){{iq2_xs_halves[0], iq2_xs_halves[1]}, 512};
    case DT_IQ2_S: return (struct list){{iq2_s_halves[0], iq2_s_halves[1]}, 1024};
    case DT_IQ3_XXS: return (struct list){{iq3_xxs_halves[0], iq3_xxs_halves[1]}, 256};
    case DT_IQ3_S: return (struct list){{iq3_s_halves[0], iq3_s_halves[1]}, 512};
    default: return (struct list){{iq1_halves[0], iq1_halves[1]}, 2048};
    }
}

/* 64 indices into a list: eight bits, and up to three above them. */
struct indices {
    vint low;
    __mmask64 top[3];
};

/* The byte that each index names. Parts of 128 come in order and are joined as a counter's bits. */
INLINE vint bytes_in(const uint8_t *list, size_t n, const struct indices *x)
{
    vint held[6];
    const __mmask64 seventh = _mm512_movepi8_mask(x->low);
    UNROLL for (unsigned k = 0; k < n / 128; k++) {
        const uint8_t *const part = list + 128 * k;
        vint v = _mm512_permutex2var_epi8(int_load(part), x->low, int_load(part + 64));
        unsigned b = 0;
        UNROLL for (; k >> b & 1; b++)
            v = _mm512_mask_blend_epi8(b ? x->top[b - 1] : seventh, held[b], v);
        held[b] = v;
    }
    return n == 256 ? held[1] : n == 512 ? held[2] : n == 1024 ? held[3] : held[4];
}

INLINE void points_in(const struct list *list, const struct indices *x, vint points[2])
{
    const vint low = bytes_in(list->half[0], list->n, x);
    const vint high = bytes_in(list->half[1], list->n, x);
    points[0] = _mm512_unpacklo_epi8(low, high);
    points[1] = _mm512_unpackhi_epi8(low, high);
}

/* ---- signs and scales of two blocks ---- */

/* Kept in memory, from where masks are loaded. Not left to the compiler: it would take the register
 * apart instead, three instructions a mask. */
INLINE void keep_bits(struct looked_up *x, vint bits)
{
    _mm512_storeu_si512(x->bits, bits);
    __asm__("" : "+m"(x->bits));
}

/* Bytes of seven sign bits (the top one is free) as eight. */
INLINE vint eight_signs(vint seven)
{
    return _mm512_permutex2var_epi8(int_load(eight_signs_of), seven, int_load(eight_signs_of + 64));
}

/* 2 s + 1, s of `width` bits: the word's low byte comes from one bit below s on. */
INLINE vint scales_at(vint words, vint at, unsigned width)
{
    return _mm512_ternarylogic_epi32(_mm512_multishift_epi64_epi8(at, words),
                                     _mm512_set1_epi16((short)((2u << width) - 2)),
                                     _mm512_set1_epi16(1), 0xea);
}

/* The places of 16 scales in a qword, those of words 0 to 3 in a, of the next in a + step. */
INLINE vint places(uint64_t a, uint64_t step)
{
    const long long q[4] = {(long long)a, (long long)(a + step), (long long)(a + 2 * step),
                            (long long)(a + 3 * step)};
    return _mm512_setr_epi64(q[0], q[1], q[2], q[3], q[0], q[1], q[2], q[3]);
}

/* IQ2_XXS, IQ3_XXS: 4 times 7 bits of sign, 4 of scale, in each of 16 words. */
INLINE void signs_and_scales(struct looked_up *x, vint words)
{
    keep_bits(x, eight_signs(fields(words, 0x352e2720150e0700)));
    x->scale = scales_at(words, _mm512_set1_epi64(0x003b003b001b001b), 4);
}

/* ---- blocks ---- */

INLINE void look_up_iq3(enum dtype t, const uint8_t *const p[2], struct looked_up *x)
{
    const struct list list = list_of(t);
    UNROLL for (unsigned i = 0; i < 2; i++) {
        const struct indices one = {int_load(p[i] + 2),
                                    {t == DT_IQ3_S ? load_64(p[i] + 66) : 0}};
        points_in(&list, &one, x->points[i]);
    }
    if (t == DT_IQ3_S) {
        keep_bits(x, both(load_256(p[0] + 74), load_256(p[1] + 74)));
        x->scale = scales_at(both_all(load_32(p[0] + 106), load_32(p[1] + 106)),
                             places(0x0003000300ff00ff, 0x0008000800080008), 4);
    } else {
        signs_and_scales(x, both(load_256(p[0] + 66), load_256(p[1] + 66)));
    }
}

INLINE void look_up_iq2_xxs(const uint8_t *const p[2], struct looked_up *x)
{
    const struct list list = list_of(DT_IQ2_XXS);
    const vint a = int_load(p[0] + 2), b = int_load(p[1] + 2);
    const vint even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const vint odd = _mm512_or_si512(even, int_all(1));
    const struct indices index = {.low = _mm512_permutex2var_epi32(a, even, b)};
    points_in(&list, &index, x->points[0]);
    signs_and_scales(x, _mm512_permutex2var_epi32(a, odd, b));
}

/* Words with the bit, of a and of b. */
INLINE __mmask64 words_with(vint a, vint b, unsigned bit)
{
    const vint one = _mm512_set1_epi16((short)(1u << bit));
    return _mm512_kunpackd(_mm512_test_epi16_mask(b, one), _mm512_test_epi16_mask(a, one));
}

INLINE void look_up_iq2_xs(const uint8_t *const p[2], struct looked_up *x)
{
    const struct list list = list_of(DT_IQ2_XS);
    const vint a = int_load(p[0] + 2), b = int_load(p[1] + 2);
    const struct indices index = {both(_mm512_cvtepi16_epi8(a), _mm512_cvtepi16_epi8(b)),
                                  {words_with(a, b, 8)}};
    points_in(&list, &index, x->points[0]);
    keep_bits(x, eight_signs(both(_mm512_cvtepi16_epi8(_mm512_srli_epi16(a, 9)),
                                  _mm512_cvtepi16_epi8(_mm512_srli_epi16(b, 9)))));
    x->scale = scales_at(both_all(load_64(p[0] + 66), load_64(p[1] + 66)),
                         places(0x000b0007000300ff, 0x0010001000100010), 4);
}

INLINE void look_up_iq2_s(const uint8_t *const p[2], struct looked_up *x)
{
    const struct list list = list_of(DT_IQ2_S);
    const uint64_t a = load_64(p[0] + 66), b = load_64(p[1] + 66);
    const uint64_t even = 0x5555555555555555;
    const struct indices index = {both(load_256(p[0] + 2), load_256(p[1] + 2)),
                                  {_pext_u64(a, even) | _pext_u64(b, even) << 32,
                                   _pext_u64(a, ~even) | _pext_u64(b, ~even) << 32}};
    points_in(&list, &index, x->points[0]);
    keep_bits(x, both(load_256(p[0] + 34), load_256(p[1] + 34)));
    x->scale = scales_at(both_all(load_64(p[0] + 74), load_64(p[1] + 74)),
                         places(0x000b0007000300ff, 0x0010001000100010), 4);
}

INLINE void look_up_iq1(enum dtype t, const uint8_t *const p[2], struct looked_up *x)
{
    const struct list list = list_of(t);
    const bool s = t == DT_IQ1_S;
    const size_t low = s ? 2 : 0, top = s ? 34 : 32;
    const __m128i c = load_128(p[0] + top), d = load_128(p[1] + top);
    const uint64_t at = s ? 0x0900060003000000 : 0x0c00080004000000; /* high bytes: top bits */
    const vint a = fields(_mm512_cvtepu16_epi64(c), at), b = fields(_mm512_cvtepu16_epi64(d), at);
    struct indices index = {.low = both(load_256(p[0] + low), load_256(p[1] + low))};
    UNROLL for (unsigned i = 0; i < 3; i++)
        index.top[i] = words_with(a, b, 8 + i);
    points_in(&list, &index, x->points[0]);
    if (s) {
        const vint words = _mm512_cvtepi16_epi32(_mm256_setr_m128i(c, d));
        keep_bits(x, _mm512_srai_epi32(words, 31));
        x->scale = scales_at(words, _mm512_set1_epi64(0x002b002b000b000b), 3);
    } else {
        keep_bits(x, _mm512_movm_epi8(words_with(a, b, 11)));
        x->scale = scales_at(both_all(load_64(p[0] + 48), load_64(p[1] + 48)),
                             places(0x00080005000200ff, 0x0010001000100010), 3);
    }
}

INLINE void look_up(enum dtype t, const uint8_t *const p[2], struct looked_up *x)
{
    switch (t) {
    case DT_IQ2_XXS: look_up_iq2_xxs(p, x); break;
    case DT_IQ2_XS: look_up_iq2_xs(p, x); break;
    case DT_IQ2_S: look_up_iq2_s(p, x); break;
    case DT_IQ3_XXS:
    case DT_IQ3_S: look_up_iq3(t, p, x); break;
    default: look_up_iq1(t, p, x);
    }
}

/* ---- chunks ---- */

/* Points of eight coordinates, each in a qword: the coordinates' values, LATTICE_ADDED to each. */
INLINE vint eights(vint points, const int8_t *value)
{
    return _mm512_permutexvar_epi8(
        fields(points, 0x0e0c0a0806040200),
        bytes_plus(int_all((int)load_32((const uint8_t *)value)), LATTICE_ADDED));
}

/* The s-th eight points of two blocks'. */
INLINE vint eight_of(const vint points[2], unsigned s)
{
    const vint each = _mm512_setr_epi64(0, 0x0001000100010001, 0x0002000200020002,
                                        0x0003000300030003, 0x0004000400040004,
                                        0x0005000500050005, 0x0006000600060006,
                                        0x0007000700070007);
    const vint lane = _mm512_set1_epi16((short)(s / 2 * 8));
    return _mm512_permutexvar_epi16(_mm512_add_epi16(each, lane), points[s % 2]);
}

/* Sixteen points of four coordinates, lane c of both registers. */
INLINE vint fours(const vint points[2], const int8_t *value, unsigned c)
{
    const vint each = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 16, 16, 17, 17, 18, 18, 19, 19);
    const vint two = _mm512_permutex2var_epi32(
        points[0], _mm512_add_epi32(each, int_all((int)(4 * c))), points[1]);
    const vint values = _mm512_set1_epi64((long long)load_64((const uint8_t *)value));
    return _mm512_permutexvar_epi8(fields(two, 0x1c1814100c080400),
                                   bytes_plus(values, LATTICE_ADDED));
}

/* v, to which LATTICE_ADDED is added, with signs; IQ1: of 8 v, + 1 or - 1 */
INLINE vint with_bits(enum dtype t, vint v, __mmask64 bits)
{
    if (!is_iq1(t))
        return _mm512_mask_sub_epi8(v, bits, _mm512_set1_epi8((char)(2 * LATTICE_ADDED)), v);
    return _mm512_mask_sub_epi8(v, bits, v, _mm512_set1_epi8(2));
}

static const int8_t iq1_up[4] = {-7, 1, 9, 0}; /* 8 v + 1 */

/* Chunk c of block i of the two. */
INLINE vint lattice_chunk_of(enum dtype t, const struct looked_up *x, unsigned i, unsigned c)
{
    const vint v = has_points_of_4(t)
                     ? fours(x->points[i], values_of(t), c)
                     : eights(eight_of(x->points[0], 4 * i + c), is_iq1(t) ? iq1_up : values_of(t));
    return with_bits(t, v, x->bits[i][c]);
}

/* A single chunk: looking up a whole block would not pay in long lists. */
INLINE vint lattice_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    if (t == DT_IQ2_S || is_iq1(t)) {
        const struct points a = lattice_points(t, p, 2 * c), b = lattice_points(t, p, 2 * c + 1);
        const vint points = _mm512_cvtepu16_epi64(eight_points(points_of(t), a.at, b.at));
        return with_bits(t, eights(points, is_iq1(t) ? iq1_up : values_of(t)),
                         a.bits | (uint64_t)b.bits << 32);
    }
    const uint8_t *const twice[2] = {p, p};
    struct looked_up x;
    look_up(t, twice, &x);
    return lattice_chunk_of(t, &x, 0, c);
}

#endif
