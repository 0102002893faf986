/* attend_avx512.c - queries against cached rows, in f32.
 *
 * Up to 64 queries at once walk over the rows in segments of 64. A segment's rows are converted
 * once and then met by all queries, in tiles of 4 x 4: inner products with lanes along the row, and
 * sums of values with lanes along the value. The softmax is kept as it goes: when a segment raises
 * a query's maximum, what it has so far is scaled down.
 *
 * A query's numbers depend on its own rows and their order alone: segments start at row 0, and a
 * query's part of a tile is the same whatever else is in it. Rows behind a query's last have weight
 * 0 and a query whose rows are used up is left out.
 *
 * Cost: n (Dk + Dv) multiply-adds a query, two a cycle and lane; converting is 1/16 of that for 16
 * queries.
 */
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "kernels/x86/kvrow_avx512.h"
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

enum { QUERIES = 64, SEGMENT = 64, LANES = 16, TILE = 4, AHEAD = 8 };

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
static size_t row_stride(size_t dim) { return round_up_16(dim + LANES - 1); }

size_t attend_bytes_avx512(size_t dim, size_t n)
{
    (void)n;
    const size_t vectors = (2 * QUERIES + SEGMENT) * row_stride(dim);
    return (vectors + QUERIES * (SEGMENT + LANES)) * sizeof(float);
}

static struct room room_of(const struct attend *a, void *scratch)
{
    const size_t end = a->v_at + a->Dv;
    struct room m = {.key = round_up_16(a->Dk), .value = round_up_16(a->Dv)};
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
    for (size_t at = 0; at < n; at += LANES) {
        const __mmask16 have = first_lanes(n - at);
        _mm512_storeu_ps(x + at, _mm512_maskz_mov_ps(have, load_row_16(t, row, at, have)));
    }
}

