/* float.h - few vectors against rows of floats (F32, F16, BF16, F8_E4M3), in f32.
 *
 *     y[t,r] = sum_c w[r,c] x[t,c]
 *
 * The skeleton of float_*.c of the levels, each of which includes it once, behind its vec_*.h,
 * weights_at(type, row, c, n): the first n of LANES weights from column c on, 0 in the other lanes
 * (n may be more), F8 smaller by 2^8; and
 *
 *     PAIR, VECTORS   rows and vectors walked at once
 *     HALVES          registers a sum has: lane l of half h takes columns
 *                     (HALVES i + h) LANES + l in ascending i by fused multiply-add
 *     PART            lanes of the transposed product in registers at once
 *
 * A sum does not know T or the row range. This is ROLE_DECODE; float_panel.h is ROLE_PREFILL.
 */
#ifndef GLIM_KERNELS_SIMD_FLOAT_H
#define GLIM_KERNELS_SIMD_FLOAT_H

#include "kernels/ref/ref.h"
#include "kernels/simd/bits.h"
#include "kernels/simd/packed.h"

enum { STEP = LANES * HALVES };

/* Bytes a weight. */
INLINE size_t size_of_float(enum dtype t) { return t == DT_F32 ? 4 : t == DT_F8_E4M3 ? 1 : 2; }

/* What weights_at's F8 of row r in block b of columns are multiplied with. */
INLINE float f8_scale(const struct matrix *w, uint64_t r, size_t b)
{
    const uint64_t blocks = (w->cols + F8_BLOCK - 1) / F8_BLOCK;
    return 256 * (w->scale ? w->scale[r / F8_BLOCK * blocks + b] : 1);
}

struct sums {
    vfloat at[PAIR][VECTORS][HALVES];
};

/* n <= LANES columns from c on of R rows against T vectors, added to half h; scale: F8 only. */
INLINE void lanes_times(enum dtype t, unsigned R, unsigned T, const uint8_t *const row[PAIR],
                        const vfloat scale[PAIR], size_t c, size_t n, unsigned h,
                        const float *const x[VECTORS], struct sums *s)
{
    vfloat w[PAIR];
    UNROLL for (unsigned i = 0; i < R; i++) {
        w[i] = weights_at(t, row[i], c, n);
        if (t == DT_F8_E4M3)
            w[i] = mul(w[i], scale[i]);
    }
    UNROLL for (unsigned v = 0; v < T; v++) {
        const vfloat a = n < LANES ? lanes_load(lanes_first(n), x[v] + c) : float_load(x[v] + c);
        UNROLL for (unsigned i = 0; i < R; i++)
            s->at[i][v][h] = mul_add(w[i], a, s->at[i][v][h]);
    }
}

/* Columns [c0, c1); ahead: bytes to the rows that come next, which are called for. */
INLINE void span_times(enum dtype t, unsigned R, unsigned T, const uint8_t *const row[PAIR],
                       size_t ahead, const vfloat scale[PAIR], size_t c0, size_t c1,
                       const float *const x[VECTORS], struct sums *s)
{
    const size_t bytes = size_of_float(t);
    size_t c = c0;
    for (; c1 - c >= STEP; c += STEP) {
        UNROLL for (unsigned i = 0; i < R; i++)
            call_for(row[i] + ahead + c * bytes);
        UNROLL for (unsigned h = 0; h < HALVES; h++)
            lanes_times(t, R, T, row, scale, c + h * LANES, LANES, h, x, s);
    }
    UNROLL for (unsigned h = 0; h < HALVES; h++)
        if (c + h * LANES < c1)
            lanes_times(t, R, T, row, scale, c + h * LANES, c1 - c - h * LANES, h, x, s);
}

INLINE void sums_clear(unsigned R, unsigned T, struct sums *s)
{
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            UNROLL for (unsigned h = 0; h < HALVES; h++)
                s->at[i][v][h] = float_zero();
}

/* Lanes of the second half added to those of the first, then lanes to lanes. */
INLINE float sum_of(const vfloat half[HALVES])
{
    vfloat v = half[0];
    UNROLL for (unsigned h = 1; h < HALVES; h++)
        v = add(v, half[h]);
    return lanes_sum(v);
}

/* All columns; F8 by blocks of 128, whose scale a weight is multiplied with first, as the format
 * has it. */
INLINE void row_times(enum dtype t, unsigned R, unsigned T, const struct matrix *w, uint64_t r,
                      const float *const x[VECTORS], struct sums *s)
{
    const size_t cols = (size_t)w->cols, blocks = (cols + F8_BLOCK - 1) / F8_BLOCK;
    const size_t ahead = PAIR * (size_t)w->row_bytes;
    const uint8_t *row[PAIR];
    vfloat scale[PAIR];
    UNROLL for (unsigned i = 0; i < R; i++)
        row[i] = w->data + (r + i) * w->row_bytes;
    if (t != DT_F8_E4M3) {
        span_times(t, R, T, row, ahead, scale, 0, cols, x, s);
        return;
    }
    for (size_t b = 0; b < blocks; b++) {
        UNROLL for (unsigned i = 0; i < R; i++)
            scale[i] = float_all(f8_scale(w, r + i, b));
        const size_t end = (b + 1) * F8_BLOCK < cols ? (b + 1) * F8_BLOCK : cols;
        span_times(t, R, T, row, ahead, scale, b * F8_BLOCK, end, x, s);
    }
}

struct call {
    float *y;
    size_t y_stride;
    const void *const *x;
    const struct matrix *w;
    uint64_t r0;
};

