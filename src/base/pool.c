/* pool.c - see pool.h. Jobs follow each other within microseconds while a token is computed, and
 * seconds apart otherwise: a thread without work watches for the next job for a moment, then sleeps
 * until it is woken.
 *
 * Everything that threads tell each other about a job is in one word:
 *
 *     state = job number (upper 16 bits) | OPEN | AWAITED | threads inside
 *
 * A worker that sees a new number goes in while the door is open, takes indices until there are
 * none, and leaves. The caller does the same, closes the door and waits until nobody is inside. So
 * a worker that wakes up late holds nobody up; all of a job's data is written before its door opens
 * and read only inside. A worker that slept through exactly 2^16 jobs misses one: no harm.
 */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/util.h"

enum { INSIDE = 0x1fff, OPEN = 0x2000, AWAITED = 0x4000, JOB = 0x10000 };
#define JOB_MASK 0xffff0000u

enum { THREADS_MAX = 4096, LINE_BYTES = 64 };
_Static_assert((int)THREADS_MAX <= (int)INSIDE, "every thread may be inside");

/* Waking a thread takes some 5 to 50 us, so watching for longer than that gains nothing. */
enum { WATCH_NS = 50000, LOOKS = 32 };

struct worker {
    struct pool *pool;
    int index; /* 1 .. threads - 1; the caller is 0 */
    pthread_t thread;
};

/* The indices that a thread begins with; on a line of its own. */
struct part {
    atomic_size_t next;
    size_t end;
    char rest[LINE_BYTES - sizeof(atomic_size_t) - sizeof(size_t)];
};

struct pool {
    int threads, started;
    bool watches;          /* false where threads would keep each other from running */
    struct worker *worker; /* [threads - 1] */
    struct part *part;     /* [threads] */
    pool_fn *fn;
    void *ctx;
    uint64_t jobs;
    atomic_bool quit;
    /* the meter */
    bool metered;
    uint64_t since_ns, waited_ns;    /* waited: by the caller, for the others */
    atomic_uint_least64_t worked_ns; /* by the others */
    char line[LINE_BYTES];
    atomic_uint state;
    char line_2[LINE_BYTES];
    atomic_uint asleep; /* workers that sleep or are about to */
};

/* Who a wake-up on `state` is for. */
enum sleeper { WORKERS = 1, CALLER = 2 };

static void futex_wait(atomic_uint *word, unsigned value, enum sleeper who)
{
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, NULL, NULL, who);
}

static void futex_wake(atomic_uint *word, int count, enum sleeper who)
{
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET_PRIVATE, count, NULL, NULL, who);
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Watches until (*s & mask) == value is `want`, for a moment; was it? *s: the state seen last. */
static bool watch(const struct pool *p, unsigned mask, unsigned value, bool want, unsigned *s)
{
    const uint64_t until = p->watches ? now_ns() + WATCH_NS : 0;
    do {
        for (int i = 0; i < LOOKS; i++) {
            *s = atomic_load_explicit(&p->state, memory_order_acquire);
            if (((*s & mask) == value) == want)
                return true;
            cpu_relax();
        }
    } while (p->watches && now_ns() < until);
    return false;
}

/* Waits for a job other than `seen` and returns its number, which may be gone by then.
 * Sequential consistency here and in announce: either the caller sees that we sleep, or we see its
 * job. */
static unsigned await_job(struct pool *p, unsigned seen)
{
    unsigned s;
    while (!watch(p, JOB_MASK, seen, false, &s)) {
        atomic_fetch_add(&p->asleep, 1);
        s = atomic_load(&p->state);
        if ((s & JOB_MASK) == seen)
            futex_wait(&p->state, s, WORKERS);
        atomic_fetch_sub(&p->asleep, 1);
    }
    return s & JOB_MASK;
}

