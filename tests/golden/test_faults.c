/* test_faults.c - a number that is none, planted in the weights of any stage or in a cached row, is
 * an error of the very step that meets it, at every level and in both roles; and the next step
 * without it is as if nothing had been. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/util.h"
#include "util/golden.h"

/* LONG positions are more than a row may attend to, SHORT are not. */
enum { CONTEXT = 128, LONG = 72, SHORT = 20, STEP = 3 };

struct trial {
    struct golden g;
    float *want; /* [STEP, V] logits of the step when nothing is wrong */
};

static void open_level(struct trial *t, enum cpu_level level)
{
    struct golden *const g = &t->g;
    struct err e;
    golden_nano(g, &(struct model_knobs){0}, 2, LONG, CONTEXT);
    forward_deinit(&g->forward);
    kernels_init(&g->model.kernels, level);
    assert_int_equal(forward_init(&g->forward, &g->model, g->pool, LONG, CONTEXT, &e), 0);
    g->logits = calloc(STEP * g->model.cfg.vocab, sizeof *g->logits);
    t->want = calloc(STEP * g->model.cfg.vocab, sizeof *t->want);
    assert_true(g->logits && t->want);
}

static void close_level(struct trial *t)
{
    free(t->want);
    golden_close(&t->g);
}

static void at_each_level(void (*fn)(struct trial *t))
{
    for (int l = 0; l <= (int)cpu_detect(); l++) {
        struct trial t;
        if (!cpu_has((enum cpu_level)l))
            continue;
        open_level(&t, (enum cpu_level)l);
        fn(&t);
        close_level(&t);
    }
}

static int32_t token_at(uint64_t pos) { return (int32_t)(7 * pos + 3); }

/* Positions [first, first + n), and the logits behind the last STEP of them. */
static int run(struct golden *g, uint64_t first, size_t n, enum kernel_role role, struct err *e)
{
    struct row row[LONG];
    const size_t last = n < STEP ? n : STEP;
    for (size_t t = 0; t < n; t++)
        row[t] = (struct row){&g->kv, first + t, token_at(first + t)};
    if (forward_rows(&g->forward, row, n, role, e) != 0)
        return e->code;
    return forward_logits(&g->forward, g->forward.final + (n - last) * g->model.cfg.hidden, last,
                          role, g->logits, e);
}

static void run_clean(struct trial *t, uint64_t before, enum kernel_role role)
{
    struct err e = {0};
    assert_int_equal(run(&t->g, 0, before, ROLE_PREFILL, &e), 0);
    assert_int_equal(run(&t->g, before, STEP, role, &e), 0);
    memcpy(t->want, t->g.logits, STEP * t->g.model.cfg.vocab * sizeof *t->want);
}

/* A step behind `before` good positions. */
static void expect_fault(struct trial *t, const char *what, uint64_t before,
                         enum kernel_role role)
{
    struct golden *const g = &t->g;
    struct err e = {0};
    const int rc = run(g, before, STEP, role, &e);
    if (rc != GLIM_ENUMERIC)
        fail_msg("%s level, %s, behind %d positions: %d (%s), expected an error",
                 g->model.kernels.level, what, (int)before, rc, rc ? e.text : "finite logits");
    assert_non_null(strstr(e.text, "finite"));
}

static void expect_none(struct trial *t, uint64_t before, enum kernel_role role)
{
    struct err e = {0};
    assert_int_equal(run(&t->g, before, STEP, role, &e), 0);
    assert_memory_equal(t->want, t->g.logits, STEP * t->g.model.cfg.vocab * sizeof *t->want);
}

/* ---- weights ---- */

/* A copy of a matrix with one element (in blocks: one block) that is not a number. */
static uint8_t *poisoned(const struct matrix *w, uint64_t r, uint64_t c)
{
    static const uint8_t f32[4] = {0, 0, 0xc0, 0x7f}, f16[2] = {0, 0x7e};
    uint8_t *const data = malloc(w->rows * w->row_bytes);
    assert_non_null(data);
    memcpy(data, w->data, w->rows * w->row_bytes);
    uint8_t *const row = data + r * w->row_bytes;
    if (w->type == DT_F32)
        memcpy(row + c * sizeof f32, f32, sizeof f32);
    else if (w->type == DT_Q8_0)
        memcpy(row + c / 32 * 34, f16, sizeof f16);
    else
        fail_msg("%s: no way to poison type %s", w->name, dtype_name(w->type));
    return data;
}

