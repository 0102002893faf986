/* blocks_avx512.h - chunks of 64 weights of integer blocks (blocks.h). */
#ifndef GLIM_KERNELS_X86_BLOCKS_AVX512_H
#define GLIM_KERNELS_X86_BLOCKS_AVX512_H

#include "kernels/x86/blocks.h"
#include "kernels/x86/lattice_avx512.h"
#include "kernels/x86/vec_avx512.h"

INLINE vint load_256_twice(const uint8_t *p) { return _mm512_broadcast_i64x4(load_256(p)); }

/* low for the first 32 bytes, high for the others */
INLINE vint halves_epi8(int low, int high)
{
    return _mm512_inserti64x4(_mm512_set1_epi8((char)low), _mm256_set1_epi8((char)high), 1);
}

INLINE vint halves_epi16(int low, int high)
{
    return _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
}

/* Bytes whose bit `low` (first half) or `high` (second half) is set, of 32 bytes at p. */
INLINE __mmask64 bits_at(const uint8_t *p, unsigned low, unsigned high)
{
    return _mm512_test_epi8_mask(load_256_twice(p), halves_epi8(1 << low, 1 << high));
}

/* Nibbles of 32 bytes: first the 32 low ones, then the 32 high ones. */
INLINE vint nibbles_32(const uint8_t *p)
{
    const vint v = load_256_twice(p);
    return _mm512_and_si512(_mm512_mask_srli_epi16(v, 0xffff0000u, v, 4), _mm512_set1_epi8(15));
}

/* Of two blocks of 16 bytes: low nibbles of the first, its high ones, then the second's. */
INLINE vint nibbles_16_16(const uint8_t *a, const uint8_t *b)
{
    const vint v = _mm512_inserti64x4(
        _mm512_castsi256_si512(_mm256_broadcastsi128_si256(load_128(a))),
        _mm256_broadcastsi128_si256(load_128(b)), 1);
    return _mm512_and_si512(_mm512_mask_srli_epi16(v, 0xff00ff00u, v, 4), _mm512_set1_epi8(15));
}

/* Two-bit fields `shift` up (first half) and the next ones (second half) of 32 bytes. */
INLINE vint pairs_32(const uint8_t *p, int shift)
{
    const vint v = _mm512_srlv_epi16(load_256_twice(p), halves_epi16(shift, shift + 2));
    return _mm512_and_si512(v, _mm512_set1_epi8(3));
}

INLINE vint table_of_16(const int8_t *value, vint index)
{
    const vint table = _mm512_broadcast_i32x4(load_128((const uint8_t *)value));
    return _mm512_shuffle_epi8(table, index);
}

/* v of chunk c of the block at p */
INLINE vint super_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    switch (t) {
    case DT_Q2_K:
        return pairs_32(p + 16 + c / 2 * 32, (int)(c % 2 * 4));
    case DT_Q3_K: {
        const vint v = pairs_32(p + 32 + c / 2 * 32, (int)(c % 2 * 4));
        const __mmask64 high = bits_at(p, 2 * c, 2 * c + 1);
        return _mm512_mask_sub_epi8(v, _knot_mask64(high), v, _mm512_set1_epi8(4));
    }
    case DT_Q4_K:
        return nibbles_32(p + 16 + 32 * c);
    case DT_Q5_K: {
        const vint v = nibbles_32(p + 48 + 32 * c);
        return _mm512_mask_add_epi8(v, bits_at(p + 16, 2 * c, 2 * c + 1), v,
                                    _mm512_set1_epi8(16));
    }
    case DT_Q6_K: {
        const vint low = int_load(p + c / 2 * 64);
        const vint four = _mm512_and_si512(c % 2 ? _mm512_srli_epi16(low, 4) : low,
                                           _mm512_set1_epi8(15));
        const vint two = pairs_32(p + 128 + c / 2 * 32, (int)(c % 2 * 4));
        return _mm512_sub_epi8(_mm512_or_si512(four, _mm512_slli_epi16(two, 4)),
                               _mm512_set1_epi8(32));
    }
    case DT_IQ4_XS:
        return table_of_16(iq4_value, nibbles_16_16(p + 8 + 32 * c, p + 24 + 32 * c));
    default:
        return lattice_chunk(t, p, c);
    }
}

/* ---- blocks of two rows, before their chunks are unpacked ---- */

struct begun {
    __m256i scale[2], min[2]; /* scale times 2^8: even_bytes_times */
    struct looked_up found;
};

