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
#include <string.h>

#include "base/util.h"

struct job {
    struct forward *f;
    uint64_t layer;
    bool keys_only; /* fill the cache, leave the queries */
    size_t parts;   /* items a tile of rows: each has a part of the keys */
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
    fault_unless_finite(f, key, c->index_dim, FAULT_KEY);
    k->kv_store(kv_index(r->kv, j->layer, r->pos), key, c->index_dim, r->kv->index_type);

    const float scale = (float)(1.0 / sqrt((double)c->index_heads));
    for (uint64_t h = 0; h < c->index_heads && !j->keys_only; h++) {
        float *const q = f->qi + (t * c->index_heads + h) * c->index_dim;
        k->rope(q, row_cs(f, t), c->rope_dim, c->index_interleaved);
        if (c->knobs.index_hadamard)
            k->hadamard(q, c->index_dim);
        f->wi[t * c->index_heads + h] *= scale;
    }
}

/* Of more candidates than wanted, the best; they keep their order. */
static void keep_best(const struct forward *f, struct candidates *b, struct scratch *s)
{
    const size_t want = f->picks_max;
    if (b->n <= want)
        return;
    f->m->kernels.topk(s->order, want, b->score, b->n, s->aux);
    b->least = INFINITY;
    for (size_t i = 0; i < want; i++) {
        b->score[i] = b->score[s->order[i]];
        b->pos[i] = b->pos[s->order[i]];
        b->least = fminf(b->least, b->score[i]);
    }
    b->n = want;
}

/* n scores of the positions from `first` on. A score that equals the least that is kept loses:
 * its position is higher. */
static void add_scores(struct forward *f, struct candidates *b, const float *score, uint64_t first,
                       size_t n)
{
    bool finite = true;
    b->n += f->m->kernels.above(b->score + b->n, b->pos + b->n, score, n, (int32_t)first, b->least,
                                &finite);
    if (!finite)
        atomic_store(&f->fault, FAULT_INDEXER);
}

/* best[T] of rows [t, t + T) of one cache, from one walk over its keys [first, last): no row of
 * scores is ever stored, only those that may be among the best. */
static void walk_keys(const struct job *j, size_t t, size_t T, uint64_t first, uint64_t last,
                      struct candidates *best, struct scratch *s)
{
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const struct kv *const kv = f->row[t].kv;
    for (size_t i = 0; i < T; i++) {
        best[i].n = 0;
        best[i].least = -INFINITY;
    }
    for (; first < last; first += INDEX_KEYS) {
        const size_t n = min_u64(INDEX_KEYS, last - first);
        for (size_t i = 0; i < n; i++)
            s->ptr[i] = kv_index(kv, j->layer, first + i);
        f->m->kernels.index_score(s->score, INDEX_KEYS, f->qi + t * c->index_heads * c->index_dim,
                                  f->wi + t * c->index_heads, T, s->ptr, n, c->index_heads,
                                  c->index_dim, (float)(1.0 / sqrt((double)c->index_dim)),
                                  kv->index_type, s->index);
        for (size_t i = 0; i < T; i++) {
            const uint64_t own = f->row[t + i].pos + 1;
            if (first < own)
                add_scores(f, &best[i], s->score + i * INDEX_KEYS, first, min_u64(n, own - first));
            if (best[i].n > 2 * f->picks_max)
                keep_best(f, &best[i], s);
        }
    }
    for (size_t i = 0; i < T; i++)
        keep_best(f, &best[i], s);
}

/* The list of row t. Where no score is a number the step fails, but not before attention. */
static void give_list(struct forward *f, size_t t, const struct candidates *b)
{
    int32_t *const pick = f->pick + t * f->picks_max;
    pick[0] = 0;
    memcpy(pick, b->pos, b->n * sizeof *pick);
    f->picked[t] = (uint32_t)max_u64(b->n, 1);
}

/* Does this row see more than it may attend to? */
static bool row_chooses(const struct forward *f, size_t t)
{
    return f->row[t].pos >= f->picks_max || f->m->cfg.knobs.index_always;
}

/* Where an item leaves the best of its part of the keys, a row of the tile each. */
static struct candidates *item_best(const struct forward *f, size_t item)
{
    return f->scratch[item / INDEX_PARTS].best + item % INDEX_PARTS * INDEX_ROWS;
}

