/* pool.h - a fixed set of threads and one way to use them; the only place that creates compute
 * threads.
 *
 * pool_for calls fn(ctx, i, worker) for every i in [0, n), spread over the threads, and returns
 * when all are done. Which thread runs which i is not defined, so each i writes its own output and
 * nothing else: results never depend on the number of threads. worker, in [0, threads), names the
 * thread, for scratch memory. fn must not call pool_for. One caller at a time.
 *
 * For speed, though: thread w begins with the w-th of equal, contiguous parts of [0, n), in rising
 * order, and helps where others are behind when its own is done. So items of equal bytes, numbered
 * as they lie in memory, make each thread read one stretch, the same in every job.
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

/* Gives each thread but the caller's a processor of its own for good, in the order of cpu_places;
 * the first is left for the caller, whose thread is not ours to pin. Only where there is a thread
 * for every physical core and a processor for every thread: two programs with fewer threads would
 * crowd the same cores and leave others idle. Returns how many were pinned. */
int pool_pin(struct pool *p);

/* Jobs since the pool was made for which threads had to meet: calls of pool_for with more than one
 * thread and more than one index. */
uint64_t pool_jobs(const struct pool *p);

/* The meter: how long threads have nothing to do. On, it starts at zero, and each thread reads the
 * clock twice a job; off (as a pool begins), a job costs one comparison more. Between jobs only. */
void pool_meter(struct pool *p, bool on);
/* Since then, over all threads together and up to `now` (now_ns): waiting for a job, for its end or
 * for what the caller does alone. 0 while the meter is off. Between jobs only. */
uint64_t pool_idle_ns(const struct pool *p, uint64_t now);

#endif
