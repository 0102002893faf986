/* reader_drive.c - a drive that does not exist: for measuring what a machine would do with one of
 * another speed than its own.
 *
 * Reads end when a drive of these numbers would have ended them:
 *
 *     begun_i = max(submitted_i, end_{i - depth})
 *     end_i   = max(begun_i + latency, end_{i - 1}) + bytes_i / bandwidth
 *
 * so up to `depth` reads wait for their first byte at the same time, and one after the other has
 * all of the bandwidth. A true drive costs the processors next to nothing, while a copy, or mapping
 * pages anew, takes a core at 10 GB/s. So this one brings no bytes: when a read is over, whoever
 * asked for it may look at the file as it is mapped (read_engine.by_mapping), whose pages should be
 * in the system's cache by then.
 */
#include "base/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "base/util.h"

/* The system wakes a sleeper so much later than it wished: the rest is waited for awake. */
enum { WAKE_NS = 70000 };

struct drive {
    struct drive_model model;
    struct read **queue; /* [room] a ring, in the order in which they end */
    uint64_t *end;       /* [room] when read i ends, ns */
    size_t room;
    uint64_t submitted, taken;
};

void *read_drive_new(const struct drive_model *m, unsigned depth)
{
    struct drive *const d = mem_zalloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->model = *m;
    d->room = max_u64(depth, m->depth) + 1;
    d->queue = mem_zalloc(d->room, sizeof *d->queue);
    d->end = mem_zalloc(d->room, sizeof *d->end);
    if (d->queue && d->end)
        return d;
    read_drive.close(d);
    return NULL;
}

static void drive_close(void *self)
{
    struct drive *const d = self;
    free(d->queue);
    free(d->end);
    free(d);
}

/* When a read of so many bytes that is submitted now ends. */
static uint64_t end_of(const struct drive *d, uint64_t now, uint64_t bytes)
{
    const uint64_t i = d->submitted;
    const uint64_t turn = i >= d->model.depth ? d->end[(i - d->model.depth) % d->room] : 0;
    const uint64_t first = max_u64(now, turn) + d->model.latency_ns;
    const uint64_t free_at = i > 0 ? d->end[(i - 1) % d->room] : 0;
    return max_u64(first, free_at) + (uint64_t)((double)bytes * 1e9 / d->model.bytes_per_s);
}

/* What a true drive would bring: bytes, or minus errno. */
static int64_t there(const struct read *r)
{
    struct stat st;
    if (fstat(r->fd, &st) != 0)
        return -errno;
    const uint64_t size = (uint64_t)st.st_size;
    return (int64_t)(size > r->piece_at ? min_u64(r->piece_bytes, size - r->piece_at) : 0);
}

static void drive_start(void *self, struct read *r)
{
    struct drive *const d = self;
    const uint64_t now = now_ns();
    r->result = there(r);
    d->end[d->submitted % d->room] = end_of(d, now, r->result > 0 ? (uint64_t)r->result : 0);
    d->queue[d->submitted++ % d->room] = r;
}

static void wait_until(uint64_t then)
{
    uint64_t now = now_ns();
    if (then > now + WAKE_NS) {
        const uint64_t at = then - WAKE_NS;
        const struct timespec t = {(time_t)(at / 1000000000), (long)(at % 1000000000)};
        (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        now = now_ns();
    }
    while (now < then)
        now = now_ns();
}

static struct read *drive_next(void *self, bool wait)
{
    struct drive *const d = self;
    if (d->taken == d->submitted)
        return NULL;
    const uint64_t end = d->end[d->taken % d->room];
    if (!wait && now_ns() < end)
        return NULL;
    wait_until(end);
    return d->queue[d->taken++ % d->room];
}

const struct read_engine read_drive = {
    .name = "simulated drive",
    .by_mapping = true,
    .start = drive_start,
    .next = drive_next,
    .close = drive_close,
};