INLINE void super_begin(enum dtype t, unsigned R, const uint8_t *const p[2], struct begun *b)
{
    if (is_k_or_iq4(t))
        begin_scales(t, R, p, b->scale, b->min);
    else
        look_up(t, p, &b->found);
}

INLINE vint begun_chunk(enum dtype t, const uint8_t *p, const struct begun *b, unsigned i,
                        unsigned c)
{
    return is_k_or_iq4(t) ? super_chunk(t, p, c) : lattice_chunk_of(t, &b->found, i, c);
}

/* The scales of a chunk's 16-bit lanes (of evens or odds), out of the block's 16. */
INLINE vint begun_fold(enum dtype t, const struct begun *b, unsigned i, unsigned c)
{
    const vint four = _mm512_set_epi64(0x0003000300030003, 0x0003000300030003, 0x0002000200020002,
                                       0x0002000200020002, 0x0001000100010001, 0x0001000100010001,
                                       0, 0);
    const unsigned first = 4 * c + (is_k_or_iq4(t) ? 0 : 16 * i);
    const vint scales = is_k_or_iq4(t) ? _mm512_castsi256_si512(b->scale[i]) : b->found.scale;
    return _mm512_permutexvar_epi16(_mm512_add_epi16(four, _mm512_set1_epi16((short)first)),
                                    scales);
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
    const vint v = nibbles_16_16(a + at + 4, b + at + 4), up = _mm512_set1_epi8(16);
    const __mmask64 high = load_32(a + at) | (uint64_t)load_32(b + at) << 32;
    return centred ? _mm512_mask_sub_epi8(v, _knot_mask64(high), v, up)
                   : _mm512_mask_add_epi8(v, high, v, up);
}

/* Groups of 16 in 8 bytes: low nibbles, then high ones. */
INLINE vint nibbles_8(const uint8_t *p)
{
    const vint v = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
                                            load_256_twice(p));
    return _mm512_and_si512(_mm512_mask_srli_epi16(v, 0xf0f0f0f0u, v, 4), _mm512_set1_epi8(15));
}

INLINE vint small_chunk(enum dtype t, const uint8_t *p, size_t c, size_t left)
{
    const struct two_blocks at = small_at(t, p, c, left);
    const uint8_t *const a = at.a, *const b = at.b;
    switch (t) {
    case DT_Q4_0: return table_of_16(minus_8, nibbles_16_16(a + 2, b + 2));
    case DT_Q4_1: return nibbles_16_16(a + 4, b + 4);
    case DT_Q5_0: return q5_chunk(a, b, 2, true);
    case DT_Q5_1: return q5_chunk(a, b, 4, false);
    case DT_IQ4_NL: return table_of_16(iq4_value, nibbles_16_16(a + 2, b + 2));
    case DT_MXFP4: return table_of_16(e2m1_twice, nibbles_16_16(a + 1, b + 1));
    case DT_NVFP4: return table_of_16(e2m1_twice, nibbles_8(a + 4));
    default: /* Q8_0 */
        return _mm512_inserti64x4(_mm512_castsi256_si512(load_256(a + 2)), load_256(b + 2), 1);
    }
}

/* The scales of a chunk, one for each 32-bit lane of the sums. */
INLINE vfloat small_scales(enum dtype t, const uint8_t *p, size_t c, size_t left)
{
    const struct two_blocks at = small_at(t, p, c, left);
    if (t == DT_NVFP4) {
        const __m128 four = _mm_setr_ps(small_scale(t, at.a, 0), small_scale(t, at.a, 1),
                                        small_scale(t, at.a, 2), small_scale(t, at.a, 3));
        return _mm512_permutexvar_ps(
            _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
            _mm512_castps128_ps512(four));
    }
    return _mm512_mask_broadcastss_ps(float_all(small_scale(t, at.a, 0)), 0xff00,
                                      _mm_set_ss(small_scale(t, at.b, 0)));
}

/* The minima of a chunk's parts of 16 in as many lanes; 0 in the others. So the sums of x. */
INLINE vfloat small_minima(enum dtype t, const uint8_t *p, size_t c, size_t left)
{
    const struct two_blocks at = small_at(t, p, c, left);
    const float a = load_half(at.a + small_info(t).min_at);
    const float b = load_half(at.b + small_info(t).min_at);
    return _mm512_zextps128_ps512(_mm_setr_ps(a, a, b, b));
}

INLINE vfloat part_sums(const float *sum) { return _mm512_zextps128_ps512(_mm_loadu_ps(sum)); }

#endif
