/* Random numbers by counter, and the order of the sampler's filters. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sample/rng.h"
#include "sample/sample.h"
#include "sample/weight.h"

/* Known answers published with the generator (Random123, kat_vectors, philox4x32 10 rounds). */
static void test_philox_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < COUNT_OF(kat); i++) {
        uint32_t out[4];
        rng_philox(kat[i].counter, kat[i].key, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

static void test_uniform(void **state)
{
    (void)state;
    double sum = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        const double u = rng_uniform(42, 0, i);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_true(fabs(sum / 10000 - 0.5) < 0.02);
    assert_true(fabs(rng_uniform(1, 0, 5) - rng_uniform(1, 0, 5)) <= 0);
    assert_true(fabs(rng_uniform(1, 0, 5) - rng_uniform(2, 0, 5)) > 0);
    assert_true(fabs(rng_uniform(1, 0, 5) - rng_uniform(1, 1, 5)) > 0);
}

enum { V = 6 };
static const float logits[V] = {1.0F, 3.0F, 2.0F, 3.0F, -1.0F, 0.0F};

static const struct sample_params plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};

/* Which tokens come up in 2,000 draws, and how often. */
static void draw_many(const struct sample_params *p, const float *l, const int32_t *recent,
                      size_t n, double share[V])
{
    struct sampler s;
    struct err e;
    assert_int_equal(sampler_init(&s, V, &e), 0);
    assert_int_equal(sample_check(p, V, &e), 0);
    for (size_t i = 0; i < V; i++)
        share[i] = 0;
    for (uint64_t i = 0; i < 2000; i++)
        share[sample_token(&s, p, l, recent, n, recent, n, i)] += 1.0 / 2000;
    sampler_deinit(&s);
}

static int support(const double share[V])
{
    int mask = 0;
    for (int i = 0; i < V; i++)
        mask |= (share[i] > 0) << i;
    return mask;
}

static void test_greedy_takes_the_lower_of_equals(void **state)
{
    (void)state;
    struct sample_params p = plain;
    double share[V];
    p.temperature = 0;
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1);
    p.temperature = 1e-30;
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1);
    assert_int_equal(sample_argmax(logits, V), 1);
}

static void test_distribution(void **state)
{
    (void)state;
    double share[V], sum = 0;
    for (size_t i = 0; i < V; i++)
        sum += exp((double)logits[i]);
    draw_many(&plain, logits, NULL, 0, share);
    for (size_t i = 0; i < V; i++) {
        const double p = exp((double)logits[i]) / sum;
        assert_true(fabs(share[i] - p) < 4 * sqrt(p * (1 - p) / 2000));
    }
}

enum { MANY = 500 };
static float many_logits[MANY];

