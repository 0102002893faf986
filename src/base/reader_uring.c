/* reader_uring.c - reads by io_uring: no thread, no copy. */
#include "base/reader.h"

#if GLIM_WITH_URING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "base/util.h"

/* The most that one read asks the system for; the reader goes on from there. */
static const size_t PIECE_MAX = (size_t)1 << 30;

struct uring {
    struct io_uring ring;
};

void *read_uring_new(unsigned depth)
{
    struct uring *const u = mem_zalloc(1, sizeof *u);
    if (u && io_uring_queue_init(depth, &u->ring, 0) == 0)
        return u;
    free(u);
    return NULL;
}

static void uring_close(void *self)
{
    struct uring *const u = self;
    io_uring_queue_exit(&u->ring);
    free(u);
}

static void uring_start(void *self, struct read *r)
{
    struct uring *const u = self;
    /* There is room: the ring is as long as reads are in flight. */
    struct io_uring_sqe *const sqe = io_uring_get_sqe(&u->ring);
    const unsigned bytes = (unsigned)min_u64(r->piece_bytes, PIECE_MAX);
    io_uring_prep_read(sqe, r->fd, r->piece_to, bytes, r->piece_at);
    io_uring_sqe_set_data(sqe, r);
    (void)io_uring_submit(&u->ring); /* what it cannot take now goes with the next call */
}

static struct read *uring_next(void *self, bool wait)
{
    struct uring *const u = self;
    struct io_uring_cqe *cqe = NULL;
    while (io_uring_peek_cqe(&u->ring, &cqe) != 0) {
        const int rc = wait ? io_uring_submit_and_wait(&u->ring, 1) : io_uring_submit(&u->ring);
        if (!wait && io_uring_peek_cqe(&u->ring, &cqe) != 0)
            return NULL;
        if (rc < 0 && rc != -EINTR && rc != -EAGAIN && rc != -EBUSY)
            return NULL;
    }
    struct read *const r = io_uring_cqe_get_data(cqe);
    r->result = cqe->res;
    io_uring_cqe_seen(&u->ring, cqe);
    return r;
}

#else

#include <stddef.h>

void *read_uring_new(unsigned depth)
{
    (void)depth;
    return NULL;
}

static void uring_close(void *self) { (void)self; }
static void uring_start(void *self, struct read *r) { (void)self, (void)r; }
static struct read *uring_next(void *self, bool wait)
{
    (void)self, (void)wait;
    return NULL;
}

#endif

const struct read_engine read_uring = {
    .name = "io_uring",
    .start = uring_start,
    .next = uring_next,
    .close = uring_close,
};
