/* test_io.c - regular files only; a file that shrinks under its map is an error, not a signal. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "util/files.h"

enum { PAGE = 4096 };

static void write_pages(const char *path, size_t pages)
{
    char *const p = malloc(pages * PAGE);
    memset(p, 'x', pages * PAGE);
    write_file(path, p, pages * PAGE);
    free(p);
}

static void test_map(void **state)
{
    (void)state;
    const char *const p = path_in(scratch, "plain");
    write_text(p, "hello");
    struct io_map m;
    struct err e;
    assert_int_equal(io_map_open(&m, p, &e), 0);
    assert_int_equal(m.size, 5);
    assert_memory_equal(m.data, "hello", 5);
    assert_string_equal(m.path, p);
    assert_int_equal(io_map_check(&m, &e), 0);
    io_map_close(&m);
    io_map_close(&m);
    io_map_close(NULL);
}

static void test_empty_file(void **state)
{
    (void)state;
    const char *const p = path_in(scratch, "empty");
    write_text(p, "");
    struct io_map m;
    struct err e;
    assert_int_equal(io_map_open(&m, p, &e), 0);
    assert_int_equal(m.size, 0);
    assert_null(m.data);
    assert_int_equal(io_map_check(&m, &e), 0);
    io_map_close(&m);
}

static void test_only_regular_files(void **state)
{
    (void)state;
    struct io_map m;
    struct err e;
    const char *const fifo = path_in(scratch, "fifo"), *const sock = path_in(scratch, "sock");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strncpy(a.sun_path, sock, sizeof a.sun_path - 1);
    const int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    alarm(5); /* opening must not wait for a writer */
    expect_error(io_map_open(&m, fifo, &e), GLIM_EIO, &e, fifo, "a FIFO", NULL);
    expect_error(io_map_open(&m, scratch, &e), GLIM_EIO, &e, scratch, "a folder", NULL);
    expect_error(io_map_open(&m, "/dev/zero", &e), GLIM_EIO, &e, "/dev/zero", "a device", NULL);
    expect_error(io_map_open(&m, sock, &e), GLIM_EIO, &e, sock, "a socket", NULL);
    expect_error(io_map_open(&m, path_in(scratch, "none"), &e), GLIM_EIO, &e, "none",
                 "No such file", NULL);
    char *text;
    size_t n;
    expect_error(io_read_file(fifo, 10, &text, &n, &e), GLIM_EIO, &e, fifo, "a FIFO", NULL);
    expect_error(io_read_file("/dev/zero", 10, &text, &n, &e), GLIM_EIO, &e, "a device", NULL);
    alarm(0);
    assert_null(text);
    close(s);
}

static void test_read_file(void **state)
{
    (void)state;
    const char *const p = path_in(scratch, "text");
    write_text(p, "0123456789");
    char *text;
    size_t n;
    struct err e;
    assert_int_equal(io_read_file(p, 10, &text, &n, &e), 0);
    assert_int_equal(n, 10);
    assert_string_equal(text, "0123456789");
    free(text);
    expect_error(io_read_file(p, 9, &text, &n, &e), GLIM_ELIMIT, &e, p, "10 bytes", "at most 9",
                 NULL);
    assert_null(text);
    /* A file whose size is not told in advance. */
    assert_int_equal(io_read_file("/proc/self/status", 1 << 20, &text, &n, &e), 0);
    assert_true(n > 100);
    free(text);
    expect_error(io_read_file("/proc/self/status", 20, &text, &n, &e), GLIM_ELIMIT, &e,
                 "more than 20", NULL);
}

static volatile unsigned char sink;

static void read_all(const struct io_map *m)
{
    for (uint64_t i = 0; i < m->size; i += PAGE)
        sink = (unsigned char)(sink + m->data[i]);
}

static void test_shrinks_while_mapped(void **state)
{
    (void)state;
    const char *const p = path_in(scratch, "shrinks"), *const q = path_in(scratch, "stays");
    write_pages(p, 4);
    write_pages(q, 4);
    struct io_map m, other;
    struct err e;
    assert_int_equal(io_map_open(&m, p, &e), 0);
    assert_int_equal(io_map_open(&other, q, &e), 0);
    assert_false(io_any_fault());
    assert_int_equal(truncate(p, PAGE), 0);
    assert_int_equal(m.data[0], 'x');
    assert_int_equal(m.data[2 * PAGE], 0); /* raises SIGBUS: zero pages from here on */
    read_all(&m);
    assert_true(io_any_fault());
    expect_error(io_map_check(&m, &e), GLIM_EIO, &e, p, "shrank", NULL);
    read_all(&other);
    assert_int_equal(io_map_check(&other, &e), 0);
    /* Growing back does not heal the map: what was read meanwhile is wrong. */
    write_pages(p, 4);
    expect_error(io_map_check(&m, &e), GLIM_EIO, &e, p, NULL);
    io_map_close(&m);
    io_map_close(&other);
    /* A new map of the same file is a new beginning. */
    assert_int_equal(io_map_open(&m, p, &e), 0);
    assert_int_equal(io_map_check(&m, &e), 0);
    io_map_close(&m);
}

