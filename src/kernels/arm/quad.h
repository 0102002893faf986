/* quad.h - four rows of integer blocks against a few vectors, a group of 256 columns at a time.
 *
 *     y[r] += s_x * d_r * sum over parts:  scale * sum v q     (super-blocks)
 *     y[r] += s_x * sum over parts:        d_r * sum v q       (small blocks)
 *     y[r] -= s_x * dmin_r * sum min * sum q,   or  += s_x * sum m_r * sum q
 *
 * Rows come in pairs: a register holds eight columns of one row, then of the next. Of the products
 * of a pair with a vector's q = 256 h + l come four sums, [v0 h, v1 h, v0 l, v1 l]; they stay apart
 * until the end of the group, where four rows' become y += (256 sum h + sum l) d in floats.
 *
 * Bounds of sums of 32 bits: |v scale| <= 4096 (Q6_K 32 * 128, IQ4_XS 127 * 32, the others less)
 * and |l| <= 128: 256 * 4096 * 128 = 2^27 a group; minima: 63 * 8191 * 256 < 2^27.
 *
 * This is the skeleton of products_neon*.c: behind BUILT(name) and
 *
 *     struct product          sums of 32 bits, all 0 at first
 *     product_add(s, w, q)    adds the products of a pair's octet w with the octet at q
 *     product_sums(s)         the four sums
 *
 * The bits of y[r] depend on its row and vector alone: all others have registers of their own.
 */
#ifndef GLIM_KERNELS_ARM_QUAD_H
#define GLIM_KERNELS_ARM_QUAD_H

#include "kernels/arm/blocks_neon.h"
#include "kernels/simd/types.h"

enum { QUAD = 4, PAIRS = 2, VECTORS = 4, PART = 32, PARTS = PACK_GROUP / PART };

/* Four rows of 32 columns: octet i of rows 2p and 2p + 1. */
struct part {
    int8x16_t at[PAIRS][PART / 8];
};

struct vectors { /* parts of the packed vectors of one pass */
    const int8_t *q[VECTORS];
    const float *scale[VECTORS];
    const int32_t *sum[VECTORS];
};

/* T <= VECTORS vectors; the first stands in for those that are not there. */
static struct vectors vectors_at(const void *const *x, size_t T, size_t cols)
{
    const struct packed_at at = packed_layout(cols);
    struct vectors v;
    for (size_t i = 0; i < VECTORS; i++) {
        const uint8_t *const p = x[i < T ? i : 0];
        v.q[i] = (const int8_t *)(p + at.q);
        v.scale[i] = (const float *)(const void *)(p + at.scale);
        v.sum[i] = (const int32_t *)(const void *)(p + at.sum);
    }
    return v;
}

INLINE int8x16_t zip_octets(int8x16_t a, int8x16_t b, bool second)
{
    const int64x2_t c = vreinterpretq_s64_s8(a), d = vreinterpretq_s64_s8(b);
    return vreinterpretq_s8_s64(second ? vzip2q_s64(c, d) : vzip1q_s64(c, d));
}

INLINE struct part part_of(int8x16_t row[QUAD][2])
{
    struct part w;
    UNROLL for (unsigned p = 0; p < PAIRS; p++)
        UNROLL for (unsigned i = 0; i < PART / 8; i++)
            w.at[p][i] = zip_octets(row[2 * p][i / 2], row[2 * p + 1][i / 2], i % 2);
    return w;
}

/* 256 h + l of both pairs, row by row. */
INLINE float32x4_t rows_of(const float32x4_t pair[PAIRS])
{
    const float64x2_t a = vreinterpretq_f64_f32(pair[0]), b = vreinterpretq_f64_f32(pair[1]);
    const float32x4_t high = vreinterpretq_f32_f64(vzip1q_f64(a, b));
    return vfmaq_n_f32(vreinterpretq_f32_f64(vzip2q_f64(a, b)), high, 256);
}

/* One float a row, in registers all the way: memory would hand over stores of four bytes late. */
INLINE float32x4_t four_floats(const float row[QUAD])
{
    return (float32x4_t){row[0], row[1], row[2], row[3]};
}

/* The four sums of n octets. */
INLINE int32x4_t pair_times(unsigned n, const int8x16_t *w, const int8_t *q)
{
    struct product s = {0};
    UNROLL for (unsigned i = 0; i < n; i++)
        product_add(&s, w[i], q + 16 * i);
    return product_sums(&s);
}

/* ---- super-blocks ---- */

/* One group's of four rows. */
struct super {
    int32_t scale[PAIRS][16][2]; /* of 16 columns or 32, of the pair's rows */
    int32x4_t min[QUAD][4];
    float32x4_t d, dmin;
};

INLINE struct part super_part(enum dtype t, const uint8_t *const p[QUAD], unsigned c)
{
    int8x16_t row[QUAD][2];
    UNROLL for (unsigned i = 0; i < QUAD; i++) {
        if (!is_k_or_iq4(t))
            lattice_part(t, p[i], c, row[i]);
        else
            UNROLL for (unsigned h = 0; h < 2; h++)
                row[i][h] = super_half(t, p[i], c, h);
    }
    return part_of(row);
}

