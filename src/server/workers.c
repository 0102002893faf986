/* workers.c - threads that read requests and prepare answers, so that a long prompt keeps nobody
 * else's bytes waiting. The queue needs no limit of its own: each connection has one request in it
 * at most. */
#include <stdlib.h>

#include "base/util.h"
#include "server/http_impl.h"

enum { WORKERS_MAX = 16 };

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct exchange *first, *last;
    struct http_handler handler;
    pthread_t thread[WORKERS_MAX];
    int threads;
    bool stopping;
};

static struct exchange *next(struct workers *w)
{
    (void)pthread_mutex_lock(&w->lock);
    while (!w->first && !w->stopping)
        (void)pthread_cond_wait(&w->wake, &w->lock);
    struct exchange *const x = w->first;
    if (x) {
        w->first = x->next;
        if (!w->first)
            w->last = NULL;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return x;
}

static void *run(void *ctx)
{
    struct workers *const w = ctx;
    for (struct exchange *x; (x = next(w)) != NULL;) {
        w->handler.serve(w->handler.ctx, x);
        exchange_release(x);
    }
    return NULL;
}

int workers_start(struct workers **out, int threads, const struct http_handler *handler,
                  struct err *e)
{
    struct workers *const w = mem_zalloc(1, sizeof *w);
    *out = w;
    if (!w)
        return err_nomem(e, "workers", sizeof *w);
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->wake, NULL);
    w->handler = *handler;
    while (w->threads < threads && w->threads < WORKERS_MAX) {
        if (pthread_create(&w->thread[w->threads], NULL, run, w) != 0)
            return err_set(e, GLIM_ENOMEM, "server: no thread");
        w->threads++;
    }
    return GLIM_OK;
}

void workers_put(struct workers *w, struct exchange *x)
{
    x->next = NULL;
    (void)pthread_mutex_lock(&w->lock);
    if (w->last)
        w->last->next = x;
    else
        w->first = x;
    w->last = x;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

void workers_stop(struct workers *w)
{
    if (!w)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->stopping = true;
    (void)pthread_cond_broadcast(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->threads; i++)
        (void)pthread_join(w->thread[i], NULL);
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}
