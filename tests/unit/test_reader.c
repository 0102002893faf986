/* test_reader.c - reads of real files by both engines; and what the reader makes of engines that
 * fail, fall short or answer out of order.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/reader.h"
#include "base/util.h"
#include "util/files.h"
#include "util/late.h"

enum { PAGES = 100, TAIL = 123, SIZE = PAGES * READ_ALIGN + TAIL, DEPTH = 5, READS = 40 };

static uint8_t *content;

static const char *content_file(void)
{
    const char *const path = path_in(scratch, "content");
    if (!content) {
        struct rng r = {1};
        content = malloc(SIZE);
        rng_bytes(&r, content, SIZE);
        write_file(path, content, SIZE);
    }
    return path;
}

static void *aligned(size_t bytes) { return aligned_alloc(READ_ALIGN, bytes); }

/* A read of `pages` from page `first` on. */
static struct read read_of(uint32_t file, size_t first, size_t pages)
{
    return (struct read){.file = file, .at = first * READ_ALIGN, .bytes = pages * READ_ALIGN,
                         .to = aligned(pages * READ_ALIGN)};
}

static void check_content(const struct read *q)
{
    const size_t there = (size_t)min_u64(q->bytes, SIZE - q->at);
    assert_int_equal(q->error, 0);
    assert_int_equal(q->got, there);
    assert_memory_equal(q->to, content + q->at, there);
}

/* More reads than may be in flight, the last ones over the end of the file. */
static void read_much(struct reader *r)
{
    struct err e;
    struct read q[READS];
    uint32_t file, again;
    assert_int_equal(reader_file(r, content_file(), &file, &e), 0);
    assert_int_equal(reader_file(r, content_file(), &again, &e), 0);
    assert_int_equal(file, again);
    for (size_t i = 0; i < READS; i++) {
        q[i] = read_of(file, i * PAGES / (READS - 1) - (i == READS - 1), 1 + i % 4);
        reader_submit(r, &q[i]);
    }
    bool back[READS] = {false};
    for (size_t n = 0; n < READS; n++) {
        struct read *const done = reader_next(r, true);
        assert_non_null(done);
        assert_false(back[done - q]); /* R1 */
        back[done - q] = true;
        check_content(done);
    }
    assert_null(reader_next(r, true));
    assert_int_equal(reader_in_flight(r), 0);
    for (size_t i = 0; i < READS; i++)
        free(q[i].to);
}

static void test_engines(void **state)
{
    (void)state;
    struct err e;
    struct reader *r;
    assert_int_equal(reader_open(&r, DEPTH, &e), 0);
    print_message("reads by %s\n", reader_name(r));
    read_much(r);
    reader_close(r);
    assert_int_equal(reader_open_with(&r, DEPTH, &read_threads, read_threads_new(DEPTH), &e), 0);
    read_much(r);
    reader_close(r);
    reader_close(NULL);
}

static void test_one_large_read(void **state)
{
    (void)state;
    struct err e;
    struct reader *r;
    uint32_t file;
    assert_int_equal(reader_open(&r, DEPTH, &e), 0);
    assert_int_equal(reader_file(r, content_file(), &file, &e), 0);
    struct read q = read_of(file, 0, PAGES + 1);
    reader_submit(r, &q);
    assert_ptr_equal(reader_next(r, true), &q);
    check_content(&q);
    reader_close(r);
    free(q.to);
}

static void test_files(void **state)
{
    (void)state;
    struct err e;
    struct reader *r;
    uint32_t file;
    assert_int_equal(reader_open(&r, 1, &e), 0);
    expect_error(reader_file(r, path_in(scratch, "none"), &file, &e), GLIM_EIO, &e, "none",
                 "No such file", NULL);
    expect_error(reader_file(r, scratch, &file, &e), GLIM_EIO, &e, "a folder", NULL);
    reader_close(r);
}

static void test_shrunk(void **state)
{
    (void)state;
    struct err e;
    struct reader *r;
    uint32_t file;
    const char *const path = path_in(scratch, "shrinks");
    write_file(path, content ? content : (content_file(), content), SIZE);
    assert_int_equal(reader_open(&r, DEPTH, &e), 0);
    assert_int_equal(reader_file(r, path, &file, &e), 0);
    assert_int_equal(truncate(path, 10 * READ_ALIGN), 0);
    struct read there = read_of(file, 0, 10), half = read_of(file, 8, 4);
    struct read gone = read_of(file, 20, 2);
    reader_submit(r, &there);
    reader_submit(r, &half);
    reader_submit(r, &gone);
    for (int i = 0; i < 3; i++)
        assert_non_null(reader_next(r, true));
    check_content(&there);
    assert_int_equal(half.error, ENODATA);
    assert_int_equal(gone.error, ENODATA);
    expect_error(reader_blame(r, &gone, &e), GLIM_EIO, &e, path, "8192 bytes at 81920",
                 "shorter than it was", NULL);
    reader_close(r);
    free(there.to);
    free(half.to);
    free(gone.to);
}

/* ---- a drive that answers late, in any order, in part, or not ---- */

static struct reader *late_reader(struct late *l, uint32_t *file)
{
    struct err e;
    struct reader *r;
    assert_int_equal(reader_open_with(&r, DEPTH, &late_engine, l, &e), 0);
    assert_int_equal(reader_file(r, content_file(), file, &e), 0);
    return r;
}

/* Any order, and pieces that bring a part: whole pages, or not even that. */
static void test_out_of_order_and_short(void **state)
{
    (void)state;
    for (size_t most = READ_ALIGN + 1; most < 4 * READ_ALIGN; most += READ_ALIGN / 2) {
        struct late l = {.most = most, .rng = {most}};
        uint32_t file;
        struct reader *const r = late_reader(&l, &file);
        read_much(r);
        reader_close(r);
    }
}

/* A read that fails once or twice, and one that always does. */
static void test_failures(void **state)
{
    (void)state;
    struct {
        unsigned from, to;
        int error, expected;
    } t[] = {{1, 1, EIO, 0}, {1, 2, EIO, 0}, {1, 99, EIO, EIO}, {1, 50, EINTR, 0},
             {2, 99, ENXIO, 0}};
    for (size_t i = 0; i < COUNT_OF(t); i++) {
        struct late l = {.fail_from = t[i].from, .fail_to = t[i].to, .error = t[i].error};
        uint32_t file;
        struct reader *const r = late_reader(&l, &file);
        struct read q = read_of(file, 3, 2);
        reader_submit(r, &q);
        assert_ptr_equal(reader_next(r, true), &q);
        assert_int_equal(q.error, t[i].expected);
        if (!q.error)
            check_content(&q);
        struct err e;
        if (q.error)
            expect_error(reader_blame(r, &q, &e), GLIM_EIO, &e, "content", "Input/output error",
                         NULL);
        reader_close(r);
        free(q.to);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engines),
        cmocka_unit_test(test_one_large_read),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_shrunk),
        cmocka_unit_test(test_out_of_order_and_short),
        cmocka_unit_test(test_failures),
    };
    const int rc = cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
    free(content);
    return rc;
}
