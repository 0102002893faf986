/* test_copies.c - how much of a read is in flight; reads of files with copies on other drives: how
 * they are split, what is left when a drive fails, and how much faster two drives are than one.
 *
 * The files are real and lie in folders of one drive; the drives are simulated: each has a speed in
 * a time of its own, so the figures are the same on every machine.
 */
#include <errno.h>
#include <math.h>
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

#include "base/drive.h"
#include "base/scan.h"
#include "base/util.h"
#include "util/files.h"
#include "util/late.h"

enum { MIB = 1 << 20, SIZE = 24 * MIB + 12345, READS = 60, DRIVES = 3, DEPTH = 32 };

static uint8_t *content;
static const char *const names[DRIVES] = {"own", "second", "third"};

static const char *file_on(int drive)
{
    const char *const path = path_in(scratch, names[drive]);
    if (!content) {
        struct rng r = {7};
        content = malloc(SIZE);
        rng_bytes(&r, content, SIZE);
    }
    write_file(path, content, SIZE);
    return path;
}

/* ---- simulated drives ---- */

struct drives {
    struct {
        ino_t file;      /* which it holds */
        double gb_s;     /* bytes a nanosecond */
        uint64_t free;   /* when it is done with what it was given */
        int error;       /* of all its reads */
        unsigned reads;
    } drive[DRIVES];
    bool blind;          /* brings no bytes: only time counts */
    uint64_t now;
    struct read *held[DEPTH];
    uint64_t due[DEPTH];
    size_t n;
};

static int drive_of_fd(const struct drives *s, int fd)
{
    struct stat st;
    int d = 0;
    assert_int_equal(fstat(fd, &st), 0);
    while (s->drive[d].file != st.st_ino)
        d++;
    assert_true(d < DRIVES);
    return d;
}

static void drives_start(void *self, struct read *r)
{
    struct drives *const s = self;
    const int d = drive_of_fd(s, r->fd);
    assert_true(s->n < DEPTH);
    const uint64_t from = max_u64(s->drive[d].free, s->now);
    s->drive[d].free = from + (uint64_t)((double)r->piece_bytes / s->drive[d].gb_s);
    s->drive[d].reads++;
    r->result = s->drive[d].error ? -s->drive[d].error
                : s->blind ? (int64_t)r->piece_bytes
                           : pread(r->fd, r->piece_to, r->piece_bytes, (off_t)r->piece_at);
    s->due[s->n] = s->drive[d].free;
    s->held[s->n++] = r;
}

static struct read *drives_next(void *self, bool wait)
{
    struct drives *const s = self;
    size_t first = 0;
    for (size_t i = 1; i < s->n; i++)
        if (s->due[i] < s->due[first])
            first = i;
    if (s->n == 0 || (!wait && s->due[first] > s->now))
        return NULL;
    struct read *const r = s->held[first];
    s->now = max_u64(s->now, s->due[first]);
    s->held[first] = s->held[--s->n];
    s->due[first] = s->due[s->n];
    return r;
}

static void drives_close(void *self) { assert_int_equal(((struct drives *)self)->n, 0); }
static uint64_t drives_now(void *self) { return ((struct drives *)self)->now; }

static const struct read_engine drives_engine = {.name = "drives", .start = drives_start,
                                                 .next = drives_next, .close = drives_close,
                                                 .now_ns = drives_now};

struct notices {
    int n;
    char last[1024];
};

static void on_notice(void *ctx, const char *text)
{
    struct notices *const x = ctx;
    x->n++;
    snprintf(x->last, sizeof x->last, "%s", text);
}

struct fixture {
    struct drives sim;
    struct reader *reader;
    uint32_t file[DRIVES];
    struct notices notices;
};

/* Drives 1 and above hold copies of the file on drive 0; those with a speed of 0 do not exist.
 * bytes: of each file, the rest being a hole; 0: as it is. */
