/* attend.h - queries against cached rows, in f32. The skeleton of attend_*.c of the levels, each of
 * which includes it once, behind its math_*.h and
 *
 *     TILE       queries that meet the same four rows, or four registers of values, in registers
 *
 * Up to 64 queries at once walk over the rows in segments of 64. A segment's rows are converted
 * once and then met by all queries, in tiles of TILE x 4: inner products with lanes along the row,
 * and sums of values with lanes along the value. The softmax is kept as it goes: when a segment
 * raises a query's maximum, what it has so far is scaled down.
 *
 * A query's numbers depend on its own rows and their order alone: segments start at row 0, and a
 * query's part of a tile is the same whatever else is in it. Rows behind a query's last have weight
 * 0 and a query whose rows are used up is left out.
 *
 * Cost: n (Dk + Dv) multiply-adds a query, two a cycle and lane; converting is 1/16 of that for 16
 * queries.
 */
#ifndef GLIM_KERNELS_SIMD_ATTEND_H
#define GLIM_KERNELS_SIMD_ATTEND_H

#include <math.h>
#include <string.h>

#include "kernels/simd/exp.h"
#include "kernels/simd/row.h"

enum { QUERIES = 64, SEGMENT = 64, WIDE = 4, AHEAD = 8 };

/* The scratch: strides and counts in floats, rounded up to LANES. */
struct room {
    size_t key, value, dim;
    float *q;   /* [QUERIES, key] zero-padded */
    float *o;   /* [QUERIES, value] */
    float *x;   /* [SEGMENT, dim] rows, zero-padded */
    float *p;   /* [QUERIES, SEGMENT] scores, then weights */
    float *sum; /* [QUERIES, LANES] */
    float max[QUERIES];
};

/* A value's last lanes may reach past the row. */
static size_t lanes_up(size_t n) { return (n + LANES - 1) / LANES * LANES; }
static size_t row_stride(size_t dim) { return lanes_up(dim + LANES - 1); }

size_t LEVEL(attend_bytes)(size_t dim, size_t n)
{
    (void)n;
    const size_t vectors = (2 * QUERIES + SEGMENT) * row_stride(dim);
    return (vectors + QUERIES * (SEGMENT + LANES)) * sizeof(float);
}

static struct room room_of(const struct attend *a, void *scratch)
{
    const size_t end = a->v_at + a->Dv;
    struct room m = {.key = lanes_up(a->Dk), .value = lanes_up(a->Dv)};
    m.dim = row_stride(end > a->Dk ? end : a->Dk);
    m.q = scratch;
    m.o = m.q + QUERIES * m.key;
    m.x = m.o + QUERIES * m.value;
    m.p = m.x + SEGMENT * m.dim;
    m.sum = m.p + QUERIES * SEGMENT;
    return m;
}

/* x = n elements, and zeros up to the next multiple of LANES */
INLINE void load_part(enum kv_type t, float *x, const uint8_t *row, size_t n)
{
    for (size_t at = 0; at < n; at += LANES)
        float_store(x + at, keep_first(load_row(t, row, at, n - at), n - at));
}

/* Elements from `split` on are F16. */
INLINE void load_rows(enum kv_type t, const struct room *m, const void *const *row, size_t n,
                      size_t dim, size_t split)
{
    const size_t head = kv_row_bytes(t, split), bytes = head + 2 * (dim - split);
    for (size_t i = 0; i < n; i++) {
        call_for_row(row[i + AHEAD < n ? i + AHEAD : i], bytes);
        float *const x = m->x + i * m->dim;
        for (size_t at = dim / LANES * LANES; at < m->dim; at += LANES)
            float_store(x + at, float_zero());
        load_part(t, x, row[i], split);
        load_part(KV_F16, x + split, (const uint8_t *)row[i] + head, dim - split);
    }
    for (; n % WIDE != 0; n++)
        memset(m->x + n * m->dim, 0, m->dim * sizeof *m->x);
}

