/* bind.c - see bind.h. */
#include "model/bind.h"

#include <assert.h>
#include <math.h>

#include "base/util.h"
#include "model/names.h"

struct binder {
    struct model *m;
    bool gguf;
    struct err *e;
};

static int bind_matrix(const struct binder *b, enum part p, uint64_t layer, uint64_t rows,
                       uint64_t cols, struct matrix *out)
{
    char name[NAME_MAX_BYTES];
    const bool known = part_name(name, p, b->gguf, layer, 0);
    assert(known); /* callers ask for parts of their dialect */
    (void)known;
    return weights_matrix(b->m->weights, name, rows, cols, out, b->e);
}

static int bind_vector(const struct binder *b, enum part p, uint64_t layer, uint64_t n,
                       const float **out)
{
    char name[NAME_MAX_BYTES];
    (void)part_name(name, p, b->gguf, layer, 0);
    float *const v = arena_alloc(&b->m->memory, n, sizeof *v);
    *out = v;
    return weights_vector(b->m->weights, &b->m->kernels, name, n, v, b->e);
}

static bool has(const struct binder *b, enum part p, uint64_t layer, uint64_t expert)
{
    char name[NAME_MAX_BYTES];
    return part_name(name, p, b->gguf, layer, expert) && weights_has(b->m->weights, name);
}

/* kv_b comes whole (HF, older GGUF) or split into a transposed k_b and a v_b, a slice a head. */
static int bind_kv_b(const struct binder *b, uint64_t i, struct layer *l)
{
    const struct model_config *const c = &b->m->cfg;
    l->split_kv_b = !has(b, PART_KV_B, i, 0) && b->gguf;
    if (!l->split_kv_b)
        return bind_matrix(b, PART_KV_B, i, c->heads * (c->nope_dim + c->v_dim), c->kv_rank,
                           &l->kv_b);
    char k[NAME_MAX_BYTES], v[NAME_MAX_BYTES];
    (void)part_name(k, PART_K_B, true, i, 0);
    (void)part_name(v, PART_V_B, true, i, 0);
    if (weights_slice(b->m->weights, k, c->heads, c->kv_rank, c->nope_dim, 0, &l->k_b, b->e) != 0
        || weights_slice(b->m->weights, v, c->heads, c->v_dim, c->kv_rank, 0, &l->v_b, b->e) != 0)
        return b->e->code;
    l->k_b.rows *=
        c->heads; /* slices follow each other without a gap: one matrix, addressed by row ranges */
    l->v_b.rows *= c->heads;
    return GLIM_OK;
}

static int bind_attention(const struct binder *b, uint64_t i, struct layer *l)
{
    const struct model_config *const c = &b->m->cfg;
    const uint64_t q = c->heads * (c->nope_dim + c->rope_dim);
    if (bind_vector(b, PART_ATTN_NORM, i, c->hidden, &l->attn_norm) != 0
        || bind_vector(b, PART_FFN_NORM, i, c->hidden, &l->ffn_norm) != 0
        || bind_matrix(b, PART_Q_A, i, c->q_rank, c->hidden, &l->q_a) != 0
        || bind_vector(b, PART_Q_A_NORM, i, c->q_rank, &l->q_a_norm) != 0
        || bind_matrix(b, PART_Q_B, i, q, c->q_rank, &l->q_b) != 0
        || bind_matrix(b, PART_KV_A, i, c->kv_rank + c->rope_dim, c->hidden, &l->kv_a) != 0
        || bind_vector(b, PART_KV_A_NORM, i, c->kv_rank, &l->kv_a_norm) != 0
        || bind_kv_b(b, i, l) != 0
        || bind_matrix(b, PART_O, i, c->hidden, c->heads * c->v_dim, &l->o) != 0)
        return b->e->code;
    return GLIM_OK;
}

