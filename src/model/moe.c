/* moe.c - mixture of experts: choose K of E per row, run each expert once over the rows that chose
 * it.
 *
 *     s = sigmoid(router . x)       c = s + bias                  (the bias chooses, it does not
 *         weigh)
 *     groups: a group's score is the sum of its two largest c; experts outside the best groups are
 *         out
 *     chosen = the K largest c;     w_e = s_e / sum(s over chosen) * scale
 *     y = sum_e w_e * down_e(silu(gate_e x) * up_e x) + shared(x)
 *
 * Equal c: the lower expert wins. Experts are summed in router order (descending c), whatever order
 * they ran in. Source: DeepSeek-V3 (arXiv 2412.19437), auxiliary-loss-free routing; transformers
 * glm_moe_dsa.
 */
#include "model/forward.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/util.h"

/* Indices of the n largest of v[count], largest first, lower index first among equals. */
static void largest(const float *v, size_t count, size_t n, int32_t *out)
{
    size_t have = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = have;
        while (at > 0 && v[i] > v[out[at - 1]])
            at--;
        if (at >= n)
            continue;
        have = have < n ? have + 1 : n;
        memmove(out + at + 1, out + at, (have - at - 1) * sizeof *out);
        out[at] = (int32_t)i;
    }
}

/* Experts of groups that were not chosen get -infinity. */
static void limit_groups(const struct model_config *c, float *choice)
{
    const size_t per = c->experts / c->groups;
    float score[MODEL_EXPERTS_MAX];
    int32_t best[MODEL_EXPERTS_MAX];
    bool keep[MODEL_EXPERTS_MAX] = {false};
    for (size_t g = 0; g < c->groups; g++) {
        int32_t two[3];
        largest(choice + g * per, per, 2, two);
        score[g] = choice[g * per + (size_t)two[0]] + choice[g * per + (size_t)two[1]];
    }
    largest(score, c->groups, c->groups_used, best);
    for (size_t i = 0; i < c->groups_used; i++)
        keep[best[i]] = true;
    for (size_t x = 0; x < c->experts; x++)
        choice[x] = keep[x / per] ? choice[x] : -INFINITY;
}

struct route_job {
    struct forward *f;
    const struct layer *l;
};

static void route_row(void *ctx, size_t t, int worker)
{
    const struct route_job *const j = ctx;
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    (void)worker;
    float choice[MODEL_EXPERTS_MAX];
    int32_t order[MODEL_EXPERTS_MAX];
    float *const s = f->route + t * c->experts;
    fault_unless_finite(f, s, c->experts, FAULT_ROUTER);
    f->m->kernels.sigmoid(s, s, c->experts);
    for (size_t x = 0; x < c->experts; x++)
        choice[x] = s[x] + j->l->router_bias[x];
    fault_unless_finite(f, choice, c->experts, FAULT_ROUTER);
    if (c->groups > 1)
        limit_groups(c, choice);
    largest(choice, c->experts, c->experts_used, order);

    double sum = c->router_norm ? 1e-20 : 1;
    for (size_t k = 0; c->router_norm && k < c->experts_used; k++)
        sum += (double)s[order[k]];
    for (size_t k = 0; k < c->experts_used; k++) {
        f->chosen[t * c->experts_used + k] = order[k];
        f->weight[t * c->experts_used + k] = (float)((double)s[order[k]] / sum * c->expert_scale);
    }
}

/* Groups the (row, rank) pairs by expert, rising. */
static void group_pairs(struct forward *f)
{
    const struct model_config *const c = &f->m->cfg;
    const size_t pairs = f->T * c->experts_used;
    uint32_t first[MODEL_EXPERTS_MAX + 1] = {0};
    for (size_t i = 0; i < pairs; i++)
        first[f->chosen[i] + 1]++;
    f->items = 0;
    for (size_t x = 0; x < c->experts; x++) {
        const uint32_t count = first[x + 1];
        first[x + 1] += first[x];
        if (!count)
            continue;
        f->wanted[f->items] = (uint32_t)x;
        f->item[f->items++] = (struct moe_item){.first = first[x], .count = count};
    }
    for (size_t i = 0; i < pairs; i++)
        f->pair_of[first[f->chosen[i]]++] = (uint32_t)i;
    for (size_t i = 0; i < pairs; i++)
        f->ex_in[i] = f->h_in.row[f->pair_of[i] / c->experts_used];
}

/* Where each pair's output stands: the inverse of pair_of, over the (no longer needed) choices. */
static void invert_pairs(struct forward *f)
{
    const size_t pairs = f->T * f->m->cfg.experts_used;
    for (size_t i = 0; i < pairs; i++)
        f->chosen[f->pair_of[i]] = (int32_t)i;
}

/* What is worked on together: f->ready[n] of the items, rising, whose experts are leased, and the
 * shared expert. */
struct batch {
    size_t n;
    bool shared;
};

/* Gate and up: no expert waits for another. */
static void run_gate_up(struct forward *f, const struct layer *l, const struct batch *b)
{
    const size_t F = f->m->cfg.expert_width;
    size_t n = 0;
    for (; n < b->n; n++) {
        const struct moe_item *const x = &f->item[f->ready[n]];
        f->product[n] = (struct product){.y = f->ex_act + x->first * F,
                                         .stride = F,
                                         .x = f->ex_in + x->first,
                                         .T = x->count,
                                         .w = &x->lease->gate,
                                         .up = &x->lease->up};
    }
    if (b->shared)
        f->product[n++] = ffn_gate_up(f, &l->shared);
    op_products(f, f->product, n);
}