static void matrix_fault(struct trial *t, const char *what, struct matrix *w, uint64_t r,
                         uint64_t before, enum kernel_role role)
{
    const uint8_t *const good = w->data;
    uint8_t *const bad = poisoned(w, r, w->cols / 3);
    w->data = bad;
    expect_fault(t, what, before, role);
    w->data = good;
    free(bad);
}

static void vector_fault(struct trial *t, const char *what, const float *v, uint64_t before,
                         enum kernel_role role)
{
    float *const x = (float *)(uintptr_t)v; /* the model's own memory */
    const float good = x[1];
    x[1] = NAN;
    expect_fault(t, what, before, role);
    x[1] = good;
}

static void attention_faults(struct trial *t, struct layer *l, uint64_t before,
                             enum kernel_role role)
{
    struct {
        const char *what;
        struct matrix *w;
    } m[] = {{"q_a", &l->q_a}, {"q_b", &l->q_b}, {"kv_a", &l->kv_a}, {"o", &l->o},
             {"k_b", l->split_kv_b ? &l->k_b : &l->kv_b}, {"v_b", l->split_kv_b ? &l->v_b : NULL},
             {"index key", &l->index.k},
             {"index query", before > SHORT ? &l->index.q_b : NULL}, /* else nothing is chosen */
             {"index weight", before > SHORT ? &l->index.proj : NULL}};
    for (size_t i = 0; i < COUNT_OF(m); i++)
        if (m[i].w)
            matrix_fault(t, m[i].what, m[i].w, m[i].w->rows / 2, before, role);
    vector_fault(t, "attention norm", l->attn_norm, before, role);
    vector_fault(t, "query norm", l->q_a_norm, before, role);
    vector_fault(t, "latent norm", l->kv_a_norm, before, role);
    vector_fault(t, "index norm", l->index.norm, before, role);
    vector_fault(t, "index bias", l->index.bias, before, role);
}

static void ffn_faults(struct trial *t, const char *what, struct ffn *w, uint64_t before,
                       enum kernel_role role)
{
    char name[64];
    struct matrix *const m[] = {&w->gate, &w->up, &w->down};
    for (size_t i = 0; i < COUNT_OF(m); i++) {
        (void)snprintf(name, sizeof name, "%s, matrix %zu", what, i);
        matrix_fault(t, name, m[i], m[i]->rows / 2, before, role);
    }
}

/* An expert that the last layer of the step before used. */
static void expert_faults(struct trial *t, uint64_t before, enum kernel_role role)
{
    struct expert *const x = (struct expert *)(uintptr_t)t->g.forward.item[0].lease;
    struct matrix *const m[] = {&x->gate, &x->up, &x->down};
    for (size_t i = 0; i < COUNT_OF(m); i++)
        matrix_fault(t, "expert", m[i], m[i]->rows / 2, before, role);
}

static void weight_faults(struct trial *t, uint64_t before, enum kernel_role role)
{
    struct model *const m = &t->g.model;
    const uint64_t last = m->cfg.layers - 1;
    run_clean(t, before, role);
    expert_faults(t, before, role);
    matrix_fault(t, "embedding", &m->embed, (uint64_t)token_at(before + 1), before, role);
    attention_faults(t, &m->layer[0], before, role);
    ffn_faults(t, "dense", &m->layer[0].dense, before, role);
    vector_fault(t, "feed-forward norm", m->layer[0].ffn_norm, before, role);
    matrix_fault(t, "router", &m->layer[last].router, 5, before, role);
    vector_fault(t, "router bias", m->layer[last].router_bias, before, role);
    ffn_faults(t, "shared expert", &m->layer[last].shared, before, role);
    vector_fault(t, "output norm", m->norm, before, role);
    matrix_fault(t, "head", &m->head, 17, before, role);
    expect_none(t, before, role);
}

static void all_weight_faults(struct trial *t)
{
    for (int role = ROLE_PREFILL; role <= ROLE_DECODE; role++) {
        weight_faults(t, SHORT, (enum kernel_role)role);
        weight_faults(t, LONG - STEP, (enum kernel_role)role);
    }
}

