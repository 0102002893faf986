/* test_sums.c - checksums of experts: made, kept, believed only where they fit, and what becomes of
 * a read that does not fit them.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/util.h"
#include "model/bind.h"
#include "util/files.h"
#include "util/late.h"
#include "weights/slots.h"
#include "weights/store.h"

enum { EXPERTS_MAX = 64, SLOTS = 6 };

#define NANO "models/glm-nano.gguf"

struct fixture {
    struct weights weights;
    struct model model;
    struct store *store;
    struct sums *sums; /* until the store has them */
    struct late late;
};

static void open_fixture(struct fixture *f, const char *path)
{
    struct err e;
    struct reader *r;
    struct slot_classes classes;
    const struct model_knobs knobs = {0};
    *f = (struct fixture){.late = {.rng = {7}}};
    assert_int_equal(weights_open(&f->weights, path, &e), 0);
    assert_int_equal(model_init(&f->model, &f->weights, &knobs, CPU_BASELINE, &e), 0);
    assert_int_equal(reader_open_with(&r, 4, &late_engine, &f->late, &e), 0);
    const struct experts *const x = &f->model.experts;
    assert_int_equal(windows_open_files(&f->weights, r, &e), 0);
    assert_int_equal(slot_classes_init(&classes, &f->weights, x, &e), 0);
    assert_int_equal(store_open(&f->store, &f->weights, x, &classes, 1,
                                SLOTS * slots_bytes(&f->weights, x, 0), r, &e), 0);
    slot_classes_deinit(&classes);
    assert_int_equal(sums_open(&f->sums, &f->weights, x, scratch, &e), 0);
}

static void close_fixture(struct fixture *f)
{
    sums_close(f->sums);
    store_close(f->store);
    model_deinit(&f->model);
    weights_close(&f->weights);
}

static uint64_t reads(const struct fixture *f)
{
    struct store_counts c;
    store_count(f->store, &c);
    return c.reads;
}

static uint64_t wrong(const struct fixture *f)
{
    struct store_counts c;
    store_count(f->store, &c);
    return c.wrong;
}

static int stop_at(void *ctx, uint64_t done, uint64_t total)
{
    assert_true(done < total);
    return ctx && done >= *(const uint64_t *)ctx;
}

/* Makes what is missing; how many reads that took. */
static uint64_t build(struct fixture *f)
{
    struct err e;
    assert_int_equal(sums_build(f->sums, f->store, stop_at, NULL, &e), 0);
    return reads(f);
}

static void check_reads(struct fixture *f)
{
    (void)build(f);
    store_check_reads(f->store, f->sums);
    f->sums = NULL;
}

static int visit(struct fixture *f, uint64_t layer, struct err *e)
{
    uint32_t want[EXPERTS_MAX], place[EXPERTS_MAX];
    const struct expert *lease[EXPERTS_MAX];
    const uint32_t all = (uint32_t)f->model.experts.per_layer;
    int rc = 0;
    for (uint32_t i = 0; i < all; i++)
        want[i] = i;
    store_begin(f->store, layer, want, all);
    for (size_t n = 1; rc == 0 && n > 0;) {
        rc = store_next(f->store, true, place, lease, &n, e);
        for (size_t i = 0; rc == 0 && i < n; i++) {
            const struct expert *const at = experts_slot(&f->model.experts, layer, want[place[i]]);
            assert_memory_equal(at->up.data, lease[i]->up.data, at->up.rows * at->up.row_bytes);
            store_release(f->store, lease[i]);
        }
    }
    store_end(f->store);
    return rc;
}

