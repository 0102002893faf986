/* test_pool.c - every index once, on a worker of its own name, and all results there on return.
 *
 * Run it under TSan too (make BUILD=tsan build/tsan/tests/unit/test_pool): the per-worker counters
 * and the caller's reads are plain memory, so a missing order between threads is a report.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "base/util.h"

enum { THREADS_MAX = 16, N_MAX = 3000 };

struct job {
    int threads;
    int ran[N_MAX];         /* how often index i ran; written by whoever runs it */
    size_t of[THREADS_MAX]; /* indices that a worker ran; its own memory */
    size_t last;            /* for one thread: the index before */
    int wrong_worker;
};

static void count_index(void *ctx, size_t i, int worker)
{
    struct job *const j = ctx;
    if (worker < 0 || worker >= j->threads) {
        j->wrong_worker = 1;
        return;
    }
    j->ran[i]++;
    j->of[worker]++;
}

static struct pool *pool_of(int threads)
{
    struct pool *p;
    struct err e;
    assert_int_equal(pool_new(&p, threads, &e), GLIM_OK);
    assert_int_equal(pool_threads(p), threads);
    return p;
}

static void all_once(struct pool *p, size_t n)
{
    static struct job j;
    j = (struct job){.threads = pool_threads(p)};
    pool_for(p, n, count_index, &j);
    size_t sum = 0;
    for (int w = 0; w < j.threads; w++)
        sum += j.of[w];
    assert_int_equal(sum, n);
    assert_int_equal(j.wrong_worker, 0);
    for (size_t i = 0; i < N_MAX; i++)
        assert_int_equal(j.ran[i], i < n);
}

static void test_each_index_once(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 3, 8, THREADS_MAX};
    static const size_t sizes[] = {0, 1, 2, 3, 15, 16, 17, 1000, N_MAX};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        struct pool *const p = pool_of(threads[t]);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            all_once(p, sizes[s]);
        pool_free(p);
    }
}

/* Jobs so short that workers still wake up for one when the next begins. */
static void test_many_short_jobs(void **state)
{
    (void)state;
    struct pool *const p = pool_of(4);
    for (int i = 0; i < 3000; i++)
        all_once(p, (size_t)(i % 7));
    pool_free(p);
}

static void in_order(void *ctx, size_t i, int worker)
{
    struct job *const j = ctx;
    assert_int_equal(worker, 0);
    assert_int_equal(i, j->last++);
}

static void test_one_thread_is_a_loop(void **state)
{
    (void)state;
    struct pool *const p = pool_of(1);
    struct job *const j = calloc(1, sizeof *j);
    pool_for(p, 100, in_order, j);
    assert_int_equal(j->last, 100);
    free(j);
    pool_free(p);
}

/* The caller rests too, or it would take all indices before anyone else is awake. */
static void slow_elsewhere(void *ctx, size_t i, int worker)
{
    const struct timespec pause = {.tv_nsec = worker == 0 ? 500000 : 4000000};
    nanosleep(&pause, NULL);
    ((int *)ctx)[i] = 1;
}

static void test_waits_for_the_slowest(void **state)
{
    (void)state;
    struct pool *const p = pool_of(4);
    for (int rep = 0; rep < 10; rep++) {
        int done[8] = {0};
        pool_for(p, 8, slow_elsewhere, done);
        for (int i = 0; i < 8; i++)
            assert_int_equal(done[i], 1);
    }
    pool_free(p);
}

/* What one job wrote, the next may read on any thread. */
static void add_neighbours(void *ctx, size_t i, int worker)
{
    uint64_t (*const row)[64] = ctx;
    (void)worker;
    row[1][i] = row[0][i] + row[0][(i + 1) % 64];
}

static void test_jobs_see_each_other(void **state)
{
    (void)state;
    uint64_t row[2][64], want[2][64];
    struct pool *const p = pool_of(3);
    for (size_t i = 0; i < 64; i++)
        row[0][i] = want[0][i] = i;
    for (int step = 0; step < 40; step++) {
        pool_for(p, 64, add_neighbours, row);
        for (size_t i = 0; i < 64; i++)
            add_neighbours(want, i, 0);
        assert_memory_equal(row[1], want[1], sizeof row[1]);
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(want[0], want[1], sizeof want[0]);
    }
    pool_free(p);
}