static void open_deep(struct fixture *f, const double *gb_s, unsigned depth, uint64_t bytes)
{
    struct err e;
    *f = (struct fixture){0};
    assert_int_equal(reader_open_with(&f->reader, depth, &drives_engine, &f->sim, &e), 0);
    reader_on_notice(f->reader, on_notice, &f->notices);
    for (int d = 0; d < DRIVES; d++) {
        struct stat st;
        const char *const path = file_on(d);
        assert_int_equal(bytes ? truncate(path, (off_t)bytes) : 0, 0);
        assert_int_equal(stat(path, &st), 0);
        f->sim.drive[d].file = st.st_ino;
        f->sim.drive[d].gb_s = gb_s[d];
        assert_int_equal(reader_file(f->reader, path, &f->file[d], &e), 0);
    }
    for (unsigned d = 1; d < DRIVES; d++)
        if (gb_s[d] > 0)
            assert_int_equal(reader_mirror(f->reader, f->file[0], f->file[d], d, &e), 0);
}

static void open_fixture(struct fixture *f, const double *gb_s) { open_deep(f, gb_s, DEPTH, 0); }

static void share(struct fixture *f)
{
    for (unsigned d = 0; d < DRIVES; d++)
        if (f->sim.drive[d].gb_s > 0)
            reader_share(f->reader, d, f->sim.drive[d].gb_s);
}

/* Random reads of up to 5 MiB, the last one over the end of the file; all are compared. How many
 * came back with an error. */
static int read_much(struct reader *r, uint32_t file, uint64_t seed)
{
    struct rng rng = {seed};
    struct read q[READS];
    int errors = 0;
    for (size_t i = 0; i < READS; i++) {
        const size_t pages = 1 + rng_below(&rng, 5 * MIB / READ_ALIGN);
        const uint64_t at = i ? rng_below(&rng, SIZE / READ_ALIGN - pages)
                              : ceil_div_u64(SIZE, READ_ALIGN) - pages;
        q[i] = (struct read){.file = file, .at = at * READ_ALIGN, .bytes = pages * READ_ALIGN,
                             .to = aligned_alloc(READ_ALIGN, pages * READ_ALIGN)};
        reader_submit(r, &q[i]);
    }
    bool back[READS] = {false};
    for (size_t n = 0; n < READS; n++) {
        struct read *const x = reader_next(r, true);
        assert_non_null(x);
        assert_false(back[x - q]); /* R1 */
        back[x - q] = true;
        const size_t there = (size_t)min_u64(x->bytes, SIZE - x->at);
        errors += x->error != 0;
        assert_true(x->error || x->got == there); /* R3 */
        if (!x->error)
            assert_memory_equal(x->to, content + x->at, there);
    }
    assert_null(reader_next(r, true));
    assert_int_equal(reader_in_flight(r), 0);
    for (size_t i = 0; i < READS; i++)
        free(q[i].to);
    return errors;
}

/* ---- the tests ---- */

/* Each drive brings its share of these 25 stripes, and the same ones the next time. */
static void test_shares(void **state)
{
    (void)state;
    static const double speed[][DRIVES] = {{2, 5, 0}, {1, 1, 1}, {7, 0.5, 3}, {3, 3, 0}};
    for (size_t i = 0; i < COUNT_OF(speed); i++) {
        struct fixture f;
        open_fixture(&f, speed[i]);
        share(&f);
        const double sum = speed[i][0] + speed[i][1] + speed[i][2];
        uint64_t first[DRIVES], all = 0;
        assert_int_equal(read_much(f.reader, f.file[0], 1), 0);
        for (unsigned d = 0; d < DRIVES; d++)
            all += first[d] = reader_drive_bytes(f.reader, d);
        for (unsigned d = 0; d < DRIVES; d++)
            assert_true(fabs((double)first[d] / (double)all - speed[i][d] / sum) < 0.06);
        assert_int_equal(read_much(f.reader, f.file[0], 1), 0);
        for (unsigned d = 0; d < DRIVES; d++)
            assert_int_equal(reader_drive_bytes(f.reader, d), 2 * first[d]);
        assert_int_equal(f.notices.n, 0);
        reader_close(f.reader);
    }
}