INLINE void widen(int8x16_t v, int32x4_t out[4])
{
    const int16x8_t low = vmovl_s8(vget_low_s8(v)), high = vmovl_high_s8(v);
    out[0] = vmovl_s16(vget_low_s16(low));
    out[1] = vmovl_high_s16(low);
    out[2] = vmovl_s16(vget_low_s16(high));
    out[3] = vmovl_high_s16(high);
}

/* Eight scales of a and b, side by side. */
INLINE void widen_pair(int8x16_t v, int32_t scale[8][2])
{
    int32x4_t four[4];
    widen(v, four);
    UNROLL for (unsigned i = 0; i < 4; i++)
        vst1q_s32(scale[2 * i], four[i]);
}

INLINE void super_init(enum dtype t, const uint8_t *const p[QUAD], struct super *s)
{
    int8x16_t scale[QUAD], min[QUAD];
    float d[QUAD], dmin[QUAD];
    UNROLL for (unsigned i = 0; i < QUAD; i++) {
        scale[i] = min[i] = vdupq_n_s8(0);
        super_scales(t, p[i], &scale[i], &min[i]);
        d[i] = super_d(t, p[i]);
        dmin[i] = super_info(t).dmin_at ? -load_half(p[i] + super_info(t).dmin_at) : 0;
    }
    UNROLL for (unsigned k = 0; k < PAIRS; k++) {
        widen_pair(vzip1q_s8(scale[2 * k], scale[2 * k + 1]), s->scale[k]);
        if (has_scales_of_16(t))
            widen_pair(vzip2q_s8(scale[2 * k], scale[2 * k + 1]), s->scale[k] + PARTS);
    }
    s->d = four_floats(d);
    if (!super_info(t).dmin_at)
        return;
    s->dmin = four_floats(dmin);
    UNROLL for (unsigned i = 0; i < QUAD; i++)
        widen(min[i], s->min[i]);
}

/* sum[v] += part c against T vectors; at: its first column. */
INLINE void super_times(bool of_16, unsigned T, const struct part *w, const struct super *s,
                        unsigned c, const struct vectors *x, size_t at,
                        int32x4_t sum[VECTORS][PAIRS])
{
    const unsigned n = of_16 ? 2 : 4;
    UNROLL for (unsigned h = 0; h < 4 / n; h++)
        UNROLL for (unsigned k = 0; k < PAIRS; k++) {
            const int32_t *const two = s->scale[k][c * (4 / n) + h];
            const int32x4_t scale = vreinterpretq_s32_s64(twice_at(two));
            UNROLL for (unsigned v = 0; v < T; v++) {
                const int8_t *const q = x->q[v] + 2 * (at + 16 * h);
                sum[v][k] = vmlaq_s32(sum[v][k], pair_times(n, w->at[k] + 2 * h, q), scale);
            }
        }
}

INLINE int32x4_t pairs_added(const int32_t *p)
{
    return vpaddq_s32(vld1q_s32(p), vld1q_s32(p + 4));
}

/* Sums of min * sum q, of four rows and a group of one vector. */
INLINE int32x4_t minima_times(bool of_16, const struct super *s, const int32_t *sum)
{
    const unsigned n = of_16 ? 4 : 2;
    int32x4_t part[4], row[QUAD];
    UNROLL for (unsigned j = 0; j < 4; j++) /* groups of 32 have two sums */
        part[j] = of_16 ? vld1q_s32(sum + 4 * j) : pairs_added(sum + 8 * (j % 2));
    UNROLL for (unsigned i = 0; i < QUAD; i++) {
        row[i] = vmulq_s32(part[0], s->min[i][0]);
        UNROLL for (unsigned j = 1; j < n; j++)
            row[i] = vmlaq_s32(row[i], part[j], s->min[i][j]);
    }
    return vpaddq_s32(vpaddq_s32(row[0], row[1]), vpaddq_s32(row[2], row[3]));
}

/* y[v] += what a group has summed; g: which group of the vectors. */
INLINE void super_end(bool of_16, bool has_min, unsigned T, const struct super *s,
                      const int32x4_t sum[VECTORS][PAIRS], const struct vectors *x, size_t g,
                      float32x4_t y[VECTORS])
{
    UNROLL for (unsigned v = 0; v < T; v++) {
        const float32x4_t pair[PAIRS] = {vcvtq_f32_s32(sum[v][0]), vcvtq_f32_s32(sum[v][1])};
        const float scale = x->scale[v][g];
        y[v] = vfmaq_f32(y[v], rows_of(pair), vmulq_n_f32(s->d, scale));
        if (has_min) {
            const int32x4_t min = minima_times(of_16, s, x->sum[v] + g * (PACK_GROUP / PACK_SUM));
            y[v] = vfmaq_f32(y[v], vcvtq_f32_s32(min), vmulq_n_f32(s->dmin, scale));
        }
    }
}

