/* test_copyfile.c - a copy that is interrupted, damaged or tampered with on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/copyfile.h"
#include "base/io.h"
#include "base/util.h"
#include "util/files.h"
#include "util/rng.h"

enum { MIB = 1 << 20, SIZE = 9 * MIB + 4321 };

static uint8_t *content;
static const char *from, *dir, *whole, *part;

static int setup(void **state)
{
    struct rng r = {3};
    (void)scratch_setup(state);
    content = malloc(SIZE);
    rng_bytes(&r, content, SIZE);
    from = path_in(scratch, "x.gguf");
    dir = path_in(scratch, "to");
    whole = path_in(dir, "x.gguf");
    part = path_in(dir, "x.gguf.part");
    write_file(from, content, SIZE);
    return mkdir(dir, 0755);
}

static int teardown(void **state)
{
    free(content);
    return scratch_teardown(state);
}

static int clean(void **state)
{
    (void)state;
    (void)unlink(whole);
    (void)unlink(part);
    return 0;
}

static void check_whole(void)
{
    char *bytes;
    size_t n;
    struct err e;
    assert_int_equal(io_read_file(whole, SIZE, &bytes, &n, &e), 0);
    assert_int_equal(n, SIZE);
    assert_memory_equal(bytes, content, SIZE);
    free(bytes);
    assert_int_equal(access(part, F_OK), -1);
}

struct seen {
    uint64_t first, stop_at;
};

static int watch(void *ctx, uint64_t done)
{
    struct seen *const s = ctx;
    if (!s->first)
        s->first = done;
    return s->stop_at && done >= s->stop_at;
}

static int copy(struct seen *s, struct err *e)
{
    return copyfile(from, dir, "x.gguf", watch, s, e);
}

static void test_whole(void **state)
{
    (void)state;
    struct err e;
    struct seen s = {0};
    assert_int_equal(copy(&s, &e), 0);
    check_whole();
    expect_error(copy(&s, &e), GLIM_EIO, &e, whole, "is there already", NULL);
    check_whole();
}

/* Interrupted anywhere: goes on from there. */
static void test_goes_on(void **state)
{
    (void)state;
    struct err e;
    uint64_t left, before = 0;
    for (uint64_t at = 2 * MIB; at < SIZE; at += 3 * MIB) {
        struct seen s = {.stop_at = at};
        assert_int_equal(copy(&s, &e), GLIM_ESTOPPED);
        assert_int_equal(copyfile_left(dir, "x.gguf", &left, &e), 0);
        assert_true(left >= at && left <= at + MIB && s.first > before);
        assert_int_equal(access(whole, F_OK), -1);
        before = left;
    }
    struct seen s = {0};
    assert_int_equal(copy(&s, &e), 0);
    assert_true(s.first > before);
    check_whole();
}

/* What a crash leaves at the end, longer than the file even, and what is no part of it at all. */
static void test_damaged_part(void **state)
{
    (void)state;
    static const struct {
        size_t keep, zeros;
        uint64_t first; /* that progress says */
    } t[] = {{5 * MIB, 0, 6 * MIB}, {5 * MIB + 77, 3 * MIB, 6 * MIB}, {0, 2 * MIB, MIB},
             {SIZE, 5000, 0}, {1, 0, MIB}, {SIZE, 0, 0}};
    for (size_t i = 0; i < COUNT_OF(t); i++) {
        struct err e;
        struct seen s = {0};
        uint8_t *const bytes = calloc(1, t[i].keep + t[i].zeros);
        memcpy(bytes, content, t[i].keep);
        write_file(part, bytes, t[i].keep + t[i].zeros);
        free(bytes);
        assert_int_equal(copy(&s, &e), 0);
        assert_true(!t[i].first || s.first == t[i].first);
        check_whole();
        assert_int_equal(unlink(whole), 0);
    }
}

/* Links would send the bytes elsewhere; what they point to stays as it is. */
static void test_links(void **state)
{
    (void)state;
    struct err e;
    struct seen s = {0};
    uint64_t left;
    const char *const precious = path_in(scratch, "precious");
    char *bytes;
    size_t n;
    write_text(precious, "do not touch");
    assert_int_equal(symlink(precious, part), 0);
    expect_error(copy(&s, &e), GLIM_EIO, &e, part, "symbolic link", NULL);
    expect_error(copyfile_left(dir, "x.gguf", &left, &e), GLIM_EIO, &e, part, NULL);
    assert_int_equal(unlink(part), 0);
    assert_int_equal(link(precious, part), 0);
    expect_error(copy(&s, &e), GLIM_EIO, &e, part, "several names", NULL);
    assert_int_equal(unlink(part), 0);
    assert_int_equal(symlink(precious, whole), 0);
    expect_error(copy(&s, &e), GLIM_EIO, &e, whole, "is there already", NULL);
    assert_int_equal(unlink(whole), 0);
    assert_int_equal(symlink("/nonexistent", whole), 0);
    expect_error(copy(&s, &e), GLIM_EIO, &e, whole, "is there already", NULL);
    assert_int_equal(unlink(whole), 0);
    assert_int_equal(mkfifo(part, 0644), 0);
    expect_error(copy(&s, &e), GLIM_EIO, &e, part, "expected a regular file", NULL);
    assert_int_equal(io_read_file(precious, 100, &bytes, &n, &e), 0);
    assert_string_equal(bytes, "do not touch");
    free(bytes);
}

static void test_two_at_a_time(void **state)
{
    (void)state;
    struct err e;
    struct seen s = {0};
    const int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    expect_error(copy(&s, &e), GLIM_EIO, &e, part, "another process", NULL);
    close(fd);
    assert_int_equal(copy(&s, &e), 0);
    check_whole();
}

static void test_no_room(void **state)
{
    (void)state;
    struct err e;
    const char *const huge = path_in(scratch, "huge");
    write_text(huge, "");
    if (truncate(huge, (off_t)1 << 43) != 0)
        skip();
    expect_error(copyfile(huge, dir, "huge", NULL, NULL, &e), GLIM_ELIMIT, &e, dir,
                 "huge needs 8796093022208", NULL);
    expect_error(copyfile(huge, path_in(scratch, "none"), "huge", NULL, NULL, &e), GLIM_EIO, &e,
                 "none", "No such file", NULL);
    expect_error(copyfile(path_in(scratch, "none"), dir, "none", NULL, NULL, &e), GLIM_EIO, &e,
                 "none", "No such file", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_whole, clean),
        cmocka_unit_test_teardown(test_goes_on, clean),
        cmocka_unit_test_teardown(test_damaged_part, clean),
        cmocka_unit_test_teardown(test_links, clean),
        cmocka_unit_test_teardown(test_two_at_a_time, clean),
        cmocka_unit_test_teardown(test_no_room, clean),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
