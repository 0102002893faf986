/* test_usage.c - the history of use in its file: sums and their decay, several processes at once,
 * and files that are something else or broken.
 *
 * Run as `test_usage add FILE N` it adds the same use N times.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "engine/usage.h"
#include "util/files.h"
#include "util/history.h"
#include "util/rng.h"

#if GLIM_WITH_SQLITE

#include <sqlite3.h>

enum { LAYERS = 3, EXPERTS = 40, KEYS = LAYERS * EXPERTS, WAIT_MS = 60000 };

static const char *program;

static struct usage_key key(const char *model, const char *workload)
{
    return (struct usage_key){.model = model, .workload = workload, .name = "a model",
                              .layers = LAYERS, .experts = EXPERTS};
}

static int add(const char *path, const char *model, const char *workload, int wait_ms,
               struct err *e)
{
    const struct usage_key k = key(model, workload);
    return history_add(path, &k, wait_ms, e);
}

static uint64_t check(const char *path, const char *model, const char *workload)
{
    const struct usage_key k = key(model, workload);
    return history_check(path, &k);
}

static void test_sums(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "sums.db");
    struct err e;
    struct stat st;
    assert_int_equal(check(path, "a", "w"), 0);
    assert_int_not_equal(stat(path, &st), 0);
    for (uint64_t i = 1; i <= 200; i++) {
        assert_int_equal(add(path, "a", "w", 0, &e), 0);
        if (i % 50 == 0)
            assert_int_equal(check(path, "a", "w"), i);
    }
    assert_int_equal(add(path, "a", "v", 0, &e), 0);
    assert_int_equal(add(path, "b", "w", 0, &e), 0);
    assert_int_equal(check(path, "a", "w"), 200);
    assert_int_equal(check(path, "a", "v"), 1);
    assert_int_equal(check(path, "b", "w"), 1);
    assert_int_equal(check(path, "b", "v"), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_not_equal(access(path_in(scratch, "sums.db-journal"), F_OK), 0);
}

/* Half of what was there is left after so many tokens. */
static void test_half_life(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "half.db");
    const struct usage_key k = key("a", "w");
    uint32_t uses[KEYS] = {1000, 3};
    float out[KEYS];
    struct err e;
    uint64_t tokens;
    assert_int_equal(usage_add(path, &k, uses, 10, 0, &e), 0);
    uses[0] = 1;
    uses[1] = 0;
    assert_int_equal(usage_add(path, &k, uses, USAGE_HALF_LIFE_TOK, 0, &e), 0);
    assert_int_equal(usage_read(path, &k, out, &tokens, &e), 0);
    assert_int_equal(tokens, USAGE_HALF_LIFE_TOK + 10);
    assert_true(out[0] == 501.0f && out[1] == 1.5f && out[2] == 0);
}

/* ---- processes ---- */