/* Elements from `split` on are F16. */
INLINE void load_rows(enum kv_type t, const struct room *m, const void *const *row, size_t n,
                      size_t dim, size_t split)
{
    const size_t head = kv_row_bytes(t, split), bytes = head + 2 * (dim - split);
    for (size_t i = 0; i < n; i++) {
        const char *const next = row[i + AHEAD < n ? i + AHEAD : i];
        for (size_t at = 0; at < bytes; at += 64)
            _mm_prefetch(next + at, _MM_HINT_T0);
        float *const x = m->x + i * m->dim;
        for (size_t at = dim / LANES * LANES; at < m->dim; at += LANES)
            _mm512_store_ps(x + at, _mm512_setzero_ps());
        load_part(t, x, row[i], split);
        load_part(KV_F16, x + split, (const uint8_t *)row[i] + head, dim - split);
    }
    for (; n % TILE != 0; n++)
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

/* p[Q, TILE] = inner products of Q queries and TILE rows */
INLINE void score_tile(unsigned Q, const struct room *m, const float *q, const float *x, float *p)
{
    __m512 s[TILE][TILE];
    UNROLL for (unsigned i = 0; i < Q; i++)
        UNROLL for (unsigned j = 0; j < TILE; j++)
            s[i][j] = _mm512_setzero_ps();
    for (size_t at = 0; at < m->key; at += LANES) {
        __m512 k[TILE];
        UNROLL for (unsigned j = 0; j < TILE; j++)
            k[j] = _mm512_load_ps(x + j * m->dim + at);
        UNROLL for (unsigned i = 0; i < Q; i++) {
            const __m512 v = _mm512_load_ps(q + i * m->key + at);
            UNROLL for (unsigned j = 0; j < TILE; j++)
                s[i][j] = _mm512_fmadd_ps(v, k[j], s[i][j]);
        }
    }
    UNROLL for (unsigned i = 0; i < Q; i++)
        _mm_store_ps(p + i * SEGMENT, sum_four(s[i][0], s[i][1], s[i][2], s[i][3]));
}

/* o[Q, W LANES] += p[Q, n] . v[n, W LANES] */
INLINE void value_tile(unsigned Q, unsigned W, const struct room *m, const float *p, const float *v,
                       size_t n, float *o)
{
    __m512 s[TILE][TILE];
    UNROLL for (unsigned i = 0; i < Q; i++)
        UNROLL for (unsigned w = 0; w < W; w++)
            s[i][w] = _mm512_load_ps(o + i * m->value + w * LANES);
    for (size_t r = 0; r < n; r++) {
        __m512 x[TILE];
        UNROLL for (unsigned w = 0; w < W; w++)
            x[w] = _mm512_loadu_ps(v + r * m->dim + w * LANES);
        UNROLL for (unsigned i = 0; i < Q; i++) {
            const __m512 weight = _mm512_set1_ps(p[i * SEGMENT + r]);
            UNROLL for (unsigned w = 0; w < W; w++)
                s[i][w] = _mm512_fmadd_ps(weight, x[w], s[i][w]);
        }
    }
    UNROLL for (unsigned i = 0; i < Q; i++)
        UNROLL for (unsigned w = 0; w < W; w++)
            _mm512_store_ps(o + i * m->value + w * LANES, s[i][w]);
}

/* Q queries from the i-th on: scores of n rows */
INLINE void scores(unsigned Q, const struct room *m, size_t i, size_t n)
{
    for (size_t r = 0; r < n; r += TILE)
        score_tile(Q, m, m->q + i * m->key, m->x + r * m->dim, m->p + i * SEGMENT + r);
}

/* ... and their weighted values */
INLINE void values(unsigned Q, const struct room *m, size_t i, size_t n, size_t v_at)
{
    const float *const p = m->p + i * SEGMENT, *const v = m->x + v_at;
    float *const o = m->o + i * m->value;
    size_t d = 0;
    for (; d + TILE * LANES <= m->value; d += TILE * LANES)
        value_tile(Q, TILE, m, p, v + d, n, o + d);
    for (; d < m->value; d += LANES)
        value_tile(Q, 1, m, p, v + d, n, o + d);
}

/* One query's scores of a segment, `have` of them its own, become weights; what it has so far is
 * scaled to the new maximum. */
static void weigh(struct room *m, size_t i, size_t have, float scale)
{
    enum { PARTS = SEGMENT / LANES };
    float *const p = m->p + i * SEGMENT, *const o = m->o + i * m->value;
    __m512 s[PARTS], top = _mm512_set1_ps(m->max[i]);
    UNROLL for (unsigned w = 0; w < PARTS; w++) {
        const __mmask16 own = first_lanes(have > w * LANES ? have - w * LANES : 0);
        s[w] = _mm512_mask_mul_ps(_mm512_set1_ps(-INFINITY), own, _mm512_load_ps(p + w * LANES),
                                  _mm512_set1_ps(scale));
        top = _mm512_max_ps(top, s[w]);
    }
    const float max = _mm512_reduce_max_ps(top);
    __m512 sum = _mm512_load_ps(m->sum + i * LANES);
    if (max != m->max[i]) {
        const __m512 less = exp_16(_mm512_set1_ps(m->max[i] - max));
        sum = _mm512_mul_ps(sum, less);
        for (size_t d = 0; d < m->value; d += LANES)
            _mm512_store_ps(o + d, _mm512_mul_ps(less, _mm512_load_ps(o + d)));
        m->max[i] = max;
    }
    UNROLL for (unsigned w = 0; w < PARTS; w++) {
        const __m512 e = exp_16(_mm512_sub_ps(s[w], _mm512_set1_ps(max))); /* -inf: 0 */
        _mm512_store_ps(p + w * LANES, e);
        sum = _mm512_add_ps(sum, e);
    }
    _mm512_store_ps(m->sum + i * LANES, sum);
}

/* Queries [i, Q) against a segment: tiles of 4, then one by one. */
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
        const __m512 sum = _mm512_set1_ps(_mm512_reduce_add_ps(_mm512_load_ps(m->sum + i * LANES)));
        for (size_t d = 0; d < Dv; d += LANES)
            _mm512_mask_storeu_ps(o + i * o_stride + d, first_lanes(Dv - d),
                                  _mm512_div_ps(_mm512_load_ps(m->o + i * m->value + d), sum));
    }
}

void attend_avx512(float *o, size_t o_stride, const struct attend *a, void *scratch)
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
