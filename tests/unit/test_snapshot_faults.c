/* test_snapshot_faults.c - a disk that fails and a process that dies while pages are written: with
 * the n-th change of a file, for every n, or at any moment. A page is whole or absent afterwards,
 * and writing goes on.
 *
 * Changes are calls to the system; the one that kills is done half or not at all, and nothing after
 * it is. GLIM_TEST_KILLS says how many times a process is killed at any moment: 30.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "cache/saver.h"
#include "util/files.h"
#include "util/pages.h"
#include "util/rng.h"
#include "util/without.h"

#if GLIM_WITH_ZSTD && GLIM_WITH_SSL

enum { BYTES = 20000, N = 4, BUDGET = 1 << 30 };

/* ---- calls that fail, or are the last ---- */

static unsigned changes, last; /* so far; the one at which it happens, 0: never */
static int fails;              /* that one and all after it fail so; 0: it kills */
static bool half;              /* what has parts is done in part */

enum what { DONE, HALF, NOT };

static enum what turn(void)
{
    if (last == 0 || ++changes < last)
        return DONE;
    return half && changes == last ? HALF : NOT;
}

/* The call that was not done, or in part: the end, or an error. */
static int refuse(void)
{
    if (fails == 0) {
        (void)raise(SIGKILL);
        _exit(127);
    }
    errno = fails;
    return -1;
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);

int __wrap_openat(int dir, const char *path, int flags, ...)
{
    if (!(flags & O_CREAT) || turn() == DONE)
        return __real_openat(dir, path, flags, 0600);
    return refuse();
}

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    const enum what w = turn();
    const ssize_t done = w == NOT ? -1 : __real_write(fd, bytes, w == HALF ? n / 2 : n);
    return w == DONE || (w == HALF && fails) ? done : refuse();
}

int __wrap_fdatasync(int fd) { return turn() == DONE ? __real_fdatasync(fd) : refuse(); }

int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    const enum what w = turn();
    const int rc = w == NOT ? -1 : __real_renameat(a, from, b, to);
    return w == DONE ? rc : refuse();
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
    return turn() == DONE ? __real_unlinkat(dir, path, flags) : refuse();
}

/* ---- what is written ---- */

static struct test_page page[N];

static void make_pages(const char *at)
{
    struct snapshot *const s = pages_open(at, BYTES, BUDGET, "x");
    for (int i = 0; i < N; i++)
        page_make(&page[i], s, i ? &page[i - 1] : NULL, 1, BYTES);
    snapshot_close(s);
}

static void free_pages(void)
{
    for (int i = 0; i < N; i++)
        page_free(&page[i]);
}

static int write_pages(const char *at)
{
    struct snapshot *const s = pages_open(at, BYTES, BUDGET, "x");
    struct err e;
    int rc = 0;
    for (int i = 0; i < N && rc == 0; i++)
        rc = page_write(s, &page[i], &e);
    snapshot_close(s);
    return rc;
}

/* How many pages are there, each whole. */
static int count_whole(const char *at)
{
    struct snapshot *const s = pages_open(at, BYTES, BUDGET, "x");
    int n = 0;
    for (int i = 0; i < N; i++)
        n += page_is_there(s, &page[i]);
    snapshot_close(s);
    return n;
}

static void remove_pages(const char *at)
{
    for (int i = 0; i < N; i++)
        (void)unlink(page_file(at, &page[i]));
}

/* ---- deaths ---- */

