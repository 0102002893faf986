/* test_store.c - slots of experts, over an engine that reads real files but late, out of order, and
 * not always.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "model/bind.h"
#include "util/late.h"
#include "weights/slots.h"
#include "weights/store.h"

enum { DEPTH = 4, EXPERTS_MAX = 64 };

/* Experts in the order in which the first of their reads began. */
static struct {
    uint32_t key[1 << 16];
    size_t n;
} begun;

static void note_and_start(void *self, struct read *r)
{
    const uint32_t key = ((const struct slot *)r->whole->owner)->key;
    if (begun.n == 0 || begun.key[begun.n - 1] != key)
        begun.key[begun.n++ % COUNT_OF(begun.key)] = key;
    late_engine.start(self, r);
}

static struct read *next_of_late(void *self, bool wait) { return late_engine.next(self, wait); }
static void close_late(void *self) { late_engine.close(self); }

static const struct read_engine noting = {
    .name = "noting", .start = note_and_start, .next = next_of_late, .close = close_late};

/* ---- a model and its store ---- */

struct fixture {
    struct weights weights;
    struct model model;
    struct store *store;
    struct late late;
};

static struct experts *experts(struct fixture *f) { return &f->model.experts; }

typedef void change_fn(struct experts *x);

/* Slots for `slots` experts in all. change: NULL, or what is done to the experts before. */
static void open_changed(struct fixture *f, const char *path, uint64_t slots, change_fn *change)
{
    struct err e;
    struct reader *r;
    struct slot_classes classes;
    const struct model_knobs knobs = {0};
    *f = (struct fixture){.late = {.rng = {slots}}};
    assert_int_equal(weights_open(&f->weights, path, &e), 0);
    assert_int_equal(model_init(&f->model, &f->weights, &knobs, CPU_BASELINE, &e), 0);
    if (change)
        change(experts(f));
    assert_int_equal(reader_open_with(&r, DEPTH, &noting, &f->late, &e), 0);
    assert_int_equal(windows_open_files(&f->weights, r, &e), 0);
    const uint64_t bytes = slots * slots_bytes(&f->weights, experts(f), 0);
    assert_int_equal(slot_classes_init(&classes, &f->weights, experts(f), &e), 0);
    assert_int_equal(
        store_open(&f->store, &f->weights, experts(f), &classes, 1, bytes, r, &e), 0);
    slot_classes_deinit(&classes);
    assert_true(store_bytes(f->store) > 0);
}

static void open_fixture(struct fixture *f, const char *path, uint64_t slots)
{
    open_changed(f, path, slots, NULL);
}

static void close_fixture(struct fixture *f)
{
    store_close(f->store);
    model_deinit(&f->model);
    weights_close(&f->weights);
}

static void same_matrix(const struct matrix *mapped, const struct matrix *m)
{
    assert_ptr_not_equal(mapped->data, m->data);
    assert_memory_equal(mapped->data, m->data, m->rows * m->row_bytes);
    assert_int_equal(mapped->scale != NULL, m->scale != NULL);
    if (m->scale)
        assert_memory_equal(mapped->scale, m->scale, matrix_scales(m) * sizeof *m->scale);
}

/* Visits a layer and compares all that is handed out with the mapped file; how many were. */
static size_t visit(struct fixture *f, uint64_t layer, const uint32_t *want, size_t n,
                    struct err *e)
{
    uint32_t place[EXPERTS_MAX];
    const struct expert *lease[EXPERTS_MAX];
    size_t given = 0, now = 0;
    bool seen[EXPERTS_MAX] = {false}, wait = false;
    e->code = 0;
    uses_visit(&experts(f)->uses, layer, 1);
    for (size_t i = 0; i < n; i++)
        uses_add(&experts(f)->uses, layer, want[i], 1);
    store_begin(f->store, layer, want, n);
    do {
        if (store_next(f->store, wait, place, lease, &now, e) != 0)
            break;
        for (size_t i = 0; i < now; i++) {
            const struct expert *const at = experts_slot(experts(f), layer, want[place[i]]);
            assert_false(seen[place[i]]);
            seen[place[i]] = true;
            same_matrix(&at->gate, &lease[i]->gate);
            same_matrix(&at->up, &lease[i]->up);
            same_matrix(&at->down, &lease[i]->down);
        }
        for (size_t i = 0; i < now; i++)
            store_release(f->store, lease[i]);
        given += now;
        wait = !wait || now == 0;
    } while (given < n);
    store_end(f->store);
    return given;
}

static size_t random_wish(struct fixture *f, uint32_t *want)
{
    size_t n = 0;
    for (uint32_t x = 0; x < experts(f)->per_layer; x++)
        if (rng_below(&f->late.rng, 2))
            want[n++] = x;
    return n;
}

