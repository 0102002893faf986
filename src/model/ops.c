/* ops.c - array operations over the rows of a step, spread over the threads. Only splitting happens
 * here; the arithmetic is the kernels'.
 *
 * Each job that is spread makes all threads meet once. So products that read the same input stand
 * in one job, whose items take equal time; and what is done row by row and takes a few microseconds
 * is done by the caller alone.
 */
#include "model/forward.h"

#include "base/util.h"

/* ---- pieces ---- */
enum { PIECE_NS = 15000000 };

struct piece {
    pool_fn *fn;
    void *ctx;
    size_t first;
};

static void piece_item(void *ctx, size_t i, int worker)
{
    const struct piece *const p = ctx;
    p->fn(p->ctx, p->first + i, worker);
}

/* Others run, whose time is not this stage's. */
static void pause_here(struct forward *f)
{
    const enum stage at = f->stages ? f->stages->at : STAGE_OUTSIDE;
    if (f->between(f->between_ctx) != 0)
        (void)err_set(&f->failure, GLIM_ESTOPPED, "stopped before the last layer");
    stages_enter(f->stages, at);
}

void op_for(struct forward *f, size_t n, pool_fn *fn, void *ctx)
{
    if (!f->between || f->leasing) {
        pool_for(f->pool, n, fn, ctx);
        return;
    }
    const size_t threads = (size_t)pool_threads(f->pool);
    struct piece p = {.fn = fn, .ctx = ctx};
    for (size_t some = threads; p.first < n;) {
        const size_t items = min_u64(some, n - p.first);
        const uint64_t begin = now_ns();
        pool_for(f->pool, items, piece_item, &p);
        p.first += items;
        /* as many items as take PIECE_NS, a number for each thread */
        some = (size_t)(PIECE_NS * items / (threads * max_u64(now_ns() - begin, 1)));
        some = max_u64(some, 1) * threads;
        pause_here(f);
    }
}

/* ---- products ---- */
enum {
    ITEMS = 16,      /* a thread: what one may wait for another at the end of a job */
    ITEM_ROWS = 16,  /* at least, for a product's items */
    PANEL_ROWS = 32, /* the same of a prompt: what kernels unpack at once */
    UNPACK = 8,      /* vectors that a row could be multiplied with meanwhile */
};

static uint64_t rows_of(const struct product *p)
{
    return (p->to ? p->to : p->w->rows) - p->from;
}

struct products_job {
    struct forward *f;
    const struct product *p;
    size_t n;
};

static void products_item(void *ctx, size_t i, int worker)
{
    const struct products_job *const j = ctx;
    const struct kernels *const k = &j->f->m->kernels;
    const struct product *p = j->p, *const last = p + j->n - 1;
    while (p < last && i >= p[1].first)
        p++;
    const struct scratch *const s = &j->f->scratch[worker];
    const uint64_t at = (i - p->first) * p->block, rows = min_u64(p->block, rows_of(p) - at);
    const uint64_t r0 = p->from + at, r1 = r0 + rows;
    k->matmul(p->y + at, p->stride, p->x, p->T, p->w, r0, r1, j->f->role, s->wrow);
    if (!p->up)
        return;
    k->matmul(s->up, (size_t)rows, p->x, p->T, p->up, r0, r1, j->f->role, s->wrow);
    for (size_t t = 0; t < p->T; t++) {
        float *const y = p->y + t * p->stride + at;
        k->silu_mul(y, y, s->up + t * rows, (size_t)rows);
    }
}

/* What a row costs: few vectors wait for its bytes, many for its multiplications, after it was
 * unpacked for them. */
static uint64_t row_cost(const struct forward *f, const struct product *p)
{
    if (f->role == ROLE_PREFILL)
        return p->w->cols * (p->T + UNPACK) * (p->up ? 2 : 1);
    return p->w->row_bytes + (p->up ? p->up->row_bytes : 0);
}

/* Rows an item of about `item` cost takes; with `up`, their values have to fit into scratch->up. */
static uint64_t rows_an_item(const struct forward *f, const struct product *p, uint64_t item)
{
    const uint64_t grain = f->role == ROLE_PREFILL ? PANEL_ROWS : ITEM_ROWS;
    const uint64_t rows = ceil_div_u64(max_u64(item / row_cost(f, p), 1), grain) * grain;
    return p->up ? min_u64(rows, UP_ROWS * f->rows_max / p->T / grain * grain) : rows;
}