/* Answers in any order and in part: the same bytes. */
static void test_out_of_order_and_short(void **state)
{
    (void)state;
    for (size_t most = 0; most < 300000; most += 99999) {
        struct late late = {.most = most, .rng = {most + 1}};
        struct err e;
        struct reader *r;
        uint32_t file, copy;
        assert_int_equal(reader_open_with(&r, LATE_DEPTH, &late_engine, &late, &e), 0);
        assert_int_equal(reader_file(r, file_on(0), &file, &e), 0);
        assert_int_equal(reader_file(r, file_on(1), &copy, &e), 0);
        assert_int_equal(reader_mirror(r, file, copy, 1, &e), 0);
        late_fail(&late, 2, EIO); /* tried again, nobody notices */
        assert_int_equal(read_much(r, file, most + 1), 0);
        assert_true(reader_drive_bytes(r, 0) > 0 && reader_drive_bytes(r, 1) > 0);
        reader_close(r);
    }
}

/* Any drive fails: one notice, no error, and it is not asked again. All fail: an error. */
static void test_failing_drives(void **state)
{
    (void)state;
    for (int bad = 0; bad < DRIVES; bad++) {
        struct fixture f;
        struct err e;
        open_fixture(&f, (const double[]){1, 1, 1});
        f.sim.drive[bad].error = EIO;
        assert_int_equal(read_much(f.reader, f.file[0], 2), 0);
        assert_int_equal(f.notices.n, 1);
        assert_non_null(strstr(f.notices.last, names[bad]));
        assert_non_null(strstr(f.notices.last, "Input/output error"));
        const unsigned asked = f.sim.drive[bad].reads;
        f.sim.drive[bad].error = 0;
        assert_int_equal(read_much(f.reader, f.file[0], 3), 0);
        assert_int_equal(f.sim.drive[bad].reads, asked);
        for (int d = 0; d < DRIVES; d++)
            f.sim.drive[d].error = ENXIO;
        assert_int_equal(read_much(f.reader, f.file[0], 4), READS);
        assert_int_equal(f.notices.n, DRIVES); /* one each */
        struct read q = {.file = f.file[0], .bytes = 2 * MIB,
                         .to = aligned_alloc(READ_ALIGN, 2 * MIB)};
        reader_submit(f.reader, &q);
        assert_ptr_equal(reader_next(f.reader, true), &q);
        expect_error(reader_blame(f.reader, &q, &e), GLIM_EIO, &e, names[0], "2097152 bytes at 0",
                     NULL);
        free(q.to);
        reader_close(f.reader);
    }
}

/* One part in flight: what follows a part that failed everywhere is not read any more. */
static void test_failing_one_by_one(void **state)
{
    (void)state;
    struct fixture f;
    open_deep(&f, (const double[]){1, 1, 1}, 1, 0);
    for (int d = 0; d < DRIVES; d++)
        f.sim.drive[d].error = EIO;
    assert_int_equal(read_much(f.reader, f.file[0], 8), READS);
    unsigned asked = 0;
    for (int d = 0; d < DRIVES; d++) {
        asked += f.sim.drive[d].reads;
        f.sim.drive[d].error = 0;
    }
    assert_int_equal(asked, READS * DRIVES * 3); /* three times each */
    assert_int_equal(read_much(f.reader, f.file[0], 9), 0);
    reader_close(f.reader);
}

/* A file without copies is read from the drive that was left out: there is no other. */
static void test_file_without_copies(void **state)
{
    (void)state;
    struct fixture f;
    open_fixture(&f, (const double[]){1, 1, 0});
    f.sim.drive[0].error = EIO;
    assert_int_equal(read_much(f.reader, f.file[0], 5), 0);
    assert_int_equal(f.notices.n, 1);
    f.sim.drive[2].gb_s = 1;
    assert_int_equal(read_much(f.reader, f.file[2], 5), 0);
    f.sim.drive[2].error = EIO;
    assert_int_equal(read_much(f.reader, f.file[2], 5), READS);
    assert_int_equal(f.notices.n, 1);
    reader_close(f.reader);
}

