/* Leases on experts, cache pages, stop strings: small machines with exact
 * answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/kv.h"
#include "engine/stopper.h"
#include "weights/experts.h"

static void test_leases(void **state)
{
    (void)state;
    struct experts x;
    struct expert_visit v;
    struct err e;
    assert_int_equal(experts_init(&x, 2, 4, &e), 0);
    static const uint32_t want[] = {0, 3};
    uint32_t place[4];
    const struct expert *lease[4];
    size_t n;
    experts_slot(&x, 1, 3)->gate.rows = 7;
    experts_begin(&v, &x, 1, want, 2);
    assert_int_equal(experts_next(&v, false, place, lease, &n, &e), 0);
    assert_int_equal(n, 2); /* mapped: all at once */
    assert_int_equal(place[1], 1);
    assert_int_equal(lease[1]->gate.rows, 7);
    assert_int_equal(x.leased, 2);
    experts_release(&v, lease[0]);
    experts_release(&v, lease[1]);
    assert_int_equal(experts_next(&v, true, place, lease, &n, &e), 0);
    assert_int_equal(n, 0);
    experts_end(&v);
    assert_int_equal(x.leased, 0);
    assert_int_equal(x.acquired, 2);
    experts_deinit(&x);
}

/* GLM-5.2's layout is 95,232 bytes a token at 16 bits, and rows never overlap. */
static void test_cache_layout(void **state)
{
    (void)state;
    uint8_t index[79];
    for (int i = 0; i < 79; i++)
        index[i] = i < 3 || i % 4 == 2 || i == 78;
    struct kv_layout l = {78, 512, 64, 128, index, KV_F16, KV_F16};
    assert_int_equal(kv_bytes_per_token(&l), 95232);
    l.layers = 79;
    assert_int_equal(kv_bytes_per_token(&l), 95232 + 1408);
    l.type = l.index_type = KV_F32;
    assert_int_equal(kv_bytes_per_token(&l), 2 * (95232 + 1408));
    l.layers = 78;
    l.type = KV_F16;
    l.index_type = KV_I8;
    assert_int_equal(kv_bytes_per_token(&l), 92628);
    l.type = KV_Q8;
    assert_int_equal(kv_bytes_per_token(&l), 78 * (512 + 4 * 4 + 64 * 2) + 21 * (128 + 4));
}

static void rows_apart(enum kv_type type, enum kv_type index_type)
{
    static const uint8_t some[3] = {1, 0, 1};
    const struct kv_layout small = {3, 4, 2, 4, some, type, index_type};
    const int latent = (int)kv_latent_bytes(&small), key = (int)kv_index_bytes(&small);
    struct kv kv;
    struct err e;
    enum { TOKENS = 200 };
    assert_int_equal(kv_init(&kv, &small, TOKENS, NULL, &e), 0);
    for (uint64_t t = 0; t < TOKENS; t++) {
        for (uint64_t i = 0; i < 3; i++) {
            memset(kv_latent(&kv, i, t), (int)(t + i) & 0xff, (size_t)latent);
            if (some[i])
                memset(kv_index(&kv, i, t), (int)(t * 3 + i) & 0xff, (size_t)key);
        }
    }
    for (uint64_t t = 0; t < TOKENS; t++) {
        for (uint64_t i = 0; i < 3; i++) {
            for (int b = 0; b < latent; b++)
                assert_int_equal(kv_latent(&kv, i, t)[b], (t + i) & 0xff);
            for (int b = 0; some[i] && b < key; b++)
                assert_int_equal(kv_index(&kv, i, t)[b], (t * 3 + i) & 0xff);
        }
    }
    kv.length = 100;
    kv.mtp_length = 99;
    kv_truncate(&kv, 40);
    assert_int_equal(kv.length, 40);
    assert_int_equal(kv.mtp_length, 39);
    kv_truncate(&kv, 0);
    assert_int_equal(kv.mtp_length, 0);
    kv_deinit(&kv);
    assert_int_equal(kv_init(&kv, &small, UINT64_MAX / 2, NULL, &e), GLIM_ELIMIT);
}

static void test_cache_rows(void **state)
{
    (void)state;
    rows_apart(KV_F16, KV_F16);
    rows_apart(KV_F16, KV_I8);
    rows_apart(KV_Q8, KV_I8);
}

/* The text that passes when it comes in pieces of `piece` bytes. */
static void passes(const char *const *stop, size_t stops, const char *text, const char *want,
                   bool hit)
{
    for (size_t piece = 1; piece <= strlen(text); piece++) {
        struct stopper s;
        struct buf out;
        stopper_init(&s, stop, stops);
        buf_init(&out);
        for (size_t i = 0; i < strlen(text); i += piece)
            stopper_add(&s, text + i, strlen(text + i) < piece ? strlen(text + i) : piece, &out);
        stopper_flush(&s, &out);
        assert_string_equal(out.data, want);
        assert_int_equal(s.hit, hit);
        buf_deinit(&out);
        stopper_deinit(&s);
    }
}

static void test_stop_strings(void **state)
{
    (void)state;
    static const char *const stop[] = {"END", "abcabd", ""};
    passes(stop, 3, "hello END world", "hello ", true);
    passes(stop, 3, "hello EN", "hello EN", false);
    passes(stop, 3, "abcabcabd!", "abc", true);
    passes(stop, 3, "EENEND", "EEN", true);
    passes(stop, 0, "anything END", "anything END", false);
    passes(stop, 3, "xabcabdEND", "x", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_cache_layout),
        cmocka_unit_test(test_cache_rows),
        cmocka_unit_test(test_stop_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