/* R rows from r on against T <= 4 vectors from t on. */
INLINE void rows_times(enum dtype type, unsigned R, unsigned T, const struct call *c, uint64_t r,
                       size_t t)
{
    const float *x[VECTORS];
    struct sums s;
    UNROLL for (unsigned v = 0; v < T; v++)
        x[v] = packed_floats(c->x[t + v]);
    sums_clear(R, T, &s);
    row_times(type, R, T, c->w, r, x, &s);
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            c->y[(t + v) * c->y_stride + (r + i - c->r0)] = sum_of(s.at[i][v]);
}

/* Two rows (or the last one) against all vectors. */
INLINE void rows_all(enum dtype type, unsigned R, const struct call *c, size_t T, uint64_t r)
{
    size_t t = 0;
    for (; t + VECTORS <= T; t += VECTORS)
        rows_times(type, R, VECTORS, c, r, t);
    if (T - t >= 2) {
        rows_times(type, R, 2, c, r, t);
        t += 2;
    }
    if (T - t == 1)
        rows_times(type, R, 1, c, r, t);
}

INLINE void matrix_times(enum dtype type, const struct call *c, size_t T, uint64_t r1)
{
    uint64_t r = c->r0;
    for (; r + PAIR <= r1; r += PAIR)
        rows_all(type, PAIR, c, T, r);
    if (r < r1)
        rows_all(type, 1, c, T, r);
}

bool LEVEL(floats_known)(enum dtype t)
{
    return t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_F8_E4M3;
}

void LEVEL(floats_decode)(float *y, size_t y_stride, const void *const *x, size_t T,
                           const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, x, w, r0};
    switch (w->type) {
    case DT_F32: matrix_times(DT_F32, &c, T, r1); break;
    case DT_F16: matrix_times(DT_F16, &c, T, r1); break;
    case DT_BF16: matrix_times(DT_BF16, &c, T, r1); break;
    default: matrix_times(DT_F8_E4M3, &c, T, r1);
    }
}

/* ---- the transposed product: lanes over rows ---- */

/* Up to two vectors and two registers of columns against decoded rows w [n, cols]. */
enum { SIDES = 2 };

struct block_t {
    const float *w;
    size_t n, cols;
    vlanes have[SIDES]; /* of the columns */
    const float *x[PAIR];
};

/* Lanes [first, first + PART) in registers: all their rows, ascending. */
INLINE void part_times(unsigned V, const struct block_t *b, size_t first,
                        vfloat lane[STEP][PAIR][SIDES])
{
    vfloat s[PART][PAIR][SIDES];
    UNROLL for (unsigned l = 0; l < PART; l++)
        UNROLL for (unsigned v = 0; v < V; v++)
            s[l][v][0] = s[l][v][1] = float_zero();
    for (size_t i = first; i < b->n; i += STEP)
        UNROLL for (unsigned l = 0; l < PART; l++) {
            if (i + l >= b->n)
                break;
            const float *const row = b->w + (i + l) * b->cols;
            const vfloat w0 = lanes_load(b->have[0], row);
            const vfloat w1 = lanes_load(b->have[1], row + LANES);
            UNROLL for (unsigned v = 0; v < V; v++) {
                const vfloat x = float_all(b->x[v][i + l]);
                s[l][v][0] = mul_add(w0, x, s[l][v][0]);
                s[l][v][1] = mul_add(w1, x, s[l][v][1]);
            }
        }
    UNROLL for (unsigned l = 0; l < PART; l++)
        UNROLL for (unsigned v = 0; v < V; v++)
            UNROLL for (unsigned h = 0; h < SIDES; h++)
                lane[first + l][v][h] = s[l][v][h];
}

/* All lanes, then their sums in the order of sum_of. */
INLINE void block_times(unsigned V, const struct block_t *b, float *y, size_t y_stride)
{
    vfloat lane[STEP][PAIR][SIDES];
    for (size_t first = 0; first < STEP; first += PART)
        part_times(V, b, first, lane);
    UNROLL for (unsigned v = 0; v < V; v++)
        UNROLL for (unsigned h = 0; h < SIDES; h++) {
            for (size_t width = STEP / 2; width > 0; width /= 2)
                for (size_t l = 0; l < width; l++)
                    lane[l][v][h] = add(lane[l][v][h], lane[l + width][v][h]);
            lanes_store(y + v * y_stride + h * LANES, b->have[h], lane[0][v][h]);
        }
}

/* scratch [r1 - r0, cols] = rows [r0, r1) of any type */
static void rows_decoded(float *scratch, const struct matrix *w, uint64_t r0, uint64_t r1)
{
    for (uint64_t r = r0; r < r1; r++)
        ref_matrix_row(scratch + (size_t)((r - r0) * w->cols), w, r);
}

/* Lanes over rows as those of rows_times over columns: the very bits of the product with the
 * transposed matrix, if that is stored as F32. */
static void decode_t(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                     const struct matrix *w, uint64_t r0, uint64_t r1, float *scratch)
{
    const size_t cols = (size_t)w->cols, n = (size_t)(r1 - r0);
    rows_decoded(scratch, w, r0, r1);
    for (size_t c = 0; c < cols; c += SIDES * LANES) /* these columns stay in a near cache */
        for (size_t t = 0; t < T; t += PAIR) {
            const bool two = T - t >= PAIR;
            const size_t left = cols - c;
            const struct block_t b = {
                .w = scratch + c,
                .n = n,
                .cols = cols,
                .have = {lanes_first(left), lanes_first(left > LANES ? left - LANES : 0)},
                .x = {x + t * x_stride, two ? x + (t + 1) * x_stride : NULL},
            };
            if (two)
                block_times(PAIR, &b, y + t * y_stride + c, y_stride);
            else
                block_times(1, &b, y + t * y_stride + c, y_stride);
        }
}

#endif