/* By the real engine: a copy, then the file itself, is cut short while it is open. */
static void test_truncated(void **state)
{
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        struct err e;
        struct reader *r;
        uint32_t file, copy;
        struct notices notices = {0};
        assert_int_equal(reader_open(&r, DEPTH, &e), 0);
        reader_on_notice(r, on_notice, &notices);
        assert_int_equal(reader_file(r, file_on(0), &file, &e), 0);
        assert_int_equal(reader_file(r, file_on(1), &copy, &e), 0);
        assert_int_equal(reader_mirror(r, file, copy, 1, &e), 0);
        assert_int_equal(truncate(path_in(scratch, names[bad]), 3 * MIB), 0);
        assert_int_equal(read_much(r, file, 6), 0);
        assert_int_equal(notices.n, 1);
        assert_non_null(strstr(notices.last, names[bad]));
        assert_non_null(strstr(notices.last, "shorter than it was"));
        reader_close(r);
    }
}

static void test_other_size(void **state)
{
    (void)state;
    struct err e;
    struct reader *r;
    uint32_t file, copy;
    const char *const path = path_in(scratch, "longer");
    write_file(path, content, 5000);
    assert_int_equal(reader_open(&r, DEPTH, &e), 0);
    assert_int_equal(reader_file(r, file_on(0), &file, &e), 0);
    assert_int_equal(reader_file(r, path, &copy, &e), 0);
    expect_error(reader_mirror(r, file, copy, 1, &e), GLIM_EINVAL, &e, path, "5000 bytes",
                 "expected 25178169", NULL);
    reader_close(r);
}

/* Reads as a layer's visit makes them: `n` of 7 MiB at once; GB/s of all rounds. */
static double visits(struct fixture *f, size_t n, int rounds)
{
    enum { WINDOW = 7 * MIB, MOST = 24 };
    struct rng rng = {n};
    struct read q[MOST];
    uint8_t *const to = aligned_alloc(READ_ALIGN, WINDOW); /* the drives are blind */
    const uint64_t pages = (reader_bytes(f->reader, f->file[0]) - WINDOW) / READ_ALIGN;
    const uint64_t from = f->sim.now;
    for (int i = 0; i < rounds; i++) {
        for (size_t k = 0; k < n; k++) {
            q[k] = (struct read){.file = f->file[0], .at = rng_below(&rng, pages) * READ_ALIGN,
                                 .bytes = WINDOW, .to = to};
            reader_submit(f->reader, &q[k]);
        }
        while (reader_next(f->reader, true))
            ;
    }
    free(to);
    return (double)n * WINDOW * rounds / (double)(f->sim.now - from);
}

/* Looks each `step` ns, takes what is there, and returns the time that it took to have all. */
static uint64_t poll_all(struct fixture *f, uint64_t step)
{
    const uint64_t from = f->sim.now;
    while (reader_in_flight(f->reader) > 0) {
        f->sim.now += step;
        while (reader_next(f->reader, false))
            ;
    }
    return f->sim.now - from;
}

/* Four stripes are in flight; more, where a thread that looks each 10 ms would leave the drive
 * idle; and four again, when it looks often. */
static void test_in_flight(void **state)
{
    (void)state;
    enum { N = 24, BYTES = 7 * MIB };
    struct fixture f;
    struct read q[N];
    uint8_t *const to = aligned_alloc(READ_ALIGN, BYTES);
    open_fixture(&f, (const double[]){2, 0, 0});
    f.sim.blind = true;
    for (int round = 0; round < 12; round++) {
        for (size_t i = 0; i < N; i++) {
            q[i] = (struct read){.file = f.file[0], .at = i % 3 * BYTES, .bytes = BYTES, .to = to};
            reader_submit(f.reader, &q[i]);
            assert_true(f.sim.n <= 4 || (round > 0 && round < 11));
        }
        const uint64_t took = poll_all(&f, round ? 100000 : 10000000);
        const double ideal = (double)N * BYTES / 2;
        assert_true((double)took < 1.3 * ideal);
    }
    free(to);
    reader_close(f.reader);
}

