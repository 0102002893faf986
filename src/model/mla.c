/* mla.c - multi-head latent attention over the compressed cache.
 *
 *     qr = rms(q_a . x)         q_h = q_b . qr = [nope Dn | rope Dr]
 *     a  = kv_a . x             c = rms(a[0..Rk)) and kr = rope(a[Rk..)) go to the cache, nothing
 *         else does
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
 * Source: DeepSeek-V2 (arXiv 2405.04434); sizes and order of halves as in transformers glm_moe_dsa.
 */
#include "model/forward.h"

#include <assert.h>
#include <math.h>

#include "base/util.h"

struct job {
    struct forward *f;
    uint64_t layer;
    size_t t0, t1;     /* expanded: rows of one span */
    uint64_t expanded; /* positions in f->lat */
    float scale;
    bool keys_only; /* fill the cache, leave the queries */
};

static void project_latent(struct forward *f, const struct layer *l)
{
    const struct model_config *const c = &f->m->cfg;
    op_matmul(f, f->a, c->kv_rank + c->rope_dim, &f->h_in, f->T, &l->kv_a);
}

static void project_queries(struct forward *f, const struct layer *l)
{
    const struct model_config *const c = &f->m->cfg;
    op_matmul(f, f->qr, c->q_rank, &f->h_in, f->T, &l->q_a);
    op_rmsnorm(f, f->qr, f->qr, l->q_a_norm, f->T, c->q_rank, c->latent_eps);
    op_pack(f, &f->v_in, f->qr, f->T, c->q_rank); /* the indexer reads it too */
    op_matmul(f, f->q, c->heads * (c->nope_dim + c->rope_dim), &f->v_in, f->T, &l->q_b);
}

/* Norm, rotate and store the row's latent; rotate its queries. */
static void finish_row(void *ctx, size_t t, int worker)
{
    const struct job *const j = ctx;
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    const struct row *const r = &f->row[t];
    (void)worker;
    float *const a = f->a + t * (c->kv_rank + c->rope_dim);
    k->rmsnorm(a, a, f->m->layer[j->layer].kv_a_norm, c->kv_rank, (float)c->latent_eps);
    k->rope(a + c->kv_rank, row_cs(f, t), c->rope_dim, c->rope_interleaved);
    k->kv_store(kv_latent(r->kv, j->layer, r->pos), a, c->kv_rank + c->rope_dim, r->kv->type);
    for (uint64_t h = 0; h < c->heads && !j->keys_only; h++) {
        float *const q = f->q + (t * c->heads + h) * (c->nope_dim + c->rope_dim);
        k->rope(q + c->nope_dim, row_cs(f, t), c->rope_dim, c->rope_interleaved);
    }
}

/* Does this row attend in the un-absorbed form? */
static bool row_expands(const struct forward *f, size_t t)
{
    if (f->m->cfg.knobs.expand_all)
        return true;
    return f->role == ROLE_PREFILL && f->row[t].pos < f->expand_max;
}

/* The cached rows that row t attends to, in rising position: pointers into s->ptr; returns how
 * many. */
static size_t gather(const struct forward *f, const struct job *j, size_t t, struct scratch *s)
{
    const struct row *const r = &f->row[t];
    const bool all = f->picked[t] == PICK_ALL;
    const size_t n = all ? r->pos + 1 : f->picked[t];
    const int32_t *const pick = f->pick + t * f->picks_max;
    for (size_t i = 0; i < n; i++)
        s->ptr[i] = kv_latent(r->kv, j->layer, all ? i : (uint64_t)pick[i]);
    return n;
}

/* u[Rk] = W_K,h^T q[Dn] */
static void absorb_query(const struct forward *f, const struct layer *l, uint64_t h, const float *q,
                         float *u, struct scratch *s)
{
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    if (l->split_kv_b) {
        const void *const in = s->packed;
        k->pack(s->packed, q, c->nope_dim);
        k->matmul(u, c->kv_rank, &in, 1, &l->k_b, h * c->kv_rank, (h + 1) * c->kv_rank, f->role,
                  s->wrow);
    } else {
        const uint64_t r0 = h * (c->nope_dim + c->v_dim);
        k->matmul_t(u, c->kv_rank, q, c->nope_dim, 1, &l->kv_b, r0, r0 + c->nope_dim, s->acc,
                    s->wrow);
    }
}

/* out[n,Dv] = x[n,Rk] . W_V,h^T */
static void expand_value(const struct forward *f, const struct layer *l, uint64_t h,
                         const void *const *x, size_t n, float *out, struct scratch *s)
{
    const struct model_config *const c = &f->m->cfg;
    const struct matrix *const w = l->split_kv_b ? &l->v_b : &l->kv_b;
    const uint64_t r0 = l->split_kv_b ? h * c->v_dim : h * (c->nope_dim + c->v_dim) + c->nope_dim;
    f->m->kernels.matmul(out, c->v_dim, x, n, w, r0, r0 + c->v_dim, f->role, s->wrow);
}

