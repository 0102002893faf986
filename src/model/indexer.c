/* indexer.c - choose which past tokens each query may attend to (DSA's lightning indexer).
 *
 *     q[t,h,:] = rope(wq_b . qr)      k[s,:] = rope(LayerNorm(wk . x))      w[t,h] = (weights_proj
 *         . x)[h] * Hi^-0.5
 *     score[t,s] = sum_h w[t,h] * relu(<q[t,h,:], k[s,:]> * Di^-0.5),       s <= pos(t)
 *     pick[t,:]  = the Kt largest s, ascending            (all of them while pos(t) < Kt)
 *
 * The rotated part is the FIRST Dr dimensions of q and k, the opposite of main attention. w is
 * signed, so scores may be negative. Equal scores: the lower position wins (real rows hold plateaus
 * of exact zeros).
 *
 * Source: DeepSeek-V3.2 (DSA); GLM's variant as in transformers glm_moe_dsa.
 * IndexShare: layers marked "shared" do not come here; they use the lists of the last full layer.
 * Shapes: q [T,Hi,Di], k [S,Di] from cache/kv, w [T,Hi], pick [T,Kt] i32.
 * Cost:   T*S*Hi*Di multiply-adds; reads S*Di elements per full layer and row.
 */
#include "model/forward.h"

#include <math.h>

struct job {
    struct forward *f;
    uint64_t layer;
    bool keys_only; /* fill the cache, leave the queries */
};

/* The row's own key into the cache, its queries rotated, its weights scaled. */
static void finish_row(void *ctx, size_t t, int worker)
{
    const struct job *const j = ctx;
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    const struct indexer *const x = &f->m->layer[j->layer].index;
    const struct row *const r = &f->row[t];
    (void)worker;

    float *const key = f->ki + t * c->index_dim;
    k->layernorm(key, key, x->norm, x->bias, c->index_dim, (float)c->index_norm_eps);
    k->rope(key, row_cs(f, t), c->rope_dim, c->index_interleaved);
    if (c->knobs.index_hadamard)
        k->hadamard(key, c->index_dim);
    k->kv_store(kv_index(r->kv, j->layer, r->pos), key, c->index_dim, r->kv->type);

    const float scale = (float)(1.0 / sqrt((double)c->index_heads));
    for (uint64_t h = 0; h < c->index_heads && !j->keys_only; h++) {
        float *const q = f->qi + (t * c->index_heads + h) * c->index_dim;
        k->rope(q, row_cs(f, t), c->rope_dim, c->index_interleaved);
        if (c->knobs.index_hadamard)
            k->hadamard(q, c->index_dim);
        f->wi[t * c->index_heads + h] *= scale;
    }
}

static void pick_row(void *ctx, size_t t, int worker)
{
    const struct job *const j = ctx;
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    const struct row *const r = &f->row[t];
    struct scratch *const s = &f->scratch[worker];
    const size_t n = r->pos + 1;

    if (n <= f->picks_max && !c->knobs.index_always) {
        f->picked[t] = PICK_ALL;
        return;
    }
    for (size_t i = 0; i < n; i++)
        s->ptr[i] = kv_index(r->kv, j->layer, i);
    k->index_score(s->score, f->qi + t * c->index_heads * c->index_dim, f->wi + t * c->index_heads,
                   s->ptr, n, c->index_heads, c->index_dim,
                   (float)(1.0 / sqrt((double)c->index_dim)), r->kv->type, s->vec);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(s->score[i]))
            atomic_store(&f->fault, FAULT_INDEXER);
    }
    f->picked[t] = (uint32_t)(n < f->picks_max ? n : f->picks_max);
    k->topk(f->pick + t * f->picks_max, f->picked[t], s->score, n, s->aux);
}

static void project_keys(struct forward *f, const struct indexer *x)
{
    const struct model_config *const c = &f->m->cfg;
    op_matmul(f, f->ki, c->index_dim, &f->h_in, f->T, &x->k);
}

void indexer_fill(struct forward *f, uint64_t layer)
{
    struct job j = {f, layer, true};
    stages_enter(f->stages, STAGE_INDEXER);
    project_keys(f, &f->m->layer[layer].index);
    pool_for(f->pool, f->T, finish_row, &j);
}

void indexer_run(struct forward *f, uint64_t layer, bool keep_list)
{
    const struct model_config *const c = &f->m->cfg;
    const struct indexer *const x = &f->m->layer[layer].index;
    stages_enter(f->stages, STAGE_INDEXER);
    op_matmul(f, f->qi, c->index_heads * c->index_dim, &f->v_in, f->T, &x->q_b);
    project_keys(f, x);
    op_matmul(f, f->wi, c->index_heads, &f->h_in, f->T, &x->proj);
    struct job j = {f, layer, false};
    pool_for(f->pool, f->T, finish_row, &j);
    if (!keep_list)
        pool_for(f->pool, f->T, pick_row, &j); /* after all keys of the step are in their caches */
}