static int bind_indexer(const struct binder *b, uint64_t i, struct indexer *x)
{
    const struct model_config *const c = &b->m->cfg;
    if (bind_matrix(b, PART_INDEX_Q_B, i, c->index_heads * c->index_dim, c->q_rank, &x->q_b) != 0
        || bind_matrix(b, PART_INDEX_K, i, c->index_dim, c->hidden, &x->k) != 0
        || bind_matrix(b, PART_INDEX_PROJ, i, c->index_heads, c->hidden, &x->proj) != 0
        || bind_vector(b, PART_INDEX_NORM, i, c->index_dim, &x->norm) != 0
        || bind_vector(b, PART_INDEX_BIAS, i, c->index_dim, &x->bias) != 0)
        return b->e->code;
    return GLIM_OK;
}

static int bind_ffn(const struct binder *b, uint64_t i, enum part gate, uint64_t width,
                    struct ffn *f)
{
    const uint64_t d = b->m->cfg.hidden;
    if (bind_matrix(b, gate, i, width, d, &f->gate) != 0
        || bind_matrix(b, (enum part)(gate + 1), i, width, d, &f->up) != 0
        || bind_matrix(b, (enum part)(gate + 2), i, d, width, &f->down) != 0)
        return b->e->code;
    return GLIM_OK;
}

static int bind_expert(const struct binder *b, uint64_t i, uint64_t expert, struct expert *x)
{
    const struct model_config *const c = &b->m->cfg;
    struct matrix *const out[] = {&x->gate, &x->up, &x->down};
    for (int k = 0; k < 3; k++) {
        const uint64_t rows = k < 2 ? c->expert_width : c->hidden,
                       cols = k < 2 ? c->hidden : c->expert_width;
        char name[NAME_MAX_BYTES];
        (void)part_name(name, (enum part)(PART_EXPERT_GATE + k), b->gguf, i, expert);
        const int rc = b->gguf
            ? weights_slice(b->m->weights, name, c->experts, rows, cols, expert, out[k], b->e)
            : weights_matrix(b->m->weights, name, rows, cols, out[k], b->e);
        if (rc != 0)
            return rc;
    }
    return GLIM_OK;
}

static int bind_moe(const struct binder *b, uint64_t i, struct layer *l)
{
    const struct model_config *const c = &b->m->cfg;
    if (bind_matrix(b, PART_ROUTER, i, c->experts, c->hidden, &l->router) != 0
        || bind_vector(b, PART_ROUTER_BIAS, i, c->experts, &l->router_bias) != 0)
        return b->e->code;
    if (c->shared_experts
        && bind_ffn(b, i, PART_SHARED_GATE, c->expert_width * c->shared_experts, &l->shared) != 0)
        return b->e->code;
    for (uint64_t x = 0; x < c->experts; x++) {
        if (bind_expert(b, i, x, experts_slot(&b->m->experts, l->moe_layer, x)) != 0)
            return b->e->code;
    }
    return GLIM_OK;
}

static int bind_layer(const struct binder *b, uint64_t i, uint64_t *moe_layers)
{
    const struct model_config *const c = &b->m->cfg;
    struct layer *const l = &b->m->layer[i];
    *l = (struct layer){.ffn_kind = c->ffn[i], .index_kind = c->index[i]};
    if (bind_attention(b, i, l) != 0)
        return b->e->code;
    if (l->index_kind == INDEX_FULL && bind_indexer(b, i, &l->index) != 0)
        return b->e->code;
    if (l->ffn_kind == FFN_DENSE)
        return bind_ffn(b, i, PART_GATE, c->dense_width, &l->dense);
    l->moe_layer = (*moe_layers)++;
    return bind_moe(b, i, l);
}

