/* blocks_avx2.h - chunks of 32 weights of integer blocks (blocks.h). */
#ifndef GLIM_KERNELS_X86_BLOCKS_AVX2_H
#define GLIM_KERNELS_X86_BLOCKS_AVX2_H

#include "kernels/x86/blocks.h"
#include "kernels/x86/lattice_avx2.h"
#include "kernels/x86/vec_avx2.h"

/* Bit `from` of each byte, alone, as bit `to`. */
INLINE vint bit_moved(vint v, int from, int to)
{
    const vint moved = from < to ? _mm256_slli_epi16(v, to - from)
                                 : _mm256_srli_epi16(v, from - to);
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)(1 << to)));
}

/* The low nibble of each byte, or its high one. */
INLINE vint nibbles(vint v, bool high)
{
    return _mm256_and_si256(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
}

/* The low nibbles of 16 bytes, then their high ones. */
INLINE vint nibbles_16(const uint8_t *p)
{
    const vint v = _mm256_broadcastsi128_si256(load_128(p));
    return nibbles(_mm256_srlv_epi64(v, _mm256_setr_epi64x(0, 0, 4, 4)), false);
}

/* The two-bit field `shift` up of each byte. */
INLINE vint pairs(vint v, int shift)
{
    return _mm256_and_si256(_mm256_srli_epi16(v, shift), _mm256_set1_epi8(3));
}

/* value[index], and `added` */
INLINE vint table_of_16(const int8_t *value, unsigned added, vint index)
{
    const __m128i table = load_128((const uint8_t *)value);
    return _mm256_shuffle_epi8(bytes_plus(_mm256_broadcastsi128_si256(table), (int)added), index);
}

/* v of chunk c of the block at p, and super_added */
INLINE vint super_chunk(enum dtype t, const uint8_t *p, unsigned c)
{
    const int two_at = (int)(c % 4 * 2);
    switch (t) {
    case DT_Q2_K:
        return pairs(load_256(p + 16 + c / 4 * 32), two_at);
    case DT_Q3_K: {
        const vint v = pairs(load_256(p + 32 + c / 4 * 32), two_at);
        return int_or(v, bit_moved(load_256(p), (int)c, 2));
    }
    case DT_Q4_K:
        return nibbles(load_256(p + 16 + c / 2 * 32), c % 2);
    case DT_Q5_K: {
        const vint v = nibbles(load_256(p + 48 + c / 2 * 32), c % 2);
        return _mm256_or_si256(v, bit_moved(load_256(p + 16), (int)c, 4));
    }
    case DT_Q6_K: {
        const vint four = nibbles(load_256(p + c / 4 * 64 + c % 2 * 32), c / 2 % 2);
        const vint two = pairs(load_256(p + 128 + c / 4 * 32), two_at);
        return int_or(four, _mm256_slli_epi16(two, 4));
    }
    case DT_IQ4_XS:
        return table_of_16(iq4_value, super_added(t), nibbles_16(p + 8 + 16 * c));
    default:
        return lattice_chunk(t, p, c);
    }
}

/* ---- blocks of up to two rows, before their chunks are unpacked ---- */

struct begun {
    __m256i scale[2], min[2];
};

INLINE void super_begin(enum dtype t, unsigned R, const uint8_t *const p[2], struct begun *b)
{
    UNROLL for (unsigned i = 0; i < R; i++) {
        b->scale[i] = b->min[i] = _mm256_setzero_si256();
        super_scales(t, p[i], &b->scale[i], &b->min[i]);
    }
}

INLINE vint begun_chunk(enum dtype t, const uint8_t *p, const struct begun *b, unsigned i,
                        unsigned c)
{
    (void)b, (void)i;
    return super_chunk(t, p, c);
}

/* The scales of a chunk's 16-bit lanes: of evens, of odds, or of pairs. */
INLINE vint begun_fold(enum dtype t, const struct begun *b, unsigned i, unsigned c)
{
    (void)t;
    const vint even_odd = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0,
                                           1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    const vint turned = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(b->scale[i], even_odd), 0xd8);
    return _mm256_shuffle_epi8(turned, _mm256_set1_epi16((short)(0x0100 + 0x0202 * (int)c)));
}