static void load_segment(const struct room *m, const struct attend *a, size_t first, size_t n)
{
    const size_t end = a->v_at + a->Dv, dim = end > a->Dk ? end : a->Dk;
    const size_t split = a->split < dim ? a->split : dim;
    switch (a->type) {
    case KV_F32: load_rows(KV_F32, m, a->row + first, n, dim, dim); break;
    case KV_F16: load_rows(KV_F16, m, a->row + first, n, dim, dim); break;
    case KV_Q8: load_rows(KV_Q8, m, a->row + first, n, dim, split); break;
    case KV_I8: load_rows(KV_I8, m, a->row + first, n, dim, dim); break;
    default: load_rows(KV_BF16, m, a->row + first, n, dim, dim); break;
    }
}

/* p[Q, WIDE] = inner products of Q queries and WIDE rows */
INLINE void score_tile(unsigned Q, const struct room *m, const float *q, const float *x, float *p)
{
    vfloat s[TILE][WIDE];
    UNROLL for (unsigned i = 0; i < Q; i++)
        UNROLL for (unsigned j = 0; j < WIDE; j++)
            s[i][j] = float_zero();
    for (size_t at = 0; at < m->key; at += LANES) {
        vfloat v[TILE];
        UNROLL for (unsigned i = 0; i < Q; i++)
            v[i] = float_load(q + i * m->key + at);
        UNROLL for (unsigned j = 0; j < WIDE; j++) {
            const vfloat k = float_load(x + j * m->dim + at);
            UNROLL for (unsigned i = 0; i < Q; i++)
                s[i][j] = mul_add(v[i], k, s[i][j]);
        }
    }
    UNROLL for (unsigned i = 0; i < Q; i++)
        store_sums(p + i * SEGMENT, s[i][0], s[i][1], s[i][2], s[i][3]);
}

/* o[Q, W LANES] += p[Q, n] . v[n, W LANES] */
INLINE void value_tile(unsigned Q, unsigned W, const struct room *m, const float *p, const float *v,
                       size_t n, float *o)
{
    vfloat s[TILE][WIDE];
    UNROLL for (unsigned i = 0; i < Q; i++)
        UNROLL for (unsigned w = 0; w < W; w++)
            s[i][w] = float_load(o + i * m->value + w * LANES);
    for (size_t r = 0; r < n; r++) {
        vfloat weight[TILE];
        UNROLL for (unsigned i = 0; i < Q; i++)
            weight[i] = float_all(p[i * SEGMENT + r]);
        UNROLL for (unsigned w = 0; w < W; w++) {
            const vfloat x = float_load(v + r * m->dim + w * LANES);
            UNROLL for (unsigned i = 0; i < Q; i++)
                s[i][w] = mul_add(weight[i], x, s[i][w]);
        }
    }
    UNROLL for (unsigned i = 0; i < Q; i++)
        UNROLL for (unsigned w = 0; w < W; w++)
            float_store(o + i * m->value + w * LANES, s[i][w]);
}

/* Q queries from the i-th on: scores of n rows */
INLINE void scores(unsigned Q, const struct room *m, size_t i, size_t n)
{
    for (size_t r = 0; r < n; r += WIDE)
        score_tile(Q, m, m->q + i * m->key, m->x + r * m->dim, m->p + i * SEGMENT + r);
}

/* ... and their weighted values */
INLINE void values(unsigned Q, const struct room *m, size_t i, size_t n, size_t v_at)
{
    const float *const p = m->p + i * SEGMENT, *const v = m->x + v_at;
    float *const o = m->o + i * m->value;
    size_t d = 0;
    for (; d + WIDE * LANES <= m->value; d += WIDE * LANES)
        value_tile(Q, WIDE, m, p, v + d, n, o + d);
    for (; d < m->value; d += LANES)
        value_tile(Q, 1, m, p, v + d, n, o + d);
}

