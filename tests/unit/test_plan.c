/* test_plan.c - what of a budget goes where, and how fast that is: sums done by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/predict.h"
#include "util/rng.h"
#include "weights/plan.h"

/* 1000 of weights that every token reads, 200 a session, 3 layers of 4 experts of 10 and one layer
 * of 4 of 25, two used: two classes, at least two slots each. */
static struct plan plan_of(uint64_t budget, struct plan_class class[2])
{
    struct plan_need need = {
        .budget_bytes = budget,
        .mapped_bytes = 1300,
        .mapped_session_bytes = 150,
        .always_bytes = 1000,
        .session_bytes = 200,
        .experts_per_layer = 4,
        .experts_used = 2,
        .class = class,
        .classes = 2,
    };
    struct plan p;
    class[0] = (struct plan_class){.slot_bytes = 10, .layers = 3};
    class[1] = (struct plan_class){.slot_bytes = 25, .layers = 1};
    plan_make(&need, &p);
    return p;
}

static void test_places(void **state)
{
    (void)state;
    struct plan_class class[2];
    struct plan p = plan_of(1269, class);
    assert_int_equal(p.place, PLAN_REFUSED);
    assert_int_equal(p.least_bytes, 1000 + 200 + 2 * (10 + 25));
    assert_int_equal(p.room_bytes + p.slots + p.slot_bytes, 0);
    p = plan_of(1270, class);
    assert_int_equal(p.place, PLAN_STREAMED);
    assert_int_equal(p.least_room_bytes, 70);
    assert_int_equal(p.room_bytes, 70);
    assert_int_equal(class[0].slots, 2);
    assert_int_equal(class[1].slots, 2);
    p = plan_of(1270 + 112, class); /* 55 hold one more a layer */
    assert_int_equal(class[0].slots, 2 + 6);
    assert_int_equal(class[1].slots, 2 + 2);
    assert_int_equal(p.slots, 12);
    assert_int_equal(p.slot_bytes, 180);
    assert_int_equal(plan_of(1449, class).place, PLAN_STREAMED);
    assert_int_equal(class[0].slots, 2 + 9); /* of 12 */
    assert_int_equal(plan_of(1450, class).place, PLAN_MAPPED);
    assert_int_equal(plan_of(UINT64_MAX, class).place, PLAN_MAPPED);
    assert_int_equal(plan_of(0, class).least_bytes, 1270);
}

/* A token uses no more experts than there are. */
static void test_fewer_experts(void **state)
{
    (void)state;
    struct plan_class class = {.slot_bytes = 10, .layers = 3};
    struct plan_need need = {
        .budget_bytes = 40,
        .mapped_bytes = UINT64_MAX,
        .experts_per_layer = 4,
        .experts_used = 9,
        .class = &class,
        .classes = 1,
    };
    struct plan p;
    plan_make(&need, &p);
    assert_int_equal(p.place, PLAN_STREAMED);
    assert_int_equal(p.least_bytes, 40);
    assert_int_equal(p.slots, 4);
}

/* A model without experts: all or nothing. */
static void test_no_experts(void **state)
{
    (void)state;
    struct plan_need need = {
        .budget_bytes = 100,
        .mapped_bytes = 100,
        .mapped_session_bytes = 1,
        .always_bytes = 10,
        .session_bytes = 1,
    };
    struct plan p;
    plan_make(&need, &p);
    assert_int_equal(p.place, PLAN_REFUSED);
    assert_int_equal(p.least_bytes, 101);
    need.budget_bytes = 101;
    plan_make(&need, &p);
    assert_int_equal(p.place, PLAN_MAPPED);
}

/* Never more than the room, never less than one each, and nothing that fits is left out but a
 * part of a slot. */
static void test_slots(void **state)
{
    (void)state;
    struct rng r = {7};
    for (int i = 0; i < 20000; i++) {
        struct plan_class class[4];
        const size_t n = 1 + rng_below(&r, 4);
        const uint64_t per = 1 + rng_below(&r, 300), used = 1 + rng_below(&r, 12);
        uint64_t single = 0, all = 0, layer = 0;
        for (size_t c = 0; c < n; c++) {
            class[c] = (struct plan_class){.slot_bytes = 1 + rng_below(&r, 1 << 20),
                                           .layers = 1 + rng_below(&r, 90)};
            single += class[c].slot_bytes;
            layer += class[c].slot_bytes * class[c].layers;
            all += class[c].slot_bytes * class[c].layers * per;
        }
        const uint64_t room = single + rng_below(&r, (uint32_t)(all < 1 << 30 ? all : 1 << 30));
        const uint64_t taken = plan_slots(class, n, per, used, room);
        assert_true(taken <= room);
        bool full = false;
        for (size_t c = 0; c < n; c++) {
            assert_true(class[c].slots >= 1 && class[c].slots <= class[c].layers * per);
            full |= class[c].slots == class[c].layers * per;
        }
        assert_true(full || room - taken < layer + single);
    }
    struct plan_class one = {.slot_bytes = 10, .layers = 5};
    assert_int_equal(plan_slots(&one, 1, 4, 2, 9), 10); /* one at least, whatever the room */
    assert_int_equal(plan_slots(&one, 1, 4, 2, UINT64_MAX), 200);
}

