/* test_jobs.c - how often the threads have to meet for a decoded token of the bundled model: each
 * time costs them a microsecond or more, and GLM-5.2 has 78 layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/util.h"
#include "util/golden.h"

enum { CONTEXT = 256, PROMPT = 40 };

/* Projections of the input, attention, output; gate and up, down. The queries come with attention;
 * those of the indexer are one more job where a layer chooses, and so is the router, if it is large
 * enough to be split. */
enum { ATTENTION_JOBS = 3, FFN_JOBS = 2, ROUTER_SPLIT = 16 };

static uint64_t jobs_expected(const struct model_config *c, bool choose)
{
    uint64_t n = 0;
    for (uint64_t i = 0; i < c->layers; i++) {
        n += ATTENTION_JOBS + FFN_JOBS;
        n += c->ffn[i] == FFN_MOE && c->experts > ROUTER_SPLIT;
        n += choose && c->index[i] == INDEX_FULL;
    }
    return n;
}

static uint64_t jobs_of(struct golden *g, uint64_t pos, size_t T, enum kernel_role role)
{
    struct row row[PROMPT];
    struct err e;
    for (size_t t = 0; t < T; t++)
        row[t] = (struct row){&g->kv, pos + t, (int32_t)(17 * (pos + t) + 5)};
    const uint64_t before = pool_jobs(g->pool);
    assert_int_equal(forward_rows(&g->forward, row, T, role, &e), 0);
    return pool_jobs(g->pool) - before;
}

static void test_jobs_a_layer(void **state)
{
    (void)state;
    for (int always = 0; always < 2; always++) {
        struct golden g;
        const struct model_knobs knobs = {.index_always = always};
        golden_nano(&g, &knobs, 2, PROMPT, CONTEXT);
        (void)jobs_of(&g, 0, PROMPT, ROLE_PREFILL);
        const uint64_t one = jobs_of(&g, PROMPT, 1, ROLE_DECODE);
        assert_int_equal(one, jobs_expected(&g.model.cfg, always));
        if (!always)
            assert_true(one <= 6 * g.model.cfg.layers);
        assert_int_equal(jobs_of(&g, PROMPT + 1, 4, ROLE_DECODE), one); /* drafts being checked */
        golden_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_jobs_a_layer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
