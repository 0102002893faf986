/* test_prefix.c - what begins the same way is found, and only that; what goes first when room is
 * short. Against a plain list of all that was ever kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "cache/prefix.h"
#include "util/rng.h"

static const uint8_t index_on[1] = {0};
static const struct kv_layout layout = {1, 4, 2, 4, index_on, KV_F32, KV_I8};

enum { PAGE = KV_PAGE_TOK, PAGES = 64, LONGEST = 6 * PAGE };

struct fixture {
    struct kv_pages pages;
    struct prefix tree;
};

static void open_tree(struct fixture *f, uint64_t pages)
{
    struct err e;
    assert_int_equal(kv_pages_init(&f->pages, kv_page_bytes(&layout), pages, &e), 0);
    f->tree = (struct prefix){.pages = &f->pages};
}

static void close_tree(struct fixture *f)
{
    prefix_deinit(&f->tree);
    assert_int_equal(f->pages.used, 0);
    kv_pages_deinit(&f->pages);
}

/* A row's content: a hash of all tokens and roles up to it. */
static uint64_t row_hash(const int32_t *token, const uint8_t *role, uint64_t pos)
{
    uint64_t h = 1;
    for (uint64_t i = 0; i <= pos; i++)
        h = h * 1000003 + (uint64_t)token[i] * 2 + role[i];
    return h;
}

static void write_rows(struct kv *kv, const int32_t *token, const uint8_t *role, uint64_t to)
{
    struct err e;
    assert_int_equal(kv_own(kv, kv->length, to, &e), 0);
    for (uint64_t t = kv->length; t < to; t++) {
        const uint64_t h = row_hash(token, role, t);
        memcpy(kv_latent(kv, 0, t), &h, sizeof h);
    }
    kv->length = to;
}

static void check_rows(const struct kv *kv, const int32_t *token, const uint8_t *role)
{
    for (uint64_t t = 0; t < kv->length; t++) {
        const uint64_t h = row_hash(token, role, t);
        assert_memory_equal(kv_latent(kv, 0, t), &h, sizeof h);
    }
}

static void cache_new(struct fixture *f, struct kv *kv)
{
    struct err e;
    assert_int_equal(kv_init(kv, &layout, LONGEST, &f->pages, &e), 0);
}

/* Computes a timeline of n tokens, from what is found; how much was. */
static uint64_t run_keyed(struct fixture *f, const struct snapshot_key *key, const int32_t *token,
                          const uint8_t *role, uint64_t n)
{
    struct kv kv;
    cache_new(f, &kv);
    const uint64_t found = prefix_join(&f->tree, &kv, key, token, role, n, NULL);
    assert_int_equal(kv.length, found);
    check_rows(&kv, token, role);
    write_rows(&kv, token, role, n);
    check_rows(&kv, token, role);
    prefix_keep(&f->tree, &kv, key, token, role, n, n, true);
    kv_deinit(&kv);
    return found;
}

static uint64_t run(struct fixture *f, const int32_t *token, const uint8_t *role, uint64_t n)
{
    return run_keyed(f, NULL, token, role, n);
}

static void test_found(void **state)
{
    (void)state;
    if (PAGE < 32) /* it counts on pages of some size */
        skip();
    struct fixture f;
    int32_t token[LONGEST];
    uint8_t role[LONGEST] = {0};
    open_tree(&f, PAGES);
    for (int i = 0; i < LONGEST; i++)
        token[i] = i;
    assert_int_equal(run(&f, token, role, 2 * PAGE + 10), 0);
    assert_int_equal(run(&f, token, role, 2 * PAGE + 20), 2 * PAGE + 10);
    assert_int_equal(f.tree.nodes, 3); /* the last page was extended */
    assert_int_equal(run(&f, token, role, 2 * PAGE + 20), 2 * PAGE + 20);
    assert_int_equal(run(&f, token, role, 5), 5);
    assert_int_equal(f.tree.nodes, 3);
    token[PAGE + 7] = 9999;
    assert_int_equal(run(&f, token, role, 2 * PAGE), PAGE + 7);
    assert_int_equal(f.tree.nodes, 4);
    role[3] = 1;
    assert_int_equal(run(&f, token, role, PAGE), 3);
    role[3] = 0;
    token[PAGE + 7] = PAGE + 7;
    assert_int_equal(run(&f, token, role, 3 * PAGE), 2 * PAGE + 20);
    close_tree(&f);
}

/* A cache that goes on keeps its whole pages, which others join while it runs. */
static void test_while_it_runs(void **state)
{
    (void)state;
    if (PAGE < 32)
        skip();
    struct fixture f;
    struct kv a, b;
    int32_t token[LONGEST] = {7};
    const uint8_t role[LONGEST] = {0};
    open_tree(&f, PAGES);
    cache_new(&f, &a);
    write_rows(&a, token, role, PAGE + 9);
    prefix_keep(&f.tree, &a, NULL, token, role, PAGE + 9, PAGE + 9, false);
    cache_new(&f, &b);
    assert_int_equal(prefix_join(&f.tree, &b, NULL, token, role, LONGEST, NULL), PAGE);
    assert_int_equal(b.mtp_length, PAGE - 1);
    write_rows(&b, token, role, 2 * PAGE);
    write_rows(&a, token, role, 2 * PAGE);
    assert_ptr_equal(a.page[0], b.page[0]);
    prefix_keep(&f.tree, &a, NULL, token, role, 2 * PAGE, 2 * PAGE - 1, true);
    prefix_keep(&f.tree, &b, NULL, token, role, 2 * PAGE, 2 * PAGE - 1, true);
    assert_int_equal(f.tree.nodes, 2);
    assert_ptr_equal(a.page[1], b.page[1]); /* one of two equal pages is enough */
    assert_int_equal(f.pages.used, 2);
    kv_deinit(&a);
    kv_deinit(&b);
    assert_int_equal(f.pages.used, 2);
    close_tree(&f);
}

