/* test_cpu.c - level names go both ways, and what the machine says about itself is plausible. */
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
    const unsigned long long memory = cpu_memory_bytes();
    assert_true(memory > 1 << 20);
    assert_true(cpu_memory_available_bytes() <= memory);
    char name[CPU_NAME_BYTES], again[CPU_NAME_BYTES];
    cpu_model_name(name);
    cpu_model_name(again);
    assert_true(strlen(name) > 0);
    assert_string_equal(name, again);
    assert_null(strchr(name, '\n'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names),
                                       cmocka_unit_test(test_machine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
