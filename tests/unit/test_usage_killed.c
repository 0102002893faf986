/* test_usage_killed.c - a process that dies while it adds to the history of use: with its n-th
 * change of a file, for every n. What was there before is there, or the addition is, whole.
 *
 * Changes are writes, truncations and removals as SQLite asks the system for them; the one that
 * kills is done half or not at all, and nothing after it is. The next process finds the journal and
 * repairs the file: it dies too, for every n, before a third one looks.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "engine/usage.h"
#include "util/files.h"
#include "util/history.h"
#include "util/without.h"

#if GLIM_WITH_SQLITE

#include <sqlite3.h>

/* A row of several pages: 12 KiB. The other rows are to stay as they are. */
static const struct usage_key grows = {.model = "a", .workload = "w", .name = "a model",
                                       .layers = 12, .experts = 256};
static const struct usage_key stays = {.model = "b", .workload = "w", .name = "another",
                                       .layers = 7, .experts = 256};

/* ---- a process that dies ---- */

static unsigned changes, last; /* so far; the one that kills, 0: none does */
static bool half;              /* it is done in part; what has no parts is done */

static bool dies_now(void) { return ++changes == last; }

static void die(void)
{
    (void)raise(SIGKILL);
    _exit(127);
}

static ssize_t do_write(int fd, const void *bytes, size_t n)
{
    if (!dies_now())
        return write(fd, bytes, n);
    if (half && write(fd, bytes, n / 2) < 0)
        perror("write");
    die();
    return -1;
}

static ssize_t do_pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    if (!dies_now())
        return pwrite(fd, bytes, n, at);
    if (half && pwrite(fd, bytes, n / 2, at) < 0)
        perror("pwrite");
    die();
    return -1;
}

static int do_truncate(int fd, off_t size)
{
    const bool now = dies_now();
    const int rc = !now || half ? ftruncate(fd, size) : 0;
    if (now)
        die();
    return rc;
}

static int do_unlink(const char *path)
{
    const bool now = dies_now();
    const int rc = !now || half ? unlink(path) : 0;
    if (now)
        die();
    return rc;
}

static int watch_changes(void **state)
{
    sqlite3_vfs *const vfs = sqlite3_initialize() == SQLITE_OK ? sqlite3_vfs_find(NULL) : NULL;
    assert_non_null(vfs);
    const struct {
        const char *name;
        sqlite3_syscall_ptr fn;
    } calls[] = {
        {"write", (sqlite3_syscall_ptr)do_write},
        {"pwrite", (sqlite3_syscall_ptr)do_pwrite},
        {"pwrite64", (sqlite3_syscall_ptr)do_pwrite},
        {"ftruncate", (sqlite3_syscall_ptr)do_truncate},
        {"unlink", (sqlite3_syscall_ptr)do_unlink},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        assert_int_equal(vfs->xSetSystemCall(vfs, calls[i].name, calls[i].fn), SQLITE_OK);
    if (access("/dev/shm", W_OK) == 0) /* thousands of times waiting for a disk take long */
        (void)setenv("TMPDIR", "/dev/shm", 0);
    return scratch_setup(state);
}

typedef int work_fn(const char *path);

/* Works in a process that dies with its n-th change. False: it made fewer, and was done. */
static bool dies(work_fn *work, const char *path, unsigned n, bool in_part)
{
    int status;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        changes = 0;
        last = n;
        half = in_part;
        _exit(work(path) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) {
        assert_int_equal(WTERMSIG(status), SIGKILL);
        return true;
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    return false;
}

static int add(const char *path)
{
    struct err e;
    return history_add(path, &grows, 0, &e);
}

static int look(const char *path)
{
    float uses[12 * 256];
    struct err e;
    uint64_t tokens;
    return usage_read(path, &grows, uses, &tokens, &e);
}

/* ---- what it leaves ---- */

struct left { /* a file and its journal */
    char *bytes[2]; /* NULL: there is none */
    size_t n[2];
};

static const char *name_of(const char *path, int i)
{
    static char name[4096];
    (void)snprintf(name, sizeof name, "%s%s", path, i == 0 ? "" : "-journal");
    return name;
}

static struct left take(const char *path)
{
    struct left l = {{NULL, NULL}, {0, 0}};
    struct err e;
    for (int i = 0; i < 2; i++)
        if (access(name_of(path, i), F_OK) == 0)
            assert_int_equal(io_read_file(name_of(path, i), 1 << 20, &l.bytes[i], &l.n[i], &e), 0);
    return l;
}

static void put(const char *path, const struct left *l)
{
    for (int i = 0; i < 2; i++) {
        (void)unlink(name_of(path, i));
        if (l->bytes[i])
            write_file(name_of(path, i), l->bytes[i], l->n[i]);
    }
}

static void left_free(struct left *l)
{
    free(l->bytes[0]);
    free(l->bytes[1]);
}

/* There were `times` additions, or one more is there: which. Adding goes on. */
static bool is_whole(const char *path, uint64_t times, uint64_t others)
{
    const uint64_t now = history_check(path, &grows);
    assert_true(now == times || now == times + 1);
    assert_int_equal(history_check(path, &stays), others);
    assert_int_equal(add(path), 0);
    assert_int_equal(history_check(path, &grows), now + 1);
    assert_int_equal(history_check(path, &stays), others);
    assert_int_not_equal(access(name_of(path, 1), F_OK), 0);
    return now > times;
}

/* The same, from the same files. */
static bool dies_again(const struct left *l, work_fn *work, const char *path, unsigned n,
                       bool in_part)
{
    put(path, l);
    return dies(work, path, n, in_part);
}

/* Those who repair it die as well, with each of their changes. How many did. */
static unsigned repair(const char *path, uint64_t times, uint64_t others)
{
    struct left l = take(path);
    unsigned n = 0;
    for (int in_part = 0; in_part < 2; in_part++)
        for (unsigned i = 1; dies_again(&l, look, path, i, in_part); i++, n++)
            (void)is_whole(path, times, others);
    put(path, &l);
    left_free(&l);
    return n;
}

/* Every death of an addition to what is at `path`. */
static void all_deaths(const char *path, uint64_t times, uint64_t others)
{
    struct left before = take(path);
    unsigned deaths = 0, of_repair = 0, whole = 0;
    for (int in_part = 0; in_part < 2; in_part++)
        for (unsigned n = 1; dies_again(&before, add, path, n, in_part); n++, deaths++) {
            of_repair += repair(path, times, others);
            whole += is_whole(path, times, others);
        }
    assert_true(deaths > 10 && of_repair > 10);
    assert_int_equal(whole, 1); /* with the last change, done */
    print_message("%u deaths, %u while repairing\n", deaths, of_repair);
    left_free(&before);
}

static void test_first_addition(void **state)
{
    (void)state;
    all_deaths(path_in(scratch, "new.db"), 0, 0);
}

static void test_another_addition(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "old.db");
    struct err e;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(add(path), 0);
        assert_int_equal(history_add(path, &stays, 0, &e), 0);
    }
    all_deaths(path, 3, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_addition),
        cmocka_unit_test(test_another_addition),
    };
    return cmocka_run_group_tests(tests, watch_changes, scratch_teardown);
}

#else

int main(void) { return run_without(); }

#endif
