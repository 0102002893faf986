/* attend.c - what the queries of multi-head latent attention make of the cached rows.
 *
 * Two forms of the same sum; s is a position of the row's list:
 *
 *   absorbed     u_h = W_K,h^T q_h.nope;   score = (u_h . c_s + q_h.rope . kr_s) * scale;   o_h =
 *       W_V,h sum_s p_s c_s
 *   un-absorbed  k_s = W_K,h c_s, v_s = W_V,h c_s;   score = (q_h.nope . k_s + q_h.rope . kr_s) *
 *       scale
 *
 * Absorbed costs 2*Rk + Dr multiply-adds a key, un-absorbed Dn + Dr + Dv, but the keys must be
 * expanded first: that pays for prompt rows that see few positions. Which form a row takes depends
 * on its role and position alone (D1).
 *
 * Work is cut into (rows, heads) in the absorbed form, because all heads read the same cached rows
 * and all rows the same weights; and into heads in the un-absorbed form, where each has its own
 * keys and all prompt rows read them.
 *
 * Source: DeepSeek-V2 (arXiv 2405.04434).
 */
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "model/forward.h"

struct job {
    struct forward *f;
    uint64_t layer;
    float scale;
    size_t heads, blocks; /* absorbed: heads an item, items a tile of rows */
    bool bring;           /* absorbed: items compute the queries of their heads first */
    size_t t0, t1;        /* un-absorbed: rows of one span */
    uint64_t expanded;    /* positions in f->lat */
};

/* Does this row attend in the un-absorbed form? */
static bool row_expands(const struct forward *f, size_t t)
{
    if (f->m->cfg.knobs.expand_all)
        return true;
    return f->role == ROLE_PREFILL && f->row[t].pos < f->expand_max;
}

/* How many positions row t attends to. */
static size_t row_count(const struct forward *f, size_t t)
{
    return f->picked[t] == PICK_ALL ? f->row[t].pos + 1 : f->picked[t];
}

/* The i-th of them, in rising order. */
static uint64_t row_position(const struct forward *f, size_t t, size_t i)
{
    return f->picked[t] == PICK_ALL ? i : (uint64_t)f->pick[t * f->picks_max + i];
}

/* ---- absorbed ---- */

/* u[count,Rk] (u_stride apart) = W_K,h^T q.nope of head h of these rows */
static void absorb_queries(const struct job *j, size_t h, const size_t *row, size_t count, float *u,
                           size_t u_stride, struct scratch *s)
{
    const struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    const struct layer *const l = &f->m->layer[j->layer];
    const size_t dim = c->nope_dim + c->rope_dim;
    for (size_t i = 0; i < count; i++) {
        const float *const q = f->q + (row[i] * c->heads + h) * dim;
        if (l->split_kv_b)
            k->pack(s->packed[i], q, c->nope_dim, f->role);
        else
            memcpy(s->vec + i * c->nope_dim, q, c->nope_dim * sizeof *q);
        memcpy(u + i * u_stride + c->kv_rank, q + c->nope_dim, c->rope_dim * sizeof *q);
    }
    if (l->split_kv_b) {
        k->matmul(u, u_stride, (const void *const *)s->packed, count, &l->k_b, h * c->kv_rank,
                  (h + 1) * c->kv_rank, f->role, s->wrow);
    } else {
        const uint64_t r0 = h * (c->nope_dim + c->v_dim);
        k->matmul_t(u, u_stride, s->vec, c->nope_dim, count, &l->kv_b, r0, r0 + c->nope_dim,
                    f->role, s->acc, s->wrow);
    }
}

/* out[n,Dv] (out_stride apart) = x[n,Rk] . W_V,h^T */
static void expand_value(const struct job *j, size_t h, const void *const *x, size_t n, float *out,
                         size_t out_stride, struct scratch *s)
{
    const struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[j->layer];
    const struct matrix *const w = l->split_kv_b ? &l->v_b : &l->kv_b;
    const uint64_t r0 = l->split_kv_b ? h * c->v_dim : h * (c->nope_dim + c->v_dim) + c->nope_dim;
    f->m->kernels.matmul(out, out_stride, x, n, w, r0, r0 + c->v_dim, f->role, s->wrow);
}