/* Each thread begins at its own part, in rising order; here nobody is fast enough to help. */
static void note_first(void *ctx, size_t i, int worker)
{
    struct job *const j = ctx;
    if (j->of[worker]++ == 0)
        j->ran[worker] = (int)i;
    const struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
}

static void test_threads_begin_apart(void **state)
{
    (void)state;
    struct pool *const p = pool_of(3);
    struct job *const j = calloc(1, sizeof *j);
    pool_for(p, 11, note_first, j);
    static const int first[] = {0, 4, 8};
    for (int w = 0; w < 3; w++)
        assert_true(j->of[w] == 0 || j->ran[w] == first[w]);
    assert_int_equal(j->of[0] + j->of[1] + j->of[2], 11);
    free(j);
    pool_free(p);
}

/* A job is one where threads meet. */
static void test_counts_jobs(void **state)
{
    (void)state;
    struct pool *const p = pool_of(2), *const alone = pool_of(1);
    const uint64_t before = pool_jobs(p);
    all_once(p, 0);
    all_once(p, 1);
    assert_int_equal(pool_jobs(p) - before, 0);
    all_once(p, 2);
    all_once(p, 100);
    assert_int_equal(pool_jobs(p) - before, 2);
    all_once(alone, 100);
    assert_int_equal(pool_jobs(alone), 0);
    pool_free(p);
    pool_free(alone);
}

/* Workers end up on one processor each, never the first place, and the caller stays free. */
struct masks {
    cpu_set_t of[THREADS_MAX];
};

static void note_mask(void *ctx, size_t i, int worker)
{
    struct masks *const m = ctx;
    (void)i;
    sched_getaffinity(0, sizeof m->of[worker], &m->of[worker]);
    const struct timespec pause = {.tv_nsec = 1000000};
    nanosleep(&pause, NULL);
}

static void test_pins_workers(void **state)
{
    (void)state;
    int place[CPU_PLACES_MAX], threads;
    const int places = cpu_places(place, &threads);
    static struct masks m;
    if (threads > THREADS_MAX)
        skip();
    struct pool *const p = pool_of(threads), *const many = pool_of(places + 1);
    assert_int_equal(pool_pin(p), threads - 1);
    assert_int_equal(pool_pin(many), 0);
    for (int i = 0; i < THREADS_MAX; i++)
        CPU_ZERO(&m.of[i]);
    pool_for(p, (size_t)threads * 8, note_mask, &m);
    for (int w = 1; w < threads; w++) {
        if (CPU_COUNT(&m.of[w]) == 0)
            continue; /* it came too late */
        assert_int_equal(CPU_COUNT(&m.of[w]), 1);
        assert_true(CPU_ISSET((size_t)place[w], &m.of[w]));
    }
    assert_int_equal(CPU_COUNT(&m.of[0]), places);
    pool_free(p);
    pool_free(many);
    struct pool *const few = pool_of(threads - 1 > 0 ? threads - 1 : 1);
    assert_int_equal(pool_pin(few), 0);
    pool_free(few);
}

static void rest_1_ms(void *ctx, size_t i, int worker)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    (void)ctx;
    (void)i;
    (void)worker;
    nanosleep(&pause, NULL);
}

/* What was worked and what was idle cannot be more than all the time that all threads had. */
static void test_meter(void **state)
{
    (void)state;
    enum { MS = 1000000, THREADS = 3, ITEMS = 60 };
    struct pool *const p = pool_of(THREADS);
    assert_int_equal(pool_idle_ns(p, now_ns()), 0);
    uint64_t begin = now_ns();
    pool_meter(p, true);
    pool_for(p, 1, rest_1_ms, NULL); /* the caller alone */
    uint64_t now = now_ns();
    assert_in_range(pool_idle_ns(p, now), (THREADS - 1) * MS, (THREADS - 1) * (now - begin));
    begin = now;
    pool_meter(p, true);
    pool_for(p, ITEMS, rest_1_ms, NULL);
    now = now_ns();
    assert_in_range(pool_idle_ns(p, now), 0, THREADS * (now - begin) - ITEMS * MS);
    pool_meter(p, false);
    assert_int_equal(pool_idle_ns(p, now_ns()), 0);
    pool_free(p);
}

