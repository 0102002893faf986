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

/* Of the input, all that attention and the indexer want: f->a, f->qr, f->ki, f->wi. */
static void project_input(const struct job *j, bool choose)
{
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[j->layer];
    const void *const *const h = f->h_in.row;
    struct product p[4];
    size_t n = 0;
    if (!j->keys_only)
        p[n++] = (struct product){.y = f->qr, .stride = c->q_rank, .x = h, .T = f->T, .w = &l->q_a};
    p[n++] = (struct product){
        .y = f->a, .stride = c->kv_rank + c->rope_dim, .x = h, .T = f->T, .w = &l->kv_a};
    if (l->index_kind == INDEX_FULL)
        n += indexer_input_products(f, &l->index, choose, p + n);
    op_products(f, p, n);
}

/* Of the query latent: f->q, and f->qi if the rows are to choose. */
static void project_queries(const struct job *j, bool choose)
{
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[j->layer];
    op_norm(f, &f->v_in, f->qr, f->qr, NULL, l->q_a_norm, f->T, c->q_rank, c->latent_eps);
    struct product p[2] = {{.y = f->q, .stride = c->heads * (c->nope_dim + c->rope_dim),
                            .x = f->v_in.row, .T = f->T, .w = &l->q_b}};
    op_products(f, p, 1 + (choose ? indexer_query_products(f, &l->index, p + 1) : 0));
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

/* Elements that finish_row goes through. */
static size_t row_elements(const struct job *j)
{
    const struct model_config *const c = &j->f->m->cfg;
    return c->kv_rank + (j->keys_only ? 1 : c->heads) * c->rope_dim;
}

void mla_fill(struct forward *f, uint64_t layer)
{
    struct job j = {.f = f, .layer = layer, .keys_only = true};
    stages_enter(f->stages, STAGE_ATTENTION);
    project_input(&j, false);
    op_rows(f, f->T, row_elements(&j), finish_row, &j);
    if (f->m->layer[layer].index_kind == INDEX_FULL)
        indexer_run(f, layer, false);
}

void mla_run(struct forward *f, uint64_t layer, bool reuse_list)
{
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[layer];
    const bool full = l->index_kind == INDEX_FULL, choose = full && !reuse_list;
    struct job j = {.f = f, .layer = layer};
    stages_enter(f->stages, STAGE_ATTENTION);
    project_input(&j, choose && indexer_chooses(f));
    project_queries(&j, choose && indexer_chooses(f));
    op_rows(f, f->T, row_elements(&j), finish_row, &j);
    if (full)
        indexer_run(f, layer, choose);
    stages_enter(f->stages, STAGE_ATTENTION);
    attend_run(f, layer);
    op_pack(f, &f->v_in, f->att, f->T, c->heads * c->v_dim);
    op_matmul(f, f->y, c->hidden, &f->v_in, f->T, &l->o);
}