/* A path ends at a page whose last row the MTP layer lacks, until one who has it comes. */
static void test_incomplete(void **state)
{
    (void)state;
    struct fixture f;
    struct kv a, b, c;
    const int32_t token[LONGEST] = {7};
    const uint8_t role[LONGEST] = {0};
    open_tree(&f, PAGES);
    cache_new(&f, &a);
    write_rows(&a, token, role, PAGE);
    prefix_keep(&f.tree, &a, NULL, token, role, PAGE, PAGE - 1, true);
    kv_deinit(&a);
    cache_new(&f, &b);
    assert_int_equal(prefix_join(&f.tree, &b, NULL, token, role, LONGEST, NULL), PAGE);
    assert_int_equal(b.mtp_length, PAGE - 1);
    struct err e;
    assert_int_equal(kv_own(&b, PAGE - 1, PAGE, &e), 0); /* for the MTP layer's row */
    write_rows(&b, token, role, 2 * PAGE);
    prefix_keep(&f.tree, &b, NULL, token, role, 2 * PAGE, 2 * PAGE - 1, true);
    assert_int_equal(f.pages.used, 2);
    cache_new(&f, &c);
    assert_int_equal(prefix_join(&f.tree, &c, NULL, token, role, LONGEST, NULL), 2 * PAGE);
    assert_ptr_equal(c.page[0], b.page[0]);
    kv_deinit(&b);
    kv_deinit(&c);
    close_tree(&f);
}

/* The oldest leaf goes first, never a page that a cache holds or that leads to one that stays. */
static void test_evict(void **state)
{
    (void)state;
    struct fixture f;
    struct kv kv;
    int32_t one[LONGEST] = {1}, two[LONGEST] = {2};
    const uint8_t role[LONGEST] = {0};
    open_tree(&f, PAGES);
    run(&f, one, role, 3 * PAGE);
    run(&f, two, role, 2 * PAGE);
    run(&f, one, role, 2 * PAGE); /* its third page stays the oldest */
    assert_true(prefix_evict(&f.tree));
    assert_int_equal(run(&f, one, role, 3 * PAGE), 2 * PAGE);
    cache_new(&f, &kv);
    assert_int_equal(prefix_join(&f.tree, &kv, NULL, two, role, PAGE, NULL), PAGE);
    for (int i = 0; i < 4; i++)
        assert_true(prefix_evict(&f.tree));
    assert_false(prefix_evict(&f.tree)); /* the page that kv holds */
    kv_deinit(&kv);
    assert_true(prefix_evict(&f.tree));
    assert_false(prefix_evict(&f.tree));
    assert_int_equal(f.tree.nodes, 0);
    close_tree(&f);
}

/* Who has a key shares with nobody, and nobody with them. */
static void test_keys(void **state)
{
    (void)state;
    static const struct snapshot_key key[2]; /* who they are is where they are */
    static const struct snapshot_key *const all[] = {NULL, &key[0], &key[1]};
    const int32_t token[LONGEST] = {1};
    const uint8_t role[LONGEST] = {0};
    struct fixture f;
    open_tree(&f, PAGES);
    for (uint64_t i = 0; i < COUNT_OF(all); i++)
        assert_int_equal(run_keyed(&f, all[i], token, role, (i + 1) * PAGE), 0);
    for (uint64_t i = 0; i < COUNT_OF(all); i++)
        assert_int_equal(run_keyed(&f, all[i], token, role, LONGEST), (i + 1) * PAGE);
    assert_int_equal(f.tree.nodes, 3 * (LONGEST / PAGE));
    close_tree(&f);
}

/* Few different tokens, so that timelines part anywhere; room so short that pages go all the
 * time. */
static void test_random(void **state)
{
    (void)state;
    enum { KEPT = 200 };
    static int32_t token[KEPT][LONGEST];
    static uint8_t role[KEPT][LONGEST];
    static uint64_t length[KEPT];
    struct fixture f;
    struct rng r = {42};

    open_tree(&f, PAGES);
    uint64_t found_all = 0, best_all = 0;
    for (int i = 0; i < KEPT; i++) {
        const int from = i ? (int)(rng_u64(&r) % (uint64_t)i) : 0;
        const uint64_t same = i ? rng_u64(&r) % (length[from] + 1) : 0;
        length[i] = 1 + rng_u64(&r) % LONGEST;
        for (uint64_t t = 0; t < length[i]; t++) {
            token[i][t] = t < same ? token[from][t] : (int32_t)(rng_u64(&r) % 3);
            role[i][t] = t < same ? role[from][t] : (uint8_t)(rng_u64(&r) % 2);
        }
        while (f.pages.count - f.pages.used < LONGEST / PAGE + 1)
            assert_true(prefix_evict(&f.tree));
        uint64_t best = 0;
        for (int k = 0; k < i; k++) {
            uint64_t n = 0;
            while (n < min_u64(length[i], length[k]) && token[i][n] == token[k][n]
                   && role[i][n] == role[k][n])
                n++;
            best = max_u64(best, n);
        }
        const uint64_t found = run(&f, token[i], role[i], length[i]);
        assert_true(found <= best);
        found_all += found;
        best_all += best;
    }
    assert_true(found_all * 2 > best_all); /* room for 64 of some 700 pages */
    close_tree(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_while_it_runs),
        cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_evict),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
