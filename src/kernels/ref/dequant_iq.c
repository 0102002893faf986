/* dequant_iq.c - decoders of the IQ types: super-blocks of 256 elements whose groups of 8 (or 4)
 * are a point of a fixed list times a sign for each coordinate, or (IQ4) a nonlinear nibble.
 *
 * Layouts (little-endian), source: ggml's block definitions. s = the group's small integer scale.
 *
 *     IQ2_XXS  f16 d | 8 x (u8 index[4] | u32: 4 x 7 bits sign, 4 bits s)    d*(s + 1/2)/4 * point
 *     IQ2_XS   f16 d | u16 (9 bits index, 7 bits sign)[32] | u4 s[16]         the same
 *     IQ2_S    f16 d | u8 index[32] | u8 sign[32] | u2 top[32] | u4 s[16]     the same
 *     IQ3_XXS  f16 d | u8 index[64] | u32 (4 x 7 bits sign, 4 bits s)[8]      d*(s + 1/2)/2 * point
 *     IQ3_S    f16 d | u8 index[64] | u1 top[64] | u8 sign[32] | u4 s[8]      d*(1 + 2s) * point
 *     IQ1_S    f16 d | u8 index[32] | u16 (4 x 3 bits top, 3 bits s, 1 bit shift)[8]
 *                                                               d*(2s + 1) * (point +- 1/8)
 *     IQ1_M    u8 index[32] | u4 (3 bits top, 1 bit shift)[32] | u16 (4 x 3 bits s, 4 bits of d)[4]
 *     IQ4_NL   f16 d | u4 q[32]                                               d * value[q]
 *     IQ4_XS   f16 d | u16 top pairs of s[8] | u4 s[8] | u4 q[256]            d*(s - 32) * value[q]
 *
 * Seven sign bits stand for eight: the eighth makes their number even. Products are taken from the
 * left, rounded to f32 after each operation.
 */
#include "kernels/ref/iq_tables.h"
#include "kernels/ref/ref.h"

enum { POINT = 8 };

/* v, negated if bit j of `signs` is set. */
static float signed_by(float v, unsigned signs, size_t j)
{
    return bits_f32(f32_bits(v) ^ (signs >> j & 1u) << 31);
}

static unsigned eight_signs(unsigned seven)
{
    return seven | (unsigned)__builtin_parity(seven) << 7;
}

static float iq2_scale(float d, unsigned s) { return d * (0.5f + (float)s) * 0.25f; }

/* y[8] = db * (a point of eight 2-bit coordinates) with signs. */
static void iq2_point(float *y, float db, uint16_t point, unsigned signs)
{
    for (size_t j = 0; j < POINT; j++)
        y[j] = signed_by(db * (float)iq2_value[point >> 2 * j & 3], signs, j);
}

/* y[4] = db * (a point of four 3-bit coordinates) with signs. */
static void iq3_point(float *y, float db, const int8_t *value, uint16_t point, unsigned signs)
{
    for (size_t j = 0; j < POINT / 2; j++)
        y[j] = signed_by(db * (float)value[point >> 4 * j & 7], signs, j);
}

/* Nibble i of a packed array, low one first. */
static unsigned nibble(const uint8_t *p, size_t i) { return (unsigned)p[i / 2] >> i % 2 * 4 & 15; }

static void iq2_xxs_block(float *y, const uint8_t *p)
{
    const float d = load_f16(p);
    for (size_t g = 0; g < 8; g++) {
        const uint8_t *const index = p + 2 + 8 * g;
        const uint32_t s = load_u32(index + 4);
        const float db = iq2_scale(d, s >> 28);
        for (size_t i = 0; i < 4; i++, y += POINT)
            iq2_point(y, db, iq2_xxs_grid[index[i]], eight_signs(s >> 7 * i & 127));
    }
}

static void iq2_xs_block(float *y, const uint8_t *p)
{
    const float d = load_f16(p);
    for (size_t i = 0; i < 32; i++, y += POINT) {
        const unsigned q = load_u16(p + 2 + 2 * i);
        const float db = iq2_scale(d, nibble(p + 66, i / 2));
        iq2_point(y, db, iq2_xs_grid[q & 511], eight_signs(q >> 9));
    }
}

static void iq2_s_block(float *y, const uint8_t *p)
{
    const uint8_t *const index = p + 2, *const sign = p + 34, *const top = p + 66;
    const float d = load_f16(p);
    for (size_t i = 0; i < 32; i++, y += POINT) {
        const unsigned at = index[i] | ((unsigned)top[i / 4] >> i % 4 * 2 & 3) << 8;
        iq2_point(y, iq2_scale(d, nibble(p + 74, i / 2)), iq2_s_grid[at], sign[i]);
    }
}