/* Sizes beyond what can be counted are refused, not wrapped. */
static void test_saturates(void **state)
{
    (void)state;
    struct plan_class class = {.slot_bytes = 10, .layers = 1};
    struct plan_need need = {
        .budget_bytes = UINT64_MAX - 1,
        .mapped_bytes = UINT64_MAX / 2,
        .mapped_session_bytes = UINT64_MAX,
        .always_bytes = 1,
        .session_bytes = UINT64_MAX,
        .experts_per_layer = 4,
        .experts_used = 2,
        .class = &class,
        .classes = 1,
    };
    struct plan p;
    plan_make(&need, &p);
    assert_int_equal(p.place, PLAN_REFUSED);
    assert_true(p.least_bytes == UINT64_MAX);
    need.session_bytes = 1; /* two slots are 2^64 bytes */
    class.slot_bytes = UINT64_MAX / 2 + 1;
    plan_make(&need, &p);
    assert_int_equal(p.place, PLAN_REFUSED);
    assert_true(p.least_room_bytes == UINT64_MAX);
}

/* ---- speed ---- */

static double seconds(double hit_rate, double drive, struct predict_out *out)
{
    const struct predict_in in = {
        .layers = 10, .used = 8, .hit_rate = hit_rate, .expert_bytes = 20e6, .rest_bytes = 1e9,
        .ram_bytes_per_s = 20e9, .drive_bytes_per_s = drive, .latency_s = 100e-6,
    };
    predict(&in, out);
    return out->seconds;
}

static void near(double a, double b) { assert_true(fabs(a - b) <= 1e-9 * fabs(b)); }

static void test_speed(void **state)
{
    (void)state;
    struct predict_out p;
    near(seconds(1, 1e9, &p), 2.6e9 / 20e9); /* all in memory: the drive does not matter */
    near(p.ram_s, 2.6e9 / 20e9);
    near(p.disk_s, 0);
    /* Nothing in memory and a slow drive: its time, one latency and one expert's computing a
     * layer, and what does not wait for it. */
    near(seconds(0, 1e9, &p), 1.6 + 10 * (100e-6 + 1e-3) + 1e9 / 20e9);
    near(p.disk_s, 1.6);
    /* A drive without end: the first to come, then computing. */
    near(seconds(0, 1e300, &p), 10 * (100e-6 + 8e-3) + 1e9 / 20e9);
    /* Half in memory: the first to come, before the others are computed, unless all are missing. */
    near(seconds(0.5, 1e300, &p), 10 * (8e-3 + 100e-6 / 256) + 1e9 / 20e9);
    double last = seconds(0, 1e9, &p);
    for (double h = 0.05; h < 1.01; h += 0.05) {
        const double now = seconds(fmin(h, 1), 1e9, &p);
        assert_true(now < last);
        assert_true(p.seconds >= fmax(p.disk_s, p.ram_s) - 1e-12);
        last = now;
    }
}

static double chunk_seconds(uint64_t tokens, double hit_rate, double drive,
                            struct predict_chunk_out *out)
{
    const struct predict_chunk_in in = {
        .tokens = tokens, .layers = 10, .experts = 16, .used = 4, .hit_rate = hit_rate,
        .expert_bytes = 20e6, .expert_flop = 2e9, .rest_flop = 1e9, .flop_per_s = 1e12,
        .drive_bytes_per_s = drive,
    };
    predict_chunk(&in, out);
    return out->seconds;
}

static void test_chunk(void **state)
{
    (void)state;
    struct predict_chunk_out p;
    /* One token wants 4 of 16, two want 7, many want all; each is read once. */
    near(chunk_seconds(1, 0, 1e9, &p), 1e-3 + 0.8 + 0.5 * 2e-3);
    near(p.read_s, 10 * 4 * 20e6 / 1e9);
    near(p.expert_s, 2e-3);
    near(p.compute_s, 3e-3);
    (void)chunk_seconds(2, 0, 1e9, &p);
    near(p.read_s, 10 * 7 * 20e6 / 1e9);
    (void)chunk_seconds(4096, 0, 1e9, &p);
    near(p.read_s, 3.2);
    (void)chunk_seconds(4096, 0.75, 1e9, &p);
    near(p.read_s, 0.8);
    near(chunk_seconds(1000, 1, 1e9, &p), 3); /* all in memory: the drive does not matter */
    /* Longer chunks are faster a token, and never as fast as computing alone. */
    for (uint64_t n = 1; n < 1 << 16; n *= 2) {
        const double a = chunk_seconds(n, 0.2, 3e9, &p) / (double)n;
        assert_true(chunk_seconds(2 * n, 0.2, 3e9, &p) / (double)(2 * n) < a && a > 3e-3);
    }
}

static void test_use(void **state)
{
    (void)state;
    near(predict_use(GLIM_USE_UNIFORM, 0.3), 0.3);
    near(predict_use(GLIM_USE_MEASURED, 0.25), 0.534);
    near(predict_use(GLIM_USE_MEASURED, 0.375), (0.534 + 0.78) / 2);
    near(predict_use(GLIM_USE_MEASURED, 0.005), 0.034);
    assert_true(predict_use(GLIM_USE_MEASURED, 0) == 0);
    assert_true(predict_use(GLIM_USE_MEASURED, 1) == 1);
    assert_true(predict_use(GLIM_USE_UNIFORM, 1.5) == 1);
    for (double x = 0; x < 1; x += 0.001) {
        assert_true(predict_use(GLIM_USE_MEASURED, x) >= x);
        assert_true(predict_use(GLIM_USE_MEASURED, x)
                    < predict_use(GLIM_USE_MEASURED, x + 0.001));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),     cmocka_unit_test(test_fewer_experts),
        cmocka_unit_test(test_no_experts), cmocka_unit_test(test_slots),
        cmocka_unit_test(test_saturates),  cmocka_unit_test(test_speed),
        cmocka_unit_test(test_chunk),      cmocka_unit_test(test_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
