/* blocks_avx512.h - chunks of 64 weights of integer blocks (blocks.h). */
#ifndef GLIM_KERNELS_X86_BLOCKS_AVX512_H
#define GLIM_KERNELS_X86_BLOCKS_AVX512_H

#include "kernels/x86/blocks.h"
#include "kernels/x86/lattice_avx512.h"
#include "kernels/x86/scales_avx512.h"
#include "kernels/x86/vec_avx512.h"

INLINE vint load_256_twice(const uint8_t *p) { return _mm512_broadcast_i64x4(load_256(p)); }

/* Nibbles of 32 bytes in the low bits of bytes: first the 32 low ones, then the 32 high ones. */
INLINE vint nibbles_32(const uint8_t *p)
{
    const vint v = load_256_twice(p);
    return _mm512_mask_srli_epi16(v, 0xffff0000u, v, 4);
}

/* low for the words of the first half, high for the others */
INLINE vint halves_epi16(int low, int high)
{
    const long long a = low * 0x0001000100010001, b = high * 0x0001000100010001;
    return _mm512_setr_epi64(a, a, a, a, b, b, b, b); /* one constant, in memory */
}

/* 32 bytes twice: bits from `from` on (first half), or `next` above it (second half), as bits `to`
 * on. Not by rotation: that takes the units that multiply. */
INLINE vint moved_32(const uint8_t *p, int from, int next, int to)
{
    const vint v = load_256_twice(p);
    const int down = from - to;
    return down >= 0 ? _mm512_srlv_epi16(v, halves_epi16(down, down + next))
                     : _mm512_sllv_epi16(v, halves_epi16(-down, -down - next));
}

/* The low n bits of each byte of v, and above them those of top, up to `all` bits. */
INLINE vint with_top(vint v, unsigned n, vint top, unsigned all)
{
    const vint either = _mm512_ternarylogic_epi32( /* v & c | top & ~c */
        v, top, _mm512_set1_epi8((char)((1 << n) - 1)), 0xe4);
    return int_and(either, _mm512_set1_epi8((char)((1 << all) - 1)));
}

/* Of two blocks of 16 bytes: low nibbles of the first, its high ones, then the second's; in the low
 * bits of bytes. */
INLINE vint nibbles_16_16(const uint8_t *a, const uint8_t *b)
{
    const vint v = both(_mm256_broadcastsi128_si256(load_128(a)),
                        _mm256_broadcastsi128_si256(load_128(b)));
    return _mm512_mask_srli_epi16(v, 0xff00ff00u, v, 4);
}

/* value[the low four bits of index], and `added` */
INLINE vint table_of_16(const int8_t *value, unsigned added, vint index)
{
    const vint table = _mm512_broadcast_i32x4(load_128((const uint8_t *)value));
    return _mm512_permutexvar_epi8(index, bytes_plus(table, (int)added)); /* four times the table */
}

/* v of chunk c of the block at p, and super_added */
INLINE vint super_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    switch (t) {
    case DT_Q2_K:
        return int_and(moved_32(p + 16 + c / 2 * 32, (int)(c % 2 * 4), 2, 0),
                       _mm512_set1_epi8(3));
    case DT_Q3_K:
        return with_top(moved_32(p + 32 + c / 2 * 32, (int)(c % 2 * 4), 2, 0), 2,
                        moved_32(p, (int)(2 * c), 1, 2), 3);
    case DT_Q4_K:
        return int_and(nibbles_32(p + 16 + 32 * c), _mm512_set1_epi8(15));
    case DT_Q5_K:
        return with_top(nibbles_32(p + 48 + 32 * c), 4, moved_32(p + 16, (int)(2 * c), 1, 4), 5);
    case DT_Q6_K: {
        const vint low = int_load(p + c / 2 * 64);
        return with_top(c % 2 ? _mm512_srli_epi16(low, 4) : low, 4,
                        moved_32(p + 128 + c / 2 * 32, (int)(c % 2 * 4), 2, 4), 6);
    }
    case DT_IQ4_XS:
        return table_of_16(iq4_value, super_added(t),
                           nibbles_16_16(p + 8 + 32 * c, p + 24 + 32 * c));
    default:
        return lattice_chunk(t, p, c);
    }
}

/* ---- blocks of two rows, before their chunks are unpacked ---- */

struct begun {
    vint scale, min; /* scales_avx512.h */
    struct looked_up found;
};

INLINE void super_begin(enum dtype t, unsigned R, const uint8_t *const p[2], struct begun *b)
{
    (void)R;
    if (is_k_or_iq4(t)) {
        b->scale = two_scales(t, p, &b->min);
    } else {
        look_up(t, p, &b->found);
        b->scale = b->found.scale;
    }
}

INLINE vint begun_chunk(enum dtype t, const uint8_t *p, const struct begun *b, unsigned i,
                        unsigned c)
{
    return is_k_or_iq4(t) ? super_chunk(t, p, c) : lattice_chunk_of(t, &b->found, i, c);
}

