/* test_shares.c - shares of drives: what moves them, how far, and what does not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/shares.h"
#include "base/util.h"
#include "util/rng.h"

enum { DRIVES = 3, MIB = 1 << 20 };

static void close_to(double is, double expected)
{
    if (fabs(is - expected) > 1e-9 * fmax(1, fabs(expected)))
        fail_msg("%.17g, expected %.17g", is, expected);
}

static double sum(const double *w)
{
    double all = 0;
    for (unsigned d = 0; d < DRIVES; d++)
        all += w[d];
    return all;
}

/* What drives of these speeds (GB/s) do with SHARES_BYTES, split by weight; speed 0: not asked. */
static bool go_on(double *w, const double *gb_s, double noise, struct rng *r)
{
    struct drive_use use[DRIVES] = {{0}};
    double all = 0;
    for (unsigned d = 0; d < DRIVES; d++)
        all += gb_s[d] > 0 ? w[d] : 0;
    for (unsigned d = 0; d < DRIVES; d++) {
        if (!(gb_s[d] > 0))
            continue;
        const double off = 1 + noise * ((double)rng_below(r, 2001) / 1000 - 1);
        use[d].bytes = (uint64_t)(SHARES_BYTES * w[d] / all) + MIB;
        use[d].busy_ns = (uint64_t)((double)use[d].bytes / (gb_s[d] * off)) + 1;
    }
    return shares_follow(w, use, DRIVES);
}

static void test_too_little(void **state)
{
    (void)state;
    double w[DRIVES] = {1, 2, 3};
    struct drive_use use[DRIVES] = {{SHARES_BYTES / 2, 1000}, {SHARES_BYTES / 2 - 1, 9}, {0, 0}};
    assert_false(shares_follow(w, use, DRIVES));
    memset(use, 0, sizeof use);
    assert_false(shares_follow(w, use, DRIVES));
    use[1].busy_ns = 1000000000;
    assert_false(shares_follow(w, use, DRIVES));
    use[1] = (struct drive_use){SHARES_BYTES, 0}; /* no time: no speed */
    assert_false(shares_follow(w, use, DRIVES));
    assert_true(w[0] == 1 && w[1] == 2 && w[2] == 3);
}

/* A quarter of the way, the sum as it was; what was not used keeps its part. */
static void test_one_step(void **state)
{
    (void)state;
    double w[DRIVES] = {4, 4, 2};
    const struct drive_use use[DRIVES] = {{64 * MIB, 64 * MIB}, {192 * MIB, 64 * MIB}, {0, 0}};
    assert_true(shares_follow(w, use, DRIVES)); /* 1 and 3 GB/s: 2 and 6 of 8 */
    close_to(w[0], 3.5);
    close_to(w[1], 4.5);
    close_to(w[2], 2);
}

/* By up to a twentieth the drives seem now faster, now slower: nothing moves, in any bit. */
static void test_noise(void **state)
{
    (void)state;
    struct rng r = {3};
    double w[DRIVES] = {2e9, 5e9, 3e9};
    for (int i = 0; i < 1000; i++) {
        assert_true(go_on(w, (const double[]){2, 5, 3}, 0.03, &r));
        assert_true(w[0] == 2e9 && w[1] == 5e9 && w[2] == 3e9);
    }
}

/* One falls to a quarter, and is as before: shares go there without going past, and back. */
static void test_there_and_back(void **state)
{
    (void)state;
    struct rng r = {4};
    double w[DRIVES] = {2, 5, 3};
    static const double speed[][DRIVES] = {{0.5, 5, 3}, {2, 5, 3}, {2, 1.25, 3}, {2, 5, 3}};
    for (size_t i = 0; i < COUNT_OF(speed); i++) {
        const double should = speed[i][i / 2] / sum(speed[i]) * 10;
        const bool down = w[i / 2] > should;
        for (int k = 0; k < 20; k++) {
            const double before = w[i / 2];
            assert_true(go_on(w, speed[i], 0, &r));
            close_to(sum(w), 10);
            assert_true(down ? w[i / 2] <= before && w[i / 2] >= should * 0.97
                             : w[i / 2] >= before && w[i / 2] <= should * 1.03);
        }
        assert_true(fabs(w[i / 2] / should - 1) < 0.08);
    }
}

/* A drive that gives next to nothing is still asked now and then, and comes back. */
static void test_least(void **state)
{
    (void)state;
    struct rng r = {5};
    double w[DRIVES] = {2, 5, 3};
    for (int i = 0; i < 200; i++)
        assert_true(go_on(w, (const double[]){1e-6, 5, 3}, 0, &r));
    assert_true(w[0] > 10.0 / 70 && w[0] < 10.0 / 60);
    const struct drive_use stuck[DRIVES] = {{0, 1u << 30}, {SHARES_BYTES, 50000000}, {0, 0}};
    assert_true(shares_follow(w, stuck, DRIVES));
    assert_true(w[0] > 10.0 / 70);
    for (int i = 0; i < 30; i++)
        assert_true(go_on(w, (const double[]){2, 5, 3}, 0, &r));
    assert_true(fabs(w[0] - 2) < 0.15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_little),
        cmocka_unit_test(test_one_step),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_least),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