static const char *sidecar(void)
{
    static char path[4096];
    glob_t found;
    path[0] = 0;
    if (glob(path_in(scratch, "sums-????????????????"), 0, NULL, &found) == 0)
        (void)snprintf(path, sizeof path, "%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static void forget_sidecar(void)
{
    if (*sidecar())
        assert_int_equal(unlink(sidecar()), 0);
}

static const char *const models[] = {"tests/data/golden/fp8", "tests/data/golden/mid", NANO};

static void test_made_once(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(models); m++) {
        struct fixture f;
        struct err e;
        open_fixture(&f, models[m]);
        assert_true(build(&f) > 0);
        close_fixture(&f);
        open_fixture(&f, models[m]);
        assert_int_equal(build(&f), 0);
        check_reads(&f);
        for (uint64_t l = 0; l < f.model.experts.layers; l++)
            assert_int_equal(visit(&f, l, &e), 0);
        struct store_counts c;
        store_count(f.store, &c);
        assert_true(c.checked >= f.model.experts.layers * f.model.experts.per_layer);
        assert_int_equal(c.wrong, 0);
        close_fixture(&f);
        forget_sidecar();
    }
}

/* Flipped on the way once: read again, and nobody notices. Each time: that expert's step fails, by
 * name, and the next is as good as ever. */
static void test_flipped_bits(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    char sum[64];
    open_fixture(&f, NANO);
    check_reads(&f);
    f.late.wrong = 1;
    assert_int_equal(visit(&f, 1, &e), 0);
    assert_int_equal(wrong(&f), 1);
    f.late.wrong = 1000;
    assert_int_equal(visit(&f, 2, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, " of tensor \"blk.3.ffn_"));
    assert_non_null(strstr(e.text, "_exps.weight\": " NANO ": read twice, its checksum is "));
    (void)snprintf(sum, sizeof sum, " of %.40s", scratch);
    assert_non_null(strstr(e.text, sum));
    f.late.wrong = 0;
    for (uint64_t l = 0; l < f.model.experts.layers; l++)
        assert_int_equal(visit(&f, l, &e), 0);
    close_fixture(&f);
}

/* The drive is measured without the checks, which stay. */
static void test_measured(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    double rate;
    open_fixture(&f, NANO);
    check_reads(&f);
    f.late.wrong = 50;
    assert_int_equal(store_measure(f.store, 1000000, &rate, &e), 0);
    assert_int_equal(wrong(&f), 0);
    f.late.wrong = 1;
    assert_int_equal(visit(&f, 0, &e), 0);
    assert_int_equal(wrong(&f), 1);
    close_fixture(&f);
}

static void test_stopped(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    uint64_t at = 1;
    forget_sidecar();
    open_fixture(&f, NANO);
    assert_int_equal(sums_build(f.sums, f.store, stop_at, &at, &e), GLIM_ESTOPPED);
    const uint64_t first = reads(&f), layers = f.model.experts.layers;
    const unsigned pieces = f.late.begun;
    assert_true(first > 0);
    close_fixture(&f);
    open_fixture(&f, NANO);
    assert_int_equal(build(&f), first * (layers - 1));
    close_fixture(&f);
    /* a drive that fails: what was read before is kept */
    forget_sidecar();
    open_fixture(&f, NANO);
    late_fail(&f.late, 1000, EIO);
    f.late.fail_from += pieces;
    f.late.fail_to += pieces;
    assert_int_equal(sums_build(f.sums, f.store, NULL, NULL, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, NANO));
    close_fixture(&f);
    open_fixture(&f, NANO);
    assert_int_equal(build(&f), first * (layers - 1));
    close_fixture(&f);
}

/* How many reads it takes to have sums when the sidecar is as the caller made it. */
static uint64_t reads_with(const char *model)
{
    struct fixture f;
    struct err e;
    open_fixture(&f, model);
    const uint64_t n = build(&f);
    check_reads(&f);
    assert_int_equal(visit(&f, 0, &e), 0);
    close_fixture(&f);
    return n;
}

static void test_bad_sidecars(void **state)
{
    (void)state;
    char *good;
    size_t n;
    struct err e;
    struct rng rng = {3};
    forget_sidecar();
    const uint64_t all = reads_with(NANO);
    char path[4096];
    (void)snprintf(path, sizeof path, "%s", sidecar());
    assert_int_equal(io_read_file(path, 1 << 24, &good, &n, &e), 0);
    for (int i = 0; i < 40; i++) { /* any bit of it */
        const size_t at = i < 8 ? (size_t)i * 8 : rng_below(&rng, n);
        good[at] ^= 4;
        write_file(path, good, n);
        good[at] ^= 4;
        assert_int_equal(reads_with(NANO), all);
    }
    for (size_t len = 0; len < n; len += len < 64 ? 7 : n / 5) {
        write_file(path, good, len);
        assert_int_equal(reads_with(NANO), all);
    }
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    assert_int_equal(reads_with(NANO), all);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(reads_with(NANO), all);
    assert_int_equal(unlink(path), 0);
    const char *const other = path_in(scratch, "other");
    write_file(other, good, n);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(reads_with(NANO), 0); /* a link of the user's own */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    struct fixture f;
    open_fixture(&f, NANO);
    assert_int_equal(sums_build(f.sums, f.store, NULL, NULL, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, path));
    close_fixture(&f);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(unlink(other), 0);
    free(good);
}

/* Sums of a file that is another one by now are not its. */
static void test_changed_file(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    struct err e;
    struct timespec times[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
    const char *const path = path_in(scratch, "m.gguf");
    forget_sidecar();
    assert_int_equal(io_read_file(NANO, 1 << 28, &bytes, &n, &e), 0);
    write_file(path, bytes, n);
    assert_true(reads_with(path) > 0);
    assert_int_equal(reads_with(path), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_true(reads_with(path) > 0); /* another time */
    assert_int_equal(reads_with(path), 0);
    const char *const copy = path_in(scratch, "copy.gguf");
    write_file(copy, bytes, n);
    assert_int_equal(utimensat(AT_FDCWD, copy, times, 0), 0);
    assert_int_equal(rename(copy, path), 0);
    assert_true(reads_with(path) > 0); /* another inode */
    assert_int_equal(unlink(path), 0);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_once),     cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_measured),      cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_bad_sidecars),  cmocka_unit_test(test_changed_file),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
