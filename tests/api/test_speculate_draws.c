/* Tokens of an answer with drafts follow the distribution that the logits say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/tiny.h"

enum { DEPTHS = 3, RANKS = 5, SEEDS = 600 };

/* Five tokens share the probability, rather evenly, so that drafts are right and wrong. */
static const struct glim_logit_bias five_tokens[RANKS] = {
    {5, 400}, {23, 400}, {40, 400}, {61, 400}, {77, 400}};
static const double WARM = 6;

static int falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Adds the probabilities of the five tokens, largest first, to expect [RANKS]; returns the rank of
 * the token that was drawn. */
static size_t rank_of(const float *logits, int32_t token, double *expect)
{
    double p[RANKS], own = 0, sum = 0;
    size_t rank = 0;
    for (size_t i = 0; i < RANKS; i++) {
        p[i] = exp((double)logits[five_tokens[i].token] / WARM);
        sum += p[i];
        own = five_tokens[i].token == token ? p[i] : own;
    }
    assert_true(own > 0);
    qsort(p, RANKS, sizeof *p, falling);
    for (size_t i = 0; i < RANKS; i++) {
        expect[i] += p[i] / sum;
        rank += p[i] > own;
    }
    return rank;
}

/* Tokens that verifications yield follow the softmax of the logits that a session without drafts
 * computes for their place: at each depth, how often the token of rank r is drawn over many seeds
 * against the sum of its probabilities. Chi-square with 4 degrees of freedom: above 23.5 by chance
 * once in 10,000. The seeds are fixed, so the outcome is. */
static void test_distribution(void **state)
{
    (void)state;
    struct tiny t;
    double expect[DEPTHS][RANKS] = {{0}}, drawn[DEPTHS][RANKS] = {{0}};
    struct glim_generate g = GLIM_GENERATE_INIT;
    tiny_open(&t, "mtp-share", CONTEXT);
    g.sampling.temperature = WARM;
    g.sampling.bias = five_tokens;
    g.sampling.biases = RANKS;
    g.max_tokens = DEPTHS + 1;
    g.raw = g.ignore_eos = true;
    tiny_prompt(t.plain, false);
    tiny_prompt(t.drafting, false);
    const int32_t last = tiny_token(TINY_PROMPT - 1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct answer a;
        g.sampling.seed = seed;
        assert_int_equal(glim_session_rewind(t.drafting, TINY_PROMPT - 1, NULL), 0);
        answer_append(t.drafting, &last, 1, 0);
        answer_make(&a, t.drafting, &g, DEPTHS, 0, t.vocab);
        assert_int_equal(a.usage.output_tok, DEPTHS + 1);
        assert_int_equal(glim_session_rewind(t.plain, TINY_PROMPT, NULL), 0);
        for (size_t d = 0; d < DEPTHS; d++) {
            answer_append(t.plain, &a.timeline[TINY_PROMPT + d], 1, GLIM_APPEND_DECODE);
            drawn[d][rank_of(glim_session_logits(t.plain), a.timeline[TINY_PROMPT + d + 1],
                             expect[d])]++;
        }
        drafts_count(&a);
        answer_deinit(&a);
    }
    drafts_both();
    for (size_t d = 0; d < DEPTHS; d++) {
        double chi2 = 0;
        for (size_t r = 0; r < RANKS; r++) {
            assert_true(expect[d][r] > 5);
            chi2 += pow(drawn[d][r] - expect[d][r], 2) / expect[d][r];
        }
        printf("  depth %zu: chi-square %.1f, likeliest %.0f of %d\n", d + 1, chi2, drawn[d][0],
               (int)SEEDS);
        assert_true(chi2 < 23.5);
    }
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
