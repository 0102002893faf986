/* test_kv.c - pages of caches: several that hold one, copies before writing, none left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cache/kv.h"

static const uint8_t index_on[2] = {1, 0};
static const struct kv_layout layout = {2, 4, 2, 4, index_on, KV_F16, KV_I8};

enum { PAGE = KV_PAGE_TOK, PAGES = 6 };

static void write_rows(struct kv *kv, uint64_t from, uint64_t to, int salt)
{
    struct err e;
    assert_int_equal(kv_own(kv, from, to, &e), 0);
    for (uint64_t t = from; t < to; t++) {
        memset(kv_latent(kv, 0, t), (int)(t + (uint64_t)salt) & 0xff, kv->latent_bytes);
        memset(kv_latent(kv, 1, t), (int)(t + (uint64_t)salt + 1) & 0xff, kv->latent_bytes);
        memset(kv_index(kv, 0, t), (int)(t + (uint64_t)salt + 2) & 0xff, kv->index_bytes);
    }
    kv->length = to;
}

static void check_rows(const struct kv *kv, uint64_t from, uint64_t to, int salt)
{
    for (uint64_t t = from; t < to; t++) {
        assert_int_equal(kv_latent(kv, 0, t)[0], (t + (uint64_t)salt) & 0xff);
        assert_int_equal(kv_latent(kv, 1, t)[kv->latent_bytes - 1],
                         (t + (uint64_t)salt + 1) & 0xff);
        assert_int_equal(kv_index(kv, 0, t)[0], (t + (uint64_t)salt + 2) & 0xff);
    }
}

/* b begins with a's first page and part of its second, writes on, and disturbs nothing. */
static void test_shared_pages(void **state)
{
    (void)state;
    struct kv_pages pages;
    struct kv a, b;
    struct err e;
    assert_int_equal(kv_pages_init(&pages, kv_page_bytes(&layout), PAGES, &e), 0);
    assert_int_equal(kv_init(&a, &layout, 3 * PAGE, &pages, &e), 0);
    assert_int_equal(kv_init(&b, &layout, 3 * PAGE, &pages, &e), 0);
    write_rows(&a, 0, 2 * PAGE, 0);
    assert_int_equal(pages.used, 2);
    kv_join(&b, a.page[0], PAGE);
    kv_join(&b, a.page[1], PAGE / 2);
    assert_int_equal(b.length, PAGE + PAGE / 2);
    assert_int_equal(pages.used, 2);
    assert_int_equal(kv_pages_holders(&pages, a.page[1]), 2);
    write_rows(&b, PAGE + PAGE / 2, 2 * PAGE + 1, 100);
    assert_ptr_equal(a.page[0], b.page[0]);
    assert_ptr_not_equal(a.page[1], b.page[1]);
    assert_int_equal(kv_pages_holders(&pages, a.page[1]), 1);
    assert_int_equal(pages.used, 4);
    check_rows(&a, 0, 2 * PAGE, 0);
    check_rows(&b, 0, PAGE + PAGE / 2, 0);
    check_rows(&b, PAGE + PAGE / 2, 2 * PAGE + 1, 100);
    kv_deinit(&a);
    assert_int_equal(pages.used, 3);
    check_rows(&b, 0, PAGE + PAGE / 2, 0);
    kv_truncate(&b, PAGE);
    assert_int_equal(pages.used, 1);
    kv_deinit(&b);
    assert_int_equal(pages.used, 0);
    kv_pages_deinit(&pages);
}

static void test_none_left(void **state)
{
    (void)state;
    struct kv_pages pages;
    struct kv a, b;
    struct err e;
    assert_int_equal(kv_pages_init(&pages, kv_page_bytes(&layout), PAGES, &e), 0);
    assert_int_equal(kv_init(&a, &layout, 4 * PAGE, &pages, &e), 0);
    assert_int_equal(kv_init(&b, &layout, 4 * PAGE, &pages, &e), 0);
    write_rows(&a, 0, 4 * PAGE, 0);
    assert_int_equal(kv_own(&b, 0, 3 * PAGE, &e), GLIM_ELIMIT);
    assert_non_null(strstr(e.text, "all 6 pages"));
    kv_truncate(&a, 3 * PAGE - 1);
    write_rows(&b, 0, 3 * PAGE, 50);
    check_rows(&a, 0, 3 * PAGE - 1, 0);
    check_rows(&b, 0, 3 * PAGE, 50);
    kv_deinit(&a);
    kv_deinit(&b);
    for (int i = 0; i < PAGES; i++)
        assert_non_null(kv_pages_take(&pages));
    assert_null(kv_pages_take(&pages));
    kv_pages_deinit(&pages);
    assert_int_equal(kv_pages_init(&pages, UINT64_MAX / 4, 8, &e), GLIM_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shared_pages),
        cmocka_unit_test(test_none_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
