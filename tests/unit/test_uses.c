/* test_uses.c - scores of use: the recurrence of uses.h token by token, over the places where sums
 * are scaled; prompts; histories; counts.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/rng.h"
#include "weights/uses.h"

enum { LAYERS = 2, EXPERTS = 4, KEYS = LAYERS * EXPERTS };

static void close_to(double is, double expected)
{
    if (fabs(is - expected) > 1e-9)
        fail_msg("%.17g, expected %.17g", is, expected);
}

static double fade(double share, double half_tok, double rows, double used)
{
    const double kept = exp2(-rows / half_tok);
    return share * kept + used / rows * (1 - kept);
}

/* uses.h's recurrence for 20,000 tokens, sometimes many at once. */
static void test_recurrence(void **state)
{
    (void)state;
    struct uses u;
    struct rng r = {7};
    struct err e;
    double recent[KEYS] = {0}, habit[KEYS] = {0};
    uint64_t tokens = 0, count = 0;
    assert_int_equal(uses_init(&u, LAYERS, EXPERTS, &e), 0);
    for (int step = 0; step < 20000; step++) {
        const uint32_t rows = step % 500 == 499 ? 4096 : 1 + (uint32_t)rng_below(&r, 3);
        for (uint64_t l = 0; l < LAYERS; l++) {
            uses_visit(&u, l, rows);
            for (uint32_t x = 0; x < EXPERTS; x++) {
                const uint32_t k = (uint32_t)l * EXPERTS + x;
                const uint32_t used = (uint32_t)rng_below(&r, rows + 1);
                if (used > 0)
                    uses_add(&u, l, x, used);
                recent[k] = fade(recent[k], 16, rows, used);
                habit[k] = fade(habit[k], 1024, rows, used);
                count += k == 5 ? used : 0;
            }
        }
        tokens += rows;
        for (uint32_t k = 0; k < KEYS; k++)
            close_to(uses_score(&u, k), 0.6 * recent[k] + 0.4 * habit[k]);
    }
    assert_int_equal(u.tokens, tokens);
    assert_int_equal(u.count[5], count);
    uses_forget_counts(&u);
    assert_int_equal(u.tokens, 0);
    assert_int_equal(u.count[5], 0);
    uses_deinit(&u);
}

/* A history is where habits begin; as many tokens as count fade it as much as any others. */
static void test_history(void **state)
{
    (void)state;
    struct uses u;
    struct err e;
    static const float history[KEYS] = {30, 10, 0, 0, 0, 0, 0, 0};
    assert_int_equal(uses_init(&u, LAYERS, EXPERTS, &e), 0);
    uses_begin_with(&u, history, 1000, 2);
    const double weight = 1 - exp2(-256.0 / 1024);
    close_to(uses_score(&u, 0), 0.4 * 2 * 30 / 40 * weight);
    close_to(uses_score(&u, 1), 0.4 * 2 * 10 / 40 * weight);
    for (uint32_t k = 2; k < KEYS; k++)
        close_to(uses_score(&u, k), 0);
    uses_visit(&u, 0, 1024);
    close_to(uses_score(&u, 0), 0.2 * 2 * 30 / 40 * weight);
    uses_begin_with(&u, history, 0, 2);
    close_to(uses_score(&u, 0), 0);
    uses_begin_with(&u, history, 8, 2);
    close_to(uses_score(&u, 1), 0.4 * 2 * 10 / 40 * (1 - exp2(-8.0 / 1024)));
    uses_deinit(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recurrence),
        cmocka_unit_test(test_history),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