static int bind_mtp(const struct binder *b)
{
    struct model *const m = b->m;
    const uint64_t i = m->cfg.layers, d = m->cfg.hidden;
    struct mtp *const t = &m->mtp;
    if (bind_matrix(b, PART_MTP_EH_PROJ, i, d, 2 * d, &t->eh_proj) != 0
        || bind_vector(b, PART_MTP_ENORM, i, d, &t->enorm) != 0
        || bind_vector(b, PART_MTP_HNORM, i, d, &t->hnorm) != 0
        || bind_vector(b, PART_MTP_HEAD_NORM, i, d, &t->head_norm) != 0)
        return b->e->code;
    t->embed = m->embed;
    t->head = m->head;
    if (has(b, PART_MTP_EMBED, i, 0)
        && bind_matrix(b, PART_MTP_EMBED, i, m->cfg.vocab, d, &t->embed) != 0)
        return b->e->code;
    if (has(b, PART_MTP_HEAD, i, 0)
        && bind_matrix(b, PART_MTP_HEAD, i, m->cfg.vocab, d, &t->head) != 0)
        return b->e->code;
    return GLIM_OK;
}

static int bind_all(const struct binder *b)
{
    struct model *const m = b->m;
    const struct model_config *const c = &m->cfg;
    const bool tied = c->tied_head || !has(b, PART_HEAD, 0, 0);
    if (bind_matrix(b, PART_EMBED, 0, c->vocab, c->hidden, &m->embed) != 0
        || bind_vector(b, PART_NORM, 0, c->hidden, &m->norm) != 0
        || (!tied && bind_matrix(b, PART_HEAD, 0, c->vocab, c->hidden, &m->head) != 0))
        return b->e->code;
    if (tied && !c->tied_head && !b->gguf)
        return err_set(b->e, GLIM_EFORMAT,
                       "tensor \"lm_head.weight\" is missing and the config ties no embedding");
    if (tied)
        m->head = m->embed;
    uint64_t moe_layers = 0;
    for (uint64_t i = 0; i < c->layers + c->mtp_layers; i++) {
        if (bind_layer(b, i, &moe_layers) != 0)
            return b->e->code;
    }
    return c->mtp_layers ? bind_mtp(b) : GLIM_OK;
}

/* A release may name a draft layer in its config and leave its tensors out: such a model just has
 * none. */
static void drop_absent_mtp(const struct binder *b)
{
    struct model_config *const c = &b->m->cfg;
    if (c->mtp_layers && !has(b, PART_MTP_EH_PROJ, c->layers, 0))
        c->mtp_layers = 0;
}

/* Everything that bind_vector and the tables take from the model's memory. */
static uint64_t memory_plan(const struct model_config *c)
{
    const uint64_t f = sizeof(float), layers = c->layers + c->mtp_layers;
    const uint64_t per_layer = 2 * arena_cost(c->hidden, f) + arena_cost(c->q_rank, f)
                               + arena_cost(c->kv_rank, f) + 2 * arena_cost(c->index_dim, f)
                               + arena_cost(c->experts, f);
    return layers * per_layer + 4 * arena_cost(c->hidden, f) + arena_cost(c->rope_dim / 2, f)
        + arena_cost(layers, sizeof(struct layer));
}

/* inv_freq[j] = theta^(-2j/Dr), rounded to f32 as the reference does. */
static void fill_inv_freq(struct model *m)
{
    const uint64_t half = m->cfg.rope_dim / 2;
    float *const f = arena_alloc(&m->memory, half, sizeof *f);
    for (uint64_t j = 0; j < half; j++)
        f[j] = 1.0F / powf((float)m->cfg.rope_theta, (float)(2 * j) / (float)m->cfg.rope_dim);
    m->inv_freq = f;
}

int model_init(struct model *m, struct weights *w, const struct model_knobs *knobs,
               enum cpu_level isa, struct err *e)
{
    *m = (struct model){.weights = w};
    kernels_init(&m->kernels, isa);
    if (config_read(&m->cfg, w, knobs, e) != 0)
        return e->code;
    const struct binder b = {.m = m, .gguf = weights_is_gguf(w), .e = e};
    drop_absent_mtp(&b);
    uint64_t moe_layers = 0;
    for (uint64_t i = 0; i < m->cfg.layers + m->cfg.mtp_layers; i++)
        moe_layers += m->cfg.ffn[i] == FFN_MOE;
    if (arena_init(&m->memory, memory_plan(&m->cfg), "model vectors", e) != 0
        || experts_init(&m->experts, moe_layers, m->cfg.experts, e) != 0) {
        model_deinit(m);
        return e->code;
    }
    m->layer = arena_alloc(&m->memory, m->cfg.layers + m->cfg.mtp_layers, sizeof *m->layer);
    fill_inv_freq(m);
    if (bind_all(&b) != 0) {
        model_deinit(m);
        return e->code;
    }
    return GLIM_OK;
}