static const char *const models[] = {"tests/data/golden/fp8", "tests/data/golden/mid",
                                     "models/glm-nano.gguf"};

/* Random wishes of random layers, with one slot, a few, and room for all. */
static void test_visits(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(models); m++)
        for (uint64_t slots = 1; slots <= 5; slots += 2) {
            struct fixture f;
            struct err e;
            uint32_t want[EXPERTS_MAX];
            open_fixture(&f, models[m], slots);
            for (int i = 0; i < 50; i++) {
                const size_t n = random_wish(&f, want);
                assert_int_equal(
                    visit(&f, rng_below(&f.late.rng, experts(&f)->layers), want, n, &e), n);
            }
            struct store_counts c;
            store_count(f.store, &c);
            assert_true(c.hits < c.wanted && c.reads > 0 && c.bytes > 0);
            close_fixture(&f);
        }
}

/* Gates of every other layer, and of one expert of the first, have three times the rows, whatever
 * those are. */
static void enlarge(struct experts *x)
{
    for (uint64_t l = 1; l + 1 < x->layers; l += 2)
        for (uint64_t i = 0; i < x->per_layer; i++)
            experts_slot(x, l, i)->gate.rows *= 3;
    experts_slot(x, 0, 5)->gate.rows *= 3;
}

/* Layers whose experts take other room have slots of their own. The budget is in the larger. */
static void test_layers_of_two_sizes(void **state)
{
    (void)state;
    for (uint64_t slots = 1; slots <= 40; slots += 13) {
        struct fixture f;
        struct err e;
        uint32_t want[EXPERTS_MAX];
        open_changed(&f, models[2], slots, enlarge);
        assert_true(slots == 1
                    || store_bytes(f.store) <= slots * slots_bytes(&f.weights, experts(&f), 0));
        for (int i = 0; i < 60; i++) {
            const size_t n = random_wish(&f, want);
            assert_int_equal(visit(&f, (uint64_t)i % experts(&f)->layers, want, n, &e), n);
        }
        close_fixture(&f);
    }
}

/* With room for every expert of either size each is read once. */
static void test_room_for_two_sizes(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    uint32_t want[EXPERTS_MAX];
    struct store_counts c;
    open_changed(&f, models[2], 1000, enlarge);
    const size_t all = experts(&f)->per_layer;
    for (uint32_t i = 0; i < all; i++)
        want[i] = i;
    for (int round = 0; round < 3; round++)
        for (uint64_t l = 0; l < experts(&f)->layers; l++)
            assert_int_equal(visit(&f, l, want, all, &e), all);
    store_count(f.store, &c);
    assert_int_equal(c.wanted, 3 * all * experts(&f)->layers);
    assert_int_equal(c.hits, 2 * all * experts(&f)->layers);
    close_fixture(&f);
}