/* ---- small blocks ---- */

/* One part's of four rows: scales of its halves (but of NVFP4, both are the same), of a pair's rows
 * twice; minima. */
struct small {
    float32x4_t scale[PAIRS][2], min;
};

INLINE struct part small_part(enum dtype t, const uint8_t *const p[QUAD], size_t c)
{
    int8x16_t row[QUAD][2];
    UNROLL for (unsigned i = 0; i < QUAD; i++)
        UNROLL for (unsigned h = 0; h < 2; h++)
            row[i][h] = small_half(t, p[i], c, h);
    return part_of(row);
}

INLINE void small_init(enum dtype t, const uint8_t *const p[QUAD], size_t c, struct small *s)
{
    const unsigned halves = t == DT_NVFP4 ? 2 : 1;
    UNROLL for (unsigned h = 0; h < halves; h++) {
        float d[QUAD];
        UNROLL for (unsigned i = 0; i < QUAD; i++)
            d[i] = small_scale(t, small_at(t, p[i], c), (unsigned)(c % 2) * 2 + h);
        const float64x2_t pair = vreinterpretq_f64_f32(four_floats(d));
        s->scale[0][h] = vreinterpretq_f32_f64(vdupq_laneq_f64(pair, 0));
        s->scale[1][h] = vreinterpretq_f32_f64(vdupq_laneq_f64(pair, 1));
    }
    if (small_info(t).min_at) {
        float m[QUAD];
        UNROLL for (unsigned i = 0; i < QUAD; i++)
            m[i] = load_half(small_at(t, p[i], c) + small_info(t).min_at);
        s->min = four_floats(m);
    }
}

struct small_sums {
    float32x4_t pair[VECTORS][PAIRS], min[VECTORS];
};

INLINE void small_clear(unsigned T, struct small_sums *sum)
{
    UNROLL for (unsigned v = 0; v < T; v++)
        sum->pair[v][0] = sum->pair[v][1] = sum->min[v] = vdupq_n_f32(0);
}

/* sum += part against T vectors; at: its first column. */
INLINE void small_times(bool of_16, bool has_min, unsigned T, const struct part *w,
                        const struct small *s, const struct vectors *x, size_t at,
                        struct small_sums *sum)
{
    const unsigned n = of_16 ? 2 : 4;
    UNROLL for (unsigned h = 0; h < 4 / n; h++)
        UNROLL for (unsigned k = 0; k < PAIRS; k++) {
            UNROLL for (unsigned v = 0; v < T; v++) {
                const int8_t *const q = x->q[v] + 2 * (at + 16 * h);
                const int32x4_t product = pair_times(n, w->at[k] + 2 * h, q);
                sum->pair[v][k] = vfmaq_f32(sum->pair[v][k], vcvtq_f32_s32(product),
                                            s->scale[k][h]);
            }
        }
    if (has_min)
        UNROLL for (unsigned v = 0; v < T; v++) {
            const int32_t *const q = x->sum[v] + at / PACK_SUM;
            sum->min[v] = vfmaq_n_f32(sum->min[v], s->min, (float)(q[0] + q[1]));
        }
}

INLINE void small_end(bool has_min, unsigned T, const struct small_sums *sum,
                      const struct vectors *x, size_t g, float32x4_t y[VECTORS])
{
    UNROLL for (unsigned v = 0; v < T; v++) {
        const float scale = x->scale[v][g];
        y[v] = vfmaq_n_f32(y[v], rows_of(sum->pair[v]), scale);
        if (has_min)
            y[v] = vfmaq_n_f32(y[v], sum->min[v], scale);
    }
}

/* ---- rows ---- */

INLINE bool is_super(enum dtype t) { return dtype_info(t)->block_len == PACK_GROUP; }

struct call {
    float *y;
    size_t y_stride, T;
    const void *const *x;
    const struct matrix *w;
    uint64_t r0, r1;
};

INLINE size_t group_bytes(enum dtype t, bool super)
{
    return super ? super_info(t).bytes : PACK_GROUP / small_info(t).len * small_info(t).bytes;
}

/* Parts of the group that `left` columns of a row remain from. */
INLINE size_t parts_of(size_t left) { return left < PACK_GROUP ? left / PART : PARTS; }

/* Rows r and on; past the end the last one again. */
INLINE void quad_rows(const struct call *c, uint64_t r, const uint8_t *row[QUAD])
{
    UNROLL for (unsigned i = 0; i < QUAD; i++)
        row[i] = c->w->data + (r + i < c->r1 ? r + i : c->r1 - 1) * c->w->row_bytes;
}

/* Rows [r, r1) of y, four at most. */
INLINE void quad_store(const struct call *c, size_t t, uint64_t r, float32x4_t v)
{
    lanes_store(c->y + t * c->y_stride + (r - c->r0), lanes_first((size_t)(c->r1 - r)), v);
}

#endif