void op_products(struct forward *f, struct product *p, size_t n)
{
    uint64_t cost = 0;
    for (size_t i = 0; i < n; i++)
        cost += rows_of(&p[i]) * row_cost(f, &p[i]);
    const uint64_t item = cost / (ITEMS * (uint64_t)pool_threads(f->pool));
    size_t items = 0;
    for (size_t i = 0; i < n; i++) {
        p[i].first = items;
        p[i].block = rows_an_item(f, &p[i], item);
        items += (size_t)ceil_div_u64(rows_of(&p[i]), p[i].block);
    }
    struct products_job j = {f, p, n};
    op_for(f, items, products_item, &j);
}

void op_matmul(struct forward *f, float *y, size_t stride, const struct packed *x, size_t T,
               const struct matrix *w)
{
    struct product p = {.y = y, .stride = stride, .x = x->row, .T = T, .w = w};
    op_products(f, &p, 1);
}

/* ---- row by row ---- */
enum { ALONE = 16384 }; /* elements that the caller goes through alone */

void op_rows(struct forward *f, size_t n, size_t width, pool_fn *fn, void *ctx)
{
    if (n * width > ALONE)
        pool_for(f->pool, n, fn, ctx);
    else
        for (size_t i = 0; i < n; i++)
            fn(ctx, i, 0);
}

struct rows_job {
    struct forward *f;
    struct packed *p;
    const float *in; /* what p is prepared from */
    float *y, *x;
    const float *add, *g;
    size_t n;
    double eps;
};

static void pack_item(void *ctx, size_t t, int worker)
{
    const struct rows_job *const j = ctx;
    (void)worker;
    const struct kernels *const k = &j->f->m->kernels;
    void *const dst = j->p->data + t * k->pack_bytes(j->n, j->f->role);
    k->pack(dst, j->in + t * j->n, j->n, j->f->role);
    j->p->row[t] = dst;
}

void op_pack_from(struct forward *f, struct packed *p, size_t first, const float *x, size_t T,
                  size_t n)
{
    struct packed part = {p->row + first,
                          p->data + first * f->m->kernels.pack_bytes(n, f->role)};
    struct rows_job j = {.f = f, .p = &part, .in = x, .n = n};
    op_rows(f, T, n, pack_item, &j);
}

void op_pack(struct forward *f, struct packed *p, const float *x, size_t T, size_t n)
{
    op_pack_from(f, p, 0, x, T, n);
}

static void norm_item(void *ctx, size_t t, int worker)
{
    const struct rows_job *const j = ctx;
    const struct kernels *const k = &j->f->m->kernels;
    float *const x = j->x + t * j->n;
    if (j->add)
        k->add(x, j->add + t * j->n, j->n);
    k->rmsnorm(j->y + t * j->n, x, j->g, j->n, (float)j->eps);
    if (j->p)
        pack_item(ctx, t, worker);
}

void op_norm(struct forward *f, struct packed *p, float *y, float *x, const float *add,
             const float *g, size_t T, size_t n, double eps)
{
    struct rows_job j = {f, p, y, y, x, add, g, n, eps};
    op_rows(f, T, n, norm_item, &j);
}

static void add_item(void *ctx, size_t t, int worker)
{
    const struct rows_job *const j = ctx;
    (void)worker;
    j->f->m->kernels.add(j->x + t * j->n, j->add + t * j->n, j->n);
}

void op_add(struct forward *f, float *x, const float *add, size_t T, size_t n)
{
    struct rows_job j = {.f = f, .x = x, .add = add, .n = n};
    op_rows(f, T, n, add_item, &j);
}

/* ---- feed-forward ---- */
struct product ffn_gate_up(struct forward *f, const struct ffn *w)
{
    return (struct product){.y = f->gate, .stride = w->gate.rows, .x = f->h_in.row, .T = f->T,
                            .w = &w->gate, .up = &w->up};
}

struct product ffn_down(struct forward *f, const struct ffn *w)
{
    return (struct product){.y = f->y, .stride = w->down.rows, .x = f->gate_in.row, .T = f->T,
                            .w = &w->down};
}

void op_ffn(struct forward *f, const struct ffn *w)
{
    struct product gate_up = ffn_gate_up(f, w), down = ffn_down(f, w);
    op_products(f, &gate_up, 1);
    op_pack(f, &f->gate_in, f->gate, f->T, w->gate.rows);
    op_products(f, &down, 1);
}