static void iq3_xxs_block(float *y, const uint8_t *p)
{
    const float d = load_f16(p);
    for (size_t g = 0; g < 8; g++) {
        const uint8_t *const index = p + 2 + 8 * g;
        const uint32_t s = load_u32(p + 66 + 4 * g);
        const float db = d * (0.5f + (float)(s >> 28)) * 0.5f;
        for (size_t i = 0; i < 4; i++, y += POINT) {
            const unsigned signs = eight_signs(s >> 7 * i & 127);
            iq3_point(y, db, iq3_xxs_value, iq3_xxs_grid[index[2 * i]], signs);
            iq3_point(y + 4, db, iq3_xxs_value, iq3_xxs_grid[index[2 * i + 1]], signs >> 4);
        }
    }
}

static void iq3_s_block(float *y, const uint8_t *p)
{
    const uint8_t *const index = p + 2, *const top = p + 66, *const sign = p + 74;
    const float d = load_f16(p);
    for (size_t i = 0; i < 64; i++, y += POINT / 2) {
        const unsigned at = index[i] | ((unsigned)top[i / 8] >> i % 8 & 1) << 8;
        const float db = d * (float)(1 + 2 * nibble(p + 106, i / 8));
        iq3_point(y, db, iq3_s_value, iq3_s_grid[at], nibble(sign, i));
    }
}

/* y[8] = dl * (point +- 1/8) */
static void iq1_point(float *y, float dl, uint16_t point, bool down)
{
    const float shift = down ? -0.125f : 0.125f;
    for (size_t j = 0; j < POINT; j++)
        y[j] = dl * ((float)iq1_value[point >> 2 * j & 3] + shift);
}

static void iq1_s_block(float *y, const uint8_t *p)
{
    const float d = load_f16(p);
    for (size_t g = 0; g < 8; g++) {
        const uint8_t *const index = p + 2 + 4 * g;
        const unsigned h = load_u16(p + 34 + 2 * g);
        const float dl = d * (float)(2 * (h >> 12 & 7) + 1);
        for (size_t i = 0; i < 4; i++, y += POINT)
            iq1_point(y, dl, iq1_grid[index[i] | (h >> 3 * i & 7) << 8], h >> 15);
    }
}

/* The f16 scale is spread over the top nibbles of the four scale words. */
static float iq1_m_d(const uint8_t *scale)
{
    unsigned bits = 0;
    for (size_t i = 0; i < 4; i++)
        bits |= (unsigned)load_u16(scale + 2 * i) >> 12 << 4 * i;
    return f16_f32((uint16_t)bits);
}

static void iq1_m_block(float *y, const uint8_t *p)
{
    const uint8_t *const index = p, *const high = p + 32, *const scale = p + 48;
    const float d = iq1_m_d(scale);
    for (size_t i = 0; i < 32; i++, y += POINT) {
        const unsigned h = nibble(high, i);
        const unsigned s = (unsigned)load_u16(scale + i / 8 * 2) >> i / 2 % 4 * 3 & 7;
        iq1_point(y, d * (float)(2 * s + 1), iq1_grid[index[i] | (h & 7) << 8], h >> 3);
    }
}

/* y[32] = dl * value of nibbles: q's low ones, then its high ones. */
static void iq4_group(float *y, float dl, const uint8_t *q)
{
    for (size_t j = 0; j < 16; j++) {
        y[j] = dl * (float)iq4_value[q[j] & 15];
        y[j + 16] = dl * (float)iq4_value[q[j] >> 4];
    }
}

static void iq4_xs_block(float *y, const uint8_t *p)
{
    const float d = load_f16(p);
    const unsigned top = load_u16(p + 2);
    for (size_t g = 0; g < 8; g++) {
        const int s = (int)(nibble(p + 4, g) | (top >> 2 * g & 3) << 4) - 32;
        iq4_group(y + 32 * g, d * (float)s, p + 8 + 16 * g);
    }
}

static void iq4_nl_block(float *y, const uint8_t *p) { iq4_group(y, load_f16(p), p + 2); }

void ref_dequant_iq2_xxs(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ2_XXS, y, x, n, iq2_xxs_block);
}

void ref_dequant_iq2_xs(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ2_XS, y, x, n, iq2_xs_block);
}

void ref_dequant_iq2_s(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ2_S, y, x, n, iq2_s_block);
}

void ref_dequant_iq3_xxs(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ3_XXS, y, x, n, iq3_xxs_block);
}

void ref_dequant_iq3_s(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ3_S, y, x, n, iq3_s_block);
}

void ref_dequant_iq1_s(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ1_S, y, x, n, iq1_s_block);
}

void ref_dequant_iq1_m(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ1_M, y, x, n, iq1_m_block);
}

void ref_dequant_iq4_nl(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ4_NL, y, x, n, iq4_nl_block);
}

void ref_dequant_iq4_xs(float *y, const void *x, size_t n)
{
    ref_each_block(DT_IQ4_XS, y, x, n, iq4_xs_block);
}