/* The minima of parts h * LANES on in lanes of 32 bits; of types without: the scales. */
INLINE vint begun_minima(enum dtype t, const struct begun *b, unsigned i, unsigned h)
{
    return widen_signed(super_info(t).dmin_at ? b->min[i] : b->scale[i], h);
}

/* ---- small blocks ---- */

/* Where chunk c of a group at p starts; NVFP4's blocks have two of them. */
INLINE const uint8_t *small_at(enum dtype t, const uint8_t *p, size_t c)
{
    return p + c * VEC_BYTES / small_info(t).len * small_info(t).bytes;
}

INLINE vint q5_chunk(const uint8_t *p)
{
    const vint high = _mm256_and_si256(bytes_of_bits(load_32(p)), _mm256_set1_epi8(16));
    return _mm256_or_si256(nibbles_16(p + 4), high);
}

/* Groups of 16 in 8 bytes: low nibbles, then high ones. */
INLINE vint nibbles_8(const uint8_t *p)
{
    const vint v = _mm256_permute4x64_epi64(_mm256_castsi128_si256(load_128(p)), 0x50);
    return nibbles(_mm256_srlv_epi64(v, _mm256_setr_epi64x(0, 4, 0, 4)), false);
}

INLINE vint small_chunk(enum dtype t, const uint8_t *p, size_t c, size_t left)
{
    const uint8_t *const a = small_at(t, p, c);
    (void)left;
    switch (t) {
    case DT_Q4_0: return bytes_plus(nibbles_16(a + 2), -8);
    case DT_Q4_1: return nibbles_16(a + 4);
    case DT_Q5_0: return bytes_plus(q5_chunk(a + 2), -16);
    case DT_Q5_1: return q5_chunk(a + 4);
    case DT_IQ4_NL: return table_of_16(iq4_value, 0, nibbles_16(a + 2));
    case DT_MXFP4: return table_of_16(e2m1_twice, 0, nibbles_16(a + 1));
    case DT_NVFP4: return table_of_16(e2m1_twice, 0, nibbles_8(a + 4 + c % 2 * 16));
    default: return load_256(a + 2); /* Q8_0 */
    }
}

/* ---- small blocks of four rows: lanes are parts of 16 and rows ---- */

/* The block that chunk c is of, of each row. */
INLINE void blocks_at(enum dtype t, const uint8_t *const p[4], size_t c, const uint8_t *block[4])
{
    UNROLL for (unsigned i = 0; i < 4; i++)
        block[i] = small_at(t, p[i], c);
}

INLINE vfloat four_scales(enum dtype t, const uint8_t *const p[4], size_t c, size_t left)
{
    (void)left;
    const uint8_t *block[4];
    blocks_at(t, p, c, block);
    if (t == DT_NVFP4)
        return mul(_mm256_cvtph_ps(half_of(sixteen_ue4m3(block), c % 2)), float_all(128));
    const __m128 four = four_block_scales(t, block);
    return _mm256_setr_m128(four, four);
}

INLINE vfloat four_minima(enum dtype t, const uint8_t *const p[4], size_t c, size_t left)
{
    (void)left;
    const uint8_t *block[4];
    blocks_at(t, p, c, block);
    const __m128 four = four_halves(block, small_info(t).min_at);
    return _mm256_setr_m128(four, four);
}

/* The sums of a chunk's parts, for all rows. */
INLINE vfloat part_sums(const float *sum)
{
    return _mm256_setr_m128(_mm_set1_ps(sum[0]), _mm_set1_ps(sum[1]));
}

#endif