/* Drives of 2 and 5 GB/s are found to be so, and together give nearly 7, even where each visit
 * waits for its last byte; with half and half it would be 4. */
static void test_two_speeds(void **state)
{
    (void)state;
    struct fixture f;
    struct err e;
    open_fixture(&f, (const double[]){2, 5, 0});
    f.sim.blind = true;
    const double even = visits(&f, 24, 1);
    for (unsigned d = 0; d < 2; d++) {
        double bytes_per_s;
        const uint32_t file = d ? f.file[1] : f.file[2];
        f.sim.drive[2].gb_s = 2; /* as drive 0, whose file has a copy now */
        assert_int_equal(
            drive_measure(f.reader, file, 100000000, 64 * MIB, &bytes_per_s, &e), 0);
        assert_true(fabs(bytes_per_s / 1e9 - (d ? 5 : 2)) < 0.01);
        reader_share(f.reader, d, bytes_per_s);
    }
    const double one = visits(&f, 3, 200), eight = visits(&f, 24, 200);
    print_message("2 and 5 GB/s: %.2f for one expert, %.2f for eight, %.2f half and half\n", one,
                  eight, even);
    assert_true(eight >= 6.5 && one >= 5.5 && even < 4.3);
    reader_close(f.reader);
}

/* How many of the first stripes drive 0 has. */
static int stripes_of_first(struct fixture *f)
{
    enum { STRIPES = 20, READS_OF = 20 };
    const uint64_t before = reader_drive_bytes(f->reader, 0);
    uint8_t *const to = aligned_alloc(READ_ALIGN, STRIPES * MIB);
    for (uint64_t i = 0; i < READS_OF; i++) {
        struct read q = {.file = f->file[0], .at = i * STRIPES * MIB, .bytes = STRIPES * MIB,
                         .to = to};
        reader_submit(f->reader, &q);
        assert_ptr_equal(reader_next(f->reader, true), &q);
    }
    free(to);
    return (int)((reader_drive_bytes(f->reader, 0) - before) / MIB);
}

/* One drive falls to a quarter of its speed, then the other, then both are as they were: after some
 * seconds visits have most of what the two can give, and stripes stay where they are. */
static void test_slow_down(void **state)
{
    (void)state;
    static const double speed[][2] = {{2, 5}, {0.5, 5}, {2, 1.25}, {2, 5}};
    struct fixture f;
    open_deep(&f, (const double[]){2, 5, 0}, DEPTH, 1024 * (uint64_t)MIB);
    share(&f);
    f.sim.blind = true;
    for (size_t i = 0; i < COUNT_OF(speed); i++) {
        for (unsigned d = 0; d < 2; d++)
            f.sim.drive[d].gb_s = speed[i][d];
        const double first = visits(&f, 24, 4), both = speed[i][0] + speed[i][1];
        const uint64_t from = f.sim.now;
        (void)visits(&f, 24, 40);
        const double seconds = (double)(f.sim.now - from) / 1e9;
        const int stripes = stripes_of_first(&f);
        for (int k = 0; k < 20; k++) {
            const double eight = visits(&f, 24, 10), three = visits(&f, 9, 10);
            if (k == 0)
                print_message("%.2f and %.2f GB/s: %.2f at once, after %.1f s %.2f, %.2f for "
                              "three\n", speed[i][0], speed[i][1], first, seconds, eight, three);
            assert_true(eight >= 0.85 * both && three >= 0.8 * both);
            assert_true(abs(stripes_of_first(&f) - stripes) <= 2); /* of 400 */
        }
    }
    reader_close(f.reader);
}

/* A thread that computes, and looks or waits every few milliseconds, often finds both drives idle:
 * that says nothing about their speeds. */
