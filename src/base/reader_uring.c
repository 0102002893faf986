/* reader_uring.c - reads by io_uring: no thread, no copy, one system call for many.
 *
 * Memory that was lent is registered, so that the system does not look up its pages for every read;
 * where it refuses (a limit on locked memory), reads go without.
 */
#include "base/reader.h"

#if GLIM_WITH_URING

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#include "base/util.h"

enum { LENT_MAX = 1024 };
static const size_t LENT_BYTES = (size_t)1 << 30; /* the most of one registered buffer */

struct uring {
    struct io_uring ring;
    uint8_t *lent; /* registered in pieces of LENT_BYTES */
    size_t lent_bytes;
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

static void uring_lend(void *self, uint8_t *memory, size_t bytes)
{
    struct uring *const u = self;
    struct iovec piece[LENT_MAX];
    unsigned n = 0;
    for (size_t at = 0; at < bytes && n < LENT_MAX; at += LENT_BYTES)
        piece[n++] = (struct iovec){memory + at, (size_t)min_u64(LENT_BYTES, bytes - at)};
    if (u->lent_bytes == 0 && io_uring_register_buffers(&u->ring, piece, n) == 0) {
        u->lent = memory;
        u->lent_bytes = (size_t)min_u64(bytes, n * LENT_BYTES);
    }
}

/* The registered buffer that holds all of a piece, or -1. */
static int lent_buffer(const struct uring *u, const struct read *r)
{
    const uintptr_t at = (uintptr_t)r->piece_to - (uintptr_t)u->lent;
    if (!u->lent || at >= u->lent_bytes || r->piece_bytes > u->lent_bytes - at
        || at / LENT_BYTES != (at + r->piece_bytes - 1) / LENT_BYTES)
        return -1;
    return (int)(at / LENT_BYTES);
}

static void uring_start(void *self, struct read *r)
{
    struct uring *const u = self;
    /* There is room: the ring is as long as reads are in flight. */
    struct io_uring_sqe *const sqe = io_uring_get_sqe(&u->ring);
    const unsigned bytes = (unsigned)min_u64(r->piece_bytes, LENT_BYTES);
    const int lent = lent_buffer(u, r);
    if (lent >= 0)
        io_uring_prep_read_fixed(sqe, r->fd, r->piece_to, bytes, r->piece_at, lent);
    else
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
static void uring_lend(void *self, uint8_t *m, size_t n) { (void)self, (void)m, (void)n; }
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
    .lend = uring_lend,
    .close = uring_close,
};
