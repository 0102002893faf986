/* mla.c - multi-head latent attention over the compressed cache.
 *
 *     qr = rms(q_a . x)         q_h = q_b . qr = [nope Dn | rope Dr]
 *     a  = kv_a . x             c = rms(a[0..Rk)) and kr = rope(a[Rk..)) go to the cache, nothing
 *         else does
 *
 * What the queries make of the cache is attend.c's. mla_run puts the parts together: cache first,
 * then the lists, then attention, then the output matrix.
 *
 * Source: DeepSeek-V2 (arXiv 2405.04434); sizes and order of halves as in transformers glm_moe_dsa.
 */
#include "model/forward.h"

struct job {
    struct forward *f;
    uint64_t layer;
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
    stages_enter(f->stages, STAGE_ATTENTION);
    project_queries(f, l);
    project_latent(f, l);
    pool_for(f->pool, f->T, finish_row, &j);
    if (l->index_kind == INDEX_FULL)
        indexer_run(f, layer, reuse_list);
    stages_enter(f->stages, STAGE_ATTENTION);
    attend_run(f, layer);
    op_pack(f, &f->v_in, f->att, f->T, c->heads * c->v_dim);
    op_matmul(f, f->y, c->hidden, &f->v_in, f->T, &l->o);
}