static int by_logit(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (many_logits[x] > many_logits[y] || many_logits[x] < many_logits[y])
        return many_logits[x] > many_logits[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

/* With nothing cut too, a draw walks down the candidates from the best. */
static void test_uncut_draws_walk_down_from_the_best(void **state)
{
    (void)state;
    struct sampler s;
    struct err e;
    int32_t order[MANY];
    double sum = 0;
    assert_int_equal(sampler_init(&s, MANY, &e), 0);
    for (int32_t i = 0; i < MANY; i++) {
        many_logits[i] = (float)(6 * rng_uniform(3, 7, (uint64_t)i / 2)); /* in equal pairs */
        order[i] = i;
        sum += exp((double)many_logits[i]);
    }
    qsort(order, MANY, sizeof *order, by_logit);
    for (uint64_t at = 0; at < 2000; at++) {
        double left = rng_uniform(plain.seed, 0, at) * sum;
        size_t i = 0;
        while (left >= exp((double)many_logits[order[i]]))
            left -= exp((double)many_logits[order[i++]]);
        assert_int_equal(sample_token(&s, &plain, many_logits, NULL, 0, NULL, 0, at), order[i]);
    }
    sampler_deinit(&s);
}

/* The weight of all, to 1e-6, also of logits that a mask has made -infinity. */
static void test_weights(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float v[N];
    double want = 0;
    for (size_t i = 0; i < N; i++) {
        v[i] = i % 7 == 3 ? -INFINITY : (float)(40 * rng_uniform(5, 1, i) - 39);
        v[i] = i == 17 ? 1.5F : v[i] < 1.5F ? v[i] : 1.5F;
    }
    for (size_t n = 18; n <= N; n += n < 200 ? 1 : 977) {
        want = 0;
        for (size_t i = 0; i < n; i++)
            want += exp((double)v[i] - 1.5);
        assert_true(fabs(weight_total(v, n, 1.5F) - want) <= 1e-6 * want);
    }
}

/* Only what the mask has is drawn, and that as if the rest were not there. */
static void test_mask(void **state)
{
    (void)state;
    struct sampler s;
    struct err e;
    const uint32_t mask[1] = {1u << 2 | 1u << 4};
    struct sample_params p = plain;
    p.mask = mask;
    p.mask_tokens = 5; /* of V: the last ones are out of the question */
    assert_int_equal(sampler_init(&s, V, &e), 0);
    for (int cut = 0; cut < 4; cut++) {
        p.top_p = cut == 1 ? 0.9999 : 1;
        p.top_k = cut == 2 ? 4 : 0;
        p.temperature = cut == 3 ? 0 : 1;
        int seen[V] = {0};
        for (uint64_t at = 0; at < 2000; at++)
            seen[sample_token(&s, &p, logits, NULL, 0, NULL, 0, at)]++;
        assert_int_equal(seen[2] + seen[4], 2000);
        const double want = exp((double)logits[2])
                            / (exp((double)logits[2]) + exp((double)logits[4]));
        if (cut == 3)
            assert_int_equal(seen[logits[2] >= logits[4] ? 2 : 4], 2000);
        else
            assert_true(fabs(seen[2] / 2000.0 - want) < 0.05);
    }
    sampler_deinit(&s);
}

static void test_filters(void **state)
{
    (void)state;
    double share[V];
    struct sample_params p = plain;
    p.top_k = 3;
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1 | 1 << 3 | 1 << 2);
    p.top_k = 1; /* of equals the lower id */
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1);
    p = plain;
    p.top_p = 0.5; /* the two best hold 0.74: the first of them 0.37, so both are needed */
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1 | 1 << 3);
    p.top_p = 0;
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1);
    p = plain;
    p.min_p = 0.2; /* exp(-1) = 0.37 stays, exp(-2) = 0.14 goes */
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1 | 1 << 3 | 1 << 2);
    p = plain;
    p.top_k = 3;
    p.top_p = 0.8; /* of the three that are left: 0.42, 0.42, 0.16 */
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 1 | 1 << 3);
}

static void test_bias_and_penalties(void **state)
{
    (void)state;
    double share[V];
    const struct sample_bias bias[] = {{4, 100}, {1, -100}};
    struct sample_params p = plain;
    p.temperature = 0;
    p.bias = bias;
    p.biases = 2;
    draw_many(&p, logits, NULL, 0, share);
    assert_int_equal(support(share), 1 << 4);

    const int32_t seen[] = {1, 3, 1};
    p = plain;
    p.temperature = 0;
    p.repetition_penalty = 2; /* 3 -> 1.5 for both, once each: token 2 leads */
    draw_many(&p, logits, seen, 3, share);
    assert_int_equal(support(share), 1 << 2);
    p = plain;
    p.temperature = 0;
    p.frequency_penalty = 0.3; /* token 1 loses 0.6, token 3 loses 0.3 */
    draw_many(&p, logits, seen, 3, share);
    assert_int_equal(support(share), 1 << 3);
    p.frequency_penalty = 0;
    p.presence_penalty = 1.5;
    draw_many(&p, logits, seen, 3, share);
    assert_int_equal(support(share), 1 << 2);
    const float negative[V] = {-1, -1.2F, -9, -9, -9, -9};
    const int32_t first[] = {0};
    p = plain;
    p.temperature = 0;
    p.repetition_penalty = 1.5; /* a negative logit is multiplied */
    draw_many(&p, negative, first, 1, share);
    assert_int_equal(support(share), 1 << 1);
}

static void test_bad_parameters(void **state)
{
    (void)state;
    struct err e;
    struct sample_params p = plain;
    p.top_p = 1.5;
    assert_int_equal(sample_check(&p, V, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "top_p: 1.5, expected 0 to 1");
    p = plain;
    p.temperature = (double)NAN;
    assert_int_equal(sample_check(&p, V, &e), GLIM_EINVAL);
    p = plain;
    p.repetition_penalty = 0;
    assert_int_equal(sample_check(&p, V, &e), GLIM_EINVAL);
    const struct sample_bias out_of_range = {V, 1};
    p = plain;
    p.bias = &out_of_range;
    p.biases = 1;
    assert_int_equal(sample_check(&p, V, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "logit_bias[0]: token 6, expected 0 to 5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_greedy_takes_the_lower_of_equals),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_uncut_draws_walk_down_from_the_best),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_mask),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_bias_and_penalties),
        cmocka_unit_test(test_bad_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
