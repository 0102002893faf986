/* blocks.h - integer blocks (simd/layout.h), what all x86 levels know of them: bounds, scales.
 *
 * A chunk is VEC_BYTES consecutive weights of a row as bytes in their own order: of small blocks v
 * with its sign, of super-blocks u = v + super_added, without one.
 *
 * Where x has 14 bits (x86.h), super-blocks multiply v or u by s first, as 16-bit integers, so one
 * float d is left for 256 weights. Bounds, with |q| <= 8191: |s u| <= 8064 (Q6_K 128*63); a lane of
 * decode adds 256/LANES of those, 32*8064*8191 < 2^31. |s v| <= 4096 (Q6_K 128*32, IQ4_XS 32*127);
 * pairs.h adds 64 of those to a lane, 64*4096*8191 < 2^31. Small blocks: |v| <= 128, 32 products;
 * in decode 256 times as much, 4 products to a lane.
 *
 * Every function here is inlined into loops with the type as a constant: the switches vanish.
 * blocks_avx*.h unpack chunks; decode_*.h and prefill.h multiply them.
 */
#ifndef GLIM_KERNELS_X86_BLOCKS_H
#define GLIM_KERNELS_X86_BLOCKS_H

#include "kernels/ref/iq_tables.h"
#include "kernels/simd/layout.h"
#include "kernels/x86/bytes.h"
#include "kernels/x86/lattice.h"
#include "kernels/x86/x86.h"

enum { PARTS = PACK_GROUP / PACK_SUM };

INLINE __m256i q3_k_scales(const uint8_t *p)
{
    const uint64_t low = load_64(p);
    const __m128i four = _mm_set_epi64x((long long)(low >> 4 & 0x0f0f0f0f0f0f0f0f),
                                        (long long)(low & 0x0f0f0f0f0f0f0f0f));
    const __m128i top = _mm_srlv_epi32(_mm_set1_epi32((int)load_32(p + 8)),
                                       _mm_setr_epi32(0, 2, 4, 6));
    const __m128i two = _mm_slli_epi16(_mm_and_si128(top, _mm_set1_epi8(3)), 4);
    return _mm256_cvtepi8_epi16(_mm_sub_epi8(_mm_or_si128(four, two), _mm_set1_epi8(32)));
}

INLINE __m256i iq4_xs_scales(const uint8_t *p)
{
    const uint64_t low = fields_as_bytes(load_32(p + 4), 4, 8);
    const uint64_t top = fields_as_bytes(load_16(p + 2), 2, 8) << 4;
    return _mm256_sub_epi16(twice_epi16(low | top), _mm256_set1_epi16(32));
}

/* The integer scales and minima of a block's 16 groups of 16 (groups of 32: each twice). */
INLINE void super_scales(enum dtype t, const uint8_t *p, __m256i *scale, __m256i *min)
{
    uint64_t s, m;
    switch (t) {
    case DT_Q2_K:
        *scale = _mm256_cvtepi8_epi16(_mm_and_si128(load_128(p), _mm_set1_epi8(15)));
        *min = _mm256_cvtepi8_epi16(
            _mm_and_si128(_mm_srli_epi16(load_128(p), 4), _mm_set1_epi8(15)));
        break;
    case DT_Q3_K:
        *scale = q3_k_scales(p + 96);
        break;
    case DT_Q4_K:
    case DT_Q5_K:
        k_scales(p + 4, &s, &m);
        *scale = twice_epi16(s);
        *min = twice_epi16(m);
        break;
    case DT_Q6_K:
        *scale = _mm256_cvtepi8_epi16(load_128(p + 192));
        break;
    case DT_IQ4_XS:
        *scale = iq4_xs_scales(p);
        break;
    default:
        *scale = lattice_scales(t, p);
    }
}

/* ---- small blocks ---- */

INLINE __m128 four_halves(const uint8_t *const block[4], size_t at)
{
    return _mm_cvtph_ps(_mm_cvtsi64_si128((long long)four_shorts(block, at)));
}

/* e8m0_half (simd/layout.h) of the first byte of each block */
INLINE __m128 four_e8m0(const uint8_t *const block[4])
{
    const __m128i e = _mm_setr_epi32(block[0][0], block[1][0], block[2][0], block[3][0]);
    const __m128i normal = _mm_slli_epi32(_mm_sub_epi32(e, _mm_set1_epi32(1)), 23);
    const __m128i denormal = _mm_sllv_epi32(_mm_set1_epi32(0x00200000), e);
    return _mm_castsi128_ps(
        _mm_blendv_epi8(normal, denormal, _mm_cmplt_epi32(e, _mm_set1_epi32(2))));
}

/* The scales of four blocks of 32. */
INLINE __m128 four_block_scales(enum dtype t, const uint8_t *const block[4])
{
    return t == DT_MXFP4 ? four_e8m0(block) : four_halves(block, 0);
}

/* The scales of four blocks of NVFP4, 128 times too small (simd/layout.h: ue4m3_half): f16 in 16
 * lanes, of the blocks' first parts, then of their second ones, ... */
INLINE __m256i sixteen_ue4m3(const uint8_t *const block[4])
{
    const __m128i v = _mm_and_si128(_mm_setr_epi32((int)load_32(block[0]), (int)load_32(block[1]),
                                                   (int)load_32(block[2]), (int)load_32(block[3])),
                                    _mm_set1_epi8(0x7f));
    const __m128i numbers = _mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)), v);
    const __m128i turned = _mm_shuffle_epi8(
        numbers, _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return _mm256_slli_epi16(_mm256_cvtepu8_epi16(turned), 7);
}

#endif
