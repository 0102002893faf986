/* test_ahead.c - memory given before it is touched, and an end at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/ahead.h"
#include "base/pages.h"
#include "base/util.h"

enum { BYTES = 20 << 20 };

/* Are all pages there? Waits for them, seconds if it has to. */
static bool comes(const void *p, uint64_t bytes)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    const size_t pages = (size_t)(bytes / (uint64_t)sysconf(_SC_PAGESIZE));
    unsigned char *const there = mem_zalloc(pages, 1);
    size_t n = 0;
    for (int tries = 0; tries < 1000 && n < pages; tries++) {
        (void)nanosleep(&moment, NULL);
        assert_int_equal(mincore((void *)(uintptr_t)p, (size_t)bytes, there), 0);
        for (n = 0; n < pages && there[n] & 1; n++)
            ;
    }
    free(there);
    return n == pages;
}

static struct ahead *start(const struct stretch *s, size_t n)
{
    struct ahead *a;
    struct err e;
    assert_int_equal(ahead_start(&a, s, n, &e), 0);
    assert_non_null(a);
    return a;
}

static void test_fill(void **state)
{
    (void)state;
    uint8_t *const a = pages_take(BYTES), *const b = pages_take(BYTES);
    assert_non_null(a);
    assert_non_null(b);
    memset(a, 7, BYTES);
    const struct stretch s[] = {{a, BYTES}, {NULL, 0}, {b, BYTES}};
    struct ahead *const x = start(s, COUNT_OF(s));
    assert_true(comes(b, BYTES));
    ahead_stop(x);
    for (size_t i = 0; i < BYTES; i++)
        assert_true(a[i] == 7 && b[i] == 0);
    pages_give_back(a, BYTES);
    pages_give_back(b, BYTES);
}

static void test_end(void **state)
{
    (void)state;
    ahead_stop(NULL);
    const uint64_t much = (uint64_t)1 << 40; /* more than there is */
    uint8_t *const p = pages_take(much);
    for (int i = 0; p && i < 20; i++) {
        const struct stretch s = {p + (uint64_t)i * ((uint64_t)1 << 35), (uint64_t)1 << 35};
        ahead_stop(start(&s, 1));
    }
    pages_give_back(p, much);
    const struct stretch none = {NULL, 4096}; /* not mapped: nothing happens */
    ahead_stop(start(&none, 1));
    ahead_stop(start(&none, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