void model_deinit(struct model *m)
{
    experts_deinit(&m->experts);
    arena_deinit(&m->memory);
    *m = (struct model){0};
}

static size_t layer_matrices(struct layer *l, struct matrix **out)
{
    struct matrix *const all[] = {
        &l->q_a, &l->q_b, &l->kv_a, &l->o, &l->kv_b, &l->k_b, &l->v_b,
        &l->index.q_b, &l->index.k, &l->index.proj, &l->dense.gate, &l->dense.up, &l->dense.down,
        &l->shared.gate, &l->shared.up, &l->shared.down, &l->router,
    };
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (!all[i]->data) /* of another kind of layer */
            continue;
        if (out)
            out[n] = all[i];
        n++;
    }
    return n;
}

size_t model_matrices(struct model *m, bool mtp, struct matrix **out)
{
    const bool drafts = mtp && m->cfg.mtp_layers > 0;
    size_t n = 0;
    for (uint64_t i = 0; i < m->cfg.layers + drafts; i++)
        n += layer_matrices(&m->layer[i], out ? out + n : NULL);
    struct matrix *const rest[] = {&m->head, &m->mtp.eh_proj, &m->mtp.head};
    for (size_t i = 0; i < (drafts ? COUNT_OF(rest) : 1); i++, n++)
        if (out)
            out[n] = rest[i];
    return n;
}

const char *tensor_group_name(enum tensor_group g)
{
    static const char *const name[GROUP_COUNT] = {
        "embedding",      "attention", "indexer", "dense ffn", "router",      "shared expert",
        "routed experts", "norms",     "head",    "mtp",       "mtp experts", "not used",
    };
    return name[g];
}

static enum tensor_group group_of_part(enum part p)
{
    switch (p) {
    case PART_EMBED: return GROUP_EMBEDDING;
    case PART_HEAD: return GROUP_HEAD;
    case PART_NORM:
    case PART_ATTN_NORM:
    case PART_FFN_NORM:
    case PART_Q_A_NORM:
    case PART_KV_A_NORM: return GROUP_NORMS;
    case PART_INDEX_Q_B:
    case PART_INDEX_K:
    case PART_INDEX_PROJ:
    case PART_INDEX_NORM:
    case PART_INDEX_BIAS: return GROUP_INDEXER;
    case PART_GATE: case PART_UP: case PART_DOWN: return GROUP_DENSE;
    case PART_ROUTER: case PART_ROUTER_BIAS: return GROUP_ROUTER;
    case PART_SHARED_GATE: case PART_SHARED_UP: case PART_SHARED_DOWN: return GROUP_SHARED;
    case PART_EXPERT_GATE: case PART_EXPERT_UP: case PART_EXPERT_DOWN: return GROUP_EXPERTS;
    default: return GROUP_ATTENTION;
    }
}

enum tensor_group tensor_group_of(const struct model *m, const char *name)
{
    const struct model_config *const c = &m->cfg;
    enum part p;
    uint64_t layer;
    if (!part_of_name(name, weights_is_gguf(m->weights), &p, &layer)
        || layer >= c->layers + c->mtp_layers)
        return GROUP_UNUSED;
    const enum tensor_group g = group_of_part(p);
    if (layer == c->layers)
        return g == GROUP_EXPERTS ? GROUP_MTP_EXPERTS : GROUP_MTP;
    if (g == GROUP_INDEXER && c->index[layer] != INDEX_FULL)
        return GROUP_UNUSED; /* duplicates on layers that share */
    return g;
}
