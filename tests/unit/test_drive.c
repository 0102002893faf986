/* test_drive.c - the simulated drive keeps the times of its model: never earlier, hardly later. */
#include <fcntl.h>
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

enum { READS = 12, PIECE = 1 << 20, SIZE = READS * PIECE - 1000 };
static const uint64_t MS = 1000000, SLACK = 30000000; /* a busy machine wakes sleepers late */

static int file;

static void *open_drive(double gb_s, uint64_t latency_ns, unsigned depth)
{
    const struct drive_model m = {gb_s * 1e9, latency_ns, depth};
    const char *const path = path_in(scratch, "file");
    char *const bytes = calloc(1, SIZE);
    write_file(path, bytes, SIZE);
    free(bytes);
    file = open(path, O_RDONLY);
    assert_true(file >= 0 && read_drive.by_mapping);
    return read_drive_new(&m, READS);
}

static void close_drive(void *d)
{
    read_drive.close(d);
    close(file);
}

/* Submits all reads, each of a mebibyte, and compares the times at which they end. */
static void check_times(double gb_s, uint64_t latency, unsigned depth,
                        const uint64_t expected[READS])
{
    void *const d = open_drive(gb_s, latency, depth);
    struct read q[READS];
    const uint64_t start = now_ns();
    for (size_t i = 0; i < READS; i++) {
        q[i] = (struct read){.fd = file, .piece_at = i * PIECE, .piece_bytes = PIECE};
        read_drive.start(d, &q[i]);
    }
    const uint64_t sent = now_ns() - start;
    assert_null(read_drive.next(d, false));
    for (size_t i = 0; i < READS; i++) {
        assert_ptr_equal(read_drive.next(d, true), &q[i]);
        const uint64_t t = now_ns() - start;
        assert_true(t + MS / 100 >= expected[i]);
        assert_true(t <= expected[i] + sent + SLACK);
        assert_int_equal(q[i].result, min_u64(PIECE, SIZE - q[i].piece_at));
    }
    assert_null(read_drive.next(d, true));
    close_drive(d);
}

/* A mebibyte in 10 ms. */
static const double GB_S = PIECE / 1e7;

static void test_bandwidth(void **state)
{
    (void)state;
    uint64_t expected[READS];
    for (uint64_t i = 0; i < READS; i++)
        expected[i] = 50 * MS + (i + 1) * 10 * MS; /* latencies pass at the same time */
    expected[READS - 1] -= 1000 * 10 * MS / PIECE;
    check_times(GB_S, 50 * MS, 32, expected);
}

/* Two at a time: the third begins when the first has ended. */
static void test_depth(void **state)
{
    (void)state;
    uint64_t expected[READS];
    for (uint64_t i = 0; i < READS; i++)
        expected[i] = i < 2 ? 60 * MS + i * 10 * MS : expected[i - 2] + 60 * MS;
    expected[READS - 1] -= 1000 * 10 * MS / PIECE;
    check_times(GB_S, 50 * MS, 2, expected);
}

/* A drive that had nothing to do begins anew. */
static void test_idle(void **state)
{
    (void)state;
    void *const d = open_drive(GB_S, 20 * MS, 32);
    for (int i = 0; i < 3; i++) {
        struct read q = {.fd = file, .piece_at = 0, .piece_bytes = PIECE};
        const uint64_t start = now_ns();
        read_drive.start(d, &q);
        assert_ptr_equal(read_drive.next(d, true), &q);
        const uint64_t t = now_ns() - start;
        assert_true(t >= 30 * MS && t <= 30 * MS + SLACK);
    }
    close_drive(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bandwidth),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_idle),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
