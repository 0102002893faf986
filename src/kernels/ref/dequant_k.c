/* dequant_k.c - decoders of the K types: super-blocks of 256 elements, 8 groups of 32 or 16 of 16,
 * each with a small integer scale (and minimum) under one f16 for all.
 *
 * Layouts (little-endian), source: ggml's block definitions.
 *
 *     Q2_K  u8 scale[16] | u8 q[64] | f16 d | f16 dmin          d*(s & 15)*q - dmin*(s >> 4)
 *     Q3_K  u8 high[32] | u8 q[64] | u8 scale[12] | f16 d       d*(s - 32)*(q - (high ? 0 : 4))
 *     Q4_K  f16 d | f16 dmin | u8 scale[12] | u8 q[128]         d*s*q - dmin*m
 *     Q5_K  f16 d | f16 dmin | u8 scale[12] | u8 high[32] | u8 q[128]
 *     Q6_K  u8 q[128] | u8 high[64] | i8 scale[16] | f16 d      d*s*(q - 32)
 *
 * Products are taken from the left, rounded to f32 after each operation. Two-bit fields: 32 bytes
 * hold 128 elements, first the 32 lowest fields, then the next ones up. Nibbles: 32 bytes hold 64.
 */
#include "kernels/ref/ref.h"

enum { QK = 256, GROUP = 32, SMALL = 16 };

/* Two-bit field of group g (of 32), element l. */
static int two_bits(const uint8_t *q, size_t g, size_t l)
{
    return q[g / 4 * GROUP + l] >> g % 4 * 2 & 3;
}

static void q2_k_block(float *y, const uint8_t *p)
{
    const uint8_t *const scale = p, *const q = p + 16;
    const float d = load_f16(p + 80), dmin = load_f16(p + 82);
    for (size_t s = 0; s < QK / SMALL; s++) {
        const float dl = d * (float)(scale[s] & 15), ml = dmin * (float)(scale[s] >> 4);
        for (size_t l = 0; l < SMALL; l++)
            *y++ = dl * (float)two_bits(q, s / 2, s % 2 * SMALL + l) - ml;
    }
}

/* 6-bit scale s of 16: low nibbles of all in bytes 0-7, the top pairs in bytes 8-11. */
static int q3_k_scale(const uint8_t *packed, size_t s)
{
    const int low = packed[s % 8] >> s / 8 * 4 & 15, high = packed[8 + s % 4] >> s / 4 * 2 & 3;
    return (low | high << 4) - 32;
}

static void q3_k_block(float *y, const uint8_t *p)
{
    const uint8_t *const high = p, *const q = p + 32, *const scale = p + 96;
    const float d = load_f16(p + 108);
    for (size_t s = 0; s < QK / SMALL; s++) {
        const float dl = d * (float)q3_k_scale(scale, s);
        const size_t g = s / 2;
        for (size_t l = s % 2 * SMALL; l < s % 2 * SMALL + SMALL; l++)
            *y++ = dl * (float)(two_bits(q, g, l) - (high[l] >> g & 1 ? 0 : 4));
    }
}

/* 6-bit scale and minimum of group g of 8: bytes 0-3 and 4-7 hold those of groups 0-3 and, in their
 * top bits, the top bits of groups 4-7, whose low nibbles share bytes 8-11. */
static int k_scale(const uint8_t *packed, size_t g)
{
    return g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | (packed[g - 4] >> 2 & 0x30);
}

static int k_min(const uint8_t *packed, size_t g)
{
    return g < 4 ? packed[g + 4] & 63 : packed[g + 4] >> 4 | (packed[g] >> 2 & 0x30);
}

/* Q4_K and Q5_K: nibbles under 6-bit scales and minima; `high` [32] has a fifth bit for each of the
 * groups, or is NULL. */
static inline void nibbles_block(float *y, const uint8_t *p, const uint8_t *high, const uint8_t *q)
{
    const uint8_t *const scale = p + 4;
    const float d = load_f16(p), dmin = load_f16(p + 2);
    for (size_t g = 0; g < QK / GROUP; g++) {
        const float dl = d * (float)k_scale(scale, g), ml = dmin * (float)k_min(scale, g);
        const uint8_t *const nibbles = q + g / 2 * GROUP;
        const int shift = g % 2 ? 4 : 0;
        for (size_t l = 0; l < GROUP; l++) {
            const int fifth = high ? (high[l] >> g & 1) << 4 : 0;
            *y++ = dl * (float)((nibbles[l] >> shift & 15) | fifth) - ml;
        }
    }
}

static void q4_k_block(float *y, const uint8_t *p) { nibbles_block(y, p, NULL, p + 16); }
static void q5_k_block(float *y, const uint8_t *p) { nibbles_block(y, p, p + 16, p + 48); }

/* Group g of 8: half h of the block, quarter k of the half; quarters 2, 3 are the high nibbles. */
static void q6_k_block(float *y, const uint8_t *p)
{
    const int8_t *const scale = (const int8_t *)p + 192;
    const float d = load_f16(p + 208);
    for (size_t g = 0; g < QK / GROUP; g++) {
        const size_t h = g / 4, k = g % 4;
        const uint8_t *const low = p + 64 * h + k % 2 * GROUP, *const high = p + 128 + GROUP * h;
        const int low_shift = k < 2 ? 0 : 4, high_shift = (int)k * 2;
        for (size_t s = 0; s < 2; s++) {
            const float dl = d * (float)scale[2 * g + s];
            for (size_t l = s * SMALL; l < (s + 1) * SMALL; l++) {
                const int v = (low[l] >> low_shift & 15) | (high[l] >> high_shift & 3) << 4;
                *y++ = dl * (float)(v - 32);
            }
        }
    }
}

void ref_dequant_q2_k(float *y, const void *x, size_t n)
{
    ref_each_block(DT_Q2_K, y, x, n, q2_k_block);
}

void ref_dequant_q3_k(float *y, const void *x, size_t n)
{
    ref_each_block(DT_Q3_K, y, x, n, q3_k_block);
}

void ref_dequant_q4_k(float *y, const void *x, size_t n)
{
    ref_each_block(DT_Q4_K, y, x, n, q4_k_block);
}

void ref_dequant_q5_k(float *y, const void *x, size_t n)
{
    ref_each_block(DT_Q5_K, y, x, n, q5_k_block);
}

void ref_dequant_q6_k(float *y, const void *x, size_t n)
{
    ref_each_block(DT_Q6_K, y, x, n, q6_k_block);
}