static pid_t start(const char *path, const char *times)
{
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl(program, program, "add", path, times, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void test_two_processes(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "two.db");
    pid_t pid[3];
    for (size_t i = 0; i < 3; i++)
        pid[i] = start(path, "40");
    for (size_t i = 0; i < 3; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(check(path, "a", "w"), 120);
}

static void test_locked(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "locked.db");
    sqlite3 *db;
    struct err e;
    assert_int_equal(add(path, "a", "w", 0, &e), 0);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    expect_error(add(path, "a", "w", 0, &e), GLIM_ESTOPPED, &e, path, "locked", NULL);
    assert_int_equal(check(path, "a", "w"), 1);
    (void)sqlite3_close(db);
    assert_int_equal(add(path, "a", "w", 0, &e), 0);
    assert_int_equal(check(path, "a", "w"), 2);
}

/* A disk that takes no more: an error, and what was there is there. */
static void test_full(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "full.db");
    struct rlimit was, small;
    struct err e;
    assert_int_equal(add(path, "a", "w", 0, &e), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    for (rlim_t most = 0; most <= 8192; most += 1024) {
        small = was;
        small.rlim_cur = most;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        const int rc = add(path, "b", "w", 0, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
        expect_error(rc, e.code, &e, path, NULL);
        assert_true(rc == GLIM_EIO || rc == GLIM_EFORMAT);
        assert_int_equal(check(path, "a", "w"), 1);
        assert_int_equal(check(path, "b", "w"), 0);
    }
    (void)signal(SIGXFSZ, SIG_DFL);
}

/* ---- files that are something else ---- */

/* Reading and adding fail, and leave the file as it is. */
static void refused(const char *path, const char *word)
{
    float uses[KEYS];
    struct err e;
    char *before, *after;
    size_t n, m;
    uint64_t tokens;
    const struct usage_key k = key("a", "w");
    assert_int_equal(io_read_file(path, 1 << 20, &before, &n, &e), 0);
    expect_error(usage_read(path, &k, uses, &tokens, &e), GLIM_EFORMAT, &e, path, word, NULL);
    expect_error(add(path, "a", "w", 0, &e), GLIM_EFORMAT, &e, path, word, NULL);
    assert_int_equal(io_read_file(path, 1 << 20, &after, &m, &e), 0);
    assert_int_equal(n, m);
    assert_memory_equal(before, after, n);
    free(before);
    free(after);
}

static void change(const char *path, const char *sql)
{
    sqlite3 *db;
    struct err e;
    (void)unlink(path);
    assert_int_equal(add(path, "a", "w", 0, &e), 0);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

/* All uses are this, four bytes in hexadecimal. */
static void change_uses(const char *path, const char *hex)
{
    char sql[64 + 8 * KEYS];
    int n = snprintf(sql, sizeof sql, "UPDATE usage SET uses = x'");
    for (int i = 0; i < KEYS; i++)
        n += snprintf(sql + n, sizeof sql - (size_t)n, "%s", hex);
    (void)snprintf(sql + n, sizeof sql - (size_t)n, "'");
    change(path, sql);
}

static void test_other_files(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "other.db");
    struct err e;
    write_text(path, "This is a letter, and it is long enough to have a header. "
                     "But there is no database in it, and nothing should be written over it.");
    refused(path, "not a database");
    change(path, "PRAGMA user_version = 2");
    refused(path, "version 2, expected 1");
    change(path, "CREATE TABLE mine(x)");
    refused(path, "something else");
    change(path, "ALTER TABLE usage RENAME TO theirs; CREATE VIEW usage AS SELECT * FROM theirs");
    refused(path, "something else");
    change(path, "UPDATE usage SET uses = zeroblob(12)");
    refused(path, "another size");
    change(path, "UPDATE usage SET tokens = -1");
    refused(path, "another size");
    change_uses(path, "0000c07f"); /* not a number */
    refused(path, "no numbers");
    change_uses(path, "0000807f"); /* infinity */
    refused(path, "no numbers");
    change_uses(path, "000080bf"); /* -1 */
    refused(path, "no numbers");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_error(add(path, "a", "w", 0, &e), GLIM_EFORMAT, &e, "regular", NULL);
    assert_int_equal(unlink(path), 0);
    expect_error(add(scratch, "a", "w", 0, &e), GLIM_EFORMAT, &e, "regular", NULL);
    expect_error(add("/nonexistent/usage.db", "a", "w", 0, &e), GLIM_EIO, &e, "No such", NULL);
    write_text(path, "");
    assert_int_equal(check(path, "a", "w"), 0);
    assert_int_equal(add(path, "a", "w", 0, &e), 0);
    assert_int_equal(check(path, "a", "w"), 1);
}

/* Cut short or with bytes of chance: an error or another answer, but an answer. */
static void test_broken_files(void **state)
{
    (void)state;
    const char *const path = path_in(scratch, "broken.db");
    const char *const whole = path_in(scratch, "whole.db");
    struct rng r = {9};
    struct err e;
    char *good;
    size_t n;
    unsigned errors = 0;
    for (int i = 0; i < 30; i++) {
        char model[8];
        (void)snprintf(model, sizeof model, "%d", i);
        assert_int_equal(add(whole, i ? model : "a", "w", 0, &e), 0);
    }
    assert_int_equal(io_read_file(whole, 1 << 20, &good, &n, &e), 0);
    for (int i = 0; i < 300; i++) {
        const struct usage_key k = key("a", "w");
        float uses[KEYS];
        uint64_t tokens;
        char *const bad = malloc(n);
        memcpy(bad, good, n);
        for (size_t c = rng_below(&r, 64); i % 3 && c > 0; c--)
            bad[rng_below(&r, i % 3 == 1 ? n : 4096)] = (char)rng_u64(&r);
        write_file(path, bad, i % 3 ? n : rng_below(&r, n));
        errors += usage_read(path, &k, uses, &tokens, &e) != 0;
        errors += add(path, "a", "w", 0, &e) != 0;
        free(bad);
    }
    assert_true(errors > 150);
    free(good);
}

static int add_often(const char *path, const char *times)
{
    struct err e;
    const long n = strtol(times, NULL, 10);
    for (long i = 0; i < n; i++)
        if (add(path, "a", "w", WAIT_MS, &e) != 0) {
            fprintf(stderr, "%s\n", e.text);
            return 1;
        }
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),          cmocka_unit_test(test_half_life),
        cmocka_unit_test(test_two_processes), cmocka_unit_test(test_locked),
        cmocka_unit_test(test_full),          cmocka_unit_test(test_other_files),
        cmocka_unit_test(test_broken_files),
    };
    if (argc == 4 && strcmp(argv[1], "add") == 0)
        return add_often(argv[2], argv[3]);
    program = argv[0];
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

#else

static void test_without_sqlite(void **state)
{
    (void)state;
    struct err e;
    const struct usage_key k = {.model = "a", .workload = "w", .name = "a model"};
    expect_error(usage_add("x", &k, NULL, 1, 0, &e), GLIM_EUNSUPPORTED, &e, "SQLite", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_without_sqlite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
