/* The draft layer against a double-precision reference written from the specification
 * (tools/oracle/mtp_ref.py): every pair of the prompt, and chains of four drafts with and without
 * list reuse. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sample/sample.h"
#include "util/golden.h"

static const double TOLERANCE = 2e-5;
static const char *const cases[] = {"mtp-share", "mtp-own"};

/* Pairs [first, first + n): states are rows of `final` [T,D]. Leaves the pairs' logits [n,V] in
 * out. */
static void run_pairs(struct golden *g, const float *final, const int32_t *next, size_t first,
                      size_t n, float *out)
{
    struct err e = {0};
    struct row row[GOLDEN_CONTEXT];
    for (size_t i = 0; i < n; i++)
        row[i] = (struct row){&g->kv, first + i, next[i]};
    const uint64_t d = g->model.cfg.hidden;
    assert_int_equal(forward_mtp(&g->forward, row, final + first * d, n, ROLE_PREFILL, false, &e),
                     0);
    assert_int_equal(forward_logits(&g->forward, g->forward.mtp_out, n, ROLE_PREFILL, out, &e), 0);
}

static float *states_of_prompt(struct golden *g)
{
    const uint64_t d = g->model.cfg.hidden;
    golden_run(g, g->ids, g->T, g->T, ROLE_PREFILL, g->logits);
    float *const final = malloc(g->T * d * sizeof *final);
    assert_non_null(final);
    memcpy(final, g->forward.final, g->T * d * sizeof *final);
    return final;
}

static void close_to(const float *got, const float *want, size_t n, const char *what)
{
    const double error = max_norm_error(got, want, n);
    if (!(error <= TOLERANCE))
        fail_msg("%s: error %g, allowed %g", what, error, TOLERANCE);
}

static void test_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct golden g;
        golden_open(&g, cases[i], NULL, NULL, 2);
        const size_t n = g.T - 1, v = g.model.cfg.vocab;
        float *const final = states_of_prompt(&g);
        run_pairs(&g, final, g.ids + 1, 0, n, g.logits);
        close_to(g.logits, golden_f32(&g, "mtp.logits"), n * v, "mtp.logits");
        close_to(g.forward.mtp_out, golden_f32(&g, "mtp.final"), n * g.model.cfg.hidden,
                 "mtp.final");
        printf("  %s: %zu pairs, logits %.1e\n", cases[i], n,
               max_norm_error(g.logits, golden_f32(&g, "mtp.logits"), n * v));
        free(final);
        golden_close(&g);
    }
}

static void check_chain(struct golden *g, const float *final, size_t p)
{
    char name[32];
    struct err e = {0};
    const struct model_config *const c = &g->model.cfg;
    (void)snprintf(name, sizeof name, "chain.%zu.given", p);
    int32_t token = golden_i32(g, name)[0];
    (void)snprintf(name, sizeof name, "chain.%zu.tokens", p);
    const int32_t *const want = golden_i32(g, name);
    (void)snprintf(name, sizeof name, "chain.%zu.logits", p);
    const float *const logits = golden_f32(g, name);
    run_pairs(g, final, g->ids + 1, 0, p, g->logits); /* the cache as true tokens leave it */
    float *const h = malloc(c->hidden * sizeof *h);
    memcpy(h, final + p * c->hidden, c->hidden * sizeof *h);
    for (size_t k = 0; k < 4; k++) {
        const struct row row = {&g->kv, p + k, token};
        assert_int_equal(forward_mtp(&g->forward, &row, h, 1, ROLE_DECODE,
                                     k > 0 && c->index_share_mtp, &e),
                         0);
        memcpy(h, g->forward.mtp_out, c->hidden * sizeof *h);
        assert_int_equal(forward_logits(&g->forward, h, 1, ROLE_DECODE, g->logits, &e), 0);
        close_to(g->logits, logits + k * c->vocab, c->vocab, name);
        token = sample_argmax(g->logits, c->vocab);
        assert_int_equal(token, want[k]);
    }
    free(h);
}

static void test_chains(void **state)
{
    (void)state;
    static const size_t starts[] = {5, 30, 55, 71};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct golden g;
        golden_open(&g, cases[i], NULL, NULL, 2);
        float *const final = states_of_prompt(&g);
        for (size_t p = 0; p < COUNT_OF(starts); p++)
            check_chain(&g, final, starts[p]);
        free(final);
        golden_close(&g);
    }
}

/* The MTP layer's rows of n positions, one behind the other. */
static uint8_t *rows_of_mtp(const struct golden *g, size_t n)
{
    const uint64_t layer = g->model.cfg.layers;
    const size_t latent = g->kv.latent_bytes, index = g->kv.index_bytes;
    uint8_t *const rows = malloc(n * (latent + index));
    assert_non_null(rows);
    for (size_t i = 0; i < n; i++) {
        memcpy(rows + i * (latent + index), kv_latent(&g->kv, layer, i), latent);
        memcpy(rows + i * (latent + index) + latent, kv_index(&g->kv, layer, i), index);
    }
    return rows;
}

/* Filling the cache leaves the bits that running the layer leaves, in any pieces. */
static void test_fill_is_what_a_run_leaves(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct golden g;
        struct row row[GOLDEN_CONTEXT];
        struct err e = {0};
        golden_open(&g, cases[i], NULL, NULL, 2);
        const size_t n = g.T - 1, d = g.model.cfg.hidden;
        float *const final = states_of_prompt(&g);
        run_pairs(&g, final, g.ids + 1, 0, n, g.logits);
        uint8_t *const want = rows_of_mtp(&g, n);
        for (size_t at = 0; at < n; at++) {
            memset(kv_latent(&g.kv, g.model.cfg.layers, at), 0xff, g.kv.latent_bytes);
            memset(kv_index(&g.kv, g.model.cfg.layers, at), 0xff, g.kv.index_bytes);
            row[at] = (struct row){&g.kv, at, g.ids[at + 1]};
        }
        for (size_t at = 0; at < n; at += 7)
            assert_int_equal(forward_mtp_fill(&g.forward, row + at, final + at * d,
                                              n - at < 7 ? n - at : 7, ROLE_PREFILL, &e),
                             0);
        uint8_t *const got = rows_of_mtp(&g, n);
        assert_memory_equal(got, want, n * (g.kv.latent_bytes + g.kv.index_bytes));
        free(want);
        free(got);
        free(final);
        golden_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_chains),
        cmocka_unit_test(test_fill_is_what_a_run_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
