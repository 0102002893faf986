/* reader_threads.c - reads by threads that pread: where io_uring is missing or forbidden. */
#include "base/reader.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"

enum { THREADS_MAX = 16 };

struct queue {
    struct read *first, *last;
};

struct threads {
    pthread_mutex_t lock;
    pthread_cond_t asked, done;
    struct queue to_do, is_done;
    bool stop;
    unsigned n;
    pthread_t id[THREADS_MAX];
};

static void put(struct queue *q, struct read *r)
{
    r->next = NULL;
    if (q->first)
        q->last->next = r;
    else
        q->first = r;
    q->last = r;
}

static struct read *take(struct queue *q)
{
    struct read *const r = q->first;
    if (r)
        q->first = r->next;
    return r;
}

static void *work(void *ctx)
{
    struct threads *const t = ctx;
    pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        struct read *const r = take(&t->to_do);
        if (!r) {
            pthread_cond_wait(&t->asked, &t->lock);
            continue;
        }
        pthread_mutex_unlock(&t->lock);
        const ssize_t n = pread(r->fd, r->piece_to, r->piece_bytes, (off_t)r->piece_at);
        r->result = n < 0 ? -errno : n;
        pthread_mutex_lock(&t->lock);
        put(&t->is_done, r);
        pthread_cond_signal(&t->done);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static void threads_close(void *self)
{
    struct threads *const t = self;
    pthread_mutex_lock(&t->lock);
    t->stop = true;
    pthread_cond_broadcast(&t->asked);
    pthread_mutex_unlock(&t->lock);
    for (unsigned i = 0; i < t->n; i++)
        pthread_join(t->id[i], NULL);
    pthread_cond_destroy(&t->done);
    pthread_cond_destroy(&t->asked);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void *read_threads_new(unsigned depth)
{
    struct threads *const t = mem_zalloc(1, sizeof *t);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->asked, NULL);
    pthread_cond_init(&t->done, NULL);
    while (t->n < min_u64(depth, THREADS_MAX)
           && pthread_create(&t->id[t->n], NULL, work, t) == 0)
        t->n++;
    if (t->n > 0)
        return t;
    threads_close(t);
    return NULL;
}

static void threads_start(void *self, struct read *r)
{
    struct threads *const t = self;
    pthread_mutex_lock(&t->lock);
    put(&t->to_do, r);
    pthread_cond_signal(&t->asked);
    pthread_mutex_unlock(&t->lock);
}

static struct read *threads_next(void *self, bool wait)
{
    struct threads *const t = self;
    pthread_mutex_lock(&t->lock);
    while (wait && !t->is_done.first)
        pthread_cond_wait(&t->done, &t->lock);
    struct read *const r = take(&t->is_done);
    pthread_mutex_unlock(&t->lock);
    return r;
}

const struct read_engine read_threads = {
    .name = "threads",
    .start = threads_start,
    .next = threads_next,
    .close = threads_close,
};
