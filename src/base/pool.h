/* pool.h - a fixed set of threads and one way to use them; the only place that creates compute
 * threads.
 *
 * pool_for calls fn(ctx, i, worker) for every i in [0, n), spread over the threads, and returns
 * when all are done. Which thread runs which i is not defined, so each i writes its own output and
 * nothing else: results never depend on the number of threads. worker, in [0, threads), names the
 * thread, for scratch memory. fn must not call pool_for. One caller at a time.
 */
#ifndef GLIM_BASE_POOL_H
#define GLIM_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct pool;

typedef void pool_fn(void *ctx, size_t i, int worker);

/* threads >= 1, the caller's included: 1 means no thread is made. */
int pool_new(struct pool **out, int threads, struct err *e);
void pool_free(struct pool *p);
int pool_threads(const struct pool *p);
void pool_for(struct pool *p, size_t n, pool_fn *fn, void *ctx);

/* The meter: how long threads have nothing to do. On, it starts at zero, and each thread reads the
 * clock twice a job; off (as a pool begins), a job costs one comparison more. Between jobs only. */
void pool_meter(struct pool *p, bool on);
/* Since then, over all threads together and up to `now` (now_ns): waiting for a job, for its end or
 * for what the caller does alone. 0 while the meter is off. Between jobs only. */
uint64_t pool_idle_ns(const struct pool *p, uint64_t now);

#endif