/* o[heads,Rk] of one row from u[heads,Rk+Dr] */
static void attend_absorbed(const struct job *j, size_t t, const float *u, float *o, size_t heads,
                            struct scratch *s)
{
    const struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct kv *const kv = f->row[t].kv;
    const size_t n = row_count(f, t);
    for (size_t i = 0; i < n; i++)
        s->ptr[i] = kv_latent(kv, j->layer, row_position(f, t, i));
    for (size_t h = 0; h < heads; h++)
        s->seen[h] = (uint32_t)n;
    const struct attend a = {.q = u,
                             .M = heads,
                             .q_stride = c->kv_rank + c->rope_dim,
                             .row = s->ptr,
                             .n = s->seen,
                             .Dk = c->kv_rank + c->rope_dim,
                             .v_at = 0,
                             .Dv = c->kv_rank,
                             .type = kv->type,
                             .split = c->kv_rank,
                             .scale = j->scale};
    f->m->kernels.attend(o, c->kv_rank, &a, s->attend);
}

/* f->att of head h of these rows, from o[count,Rk] (o_stride apart) */
static void finish_values(const struct job *j, size_t h, const size_t *row, size_t count,
                          const float *o, size_t o_stride, struct scratch *s)
{
    const struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    for (size_t i = 0; i < count; i++)
        f->m->kernels.pack(s->packed[i], o + i * o_stride, c->kv_rank, f->role);
    expand_value(j, h, (const void *const *)s->packed, count, s->vec, c->v_dim, s);
    for (size_t i = 0; i < count; i++)
        memcpy(f->att + (row[i] * c->heads + h) * c->v_dim, s->vec + i * c->v_dim,
               c->v_dim * sizeof *s->vec);
}

/* A tile of rows and a block of heads. */
static void absorbed_item(void *ctx, size_t item, int worker)
{
    const struct job *const j = ctx;
    const struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    struct scratch *const s = &f->scratch[worker];
    const size_t first = item / j->blocks * ABSORB_ROWS, h0 = item % j->blocks * j->heads;
    const size_t heads = min_u64(j->heads, c->heads - h0), dim = c->kv_rank + c->rope_dim;
    size_t row[ABSORB_ROWS], count = 0;
    for (size_t t = first; t < f->T && t < first + ABSORB_ROWS; t++)
        if (!row_expands(f, t))
            row[count++] = t;
    if (count == 0)
        return;
    if (j->bring)
        mla_queries(j->f, j->layer, h0, heads, worker);
    for (size_t h = 0; h < heads; h++)
        absorb_queries(j, h0 + h, row, count, s->u + h * dim, heads * dim, s);
    for (size_t i = 0; i < count; i++)
        attend_absorbed(j, row[i], s->u + i * heads * dim, s->o + i * heads * c->kv_rank, heads, s);
    for (size_t h = 0; h < heads; h++)
        finish_values(j, h0 + h, row, count, s->o + h * c->kv_rank, heads * c->kv_rank, s);
}

/* Heads an item: many share the reading of the cached rows, few keep all threads busy. */
static size_t heads_an_item(const struct forward *f)
{
    const size_t heads = f->m->cfg.heads, threads = (size_t)pool_threads(f->pool);
    const size_t share = heads * ceil_div_u64(f->T, ABSORB_ROWS) / threads; /* of a thread */
    return max_u64(min_u64(share / 2, ABSORB_HEADS), max_u64(min_u64(share, 4), 1));
}

static void run_absorbed(struct job *j)
{
    const size_t tiles = ceil_div_u64(j->f->T, ABSORB_ROWS);
    j->heads = heads_an_item(j->f);
    j->blocks = ceil_div_u64(j->f->m->cfg.heads, j->heads);
    op_for(j->f, tiles * j->blocks, absorbed_item, j);
}

/* ---- un-absorbed ---- */