static void test_not_watched(void **state)
{
    (void)state;
    for (int waits = 0; waits < 2; waits++) {
        struct fixture f;
        open_deep(&f, (const double[]){2, 5, 0}, DEPTH, 1024 * (uint64_t)MIB);
        share(&f);
        f.sim.blind = true;
        const int stripes = stripes_of_first(&f);
        struct read q[3];
        struct rng rng = {9};
        uint8_t *const to = aligned_alloc(READ_ALIGN, 7 * MIB);
        for (int round = 0; round < 900; round++) {
            for (size_t i = 0; i < COUNT_OF(q); i++) {
                q[i] = (struct read){.file = f.file[0], .at = (uint64_t)round * MIB,
                                     .bytes = 7 * MIB, .to = to};
                reader_submit(f.reader, &q[i]);
            }
            while (reader_in_flight(f.reader) > 0) {
                f.sim.now += rng_below(&rng, 4000000);
                while (reader_next(f.reader, waits))
                    f.sim.now += waits ? rng_below(&rng, 4000000) : 0;
            }
        }
        free(to);
        assert_int_equal(stripes_of_first(&f), stripes);
        reader_close(f.reader);
    }
}

/* ---- comparing ---- */

static void test_compare(void **state)
{
    (void)state;
    static const uint64_t changed[] = {0, 4095, 4096, MIB - 1, MIB, 17 * MIB + 3, SIZE - 1};
    static const struct range all[] = {{0, SIZE}}, some[] = {{5, 5000}, {MIB, 3 * MIB + 1},
                                                             {SIZE - 3, SIZE}};
    for (size_t i = 0; i <= COUNT_OF(changed); i++) {
        struct err e;
        struct reader *r;
        uint32_t a, b;
        uint64_t at;
        const uint64_t where = i < COUNT_OF(changed) ? changed[i] : SCAN_SAME;
        (void)file_on(0);
        (void)file_on(1);
        if (where != SCAN_SAME) {
            FILE *const f = fopen(path_in(scratch, names[1]), "r+b");
            assert_int_equal(fseek(f, (long)where, SEEK_SET), 0);
            assert_true(fputc(content[where] ^ 1, f) != EOF);
            fclose(f);
        }
        assert_int_equal(reader_open(&r, 16, &e), 0);
        assert_int_equal(reader_file(r, path_in(scratch, names[0]), &a, &e), 0);
        assert_int_equal(reader_file(r, path_in(scratch, names[1]), &b, &e), 0);
        assert_int_equal(scan_compare(r, a, b, all, 1, NULL, NULL, &at, &e), 0);
        assert_true(at == where);
        assert_int_equal(scan_compare(r, a, b, some, 3, NULL, NULL, &at, &e), 0);
        const bool seen = (where >= 5 && where < 5000) || (where >= MIB && where <= 3 * MIB)
                       || (where >= SIZE - 3 && where < SIZE);
        assert_true(at == (seen ? where : SCAN_SAME));
        reader_close(r);
    }
}

static void test_samples(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 4095, 4096, 4097, 100000, SIZE, (uint64_t)400 << 30};
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        for (uint64_t head = 0; head < 20000; head += 7001) {
            struct range x[SCAN_SAMPLES];
            const size_t n = scan_samples(sizes[i], head, READ_ALIGN, x);
            assert_true(n >= 2 && n <= SCAN_SAMPLES);
            assert_true(x[0].from == 0 && x[0].to == min_u64(head, sizes[i]));
            assert_true(x[n - 1].to == sizes[i]);
            assert_true(sizes[i] < 1000000 || n == SCAN_SAMPLES);
            for (size_t k = 1; k < n; k++)
                assert_true(x[k].from >= x[k - 1].to && x[k].to >= x[k].from);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_out_of_order_and_short),
        cmocka_unit_test(test_failing_drives),
        cmocka_unit_test(test_failing_one_by_one),
        cmocka_unit_test(test_file_without_copies),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_other_size),
        cmocka_unit_test(test_two_speeds),
        cmocka_unit_test(test_slow_down),
        cmocka_unit_test(test_not_watched),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_samples),
    };
    const int rc = cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
    free(content);
    return rc;
}
