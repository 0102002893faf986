/* workspace.c - the memory of a step: planned, then handed out in the same order.
 *
 * One function lays the arrays out; run on an arena without memory it only counts. So the plan
 * cannot drift from the layout.
 */
#include "model/forward.h"

#include "base/util.h"

/* Counts when f->arena has no memory, allocates when it has. */
static void *take(struct forward *f, uint64_t *total, uint64_t count, uint64_t size)
{
    const uint64_t cost = arena_cost(count, size);
    *total = *total > UINT64_MAX - cost ? UINT64_MAX : *total + cost;
    return f->arena.base ? arena_alloc(&f->arena, count, size) : NULL;
}

static struct packed take_packed(struct forward *f, uint64_t *n, uint64_t rows, uint64_t width)
{
    const uint64_t bytes = f->m->kernels.pack_bytes((size_t)width);
    struct packed p = {take(f, n, rows, sizeof *p.row)};
    const uint8_t *const data = take(f, n, rows, bytes);
    for (uint64_t t = 0; p.row && t < rows; t++)
        p.row[t] = data + t * bytes;
    return p;
}

static void lay_out_attention(struct forward *f, uint64_t *n)
{
    const struct model_config *const c = &f->m->cfg;
    const uint64_t T = f->rows_max, F = sizeof(float);
    f->cs = take(f, n, T * c->rope_dim, F);
    f->qr = take(f, n, T * c->q_rank, F);
    f->q = take(f, n, T * c->heads * (c->nope_dim + c->rope_dim), F);
    f->a = take(f, n, T * (c->kv_rank + c->rope_dim), F);
    f->att = take(f, n, T * c->heads * c->v_dim, F);
    f->lat = take(f, n, f->expand_max * c->kv_rank, F);
    f->lat_in = take_packed(f, n, f->expand_max, c->kv_rank);
    f->qi = take(f, n, T * c->index_heads * c->index_dim, F);
    f->ki = take(f, n, T * c->index_dim, F);
    f->wi = take(f, n, T * c->index_heads, F);
    f->pick = take(f, n, T * f->picks_max, sizeof *f->pick);
    f->picked = take(f, n, T, sizeof *f->picked);
}

static void lay_out_ffn(struct forward *f, uint64_t *n)
{
    const struct model_config *const c = &f->m->cfg;
    const uint64_t T = f->rows_max, F = sizeof(float), pairs = T * c->experts_used;
    const uint64_t width = max_u64(c->dense_width, c->expert_width * c->shared_experts);
    f->gate = take(f, n, T * width, F);
    f->up = take(f, n, T * width, F);
    f->route = take(f, n, T * c->experts, F);
    f->chosen = take(f, n, pairs, sizeof *f->chosen);
    f->weight = take(f, n, pairs, F);
    f->pair_of = take(f, n, pairs, sizeof *f->pair_of);
    f->item = take(f, n, c->experts, sizeof *f->item);
    f->product = take(f, n, c->experts + 1, sizeof *f->product);
    f->ex_in = take(f, n, pairs, sizeof *f->ex_in);
    f->act_in = take_packed(f, n, pairs, c->expert_width);
    f->ex_act = take(f, n, pairs * c->expert_width, F);
    f->ex_up = take(f, n, pairs * c->expert_width, F);
    f->ex_out = take(f, n, pairs * c->hidden, F);
}

static uint64_t widest_row(const struct model_config *c)
{
    uint64_t w = max_u64(2 * c->hidden, c->heads * c->v_dim);
    w = max_u64(w, max_u64(c->dense_width, c->expert_width * max_u64(c->shared_experts, 1)));
    return max_u64(max_u64(w, c->q_rank), max_u64(c->kv_rank, c->nope_dim));
}

/* What matmul and matmul_t decode into: a row, or all of a head's when keys are expanded. */
static uint64_t decoded_weights(const struct model_config *c)
{
    return max_u64(widest_row(c), c->kv_rank * c->nope_dim);
}

static void take_candidates(struct forward *f, uint64_t *n, struct scratch *s)
{
    const uint64_t room = 2 * f->picks_max + INDEX_KEYS;
    for (size_t i = 0; i < INDEX_PARTS * INDEX_ROWS; i++) {
        s->best[i].score = take(f, n, room, sizeof(float));
        s->best[i].pos = take(f, n, room, sizeof(int32_t));
    }
    s->score = take(f, n, (uint64_t)INDEX_ROWS * INDEX_KEYS, sizeof(float));
    s->order = take(f, n, f->picks_max, sizeof(int32_t));
    s->aux = take(f, n, room, sizeof(float));
}

