/* ops.c - array operations over the rows of a step, spread over the threads. Only splitting happens
 * here; the arithmetic is the kernels'. */
#include "model/forward.h"

#include "base/util.h"

struct pack_job {
    struct forward *f;
    struct packed *p;
    const float *x;
    size_t n;
};

static void pack_item(void *ctx, size_t t, int worker)
{
    const struct pack_job *const j = ctx;
    (void)worker;
    j->f->m->kernels.pack((void *)(uintptr_t)j->p->row[t], j->x + t * j->n, j->n);
}

void op_pack(struct forward *f, struct packed *p, const float *x, size_t T, size_t n)
{
    struct pack_job j = {f, p, x, n};
    pool_for(f->pool, T, pack_item, &j);
}

struct matmul_job {
    struct forward *f;
    float *y;
    size_t y_stride;
    const struct packed *x;
    size_t T;
    const struct matrix *w;
    uint64_t block;
};

static void matmul_item(void *ctx, size_t i, int worker)
{
    const struct matmul_job *const j = ctx;
    const uint64_t r0 = i * j->block, r1 = min_u64(r0 + j->block, j->w->rows);
    j->f->m->kernels.matmul(j->y + r0, j->y_stride, j->x->row, j->T, j->w, r0, r1, j->f->role,
                            j->f->scratch[worker].wrow);
}

void op_matmul(struct forward *f, float *y, size_t y_stride, const struct packed *x, size_t T,
               const struct matrix *w)
{
    const uint64_t items = 4 * (uint64_t)pool_threads(f->pool);
    struct matmul_job j = {f, y, y_stride, x, T, w, max_u64(16, ceil_div_u64(w->rows, items))};
    pool_for(f->pool, (size_t)ceil_div_u64(w->rows, j.block), matmul_item, &j);
}

struct rows_job {
    struct forward *f;
    float *y;
    const float *x, *g;
    size_t n;
    double eps;
};

static void rmsnorm_item(void *ctx, size_t t, int worker)
{
    const struct rows_job *const j = ctx;
    (void)worker;
    j->f->m->kernels.rmsnorm(j->y + t * j->n, j->x + t * j->n, j->g, j->n, (float)j->eps);
}

void op_rmsnorm(struct forward *f, float *y, const float *x, const float *g, size_t T, size_t n,
                double eps)
{
    struct rows_job j = {f, y, x, g, n, eps};
    pool_for(f->pool, T, rmsnorm_item, &j);
}

static void add_item(void *ctx, size_t t, int worker)
{
    const struct rows_job *const j = ctx;
    (void)worker;
    j->f->m->kernels.add(j->y + t * j->n, j->x + t * j->n, j->n);
}

void op_add(struct forward *f, float *y, const float *x, size_t T, size_t n)
{
    struct rows_job j = {f, y, x, NULL, n, 0};
    pool_for(f->pool, T, add_item, &j);
}

static void silu_item(void *ctx, size_t t, int worker)
{
    const struct rows_job *const j = ctx;
    (void)worker;
    float *const gate = j->y + t * j->n;
    j->f->m->kernels.silu_mul(gate, gate, j->x + t * j->n, j->n);
}

/* y = down . (silu(gate . h) * (up . h)) */
void op_ffn(struct forward *f, float *y, const struct ffn *w)
{
    const size_t d = f->m->cfg.hidden, width = w->gate.rows;
    op_matmul(f, f->gate, width, &f->h_in, f->T, &w->gate);
    op_matmul(f, f->up, width, &f->h_in, f->T, &w->up);
    struct rows_job j = {f, f->gate, f->up, NULL, width, 0};
    pool_for(f->pool, f->T, silu_item, &j);
    op_pack(f, &f->v_in, f->gate, f->T, width);
    op_matmul(f, y, d, &f->v_in, f->T, &w->down);
}
