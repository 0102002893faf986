/* saver.c - see saver.h. */
#include "cache/saver.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "cache/kv.h"

struct saver {
    struct snapshot *snapshot;
    uint64_t page_bytes;
    void (*wake)(void *ctx);
    void *ctx;
    pthread_t thread;
    bool started;

    /* the thread's while full, else the owner's */
    struct snapshot_name name;
    int32_t token[KV_PAGE_TOK];
    uint8_t role[KV_PAGE_TOK];
    uint8_t *page; /* [page_bytes] */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t change;
    bool full, stopping, failing, untold;
    struct err fault;
    struct saver_counts counts;
};

/* Until something changes, or now_ns is `until`. */
static void wait_until(struct saver *v, uint64_t until)
{
    const struct timespec at = {.tv_sec = (time_t)(until / 1000000000),
                                .tv_nsec = (long)(until % 1000000000)};
    (void)pthread_cond_timedwait(&v->change, &v->lock, &at);
}

/* With the lock held before and after. */
static void save(struct saver *v)
{
    struct err e;
    uint64_t bytes;
    (void)pthread_mutex_unlock(&v->lock);
    const int rc =
        snapshot_write(v->snapshot, &v->name, v->token, v->role, v->page, &bytes, &e);
    (void)pthread_mutex_lock(&v->lock);
    v->full = rc != 0;
    v->counts.pages += rc == 0 && bytes > 0;
    v->counts.bytes += rc == 0 ? bytes : 0;
    v->counts.failed += rc != 0;
    if (rc != 0 && !v->failing) {
        v->untold = true;
        v->fault = e;
    }
    v->failing = rc != 0;
    (void)pthread_cond_broadcast(&v->change);
    (void)pthread_mutex_unlock(&v->lock);
    v->wake(v->ctx);
    (void)pthread_mutex_lock(&v->lock);
}

static void *work(void *ctx)
{
    struct saver *const v = ctx;
    (void)pthread_mutex_lock(&v->lock);
    for (;;) {
        while (!v->full && !v->stopping)
            (void)pthread_cond_wait(&v->change, &v->lock);
        if (v->stopping)
            break;
        save(v);
        const uint64_t again = now_ns() + (uint64_t)SAVER_AGAIN_S * 1000000000;
        while (v->failing && !v->stopping && now_ns() < again)
            wait_until(v, again);
    }
    (void)pthread_mutex_unlock(&v->lock);
    return NULL;
}

int saver_new(struct saver **out, struct snapshot *s, uint64_t page_bytes, void (*wake)(void *ctx),
              void *ctx, struct err *e)
{
    pthread_condattr_t monotonic;
    struct saver *const v = mem_zalloc(1, sizeof *v);
    *out = v;
    if (!v)
        return err_nomem(e, "saver", sizeof *v);
    v->snapshot = s;
    v->page_bytes = page_bytes;
    v->wake = wake;
    v->ctx = ctx;
    (void)pthread_mutex_init(&v->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC); /* as now_ns */
    (void)pthread_cond_init(&v->change, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    v->page = malloc(page_bytes);
    int rc = v->page ? GLIM_OK : err_nomem(e, "saver", page_bytes);
    if (rc == 0 && pthread_create(&v->thread, NULL, work, v) != 0)
        rc = err_set(e, GLIM_ENOMEM, "saver: no thread");
    v->started = rc == 0;
    if (rc != 0) {
        saver_free(v);
        *out = NULL;
    }
    return rc;
}

void saver_free(struct saver *v)
{
    if (!v)
        return;
    (void)pthread_mutex_lock(&v->lock);
    v->stopping = true;
    (void)pthread_cond_broadcast(&v->change);
    (void)pthread_mutex_unlock(&v->lock);
    if (v->started)
        (void)pthread_join(v->thread, NULL);
    (void)pthread_cond_destroy(&v->change);
    (void)pthread_mutex_destroy(&v->lock);
    free(v->page);
    free(v);
}

bool saver_ready(struct saver *v)
{
    (void)pthread_mutex_lock(&v->lock);
    const bool ready = !v->full;
    (void)pthread_mutex_unlock(&v->lock);
    return ready;
}

void saver_give(struct saver *v, const struct snapshot_name *name, const int32_t *token,
                const uint8_t *role, const uint8_t *page)
{
    v->name = *name;
    memcpy(v->token, token, sizeof v->token);
    memcpy(v->role, role, sizeof v->role);
    memcpy(v->page, page, v->page_bytes);
    (void)pthread_mutex_lock(&v->lock);
    v->full = true;
    (void)pthread_cond_broadcast(&v->change);
    (void)pthread_mutex_unlock(&v->lock);
}

bool saver_wait(struct saver *v, uint64_t until_ns)
{
    (void)pthread_mutex_lock(&v->lock);
    while (v->full && !v->failing && now_ns() < until_ns)
        wait_until(v, until_ns);
    const bool ready = !v->full;
    (void)pthread_mutex_unlock(&v->lock);
    return ready;
}

struct saver_counts saver_counts(struct saver *v)
{
    (void)pthread_mutex_lock(&v->lock);
    const struct saver_counts c = v->counts;
    (void)pthread_mutex_unlock(&v->lock);
    return c;
}

bool saver_fault(struct saver *v, struct err *e)
{
    (void)pthread_mutex_lock(&v->lock);
    const bool told = v->untold;
    if (told)
        *e = v->fault;
    v->untold = false;
    (void)pthread_mutex_unlock(&v->lock);
    return told;
}