/* Prepares what gate and up gave for down, items that follow each other together. */
static void pack_acts(struct forward *f, const struct layer *l, const struct batch *b)
{
    const size_t F = f->m->cfg.expert_width;
    for (size_t i = 0, end; i < b->n; i = end) {
        const uint32_t from = f->item[f->ready[i]].first;
        uint32_t rows = 0;
        for (end = i; end < b->n && f->item[f->ready[end]].first == from + rows; end++)
            rows += f->item[f->ready[end]].count;
        op_pack_from(f, &f->act_in, from, f->ex_act + from * F, rows, F);
    }
    if (b->shared)
        op_pack(f, &f->gate_in, f->gate, f->T, l->shared.gate.rows);
}

/* Columns [from, to) of the output. All of a long prompt's would take much memory; so they come in
 * turn. */
struct down_job {
    struct forward *f;
    size_t from, to;
};

static void run_down(const struct down_job *j, const struct layer *l, const struct batch *b)
{
    struct forward *const f = j->f;
    const size_t width = j->to - j->from;
    size_t n = 0;
    for (; n < b->n; n++) {
        const struct moe_item *const x = &f->item[f->ready[n]];
        f->product[n] = (struct product){.y = f->ex_out + x->first * width,
                                         .stride = width,
                                         .x = f->act_in.row + x->first,
                                         .T = x->count,
                                         .w = &x->lease->down};
    }
    if (b->shared) {
        f->product[n] = ffn_down(f, &l->shared);
        f->product[n++].y += j->from;
    }
    for (size_t i = 0; i < n; i++) {
        f->product[i].from = j->from;
        f->product[i].to = j->to;
    }
    op_products(f, f->product, n);
}

/* y += sum of the experts */
static void combine_row(void *ctx, size_t t, int worker)
{
    const struct down_job *const j = ctx;
    struct forward *const f = j->f;
    const struct model_config *const c = &f->m->cfg;
    const size_t K = c->experts_used, width = j->to - j->from;
    (void)worker;
    float *const sum = f->h + t * c->hidden; /* the input is used up */
    memset(sum, 0, width * sizeof *sum);
    uint32_t rank[MODEL_EXPERTS_MAX];
    for (uint32_t k = 0; k < K; k++) {
        size_t at = k;
        while (c->knobs.moe_by_expert && at > 0
               && f->chosen[t * K + rank[at - 1]] > f->chosen[t * K + k]) {
            rank[at] = rank[at - 1]; /* outputs stand grouped by rising expert */
            at--;
        }
        rank[at] = k;
    }
    for (size_t k = 0; k < K; k++) {
        const size_t pair = t * K + rank[k];
        f->m->kernels.axpy(sum, f->weight[pair], f->ex_out + (size_t)f->chosen[pair] * width,
                           width);
    }
    f->m->kernels.add(f->y + t * c->hidden + j->from, sum, width);
}

static void combine(struct down_job *j)
{
    const struct model_config *const c = &j->f->m->cfg;
    op_rows(j->f, j->f->T, c->experts_used * (j->to - j->from), combine_row, j);
}

/* f->ex_out of a batch, and f->y of the shared expert. Where there is no room for all columns, the
 * batch is everything, and rows are summed up as columns come. */
static void run_batch(struct forward *f, const struct layer *l, const struct batch *b)
{
    const size_t hidden = f->m->cfg.hidden, width = forward_out_columns(f, f->T);
    run_gate_up(f, l, b);
    pack_acts(f, l, b);
    for (size_t from = 0; from < hidden; from += width) {
        struct down_job j = {f, from, min_u64(from + width, hidden)};
        run_down(&j, l, b);
        if (width < hidden)
            combine(&j);
    }
}

/* Experts in the order in which they are there: mapped ones all at once, streamed ones as they
 * arrive, the shared one while nothing else has. */
static int run_experts(struct forward *f, const struct layer *l, struct expert_visit *v,
                       struct err *e)
{
    struct batch b = {.shared = f->m->cfg.shared_experts > 0};
    bool wait = !b.shared, more;
    do {
        if (experts_next(v, wait, f->ready, f->lease, &b.n, e) != 0)
            return e->code;
        for (size_t i = 0; i < b.n; i++)
            f->item[f->ready[i]].lease = f->lease[i];
        if (b.n > 0 || b.shared)
            run_batch(f, l, &b);
        for (size_t i = 0; i < b.n; i++)
            experts_release(v, f->lease[i]);
        wait = true;
        more = b.n > 0 || b.shared;
        b.shared = false;
    } while (more);
    return GLIM_OK;
}

/* How many rows use each of the items. */
static void count_uses(struct forward *f, uint64_t layer)
{
    uses_visit(&f->experts->uses, layer, f->T);
    for (size_t i = 0; i < f->items; i++)
        uses_add(&f->experts->uses, layer, f->wanted[i], f->item[i].count);
}

void moe_run(struct forward *f, const struct layer *l)
{
    const struct model_config *const c = &f->m->cfg;
    op_matmul(f, f->route, c->experts, &f->h_in, f->T, &l->router);
    struct route_job r = {f, l};
    op_rows(f, f->T, c->experts, route_row, &r);
    group_pairs(f);
    invert_pairs(f);
    stages_enter(f->stages, STAGE_EXPERTS);
    if (!c->shared_experts)
        memset(f->y, 0, f->T * c->hidden * sizeof *f->y);
    if (f->experts->streamed)
        count_uses(f, l->moe_layer);
    struct expert_visit v;
    f->leasing = f->experts->streamed;
    experts_begin(&v, f->experts, l->moe_layer, f->wanted, f->items);
    const int rc = run_experts(f, l, &v, &f->failure);
    experts_end(&v);
    f->leasing = false;
    struct down_job all = {f, 0, c->hidden};
    if (rc == 0 && forward_out_columns(f, f->T) == c->hidden)
        combine(&all);
}