static void test_weights(void **state)
{
    (void)state;
    at_each_level(all_weight_faults);
}

/* ---- the draft layer ---- */

/* Its whole layer, or what fills its cache. */
static void expect_draft(struct trial *t, bool fill, bool fault)
{
    struct golden *const g = &t->g;
    struct row row[STEP];
    struct err e = {0};
    for (size_t i = 0; i < STEP; i++)
        row[i] = (struct row){&g->kv, i, token_at(i + 1)};
    float *const state = calloc(STEP * g->model.cfg.hidden, sizeof *state);
    assert_non_null(state);
    for (size_t i = 0; i < STEP * g->model.cfg.hidden; i++)
        state[i] = (float)(i % 7) - 3;
    const int rc =
        fill ? forward_mtp_fill(&g->forward, row, state, STEP, ROLE_PREFILL, &e)
             : forward_mtp(&g->forward, row, state, STEP, ROLE_PREFILL, false, &e);
    free(state);
    assert_int_equal(rc, fault ? GLIM_ENUMERIC : 0);
}

static void draft_faults(struct trial *t)
{
    struct model *const m = &t->g.model;
    struct layer *const l = &m->layer[m->cfg.layers];
    struct matrix *const w[] = {&m->mtp.eh_proj, &l->kv_a, &l->index.k, &l->q_a, &l->o};
    for (size_t i = 0; i < COUNT_OF(w); i++)
        for (int fill = 0; fill < 2; fill++) {
            if (fill && w[i] != &m->mtp.eh_proj && w[i] != &l->kv_a && w[i] != &l->index.k)
                continue; /* not read */
            const uint8_t *const good = w[i]->data;
            uint8_t *const bad = poisoned(w[i], w[i]->rows / 2, 1);
            w[i]->data = bad;
            expect_draft(t, fill, true);
            w[i]->data = good;
            free(bad);
            expect_draft(t, fill, false);
        }
}

static void test_drafts(void **state)
{
    (void)state;
    at_each_level(draft_faults);
}

/* ---- cached rows ---- */

/* One value of a row; of blocks the whole block. */
static void row_fault(struct trial *t, const char *what, uint8_t *row, enum kv_type type, size_t n,
                      uint64_t before, enum kernel_role role)
{
    float x[1024];
    uint8_t keep[sizeof x];
    const size_t bytes = kv_row_bytes(type, n);
    assert_true(n <= COUNT_OF(x));
    memcpy(keep, row, bytes);
    t->g.model.kernels.kv_load(x, row, n, type);
    x[n / 2] = NAN;
    t->g.model.kernels.kv_store(row, x, n, type);
    expect_fault(t, what, before, role);
    memcpy(row, keep, bytes);
}

static void cache_faults(struct trial *t, uint64_t before, enum kernel_role role)
{
    enum { LAYER = 1, POS = 11 };
    const struct model_config *const c = &t->g.model.cfg;
    struct kv *const kv = &t->g.kv;
    run_clean(t, before, role);
    uint8_t *const row = kv_latent(kv, LAYER, POS);
    if (before == SHORT) { /* every row is read */
        row_fault(t, "latent row", row, kv->type, c->kv_rank, before, role);
        row_fault(t, "rope row", row + kv->rope_at, kv->rope_type, c->rope_dim, before, role);
    } else {
        row_fault(t, "index row", kv_index(kv, LAYER, POS), kv->index_type, c->index_dim, before,
                  role);
    }
    expect_none(t, before, role);
}

static void all_cache_faults(struct trial *t)
{
    static const struct {
        enum kv_type latent, index;
    } kinds[] = {{KV_F32, KV_F32}, {KV_F16, KV_I8}, {KV_BF16, KV_F16}, {KV_Q8, KV_I8}};
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        golden_cache(&t->g, kinds[i].latent, kinds[i].index);
        for (int role = ROLE_PREFILL; role <= ROLE_DECODE; role++) {
            cache_faults(t, SHORT, (enum kernel_role)role);
            cache_faults(t, LONG - STEP, (enum kernel_role)role);
        }
    }
}

static void test_cached_rows(void **state)
{
    (void)state;
    at_each_level(all_cache_faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_drafts),
                                       cmocka_unit_test(test_cached_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