static void test_hits(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    struct store_counts before, after;
    static const uint32_t first[] = {0, 1, 2}, other[] = {3};
    open_fixture(&f, models[2], 4);
    (void)visit(&f, 0, first, 3, &e);
    store_count(f.store, &before);
    assert_int_equal(before.hits, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(visit(&f, 0, first, 3, &e), 3);
    assert_int_equal(visit(&f, 0, other, 1, &e), 1); /* there is a fourth slot */
    assert_int_equal(visit(&f, 1, other, 1, &e), 1); /* in the place of the one used least */
    store_count(f.store, &after);
    assert_int_equal(after.hits, 9);
    assert_int_equal(visit(&f, 0, first, 3, &e), 3);
    store_count(f.store, &before);
    assert_int_equal(before.hits, 12);
    assert_int_equal(before.reads, after.reads);
    close_fixture(&f);
}

/* More experts a round than there is room for, so that an order by age finds none of them again:
 * the two that every round uses stay all the same. */
static void test_used_most(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    struct store_counts before, after;
    open_fixture(&f, models[2], 4);
    for (uint32_t round = 0; round < 100; round++) {
        if (round == 50)
            store_count(f.store, &before);
        for (uint32_t i = 0; i < 6; i++) {
            const uint32_t want = i < 2 ? i : 2 + (4 * round + i) % 12;
            assert_int_equal(visit(&f, 0, &want, 1, &e), 1);
        }
    }
    store_count(f.store, &after);
    assert_int_equal(after.hits - before.hits, 2 * 50);
    close_fixture(&f);
}

/* All layers in turn, whole, again and again: most of what there is room for stays. */
static void test_bulk(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    uint32_t want[EXPERTS_MAX];
    struct store_counts before, after;
    open_fixture(&f, models[2], 60); /* of 128 */
    const size_t all = experts(&f)->per_layer;
    for (uint32_t i = 0; i < all; i++)
        want[i] = i;
    for (int round = 0; round < 3; round++) {
        store_count(f.store, &before);
        for (uint64_t l = 0; l < experts(&f)->layers; l++)
            assert_int_equal(visit(&f, l, want, all, &e), all);
        store_count(f.store, &after);
    }
    assert_true(after.hits - before.hits >= 45);
    close_fixture(&f);
}

/* A visit of most of a layer reads each expert that is missing once, in the order of the file. */
static void test_bulk_order(void **state)
{
    (void)state;
    for (uint64_t slots = 1; slots <= 80; slots += 13) {
        struct fixture f;
        struct err e;
        uint32_t want[EXPERTS_MAX];
        struct store_counts before, after;
        open_fixture(&f, models[2], slots); /* of 128 */
        const size_t all = experts(&f)->per_layer;
        for (uint32_t i = 0; i < all; i++)
            want[i] = i;
        for (uint64_t v = 0; v < 3 * experts(&f)->layers; v++) {
            store_count(f.store, &before);
            begun.n = 0;
            assert_int_equal(visit(&f, v % experts(&f)->layers, want, all, &e), all);
            store_count(f.store, &after);
            assert_int_equal(begun.n, all - (after.hits - before.hits));
            for (size_t i = 1; i < begun.n; i++)
                assert_true(begun.key[i - 1] < begun.key[i]);
        }
        close_fixture(&f);
    }
}

/* What was there before is handed out a few at a time while others are read, and all is handed out
 * in the end. */
static void test_bulk_in_turn(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    uint32_t want[EXPERTS_MAX], place[EXPERTS_MAX];
    const struct expert *lease[EXPERTS_MAX];
    size_t n, given = 0;
    open_fixture(&f, models[2], 12);
    const size_t all = experts(&f)->per_layer;
    for (uint32_t i = 0; i < all; i++)
        want[i] = i;
    for (int i = 0; i < 3; i++)
        (void)visit(&f, 0, want, all, &e);
    store_begin(f.store, 0, want, all);
    assert_int_equal(store_next(f.store, false, place, lease, &n, &e), 0);
    assert_in_range(n, 1, 2);
    while (n > 0) {
        for (size_t i = 0; i < n; i++) {
            assert_true(i == 0 || place[i - 1] < place[i]);
            store_release(f.store, lease[i]);
        }
        given += n;
        assert_int_equal(store_next(f.store, true, place, lease, &n, &e), 0);
    }
    assert_int_equal(given, all);
    store_end(f.store);
    close_fixture(&f);
}

/* Failed once or twice: nobody notices. For ever: an error with names, and a slot that is free
 * again, so that the next visit is as good as ever. */
static void test_failures(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    static const uint32_t want[] = {1, 3};
    open_fixture(&f, models[2], 2);
    late_fail(&f.late, 2, EIO);
    assert_int_equal(visit(&f, 0, want, 2, &e), 2);
    late_fail(&f.late, 1000, EIO);
    assert_true(visit(&f, 2, want, 2, &e) < 2);
    assert_int_equal(e.code, GLIM_EIO);
    assert_non_null(strstr(e.text, "of tensor \"blk.3.ffn_gate_exps.weight\": "
                                   "models/glm-nano.gguf: reading "));
    assert_non_null(strstr(e.text, "Input/output error"));
    late_fail(&f.late, 0, 0);
    for (uint64_t l = 0; l < 4; l++)
        assert_int_equal(visit(&f, l, want, 2, &e), 2);
    close_fixture(&f);
}

/* What a visit that failed left behind is over before slots are used for something else. */
static void test_measure(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    double bytes_per_s;
    static const uint32_t want[] = {0, 1, 2, 3};
    open_fixture(&f, models[2], 6);
    for (int i = 0; i < 20; i++) {
        late_fail(&f.late, 6, EIO);
        (void)visit(&f, (uint64_t)i % 4, want, 4, &e);
        late_fail(&f.late, 0, 0);
        assert_int_equal(store_measure(f.store, 100000, &bytes_per_s, &e), 0);
        assert_true(bytes_per_s > 0);
        assert_int_equal(visit(&f, (uint64_t)i % 4, want, 4, &e), 4);
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_visits),
        cmocka_unit_test(test_layers_of_two_sizes),
        cmocka_unit_test(test_room_for_two_sizes),
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_used_most),
        cmocka_unit_test(test_bulk),
        cmocka_unit_test(test_bulk_order),
        cmocka_unit_test(test_bulk_in_turn),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_measure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