/* A tile of rows, those of one cache together, and a part of their keys. */
static void pick_item(void *ctx, size_t item, int worker)
{
    const struct job *const j = ctx;
    struct forward *const f = j->f;
    struct scratch *const s = &f->scratch[worker];
    const size_t t0 = item / j->parts * INDEX_ROWS, part = item % j->parts;
    const size_t last = min_u64(f->T, t0 + INDEX_ROWS);
    struct candidates *const best = j->parts > 1 ? item_best(f, item) : s->best;
    for (size_t t = t0, end; t < last; t = end) {
        end = t + 1;
        if (!row_chooses(f, t)) {
            f->picked[t] = PICK_ALL;
            continue;
        }
        while (end < last && f->row[end].kv == f->row[t].kv && row_chooses(f, end))
            end++;
        const uint64_t keys = f->row[end - 1].pos + 1;
        walk_keys(j, t, end - t, keys * part / j->parts, keys * (part + 1) / j->parts,
                  best + (t - t0), s);
        for (size_t i = t; i < end && j->parts == 1; i++)
            give_list(f, i, &best[i - t0]);
    }
}

/* The parts of a row's keys, in rising order, put together in the first one's. */
static void join_parts(void *ctx, size_t t, int worker)
{
    const struct job *const j = ctx;
    struct forward *const f = j->f;
    const size_t first = t / INDEX_ROWS * j->parts;
    struct candidates *const b = item_best(f, first) + t % INDEX_ROWS;
    if (!row_chooses(f, t))
        return;
    for (size_t p = 1; p < j->parts; p++) {
        const struct candidates *const more = item_best(f, first + p) + t % INDEX_ROWS;
        for (size_t i = 0; i < more->n; i++) {
            b->score[b->n] = more->score[i];
            b->pos[b->n] = more->pos[i];
            b->n += more->score[i] > b->least;
        }
        keep_best(f, b, &f->scratch[worker]);
    }
    give_list(f, t, b);
}

/* Few rows with many keys: the threads share the keys. */
static size_t key_parts(const struct forward *f)
{
    const size_t tiles = ceil_div_u64(f->T, INDEX_ROWS), threads = (size_t)pool_threads(f->pool);
    uint64_t keys = 0;
    for (size_t t = 0; t < f->T; t++)
        keys = max_u64(keys, f->row[t].pos + 1);
    return max_u64(1, min_u64(threads * INDEX_PARTS / tiles, keys / f->part_keys));
}

static void pick_lists(struct job *j)
{
    struct forward *const f = j->f;
    j->parts = key_parts(f);
    op_for(f, ceil_div_u64(f->T, INDEX_ROWS) * j->parts, pick_item, j);
    if (j->parts > 1)
        op_rows(f, f->T, j->parts * f->picks_max, join_parts, j);
}

bool indexer_chooses(const struct forward *f)
{
    for (size_t t = 0; t < f->T; t++)
        if (row_chooses(f, t))
            return true;
    return false;
}

size_t indexer_input_products(struct forward *f, const struct indexer *x, bool choose,
                              struct product *p)
{
    const struct model_config *const c = &f->m->cfg;
    p[0] = (struct product){
        .y = f->ki, .stride = c->index_dim, .x = f->h_in.row, .T = f->T, .w = &x->k};
    if (!choose)
        return 1;
    p[1] = (struct product){
        .y = f->wi, .stride = c->index_heads, .x = f->h_in.row, .T = f->T, .w = &x->proj};
    return 2;
}

size_t indexer_query_products(struct forward *f, const struct indexer *x, struct product *p)
{
    const struct model_config *const c = &f->m->cfg;
    p[0] = (struct product){.y = f->qi, .stride = c->index_heads * c->index_dim,
                            .x = f->v_in.row, .T = f->T, .w = &x->q_b};
    return 1;
}

void indexer_run(struct forward *f, uint64_t layer, bool list, bool choose)
{
    const struct model_config *const c = &f->m->cfg;
    struct job j = {f, layer, !choose, 1};
    stages_enter(f->stages, STAGE_INDEXER);
    op_rows(f, f->T, j.keys_only ? c->index_dim : c->index_heads * c->index_dim, finish_row, &j);
    if (list) /* after all keys of the step are in their caches */
        pick_lists(&j);
}