static void test_shrinks_within_a_page(void **state)
{
    (void)state;
    const char *const p = path_in(scratch, "tail");
    write_text(p, "0123456789");
    struct io_map m;
    struct err e;
    assert_int_equal(io_map_open(&m, p, &e), 0);
    assert_int_equal(truncate(p, 4), 0); /* no signal: the rest of the page reads as zeros */
    expect_error(io_map_check(&m, &e), GLIM_EIO, &e, p, "now 4 bytes, expected 10", NULL);
    io_map_close(&m);
}

static void test_replaced_file_stays_good(void **state)
{
    (void)state;
    const char *const p = path_in(scratch, "old"), *const q = path_in(scratch, "new");
    write_pages(p, 2);
    write_text(q, "short");
    struct io_map m;
    struct err e;
    assert_int_equal(io_map_open(&m, p, &e), 0);
    assert_int_equal(rename(q, p), 0);
    read_all(&m);
    assert_int_equal(io_map_check(&m, &e), 0);
    io_map_close(&m);
}

static void test_many_maps(void **state)
{
    (void)state;
    enum { N = 2500 };
    const char *const p = path_in(scratch, "many");
    write_pages(p, 1);
    static struct io_map m[N];
    struct err e;
    for (int i = 0; i < N; i++)
        assert_int_equal(io_map_open(&m[i], p, &e), 0);
    assert_int_equal(truncate(p, 0), 0);
    read_all(&m[N - 1]);
    assert_int_not_equal(io_map_check(&m[N - 1], &e), 0);
    for (int i = 0; i < N; i++)
        io_map_close(&m[i]);
}

static void old_handler(int sig)
{
    (void)sig;
    _exit(42);
}

/* Runs fn in a child; its exit status, or -signal. */
static int in_child(void (*fn)(void))
{
    const pid_t pid = fork();
    if (pid == 0) {
        fn();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void open_one(void)
{
    static struct io_map m;
    if (io_map_open(&m, path_in(scratch, "kept"), NULL) != 0)
        _exit(1);
}

static void sent_by_kill(void)
{
    signal(SIGBUS, old_handler); /* in front of glim's: the next open takes it as the one before */
    open_one();
    raise(SIGBUS);
}

static void fault_elsewhere(void)
{
    signal(SIGBUS, old_handler);
    open_one();
    const char *const p = path_in(scratch, "foreign");
    write_pages(p, 1);
    const int fd = open(p, O_RDONLY);
    const volatile unsigned char *const map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED || truncate(p, 0) != 0)
        _exit(1);
    sink = map[0];
}

static void nobody_before(void)
{
    signal(SIGBUS, SIG_DFL);
    open_one();
    raise(SIGBUS);
}

static void test_other_faults_are_passed_on(void **state)
{
    (void)state;
    write_pages(path_in(scratch, "kept"), 1);
    assert_int_equal(in_child(sent_by_kill), 42);
    assert_int_equal(in_child(fault_elsewhere), 42);
    assert_int_equal(in_child(nobody_before), -SIGBUS);
}

static void test_write_all(void **state)
{
    (void)state;
    int fd[2];
    struct err e;
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(io_write_all(fd[1], "abc", 3, "pipe", &e), 0);
    char b[4] = "";
    assert_int_equal(read(fd[0], b, 3), 3);
    assert_string_equal(b, "abc");
    signal(SIGPIPE, SIG_IGN);
    close(fd[0]);
    expect_error(io_write_all(fd[1], "abc", 3, "pipe", &e), GLIM_EIO, &e, "pipe: writing", NULL);
    close(fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_only_regular_files),
        cmocka_unit_test(test_read_file),
        cmocka_unit_test(test_shrinks_while_mapped),
        cmocka_unit_test(test_shrinks_within_a_page),
        cmocka_unit_test(test_replaced_file_stays_good),
        cmocka_unit_test(test_many_maps),
        cmocka_unit_test(test_other_faults_are_passed_on),
        cmocka_unit_test(test_write_all),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