/* A pool of one is never idle: what the caller does between jobs is work. */
static void test_meter_of_one(void **state)
{
    (void)state;
    struct pool *const p = pool_of(1);
    pool_meter(p, true);
    pool_for(p, 3, rest_1_ms, NULL);
    assert_int_equal(pool_idle_ns(p, now_ns()), 0);
    pool_free(p);
}

static void test_refuses_counts(void **state)
{
    (void)state;
    static const int bad[] = {0, -1, 4097, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct pool *p = (struct pool *)(void *)&p;
        struct err e;
        assert_int_equal(pool_new(&p, bad[i], &e), GLIM_EINVAL);
        assert_null(p);
        assert_non_null(strstr(e.text, "expected 1 to 4096"));
    }
    pool_free(NULL);
}

static void no_work(void *ctx, size_t i, int worker)
{
    (void)ctx;
    (void)i;
    (void)worker;
}

/* Pools come and go without work, and several exist at once. */
static void test_lifetimes(void **state)
{
    (void)state;
    for (int i = 0; i < 50; i++)
        pool_free(pool_of(1 + i % 5));
    for (int i = 0; i < 2000; i++) { /* freed while a worker comes and goes */
        struct pool *const p = pool_of(2);
        for (const uint64_t until = now_ns() + 150000; now_ns() < until;)
            pool_for(p, 2, no_work, NULL);
        for (volatile int wait = 0; wait < i % 97; wait++)
            ;
        pool_free(p);
    }
    struct pool *const a = pool_of(3), *const b = pool_of(2);
    all_once(a, 100);
    all_once(b, 100);
    pool_free(a);
    all_once(b, 10);
    pool_free(b);
}

/* ---- bench ---- */
static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void work_item(void *ctx, size_t i, int worker)
{
    (void)i;
    (void)worker;
    const uint64_t until = now_ns() + *(const uint64_t *)ctx;
    while (now_ns() < until)
        ;
}

/* What a job of one item of work_ns a thread takes beyond that, one job right after the other and
 * after a rest that lets threads fall asleep. */
static void bench_threads(int threads, uint64_t work_ns, long rest_ns)
{
    enum { JOBS = 2001 };
    static double took[JOBS];
    struct pool *const p = pool_of(threads);
    for (int i = 0; i < JOBS; i++) {
        const struct timespec rest = {.tv_nsec = rest_ns};
        if (rest_ns)
            nanosleep(&rest, NULL);
        const uint64_t start = now_ns();
        pool_for(p, (size_t)threads, work_item, &work_ns);
        took[i] = (double)(now_ns() - start) - (double)work_ns;
    }
    qsort(took, JOBS, sizeof *took, by_value);
    printf("%2d threads, %2.0f us each, %3.0f us apart: median %7.0f ns, 10%% %7.0f, 90%% %7.0f\n",
           threads, 1e-3 * (double)work_ns, 1e-3 * (double)rest_ns, took[JOBS / 2],
           took[JOBS / 10], took[JOBS * 9 / 10]);
    pool_free(p);
}

static int bench(void)
{
    for (int threads = 1; threads <= 4; threads++)
        for (int rest = 0; rest < 2; rest++)
            bench_threads(threads, 20000, rest * 300000);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--bench") == 0)
        return bench();
    (void)argv;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_index_once),
        cmocka_unit_test(test_many_short_jobs),
        cmocka_unit_test(test_one_thread_is_a_loop),
        cmocka_unit_test(test_waits_for_the_slowest),
        cmocka_unit_test(test_jobs_see_each_other),
        cmocka_unit_test(test_threads_begin_apart),
        cmocka_unit_test(test_counts_jobs),
        cmocka_unit_test(test_pins_workers),
        cmocka_unit_test(test_meter),
        cmocka_unit_test(test_meter_of_one),
        cmocka_unit_test(test_refuses_counts),
        cmocka_unit_test(test_lifetimes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
