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

/* The places of packed vectors; they themselves may share theirs with something else. */
static struct packed take_packed_rows(struct forward *f, uint64_t *n, uint64_t rows)
{
    struct packed p;
    p.row = take(f, n, rows, sizeof *p.row);
    return p;
}

/* Each of T rows has `times` vectors. */
static void take_vectors(struct forward *f, uint64_t *n, struct packed *p, uint64_t T,
                         uint64_t times, uint64_t width)
{
    const struct kernels *const k = &f->m->kernels;
    const uint64_t prompt = k->pack_bytes((size_t)width, ROLE_PREFILL);
    const uint64_t decode = k->pack_bytes((size_t)width, ROLE_DECODE);
    p->data = take(f, n, times, max_u64(T * prompt, min_u64(T, DECODE_ROWS) * decode));
}

static struct packed take_packed(struct forward *f, uint64_t *n, uint64_t rows, uint64_t width)
{
    struct packed p = take_packed_rows(f, n, rows);
    take_vectors(f, n, &p, rows, 1, width);
    return p;
}

static void lay_out_attention(struct forward *f, uint64_t *n)
{
    const struct model_config *const c = &f->m->cfg;
    const uint64_t T = f->rows_max, F = sizeof(float);
    take_vectors(f, n, &f->v_in, T, 1, max_u64(c->q_rank, c->heads * c->v_dim));
    f->qr = take(f, n, T * c->q_rank, F);
    f->q = take(f, n, T * c->heads * (c->nope_dim + c->rope_dim), F);
    f->a = take(f, n, T * (c->kv_rank + c->rope_dim), F);
    f->att = take(f, n, T * c->heads * c->v_dim, F);
    f->lat = take(f, n, f->expand_max * c->kv_rank, F);
    take_vectors(f, n, &f->lat_in, f->expand_max, 1, c->kv_rank);
    f->qi = take(f, n, T * c->index_heads * c->index_dim, F);
    f->ki = take(f, n, T * c->index_dim, F);
    f->wi = take(f, n, T * c->index_heads, F);
}

/* Values of f->ex_out: a quarter of the columns of the longest step, all of a short one; all of all
 * where experts are streamed, and none is there again for the next columns. */
enum { OUT_PARTS = 4, OUT_GRAIN = 32, OUT_ROWS = 8 };

static uint64_t out_values(const struct forward *f)
{
    const struct model_config *const c = &f->m->cfg;
    const uint64_t parts = f->streamed ? 1 : OUT_PARTS;
    const uint64_t part = ceil_div_u64(ceil_div_u64(c->hidden, parts), OUT_GRAIN) * OUT_GRAIN;
    return c->experts_used
         * max_u64(f->rows_max * part, min_u64(f->rows_max, OUT_ROWS) * c->hidden);
}

size_t forward_out_columns(const struct forward *f, size_t T)
{
    const struct model_config *const c = &f->m->cfg;
    const uint64_t columns = out_values(f) / (T * c->experts_used);
    return (size_t)(columns >= c->hidden ? c->hidden : columns / OUT_GRAIN * OUT_GRAIN);
}

static void lay_out_ffn(struct forward *f, uint64_t *n)
{
    const struct model_config *const c = &f->m->cfg;
    const uint64_t T = f->rows_max, F = sizeof(float), pairs = T * c->experts_used;
    const uint64_t width = max_u64(c->dense_width, c->expert_width * c->shared_experts);
    f->gate = take(f, n, T * width, F);
    take_vectors(f, n, &f->gate_in, T, 1, width);
    f->route = take(f, n, T * c->experts, F);
    f->chosen = take(f, n, pairs, sizeof *f->chosen);
    f->weight = take(f, n, pairs, F);
    f->pair_of = take(f, n, pairs, sizeof *f->pair_of);
    f->item = take(f, n, c->experts, sizeof *f->item);
    f->wanted = take(f, n, c->experts, sizeof *f->wanted);
    f->ready = take(f, n, c->experts, sizeof *f->ready);
    f->lease = take(f, n, c->experts, sizeof *f->lease);
    f->product = take(f, n, c->experts + 1, sizeof *f->product);
    f->ex_in = take(f, n, pairs, sizeof *f->ex_in);
    take_vectors(f, n, &f->act_in, T, c->experts_used, c->expert_width);
    f->ex_act = take(f, n, pairs * c->expert_width, F);
    f->ex_out = take(f, n, out_values(f), F);
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
    const size_t packed = (size_t)max_u64(c->kv_rank, c->nope_dim);
    for (size_t i = 0; i < ABSORB_ROWS; i++)
        s.packed[i] = take(f, n, 1, max_u64(k->pack_bytes(packed, ROLE_PREFILL),
                                            k->pack_bytes(packed, ROLE_DECODE)));
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
    s.up = take(f, n, f->rows_max * UP_ROWS, F);
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

static void lay_out_mtp_input(struct forward *f, uint64_t *n)
{
    const uint64_t width = 2 * f->m->cfg.hidden;
    f->mtp_in = take(f, n, f->rows_max * width, sizeof(float));
    take_vectors(f, n, &f->mtp_packed, f->rows_max, 1, width);
}

/* What one part of a layer needs ends with it: these stand in the same place. */
static void lay_out_in_turn(struct forward *f, uint64_t *n)
{
    static void (*const part[])(struct forward *, uint64_t *) = {
        lay_out_attention, lay_out_ffn, lay_out_mtp_input,
    };
    const size_t mark = arena_mark(&f->arena);
    uint64_t most = 0;
    for (size_t i = 0; i < COUNT_OF(part); i++) {
        uint64_t bytes = 0;
        arena_back(&f->arena, mark);
        part[i](f, &bytes);
        most = max_u64(most, bytes);
    }
    *n = *n > UINT64_MAX - most ? UINT64_MAX : *n + most;
    if (f->arena.base)
        arena_back(&f->arena, mark + (size_t)most);
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
    if (c->knobs.mtp_prenorm)
        f->prenorm = take(f, &n, T * c->hidden, F);
    f->mtp_out = take(f, &n, T * c->hidden, F);
    f->h_in = take_packed(f, &n, T, c->hidden);
    f->cs = take(f, &n, T * c->rope_dim, F);
    f->pick = take(f, &n, T * f->picks_max, sizeof *f->pick);
    f->picked = take(f, &n, T, sizeof *f->picked);
    f->lat_in = take_packed_rows(f, &n, f->expand_max);
    f->act_in = take_packed_rows(f, &n, T * c->experts_used);
    f->v_in = take_packed_rows(f, &n, T);
    f->gate_in = take_packed_rows(f, &n, T);
    f->mtp_packed = take_packed_rows(f, &n, T);
    lay_out_in_turn(f, &n);
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
                      uint64_t context_max, bool streamed)
{
    *f = (struct forward){
        .m = m,
        .rows_max = rows_max,
        .context_max = context_max,
        .expand_max = expand_limit(&m->cfg, context_max),
        .picks_max = min_u64(m->cfg.index_topk, context_max),
        .part_keys = INDEX_PART_KEYS,
        .streamed = streamed,
    };
}

uint64_t forward_plan(const struct model *m, uint64_t rows_max, uint64_t context_max, int threads,
                      bool streamed)
{
    struct forward f;
    set_sizes(&f, m, rows_max, context_max, streamed);
    return lay_out(&f, threads);
}

int forward_init(struct forward *f, struct model *m, struct pool *pool, uint64_t rows_max,
                 uint64_t context_max, struct err *e)
{
    set_sizes(f, m, rows_max, context_max, m->experts.streamed);
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
