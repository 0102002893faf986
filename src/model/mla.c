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
    bool fill;      /* the cache and nothing else */
    bool keys_only; /* leave the queries: nobody wants them, or attention brings them */
};

/* Of the input, all that attention and the indexer want: f->a, f->qr, f->ki, f->wi. */
static void project_input(const struct job *j, bool choose)
{
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[j->layer];
    const void *const *const h = f->h_in.row;
    struct product p[4];
    size_t n = 0;
    if (!j->fill)
        p[n++] = (struct product){.y = f->qr, .stride = c->q_rank, .x = h, .T = f->T, .w = &l->q_a};
    p[n++] = (struct product){
        .y = f->a, .stride = c->kv_rank + c->rope_dim, .x = h, .T = f->T, .w = &l->kv_a};
    if (l->index_kind == INDEX_FULL)
        n += indexer_input_products(f, &l->index, choose, p + n);
    op_products(f, p, n);
}

/* Of the query latent: f->q unless attention brings it, and f->qi if the rows are to choose. */
static void project_queries(const struct job *j, bool choose)
{
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[j->layer];
    struct product p[2];
    size_t n = 0;
    op_norm(f, &f->v_in, f->qr, f->qr, NULL, l->q_a_norm, f->T, c->q_rank, c->latent_eps);
    if (!j->keys_only)
        p[n++] = (struct product){.y = f->q, .stride = c->heads * (c->nope_dim + c->rope_dim),
                                  .x = f->v_in.row, .T = f->T, .w = &l->q_b};
    if (choose)
        n += indexer_query_products(f, &l->index, p + n);
    op_products(f, p, n);
}

static void rope_queries(struct forward *f, size_t t, size_t h0, size_t heads)
{
    const struct model_config *const c = &f->m->cfg;
    const size_t dim = c->nope_dim + c->rope_dim;
    for (size_t h = h0; h < h0 + heads; h++)
        f->m->kernels.rope(f->q + (t * c->heads + h) * dim + c->nope_dim, row_cs(f, t),
                           c->rope_dim, c->rope_interleaved);
}

void mla_queries(struct forward *f, uint64_t layer, size_t h0, size_t heads, int worker)
{
    const struct model_config *const c = &f->m->cfg;
    const size_t dim = c->nope_dim + c->rope_dim;
    f->m->kernels.matmul(f->q + h0 * dim, c->heads * dim, f->v_in.row, f->T,
                         &f->m->layer[layer].q_b, h0 * dim, (h0 + heads) * dim, f->role,
                         f->scratch[worker].wrow);
    for (size_t t = 0; t < f->T; t++)
        rope_queries(f, t, h0, heads);
}

/* Norm, rotate and store the row's latent; rotate its queries if they are there. */
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
    if (j->fill)
        fault_unless_finite(f, a, c->kv_rank + c->rope_dim, FAULT_LATENT);
    uint8_t *const row_at = kv_latent(r->kv, j->layer, r->pos);
    k->kv_store(row_at, a, c->kv_rank, r->kv->type);
    k->kv_store(row_at + r->kv->rope_at, a + c->kv_rank, c->rope_dim, r->kv->rope_type);
    if (!j->keys_only)
        rope_queries(f, t, 0, c->heads);
}

/* Elements that finish_row goes through. */
static size_t row_elements(const struct job *j)
{
    const struct model_config *const c = &j->f->m->cfg;
    return c->kv_rank + (j->keys_only ? 1 : c->heads) * c->rope_dim;
}

void mla_fill(struct forward *f, uint64_t layer)
{
    struct job j = {.f = f, .layer = layer, .fill = true, .keys_only = true};
    stages_enter(f->stages, STAGE_ATTENTION);
    project_input(&j, false);
    op_rows(f, f->T, row_elements(&j), finish_row, &j);
    if (f->m->layer[layer].index_kind == INDEX_FULL)
        indexer_run(f, layer, false, false);
}

void mla_run(struct forward *f, uint64_t layer, bool reuse_list)
{
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[layer];
    const bool full = l->index_kind == INDEX_FULL, list = full && !reuse_list;
    const bool choose = list && indexer_chooses(f), bring = attend_brings_queries(f);
    struct job j = {.f = f, .layer = layer, .keys_only = bring};
    stages_enter(f->stages, STAGE_ATTENTION);
    project_input(&j, choose);
    project_queries(&j, choose);
    op_rows(f, f->T, row_elements(&j), finish_row, &j);
    if (full)
        indexer_run(f, layer, list, choose);
    stages_enter(f->stages, STAGE_ATTENTION);
    attend_run(f, layer, bring);
    op_pack(f, &f->v_in, f->att, f->T, c->heads * c->v_dim);
    op_matmul(f, f->y, c->hidden, &f->v_in, f->T, &l->o);
}