/* Dies with its n-th change. False: it made fewer, and was done. */
static bool dies(const char *at, unsigned n, bool in_part)
{
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        changes = 0;
        last = n;
        fails = 0;
        half = in_part;
        _exit(write_pages(at) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

static void test_every_death(void **state)
{
    (void)state;
    const char *const at = pages_folder();
    unsigned deaths = 0;
    int whole = 0;
    make_pages(at);
    for (int in_part = 0; in_part < 2; in_part++) {
        for (unsigned n = 1; dies(at, n, in_part); n++, deaths++) {
            whole += count_whole(at);
            assert_int_equal(write_pages(at), 0);
            assert_int_equal(count_whole(at), N);
            remove_pages(at);
        }
        remove_pages(at); /* of the one that lived */
    }
    print_message("%u deaths, %d whole pages left\n", deaths, whole);
    assert_int_equal(deaths, 2 * 4 * N); /* opened, written, synced, renamed */
    assert_true(whole > 0);
    free_pages();
}

/* Writes and removes until it is killed. */
static void write_for_ever(const char *at)
{
    for (;;) {
        (void)write_pages(at);
        remove_pages(at);
    }
}

static void test_killed_at_any_moment(void **state)
{
    (void)state;
    const char *const many = getenv("GLIM_TEST_KILLS"), *const at = pages_folder();
    const long kills = many ? strtol(many, NULL, 10) : 30;
    struct rng r = {.state = 5};
    int status;
    long whole = 0;
    make_pages(at);
    for (long i = 0; i < kills; i++) {
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            write_for_ever(at);
        (void)usleep((useconds_t)(1000 + rng_below(&r, 20000)));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        whole += count_whole(at);
        assert_int_equal(write_pages(at), 0);
        assert_int_equal(count_whole(at), N);
        remove_pages(at);
    }
    print_message("killed %ld times, %ld whole pages left\n", kills, whole);
    free_pages();
}

/* ---- disks ---- */

/* From the n-th change on nothing can be written; then it can again. */
static void test_every_fault(void **state)
{
    (void)state;
    static const int why[] = {ENOSPC, EIO, EROFS};
    for (size_t w = 0; w < COUNT_OF(why); w++) {
        const char *const at = pages_folder();
        make_pages(at);
        for (int in_part = 0; in_part < 2; in_part++) {
            int rc = -1;
            for (unsigned n = 1; rc != 0; n++) {
                changes = 0;
                last = n;
                fails = why[w];
                half = in_part;
                rc = write_pages(at);
                assert_true(rc == 0 || rc == GLIM_EIO);
                last = 0;
                const int whole = count_whole(at);
                assert_true(rc != 0 || whole == N);
                assert_int_equal(write_pages(at), 0);
                assert_int_equal(count_whole(at), N);
                remove_pages(at);
            }
        }
        free_pages();
    }
}

static void ignore(void *ctx) { (void)ctx; }

/* A thread that cannot write says so once, and does no harm; files may not grow, as on a full
 * disk. */
static void test_saver_on_a_full_disk(void **state)
{
    (void)state;
    const char *const at = pages_folder();
    struct saver *v;
    struct err e;
    struct rlimit was, none;
    make_pages(at);
    struct snapshot *const s = pages_open(at, BYTES, BUDGET, "x");
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    none = was;
    none.rlim_cur = BYTES / 2;
    assert_int_equal(saver_new(&v, s, BYTES, ignore, NULL, &e), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    saver_give(v, &page[0].name, page[0].token, page[0].role, page[0].rows);
    assert_false(saver_wait(v, now_ns() + 10000000000u));
    assert_false(saver_ready(v));
    assert_true(saver_fault(v, &e));
    assert_non_null(strstr(e.text, "File too large"));
    assert_false(saver_fault(v, &e));
    assert_int_equal(saver_counts(v).failed, 1);
    assert_int_equal(saver_counts(v).pages, 0);
    assert_int_equal(files_in(at), 0);
    saver_free(v);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(saver_new(&v, s, BYTES, ignore, NULL, &e), 0);
    for (int i = 0; i < N; i++) {
        saver_give(v, &page[i].name, page[i].token, page[i].role, page[i].rows);
        assert_true(saver_wait(v, now_ns() + 10000000000u));
    }
    assert_int_equal(saver_counts(v).pages, N);
    saver_free(v);
    snapshot_close(s);
    assert_int_equal(count_whole(at), N);
    free_pages();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_death),
        cmocka_unit_test(test_killed_at_any_moment),
        cmocka_unit_test(test_every_fault),
        cmocka_unit_test(test_saver_on_a_full_disk),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

#else

int main(void) { return run_without(); }

#endif
