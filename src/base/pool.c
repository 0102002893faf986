/* pool.c - see pool.h. Workers sleep on a condition variable between jobs and take indices from one
 * counter. */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct worker {
    struct pool *pool;
    int index; /* 1 .. threads - 1; the caller is 0 */
    pthread_t thread;
};

struct pool {
    int threads, started;
    struct worker *worker; /* [threads - 1] */
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    /* the current job; guarded by lock but for `next` */
    unsigned long job;
    int busy;
    bool quit;
    pool_fn *fn;
    void *ctx;
    size_t n;
    atomic_size_t next;
    /* the meter */
    bool metered;
    uint64_t since_ns, waited_ns;      /* waited: by the caller, for the others */
    atomic_uint_least64_t worked_ns;   /* by the others */
};

static void drain(struct pool *p, int worker)
{
    for (size_t i; (i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->n;)
        p->fn(p->ctx, i, worker);
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
    unsigned long seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->quit && p->job == seen)
            pthread_cond_wait(&p->wake, &p->lock);
        if (p->quit)
            break;
        seen = p->job;
        pthread_mutex_unlock(&p->lock);
        work(p, self->index);
        pthread_mutex_lock(&p->lock);
        if (--p->busy == 0)
            pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int pool_new(struct pool **out, int threads, struct err *e)
{
    *out = NULL;
    if (threads < 1 || threads > 4096)
        return err_set(e, GLIM_EINVAL, "threads: %d, expected 1 to 4096", threads);
    struct pool *const p = mem_zalloc(1, sizeof *p);
    if (!p)
        return err_nomem(e, "thread pool", sizeof *p);
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    p->worker = mem_zalloc((uint64_t)threads, sizeof *p->worker);
    if (!p->worker) {
        pool_free(p);
        return err_nomem(e, "thread pool", (unsigned long long)threads * sizeof *p->worker);
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
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->started; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->worker);
    free(p);
}

int pool_threads(const struct pool *p) { return p->threads; }

void pool_for(struct pool *p, size_t n, pool_fn *fn, void *ctx)
{
    if (p->threads == 1 || n < 2) {
        for (size_t i = 0; i < n; i++)
            fn(ctx, i, 0);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->ctx = ctx;
    p->n = n;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    p->busy = p->started;
    p->job++;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    drain(p, 0);
    const uint64_t begin = p->metered ? now_ns() : 0;
    pthread_mutex_lock(&p->lock);
    while (p->busy > 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
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
