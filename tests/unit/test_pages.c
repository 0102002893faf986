/* test_pages.c - large memory, and the lists of nodes that it is spread over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pages.h"
#include "base/util.h"

static void test_nodes(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        uint64_t nodes;
    } right[] = {{"0", 1}, {"0\n", 1}, {"0-1\n", 3}, {"0,2-3", 13}, {"63", UINT64_C(1) << 63},
                 {"0-63\n", UINT64_MAX}};
    static const char *const wrong[] = {"", "\n", "-", "1-", "-1", "0,", ",0", "3-2", "64", "0-64",
                                        "99999999999999999999", "0 1", "a", "0-1x"};
    uint64_t nodes;
    for (size_t i = 0; i < COUNT_OF(right); i++) {
        assert_true(pages_nodes(right[i].list, &nodes));
        assert_true(nodes == right[i].nodes);
    }
    for (size_t i = 0; i < COUNT_OF(wrong); i++)
        assert_false(pages_nodes(wrong[i], &nodes));
}

static void test_memory(void **state)
{
    (void)state;
    enum { BYTES = 5 << 20 };
    uint8_t *const p = pages_take(BYTES);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
    for (size_t i = 0; i < BYTES; i += 4096)
        assert_int_equal(p[i]++, 0);
    pages_give_back(p, BYTES);
    pages_give_back(NULL, BYTES);
    /* More than there is: promised, not taken. */
    uint8_t *const much = pages_take((uint64_t)1 << 40);
    if (much)
        much[(uint64_t)1 << 39] = 1;
    pages_give_back(much, (uint64_t)1 << 40);
    assert_null(pages_take(UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
