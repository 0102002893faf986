/* test_cpu.c - level names go both ways, and what the machine says about itself is plausible. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"

static void test_names(void **state)
{
    (void)state;
    for (int l = 0; l < CPU_LEVEL_COUNT; l++) {
        enum cpu_level parsed;
        const char *const name = cpu_level_name((enum cpu_level)l);
        assert_int_equal(cpu_level_parse(name, &parsed, NULL), GLIM_OK);
        assert_int_equal(parsed, l);
    }
    enum cpu_level parsed = CPU_AMX;
    struct err e;
    static const char *const bad[] = {"", "AVX2", "avx", "avx2 ", "sse9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cpu_level_parse(bad[i], &parsed, &e), GLIM_EINVAL);
        assert_non_null(strstr(e.text, "baseline"));
        assert_int_equal(parsed, CPU_AMX); /* not touched */
    }
}

static void test_machine(void **state)
{
    (void)state;
    assert_true(cpu_detect() < CPU_LEVEL_COUNT);
    assert_int_equal(cpu_detect(), cpu_detect());
#if defined(__x86_64__)
    assert_int_not_equal(cpu_detect(), CPU_NEON);
#endif
    assert_true(cpu_count() >= 1);
    char name[CPU_NAME_BYTES], again[CPU_NAME_BYTES];
    cpu_model_name(name);
    cpu_model_name(again);
    assert_true(strlen(name) > 0);
    assert_string_equal(name, again);
    assert_null(strchr(name, '\n'));
}

/* One processor of each core first, in order; then their siblings. */
static void test_spread(void **state)
{
    (void)state;
    static const struct {
        int n, cpu[8];
        long core[8];
        int want[8], cores;
    } cases[] = {
        {0, {0}, {0}, {0}, 0},
        {3, {4, 5, 9}, {0, 1, 2}, {4, 5, 9}, 3},
        {4, {0, 1, 2, 3}, {0, 0, 1, 1}, {0, 2, 1, 3}, 2}, /* siblings are neighbours */
        {4, {0, 1, 2, 3}, {0, 1, 0, 1}, {0, 1, 2, 3}, 2}, /* in the far half */
        {8, {0, 1, 2, 3, 4, 5, 6, 7}, {7, 7, 7, 7, 8, 8, 8, 9}, {0, 4, 7, 1, 5, 2, 6, 3}, 3},
        {3, {1, 2, 3}, {-2, -3, -4}, {1, 2, 3}, 3},     /* nothing known */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int cpu[8];
        memcpy(cpu, cases[i].cpu, sizeof cpu);
        assert_int_equal(cpu_spread(cpu, cases[i].core, cases[i].n), cases[i].cores);
        assert_memory_equal(cpu, cases[i].want, (size_t)cases[i].n * sizeof *cpu);
    }
}

/* All processors that the process may use, each once. */
static void test_places(void **state)
{
    (void)state;
    int place[CPU_PLACES_MAX], cores;
    const int n = cpu_places(place, &cores);
    assert_int_equal(n, cpu_count());
    assert_true(cores >= 1 && cores <= n);
    cpu_set_t set, seen;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    CPU_ZERO(&seen);
    for (int i = 0; i < n; i++)
        CPU_SET((size_t)place[i], &seen);
    assert_true(CPU_EQUAL(&set, &seen));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_machine),
                                       cmocka_unit_test(test_spread),
                                       cmocka_unit_test(test_places)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
