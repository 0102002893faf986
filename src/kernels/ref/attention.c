/* attention.c - queries against cached rows.
 *
 *     index_score   s_i = sum_h w_h relu(scale <q_h, k_i>)            (DSA's indexer)
 *     attend        p = softmax_i(scale <q, key_i>),   o = sum_i p_i value_i
 *
 * Inner products are lane sums in double and scores are rounded to f32 once; heads h and rows i are
 * added in ascending order. Rows are decoded where they are used: nothing is kept between calls.
 */
#include <assert.h>

#include "kernels/ref/ref.h"

/* A NaN must not pass for "not positive". */
static double relu(double v) { return v < 0 ? 0 : v; }

/* Scratch: one key's floats; of I8 the queries' blocks, first all scales, then all bytes. */
size_t ref_index_bytes(size_t T, size_t Hi, size_t Di)
{
    return (Di + T * Hi) * sizeof(float) + T * Hi * Di;
}

static float score_of(const float *q, const float *w, const float *key, size_t Hi, size_t Di,
                      float scale)
{
    double sum = 0;
    for (size_t h = 0; h < Hi; h++)
        sum += (double)w[h] * relu((double)scale * ref_dot(q + h * Di, key, Di));
    return (float)sum;
}

static int64_t byte_dot(const int8_t *a, const int8_t *b, size_t n)
{
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The same of blocks. */
static float score_of_bytes(const int8_t *q, const float *q_scale, const float *w,
                            const uint8_t *row, size_t Hi, size_t Di, float scale,
                            ref_byte_dot *dot)
{
    const int8_t *const key = (const int8_t *)row + sizeof(float);
    const double s = (double)bits_f32(load_u32(row)) * (double)scale;
    double sum = 0;
    for (size_t h = 0; h < Hi; h++)
        sum += (double)w[h] * relu((double)q_scale[h] * s
                                   * (double)dot(q + h * Di, key, Di));
    return (float)sum;
}

void ref_score_bytes(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                     const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                     float *q_scale, ref_byte_dot *dot)
{
    int8_t *const v = (int8_t *)(q_scale + T * Hi);
    for (size_t h = 0; h < T * Hi; h++)
        q_scale[h] = ref_block_store(v + h * Di, q + h * Di, Di);
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < T; t++)
            s[t * s_stride + i] = score_of_bytes(v + t * Hi * Di, q_scale + t * Hi, w + t * Hi,
                                                 row[i], Hi, Di, scale, dot);
}

void ref_index_score(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                     const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                     enum kv_type kt, void *scratch)
{
    float *const key = scratch;
    if (kt == KV_I8) {
        ref_score_bytes(s, s_stride, q, w, T, row, n, Hi, Di, scale, key, byte_dot);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        ref_kv_load(key, row[i], Di, kt);
        for (size_t t = 0; t < T; t++)
            s[t * s_stride + i] = score_of(q + t * Hi * Di, w + t * Hi, key, Hi, Di, scale);
    }
}

/* Scratch: doubles of the sums, one row's floats, scores. */
size_t ref_attend_bytes(size_t dim, size_t n)
{
    return dim * (sizeof(double) + sizeof(float)) + n * sizeof(float);
}

/* x[n] = the first elements of a row. */
static void load_row(float *x, const struct attend *a, size_t i, size_t n)
{
    const uint8_t *const row = a->row[i];
    const size_t split = a->type == KV_Q8 && a->split < n ? a->split : n;
    ref_kv_load(x, row, split, a->type);
    if (split < n)
        ref_kv_load(x + split, row + kv_row_bytes(a->type, split), n - split, KV_F16);
}

static void attend_one(float *o, const float *q, size_t n, const struct attend *a, double *acc,
                       float *x, float *p)
{
    for (size_t i = 0; i < n; i++) {
        load_row(x, a, i, a->Dk);
        p[i] = (float)((double)a->scale * ref_dot(q, x, a->Dk));
    }
    ref_softmax(p, n);
    for (size_t d = 0; d < a->Dv; d++)
        acc[d] = 0;
    for (size_t i = 0; i < n; i++) {
        load_row(x, a, i, a->v_at + a->Dv);
        ref_axpy_double(acc, (double)p[i], x + a->v_at, a->Dv);
    }
    for (size_t d = 0; d < a->Dv; d++)
        o[d] = (float)acc[d];
}

void ref_attend(float *o, size_t o_stride, const struct attend *a, void *scratch)
{
    const size_t dim = a->v_at + a->Dv > a->Dk ? a->v_at + a->Dv : a->Dk;
    double *const acc = scratch;
    float *const x = (float *)(acc + dim), *const p = x + dim;
    for (size_t m = 0; m < a->M; m++) {
        assert(a->n[m] > 0);
        attend_one(o + m * o_stride, a->q + m * a->q_stride, a->n[m], a, acc, x, p);
    }
}