/* The scales of a chunk's 16-bit lanes: of evens, of odds, or of pairs. */
INLINE vint begun_fold(enum dtype t, const struct begun *b, unsigned i, unsigned c)
{
    return fold_of(t, b->scale, i, c);
}

/* The minima of parts h * LANES on in lanes of 32 bits; of types without: the scales. */
INLINE vint begun_minima(enum dtype t, const struct begun *b, unsigned i, unsigned h)
{
    (void)h;
    return parts_of(t, super_info(t).dmin_at ? b->min : b->scale, i);
}

/* ---- small blocks ---- */

/* Chunk c of a group at p, `left` columns before the end of the row: the block it starts with and
 * the next one (the same again at the end of a row: x is 0 there). */
struct two_blocks {
    const uint8_t *a, *b;
};

INLINE struct two_blocks small_at(enum dtype t, const uint8_t *p, size_t c, size_t left)
{
    const struct small_info info = small_info(t);
    const uint8_t *const a = p + c * (VEC_BYTES / info.len) * info.bytes;
    const bool whole = info.len == VEC_BYTES || left - c * VEC_BYTES >= VEC_BYTES;
    return (struct two_blocks){a, whole ? a + info.bytes : a};
}

INLINE vint q5_chunk(const uint8_t *a, const uint8_t *b, unsigned at, bool centred)
{
    const vint v = int_and(nibbles_16_16(a + at + 4, b + at + 4), _mm512_set1_epi8(15));
    const vint up = _mm512_set1_epi8(16);
    const __mmask64 high = load_32(a + at) | (uint64_t)load_32(b + at) << 32;
    return centred ? _mm512_mask_sub_epi8(v, _knot_mask64(high), v, up)
                   : _mm512_mask_add_epi8(v, high, v, up);
}

/* Groups of 16 in 8 bytes: low nibbles, then high ones, in the low bits of bytes. */
INLINE vint nibbles_8(const uint8_t *p)
{
    const vint v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
                                            load_256_twice(p));
    return _mm512_mask_srli_epi16(v, 0xf0f0f0f0u, v, 4);
}

INLINE vint small_chunk(enum dtype t, const uint8_t *p, size_t c, size_t left)
{
    const struct two_blocks at = small_at(t, p, c, left);
    const uint8_t *const a = at.a, *const b = at.b;
    switch (t) {
    case DT_Q4_0: return table_of_16(minus_8, 0, nibbles_16_16(a + 2, b + 2));
    case DT_Q4_1: return int_and(nibbles_16_16(a + 4, b + 4), _mm512_set1_epi8(15));
    case DT_Q5_0: return q5_chunk(a, b, 2, true);
    case DT_Q5_1: return q5_chunk(a, b, 4, false);
    case DT_IQ4_NL: return table_of_16(iq4_value, 0, nibbles_16_16(a + 2, b + 2));
    case DT_MXFP4: return table_of_16(e2m1_twice, 0, nibbles_16_16(a + 1, b + 1));
    case DT_NVFP4: return table_of_16(e2m1_twice, 0, nibbles_8(a + 4));
    default: /* Q8_0 */
        return _mm512_inserti64x4(_mm512_castsi256_si512(load_256(a + 2)), load_256(b + 2), 1);
    }
}

/* ---- small blocks of four rows: lanes are parts of 16 and rows ---- */

/* The blocks of chunk c: of each row the first, and the second. */
INLINE void blocks_at(enum dtype t, const uint8_t *const p[4], size_t c, size_t left,
                      const uint8_t *first[4], const uint8_t *second[4])
{
    UNROLL for (unsigned i = 0; i < 4; i++) {
        const struct two_blocks at = small_at(t, p[i], c, left);
        first[i] = at.a;
        second[i] = at.b;
    }
}

/* a for two parts, then b */
INLINE vfloat each_two_parts(__m128 a, __m128 b)
{
    const vfloat v = _mm512_castps256_ps512(_mm256_setr_m128(a, b));
    return _mm512_shuffle_f32x4(v, v, 0x50);
}

INLINE vfloat four_scales(enum dtype t, const uint8_t *const p[4], size_t c, size_t left)
{
    const uint8_t *a[4], *b[4];
    blocks_at(t, p, c, left, a, b);
    if (t == DT_NVFP4)
        return mul(_mm512_cvtph_ps(sixteen_ue4m3(a)), float_all(128));
    return each_two_parts(four_block_scales(t, a), four_block_scales(t, b));
}

INLINE vfloat four_minima(enum dtype t, const uint8_t *const p[4], size_t c, size_t left)
{
    const uint8_t *a[4], *b[4];
    blocks_at(t, p, c, left, a, b);
    const unsigned at = small_info(t).min_at;
    return each_two_parts(four_halves(a, at), four_halves(b, at));
}

/* The sums of a chunk's parts, for all rows. */
INLINE vfloat part_sums(const float *sum)
{
    return _mm512_permutexvar_ps(
        _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
        _mm512_castps128_ps512(_mm_loadu_ps(sum)));
}

#endif