static struct scratch take_scratch(struct forward *f, uint64_t *n)
{
    const struct model_config *const c = &f->m->cfg;
    const struct kernels *const k = &f->m->kernels;
    const uint64_t F = sizeof(float), S = f->context_max, pairs = ABSORB_ROWS * ABSORB_HEADS;
    const uint64_t key = c->nope_dim + c->rope_dim, latent = c->kv_rank + c->rope_dim;
    const size_t dim = max_u64(key + c->v_dim, latent);
    struct scratch s;
    for (size_t i = 0; i < ABSORB_ROWS; i++)
        s.packed[i] = take(f, n, 1, k->pack_bytes((size_t)max_u64(c->kv_rank, c->nope_dim)));
    s.wrow = take(f, n, decoded_weights(c), F);
    s.vec = take(f, n, ABSORB_ROWS * max_u64(c->nope_dim, c->v_dim), F);
    s.u = take(f, n, pairs * latent, F);
    s.o = take(f, n, pairs * c->kv_rank, F);
    s.acc = take(f, n, KERNEL_LANES * max_u64(c->kv_rank, c->nope_dim), sizeof(double));
    s.attend = take(f, n, 1, k->attend_bytes(dim, S));
    s.index = take(f, n, 1, k->index_bytes(INDEX_ROWS, c->index_heads, c->index_dim));
    s.ptr = take(f, n, S, sizeof *s.ptr);
    s.seen = take(f, n, max_u64(f->rows_max, ABSORB_HEADS), sizeof *s.seen);
    s.expanded = take(f, n, f->expand_max * (key + c->v_dim), F);
    take_candidates(f, n, &s);
    return s;
}

static void lay_out_scratch(struct forward *f, uint64_t *n, int threads)
{
    f->scratch = take(f, n, (uint64_t)threads, sizeof *f->scratch);
    for (int i = 0; i < threads; i++) {
        const struct scratch s = take_scratch(f, n);
        if (f->arena.base)
            f->scratch[i] = s;
    }
}

static uint64_t lay_out(struct forward *f, int threads)
{
    const struct model_config *const c = &f->m->cfg;
    const uint64_t T = f->rows_max, F = sizeof(float);
    uint64_t n = 0;
    f->x = take(f, &n, T * c->hidden, F);
    f->h = take(f, &n, T * c->hidden, F);
    f->y = take(f, &n, T * c->hidden, F);
    f->final = take(f, &n, T * c->hidden, F);
    f->prenorm = take(f, &n, T * c->hidden, F);
    f->mtp_in = take(f, &n, T * 2 * c->hidden, F);
    f->mtp_out = take(f, &n, T * c->hidden, F);
    f->h_in = take_packed(f, &n, T, c->hidden);
    f->v_in = take_packed(f, &n, T, widest_row(c));
    lay_out_attention(f, &n);
    lay_out_ffn(f, &n);
    lay_out_scratch(f, &n, threads);
    return n;
}

/* Un-absorbed attention expands keys and values of up to this many positions; beyond, absorbed is
 * cheaper (a sparse row reads Kt rows, not all). */
static uint64_t expand_limit(const struct model_config *c, uint64_t context)
{
    if (c->knobs.expand_off)
        return 0;
    return c->knobs.expand_all ? context : min_u64(c->index_topk, context);
}

static void set_sizes(struct forward *f, const struct model *m, uint64_t rows_max,
                      uint64_t context_max)
{
    *f = (struct forward){
        .m = m,
        .rows_max = rows_max,
        .context_max = context_max,
        .expand_max = expand_limit(&m->cfg, context_max),
        .picks_max = min_u64(m->cfg.index_topk, context_max),
        .part_keys = INDEX_PART_KEYS,
    };
}

uint64_t forward_plan(const struct model *m, uint64_t rows_max, uint64_t context_max, int threads)
{
    struct forward f;
    set_sizes(&f, m, rows_max, context_max);
    return lay_out(&f, threads);
}

int forward_init(struct forward *f, struct model *m, struct pool *pool, uint64_t rows_max,
                 uint64_t context_max, struct err *e)
{
    set_sizes(f, m, rows_max, context_max);
    f->pool = pool;
    f->experts = &m->experts;
    const int threads = pool_threads(pool);
    if (arena_init(&f->arena, lay_out(f, threads), "step workspace", e) != 0)
        return e->code;
    (void)lay_out(f, threads);
    return GLIM_OK;
}

void forward_deinit(struct forward *f)
{
    arena_deinit(&f->arena);
    *f = (struct forward){0};
}
