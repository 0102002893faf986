/* attend_neon.c - queries against cached rows, in f32.
 *
 *     p = softmax_i(scale <q_m, key_i>),   o_m = sum_i p_i value_i
 *
 * Four queries read each row together; a block of rows is decoded once for them. Scores are
 * products of dots_neon.h; rows are added to an output in ascending order by fused multiply-add.
 * A query's bits do not depend on the others: a row beyond its own n does not touch it.
 */
#include "kernels/arm/arm.h"
#include "kernels/arm/dots_neon.h"
#include "kernels/ref/ref.h"

enum { BLOCK = 16, COLUMNS = 4 * LANES };

/* Scratch: rows of a block, scores of four queries. */
size_t attend_bytes_neon(size_t dim, size_t n)
{
    return round_up_64((BLOCK * dim + DOTS * n) * sizeof(float));
}

struct four { /* queries; the last one again where there are fewer */
    const struct attend *a;
    size_t count, n[DOTS]; /* rows each sees */
    const float *q[DOTS];
    float *p[DOTS], *o[DOTS], *rows;
};

/* rows [count, n]: the first n elements of rows i and on */
static void load_rows(const struct four *f, size_t i, size_t count, size_t n)
{
    const struct attend *const a = f->a;
    const size_t split = a->type == KV_Q8 && a->split < n ? a->split : n;
    for (size_t j = 0; j < count; j++) {
        const uint8_t *const row = a->row[i + j];
        float *const x = f->rows + j * n;
        kv_load_neon(x, row, split, a->type);
        if (split < n)
            kv_load_neon(x + split, row + kv_row_bytes(a->type, split), n - split, KV_F16);
    }
}

static void four_scores(const struct four *f, size_t i, size_t count)
{
    for (size_t r = 0; r < count; r++) {
        float s[DOTS];
        four_dots(s, f->q, f->rows + r * f->a->Dk, f->a->Dk);
        for (size_t j = 0; j < f->count; j++)
            if (i + r < f->n[j])
                f->p[j][i + r] = f->a->scale * s[j];
    }
}

/* o += sum of p[r] * x[r], COLUMNS of rows `stride` apart */
INLINE void columns_add(float *o, const float *p, const float *x, size_t stride, size_t count)
{
    float32x4_t s[COLUMNS / LANES];
    UNROLL for (unsigned k = 0; k < COLUMNS / LANES; k++)
        s[k] = vld1q_f32(o + k * LANES);
    for (size_t r = 0; r < count; r++)
        UNROLL for (unsigned k = 0; k < COLUMNS / LANES; k++)
            s[k] = vfmaq_n_f32(s[k], vld1q_f32(x + r * stride + k * LANES), p[r]);
    UNROLL for (unsigned k = 0; k < COLUMNS / LANES; k++)
        vst1q_f32(o + k * LANES, s[k]);
}

/* One query's output, of `count` rows. */
static void values_add(float *o, const float *p, const float *x, size_t stride, size_t Dv,
                       size_t count)
{
    size_t d = 0;
    for (; d + COLUMNS <= Dv; d += COLUMNS)
        columns_add(o + d, p, x + d, stride, count);
    for (; d < Dv; d++)
        for (size_t r = 0; r < count; r++)
            o[d] = __builtin_fmaf(p[r], x[r * stride + d], o[d]);
}

static void four_values(const struct four *f, size_t i, size_t count)
{
    const size_t dim = f->a->v_at + f->a->Dv;
    for (size_t j = 0; j < f->count; j++)
        if (i < f->n[j])
            values_add(f->o[j], f->p[j] + i, f->rows + f->a->v_at, dim, f->a->Dv,
                       f->n[j] - i < count ? f->n[j] - i : count);
}

static void attend_four(const struct four *f)
{
    const size_t n = f->n[f->count - 1];
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t count = n - i < BLOCK ? n - i : BLOCK;
        load_rows(f, i, count, f->a->Dk);
        four_scores(f, i, count);
    }
    for (size_t j = 0; j < f->count; j++) {
        ref_softmax(f->p[j], f->n[j]);
        memset(f->o[j], 0, f->a->Dv * sizeof *f->o[j]);
    }
    for (size_t i = 0; i < n; i += BLOCK) {
        const size_t count = n - i < BLOCK ? n - i : BLOCK;
        load_rows(f, i, count, f->a->v_at + f->a->Dv);
        four_values(f, i, count);
    }
}

void attend_neon(float *o, size_t o_stride, const struct attend *a, void *scratch)
{
    const size_t dim = a->v_at + a->Dv > a->Dk ? a->v_at + a->Dv : a->Dk;
    float *const rows = scratch, *const p = rows + BLOCK * dim;
    const size_t most = a->n[a->M - 1];
    for (size_t m = 0; m < a->M; m += DOTS) {
        struct four f = {.a = a, .rows = rows};
        f.count = a->M - m < DOTS ? a->M - m : DOTS;
        for (size_t j = 0; j < DOTS; j++) {
            const size_t at = m + (j < f.count ? j : f.count - 1);
            f.q[j] = a->q + at * a->q_stride;
            f.n[j] = a->n[at];
            f.p[j] = p + j * most;
            f.o[j] = o + at * o_stride;
        }
        attend_four(&f);
    }
}