/* s->expanded[j->expanded, Dn + Dr + Dv]: keys and values of head h */
static void expand_head(const struct job *j, size_t h, const struct kv *kv, struct scratch *s)
{
    const struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    const struct layer *const l = &f->m->layer[j->layer];
    const size_t key = c->nope_dim + c->rope_dim, dim = key + c->v_dim, n = j->expanded;
    if (l->split_kv_b) {
        k->matmul_t(s->expanded, dim, f->lat, c->kv_rank, n, &l->k_b, h * c->kv_rank,
                    (h + 1) * c->kv_rank, f->role, s->acc, s->wrow);
    } else {
        const uint64_t r0 = h * (c->nope_dim + c->v_dim);
        k->matmul(s->expanded, dim, f->lat_in.row, n, &l->kv_b, r0, r0 + c->nope_dim, f->role,
                  s->wrow);
    }
    expand_value(j, h, f->lat_in.row, n, s->expanded + key, dim, s);
    for (size_t i = 0; i < n; i++)
        k->kv_load(s->expanded + i * dim + c->nope_dim, kv_latent(kv, j->layer, i) + kv->rope_at,
                   c->rope_dim, kv->rope_type);
}

/* Rows [t, end) that attend to everything before them, or one row with its list. */
static void attend_expanded(const struct job *j, size_t h, size_t t, size_t end, struct scratch *s)
{
    const struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const size_t key = c->nope_dim + c->rope_dim, n = row_count(f, end - 1);
    for (size_t i = 0; i < n; i++)
        s->ptr[i] = s->expanded + row_position(f, end - 1, i) * (key + c->v_dim);
    for (size_t i = t; i < end; i++)
        s->seen[i - t] = (uint32_t)row_count(f, i);
    const struct attend a = {.q = f->q + (t * c->heads + h) * key,
                             .M = end - t,
                             .q_stride = c->heads * key,
                             .row = s->ptr,
                             .n = s->seen,
                             .Dk = key,
                             .v_at = key,
                             .Dv = c->v_dim,
                             .type = KV_F32,
                             .scale = j->scale};
    f->m->kernels.attend(f->att + (t * c->heads + h) * c->v_dim, c->heads * c->v_dim, &a,
                         s->attend);
}

/* One head of a span: its keys and values once, then all rows. */
static void expanded_item(void *ctx, size_t h, int worker)
{
    const struct job *const j = ctx;
    const struct forward *const f = j->f;
    struct scratch *const s = &f->scratch[worker];
    expand_head(j, h, f->row[j->t0].kv, s);
    for (size_t t = j->t0, end; t < j->t1; t = end) {
        end = t + 1;
        if (!row_expands(f, t))
            continue;
        while (f->picked[t] == PICK_ALL && end < j->t1 && row_expands(f, end)
               && f->picked[end] == PICK_ALL)
            end++;
        attend_expanded(j, h, t, end, s);
    }
}

/* Latents of positions [0, n) of a cache as f32, for expansion. */
static void load_latents(struct forward *f, const struct kv *kv, uint64_t layer, uint64_t n)
{
    const uint64_t rank = f->m->cfg.kv_rank;
    for (uint64_t i = 0; i < n; i++)
        f->m->kernels.kv_load(f->lat + i * rank, kv_latent(kv, layer, i), rank, kv->type);
    op_pack(f, &f->lat_in, f->lat, n, rank);
}

/* Rows of one cache stand together: each such span is expanded once. */
static void run_expanded(struct job *j)
{
    struct forward *const f = j->f;
    for (j->t0 = 0; j->t0 < f->T; j->t0 = j->t1) {
        const struct kv *const kv = f->row[j->t0].kv;
        j->expanded = 0;
        for (j->t1 = j->t0; j->t1 < f->T && f->row[j->t1].kv == kv; j->t1++) {
            if (row_expands(f, j->t1))
                j->expanded = max_u64(j->expanded, f->row[j->t1].pos + 1);
        }
        if (j->expanded == 0)
            continue;
        load_latents(f, kv, j->layer, j->expanded);
        op_for(f, f->m->cfg.heads, expanded_item, j);
    }
}

bool attend_brings_queries(const struct forward *f)
{
    const size_t blocks = ceil_div_u64(f->m->cfg.heads, heads_an_item(f));
    for (size_t t = 0; t < f->T; t++)
        if (row_expands(f, t))
            return false;
    return f->T <= ABSORB_ROWS && blocks % (size_t)pool_threads(f->pool) == 0;
}

void attend_run(struct forward *f, uint64_t layer, bool bring)
{
    const struct model_config *const c = &f->m->cfg;
    struct job j = {.f = f, .layer = layer, .bring = bring};
    j.scale = (float)(1.0 / sqrt((double)(c->nope_dim + c->rope_dim)));
    run_expanded(&j);
    run_absorbed(&j);
}
