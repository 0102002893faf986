/* forward.c - the order of the blocks, and nothing else.
 *
 *     x = embed[token]
 *     for each layer i:   x += MLA_i(rms(x));   x += FFN_i(rms(x))
 *     final = rms(x);     logits = head . final
 */
#include "model/forward.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/util.h"

static void embed_rows(struct forward *f, const struct matrix *embed, float *out, size_t stride)
{
    for (size_t t = 0; t < f->T; t++)
        f->m->kernels.matrix_row(out + t * stride, embed, (uint64_t)f->row[t].token);
}

static void tap(struct forward *f, enum tap_point p, uint64_t layer, const float *v)
{
    if (f->tap)
        f->tap(f->tap_ctx, p, layer, v, f->T, f->m->cfg.hidden);
}

/* f->h_in = rms(x), what a layer's attention reads. */
static void attention_input(struct forward *f, const struct layer *l)
{
    const struct model_config *const c = &f->m->cfg;
    op_norm(f, &f->h_in, f->h, f->x, NULL, l->attn_norm, f->T, c->hidden, c->norm_eps);
}

void block_run(struct forward *f, uint64_t layer, bool reuse_list)
{
    const struct model_config *const c = &f->m->cfg;
    const struct layer *const l = &f->m->layer[layer];
    attention_input(f, l);
    mla_run(f, layer, reuse_list);
    stages_enter(f->stages, STAGE_REST);
    tap(f, TAP_ATTN, layer, f->y);
    op_norm(f, &f->h_in, f->h, f->x, f->y, l->ffn_norm, f->T, c->hidden, c->norm_eps);
    stages_enter(f->stages, l->ffn_kind == FFN_DENSE ? STAGE_DENSE : STAGE_ROUTER);
    if (l->ffn_kind == FFN_DENSE)
        op_ffn(f, &l->dense);
    else
        moe_run(f, l);
    stages_enter(f->stages, STAGE_REST);
    tap(f, TAP_FFN, layer, f->y);
    op_add(f, f->x, f->y, f->T, c->hidden);
    tap(f, TAP_BLOCK, layer, f->x);
}

static void begin(struct forward *f, const struct row *row, size_t T, enum kernel_role role)
{
    assert(T <= f->rows_max && (role == ROLE_PREFILL || T <= DECODE_ROWS));
    stages_enter(f->stages, STAGE_REST);
    f->row = row;
    f->T = T;
    f->role = role;
    atomic_store(&f->fault, FAULT_NONE);
    f->failure.code = GLIM_OK;
    rope_fill(f);
}

void fault_unless_finite(struct forward *f, const float *x, size_t n, enum fault fault)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            atomic_store(&f->fault, (int)fault);
            return;
        }
    }
}

/* A NaN or infinity anywhere upstream reaches every element of its row here. */
static int check_finite(struct forward *f, const float *v, const char *what, struct err *e)
{
    const struct row *const row = f->row;
    const size_t rows = f->T, n = f->m->cfg.hidden;
    static const char *const faults[] = {[FAULT_ROUTER] = "a score of the router",
                                         [FAULT_INDEXER] = "a score of the indexer",
                                         [FAULT_KEY] = "a key of the indexer",
                                         [FAULT_LATENT] = "a latent"};
    const int fault = atomic_load(&f->fault);
    if (fault != FAULT_NONE)
        return err_set(e, GLIM_ENUMERIC, "step at position %llu: %s is not a finite number",
                       (unsigned long long)row[0].pos, faults[fault]);
    for (size_t t = 0; t < rows; t++) {
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(v[t * n + i]))
                return err_set(e, GLIM_ENUMERIC,
                               "%s at position %llu, element %zu is %f, expected a finite number",
                               what, (unsigned long long)row[t].pos, i, (double)v[t * n + i]);
        }
    }
    return GLIM_OK;
}

/* The end of a step, with check_finite's result. */
static int end(struct forward *f, const float *v, const char *what, struct err *e)
{
    const int rc = f->failure.code ? err_set(e, f->failure.code, "%s", f->failure.text)
                                   : check_finite(f, v, what, e);
    stages_enter(f->stages, STAGE_OUTSIDE);
    return rc;
}