static bool enter(struct pool *p)
{
    unsigned s = atomic_load_explicit(&p->state, memory_order_relaxed);
    while (s & OPEN)
        if (atomic_compare_exchange_weak_explicit(&p->state, &s, s + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static void leave(struct pool *p)
{
    const unsigned before = atomic_fetch_sub_explicit(&p->state, 1, memory_order_release);
    if (before & AWAITED && (before & INSIDE) == 1)
        futex_wake(&p->state, 1, CALLER);
}

/* All of one part that is left; the test spares the others' counters when there is nothing. */
static void drain_part(struct pool *p, struct part *part, int worker)
{
    while (atomic_load_explicit(&part->next, memory_order_relaxed) < part->end) {
        const size_t i = atomic_fetch_add_explicit(&part->next, 1, memory_order_relaxed);
        if (i < part->end)
            p->fn(p->ctx, i, worker);
    }
}

/* The own part first, then the ones after it. */
static void drain(struct pool *p, int worker)
{
    for (int i = 0; i < p->threads; i++)
        drain_part(p, &p->part[(worker + i) % p->threads], worker);
}

/* A worker's share of a job. */
static void work(struct pool *p, int worker)
{
    const uint64_t begin = p->metered ? now_ns() : 0;
    drain(p, worker);
    if (p->metered)
        atomic_fetch_add_explicit(&p->worked_ns, now_ns() - begin, memory_order_relaxed);
}

static void *worker_main(void *arg)
{
    const struct worker *const self = arg;
    struct pool *const p = self->pool;
    for (unsigned seen = 0;;) {
        seen = await_job(p, seen);
        if (atomic_load_explicit(&p->quit, memory_order_acquire))
            return NULL;
        if (enter(p)) {
            work(p, self->index);
            leave(p);
        }
    }
}

/* A new number, with or without work behind it. Nobody is inside. */
static void announce(struct pool *p, unsigned open, size_t wanted)
{
    const unsigned job = (atomic_load(&p->state) & JOB_MASK) + JOB;
    atomic_store(&p->state, job | open);
    if (atomic_load(&p->asleep))
        futex_wake(&p->state, wanted < INT_MAX ? (int)wanted : INT_MAX, WORKERS);
}

static void split(struct pool *p, size_t n)
{
    const size_t threads = (size_t)p->threads, each = n / threads, more = n % threads;
    for (size_t w = 0, at = 0; w < threads; w++) {
        atomic_store_explicit(&p->part[w].next, at, memory_order_relaxed);
        at += each + (w < more);
        p->part[w].end = at;
    }
}

/* Nobody may enter any more; waits for those inside. */
static void finish(struct pool *p)
{
    atomic_fetch_and_explicit(&p->state, ~(unsigned)OPEN, memory_order_relaxed);
    unsigned s;
    if (watch(p, INSIDE, 0, true, &s))
        return;
    s = atomic_fetch_or(&p->state, AWAITED) | AWAITED;
    for (; s & INSIDE; s = atomic_load_explicit(&p->state, memory_order_acquire))
        futex_wait(&p->state, s, CALLER);
}

void pool_for(struct pool *p, size_t n, pool_fn *fn, void *ctx)
{
    if (p->threads == 1 || n < 2) {
        for (size_t i = 0; i < n; i++)
            fn(ctx, i, 0);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->jobs++;
    split(p, n);
    announce(p, OPEN, n - 1);
    drain(p, 0);
    const uint64_t begin = p->metered ? now_ns() : 0;
    finish(p);
    p->waited_ns += p->metered ? now_ns() - begin : 0;
}

void pool_meter(struct pool *p, bool on)
{
    p->metered = on;
    p->since_ns = now_ns();
    p->waited_ns = 0;
    atomic_store_explicit(&p->worked_ns, 0, memory_order_relaxed);
}

uint64_t pool_idle_ns(const struct pool *p, uint64_t now)
{
    const uint64_t others = (uint64_t)(p->threads - 1) * (now - p->since_ns),
                   worked = atomic_load_explicit(&p->worked_ns, memory_order_relaxed);
    return p->metered ? others - min_u64(worked, others) + p->waited_ns : 0;
}

int pool_new(struct pool **out, int threads, struct err *e)
{
    *out = NULL;
    if (threads < 1 || threads > THREADS_MAX)
        return err_set(e, GLIM_EINVAL, "threads: %d, expected 1 to %d", threads, THREADS_MAX);
    struct pool *const p = mem_zalloc(1, sizeof *p);
    if (!p)
        return err_nomem(e, "thread pool", sizeof *p);
    p->threads = threads;
    p->watches = threads <= cpu_count();
    p->worker = mem_zalloc((uint64_t)threads, sizeof *p->worker);
    p->part = mem_zalloc((uint64_t)threads, sizeof *p->part);
    if (!p->worker || !p->part) {
        pool_free(p);
        return err_nomem(e, "thread pool",
                         (unsigned long long)threads * (sizeof *p->worker + sizeof *p->part));
    }
    while (p->started < threads - 1) {
        struct worker *const w = &p->worker[p->started];
        *w = (struct worker){.pool = p, .index = p->started + 1};
        const int rc = pthread_create(&w->thread, NULL, worker_main, w);
        if (rc != 0) {
            const int made = p->started;
            pool_free(p);
            return err_set(e, GLIM_ENOMEM, "thread %d of %d: %s", made + 2, threads, strerror(rc));
        }
        p->started++;
    }
    *out = p;
    return GLIM_OK;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    atomic_store_explicit(&p->quit, true, memory_order_release);
    announce(p, 0, INT_MAX);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    free(p->part);
    free(p->worker);
    free(p);
}

int pool_threads(const struct pool *p) { return p->threads; }

uint64_t pool_jobs(const struct pool *p) { return p->jobs; }

int pool_pin(struct pool *p)
{
    int place[CPU_PLACES_MAX], cores;
    const int places = cpu_places(place, &cores);
    if (p->threads < cores || p->threads > places)
        return 0;
    int pinned = 0;
    for (int i = 0; i < p->started; i++) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET((size_t)place[i + 1], &one);
        pinned += pthread_setaffinity_np(p->worker[i].thread, sizeof one, &one) == 0;
    }
    return pinned;
}