/* out[n,Dn] = lat[n,Rk] . W_K,h^T */
static void expand_key(const struct forward *f, const struct layer *l, uint64_t h, size_t n,
                       float *out, struct scratch *s)
{
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    if (l->split_kv_b) {
        k->matmul_t(out, c->nope_dim, f->lat, c->kv_rank, n, &l->k_b, h * c->kv_rank,
                    (h + 1) * c->kv_rank, s->acc, s->wrow);
    } else {
        const uint64_t r0 = h * (c->nope_dim + c->v_dim);
        k->matmul(out, c->nope_dim, f->lat_in.row, n, &l->kv_b, r0, r0 + c->nope_dim, f->role,
                  s->wrow);
    }
}

/* One (row, head) in the absorbed form. */
static void absorbed_item(void *ctx, size_t i, int worker)
{
    const struct job *const j = ctx;
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const size_t t = i / c->heads, h = i % c->heads;
    if (row_expands(f, t))
        return;
    struct scratch *const s = &f->scratch[worker];
    float *const u = s->vec, *const o = u; /* u is no longer needed when o is written */
    float *const vec = s->vec + c->kv_rank;
    const float *const q = f->q + i * (c->nope_dim + c->rope_dim);
    const struct layer *const l = &f->m->layer[j->layer];
    const size_t n = gather(f, j, t, s);
    absorb_query(f, l, h, q, u, s);
    f->m->kernels.mla_absorbed(o, u, q + c->nope_dim, s->ptr, n, c->kv_rank, c->rope_dim, j->scale,
                               f->row[t].kv->type, s->score, vec, s->acc);
    const void *const in = s->packed;
    f->m->kernels.pack(s->packed, o, c->kv_rank);
    expand_value(f, l, h, &in, 1, f->att + i * c->v_dim, s);
}

/* One head of a span in the un-absorbed form: expand its keys and values once, then attend row by
 * row. */
static void expanded_item(void *ctx, size_t h, int worker)
{
    const struct job *const j = ctx;
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    struct scratch *const s = &f->scratch[worker];
    const struct layer *const l = &f->m->layer[j->layer];
    expand_key(f, l, h, j->expanded, s->k_exp, s);
    expand_value(f, l, h, f->lat_in.row, j->expanded, s->v_exp, s);
    for (size_t t = j->t0; t < j->t1; t++) {
        if (!row_expands(f, t))
            continue;
        const size_t i = t * c->heads + h, n = gather(f, j, t, s);
        const float *const q = f->q + i * (c->nope_dim + c->rope_dim);
        const int32_t *const pick = f->picked[t] == PICK_ALL ? NULL : f->pick + t * f->picks_max;
        f->m->kernels.mla_expanded(f->att + i * c->v_dim, q, q + c->nope_dim, s->k_exp, s->v_exp,
                                   pick, s->ptr, n, c->nope_dim, c->kv_rank, c->rope_dim, c->v_dim,
                                   j->scale, f->row[t].kv->type, s->score, s->vec, s->acc);
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
static void attend_expanded(struct job *j)
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
        pool_for(f->pool, f->m->cfg.heads, expanded_item, j);
    }
}

void mla_fill(struct forward *f, uint64_t layer)
{
    const struct layer *const l = &f->m->layer[layer];
    struct job j = {.f = f, .layer = layer, .keys_only = true};
    stages_enter(f->stages, STAGE_ATTENTION);
    project_latent(f, l);
    pool_for(f->pool, f->T, finish_row, &j);
    if (l->index_kind == INDEX_FULL)
        indexer_fill(f, layer);
}

void mla_run(struct forward *f, uint64_t layer, bool reuse_list)
{
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[layer];
    struct job j = {.f = f, .layer = layer};
    j.scale = (float)(1.0 / sqrt((double)(c->nope_dim + c->rope_dim)));
    stages_enter(f->stages, STAGE_ATTENTION);
    project_queries(f, l);
    project_latent(f, l);
    pool_for(f->pool, f->T, finish_row, &j);
    if (l->index_kind == INDEX_FULL)
        indexer_run(f, layer, reuse_list);
    stages_enter(f->stages, STAGE_ATTENTION);
    attend_expanded(&j);
    pool_for(f->pool, f->T * c->heads, absorbed_item, &j);
    op_pack(f, &f->v_in, f->att, f->T, c->heads * c->v_dim);
    op_matmul(f, f->y, c->hidden, &f->v_in, f->T, &l->o);
}