/* One query's scores of a segment, `have` of them its own, become weights; what it has so far is
 * scaled to the new maximum. */
static void weigh(struct room *m, size_t i, size_t have, float scale)
{
    enum { PARTS = SEGMENT / LANES };
    float *const p = m->p + i * SEGMENT, *const o = m->o + i * m->value;
    vfloat s[PARTS], top = float_all(m->max[i]);
    UNROLL for (unsigned w = 0; w < PARTS; w++) {
        const vmask own = mask_first(have > w * LANES ? have - w * LANES : 0);
        s[w] = choose(own, mul(float_load(p + w * LANES), float_all(scale)), float_all(-INFINITY));
        top = larger(top, s[w]);
    }
    const float max = lanes_max(top);
    vfloat sum = float_load(m->sum + i * LANES);
    if (max != m->max[i]) {
        const vfloat factor = exp_of(float_all(m->max[i] - max));
        sum = mul(sum, factor);
        for (size_t d = 0; d < m->value; d += LANES)
            float_store(o + d, mul(factor, float_load(o + d)));
        m->max[i] = max;
    }
    UNROLL for (unsigned w = 0; w < PARTS; w++) {
        const vfloat e = exp_of(sub(s[w], float_all(max))); /* -inf: 0 */
        float_store(p + w * LANES, e);
        sum = add(sum, e);
    }
    float_store(m->sum + i * LANES, sum);
}

/* Queries [i, Q) against a segment: tiles of TILE, then one by one. */
static void meet(struct room *m, const uint32_t *seen, size_t i, size_t Q, size_t first, size_t n,
                 const struct attend *a)
{
    size_t t = i;
    for (; t + TILE <= Q; t += TILE)
        scores(TILE, m, t, n);
    for (; t < Q; t++)
        scores(1, m, t, n);
    for (t = i; t < Q; t++)
        weigh(m, t, seen[t] - first < SEGMENT ? seen[t] - first : SEGMENT, a->scale);
    for (t = i; t + TILE <= Q; t += TILE)
        values(TILE, m, t, n, a->v_at);
    for (; t < Q; t++)
        values(1, m, t, n, a->v_at);
}

static void begin(struct room *m, const struct attend *a, size_t first, size_t Q)
{
    memset(m->q, 0, Q * m->key * sizeof *m->q);
    memset(m->o, 0, Q * m->value * sizeof *m->o);
    memset(m->sum, 0, Q * LANES * sizeof *m->sum);
    for (size_t i = 0; i < Q; i++) {
        memcpy(m->q + i * m->key, a->q + (first + i) * a->q_stride, a->Dk * sizeof *m->q);
        m->max[i] = -INFINITY;
    }
}

static void finish(const struct room *m, float *o, size_t o_stride, size_t Q, size_t Dv)
{
    for (size_t i = 0; i < Q; i++) {
        const vfloat sum = float_all(lanes_sum(float_load(m->sum + i * LANES)));
        for (size_t d = 0; d < Dv; d += LANES)
            store_first(o + i * o_stride + d, Dv - d,
                        divide(float_load(m->o + i * m->value + d), sum));
    }
}

void LEVEL(attend)(float *o, size_t o_stride, const struct attend *a, void *scratch)
{
    struct room m = room_of(a, scratch);
    for (size_t at = 0; at < a->M; at += QUERIES) {
        const size_t Q = a->M - at < QUERIES ? a->M - at : QUERIES;
        const uint32_t *const seen = a->n + at;
        begin(&m, a, at, Q);
        size_t live = 0;
        for (size_t first = 0; first < seen[Q - 1]; first += SEGMENT) {
            const size_t left = seen[Q - 1] - first, n = left < SEGMENT ? left : SEGMENT;
            while (seen[live] <= first)
                live++;
            load_segment(&m, a, first, n);
            meet(&m, seen, live, Q, first, n, a);
        }
        finish(&m, o + at * o_stride, o_stride, Q, a->Dv);
    }
}

#endif