int forward_rows(struct forward *f, const struct row *row, size_t T, enum kernel_role role,
                 struct err *e)
{
    const struct model *const m = f->m;
    const struct model_config *const c = &m->cfg;
    begin(f, row, T, role);
    embed_rows(f, &m->embed, f->x, c->hidden);
    for (uint64_t i = 0; i < c->layers && !f->failure.code; i++) {
        block_run(f, i, false);
    }
    op_norm(f, NULL, f->final, f->x, NULL, m->norm, T, c->hidden, c->norm_eps);
    if (c->knobs.mtp_prenorm)
        memcpy(f->prenorm, f->x, T * c->hidden * sizeof *f->x);
    tap(f, TAP_FINAL, c->layers, f->final);
    return end(f, f->final, "hidden state", e);
}

int forward_logits(struct forward *f, const float *hidden, size_t n, enum kernel_role role,
                   float *logits, struct err *e)
{
    const struct model *const m = f->m;
    f->role = role;
    stages_enter(f->stages, STAGE_HEAD);
    op_pack(f, &f->h_in, hidden, n, m->cfg.hidden);
    op_matmul(f, logits, m->head.rows, &f->h_in, n, &m->head);
    stages_enter(f->stages, STAGE_OUTSIDE);
    for (size_t i = 0; i < n * m->head.rows; i++) {
        if (!isfinite(logits[i]))
            return err_set(e, GLIM_ENUMERIC, "logit %zu is %f, expected a finite number",
                           i % m->head.rows, (double)logits[i]);
    }
    return GLIM_OK;
}

/* Later drafts of a chain attend to exactly the list that the first one chose: PICK_ALL, which
 * means "up to my own position", is written out. */
static void freeze_lists(struct forward *f)
{
    for (size_t t = 0; t < f->T; t++) {
        if (f->picked[t] != PICK_ALL)
            continue;
        f->picked[t] = (uint32_t)f->row[t].pos + 1;
        for (uint32_t i = 0; i < f->picked[t]; i++)
            f->pick[t * f->picks_max + i] = (int32_t)i;
    }
}

/* f->x = eh_proj . [rms(embed[next]); rms(h)] */
static void mtp_input(struct forward *f, const float *hidden)
{
    const struct model *const m = f->m;
    const struct model_config *const c = &m->cfg;
    const uint64_t d = c->hidden;
    embed_rows(f, &m->mtp.embed, f->mtp_in, 2 * d);
    for (size_t t = 0; t < f->T; t++) {
        float *const in = f->mtp_in + t * 2 * d;
        m->kernels.rmsnorm(in, in, m->mtp.enorm, d, (float)c->norm_eps);
        m->kernels.rmsnorm(in + d, hidden + t * d, m->mtp.hnorm, d, (float)c->norm_eps);
    }
    op_pack(f, &f->mtp_packed, f->mtp_in, f->T, 2 * d);
    op_matmul(f, f->x, d, &f->mtp_packed, f->T, &m->mtp.eh_proj);
}

/* The joined input, then a decoder layer with its own cache, then the shared head's norm. Source:
 * DeepSeek-V3's multi-token prediction; the order of the halves as in the released checkpoints. */
int forward_mtp(struct forward *f, const struct row *row, const float *hidden, size_t T,
                enum kernel_role role, bool reuse_list, struct err *e)
{
    const struct model_config *const c = &f->m->cfg;
    begin(f, row, T, role);
    mtp_input(f, hidden);
    block_run(f, c->layers, reuse_list);
    freeze_lists(f);
    op_norm(f, NULL, f->mtp_out, f->x, NULL, f->m->mtp.head_norm, T, c->hidden, c->norm_eps);
    return end(f, f->mtp_out, "draft state", e);
}

int forward_mtp_fill(struct forward *f, const struct row *row, const float *hidden, size_t T,
                     enum kernel_role role, struct err *e)
{
    const uint64_t layer = f->m->cfg.layers;
    begin(f, row, T, role);
    mtp_input(f, hidden);
    attention_input(f, &f->m->layer[layer]);
    mla_fill(f, layer);
    return end(f, f->x, "draft input", e);
}
