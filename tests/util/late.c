/* late.c - see late.h. */
#include "util/late.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"

void late_fail(struct late *l, unsigned n, int error)
{
    l->fail_from = l->begun + 1;
    l->fail_to = l->begun + n;
    l->error = error;
}

static int64_t result_of(struct late *l, struct read *r)
{
    l->begun++;
    if ((l->begun >= l->fail_from && l->begun <= l->fail_to) || r->tries < l->first_tries)
        return -l->error;
    const ssize_t n = pread(r->fd, r->piece_to, r->piece_bytes, (off_t)r->piece_at);
    if (n > 0 && l->wrong > 0) {
        l->wrong--;
        r->piece_to[n / 2] ^= 4;
    }
    if (n <= 0 || !l->most || (size_t)n <= l->most)
        return n < 0 ? -errno : n;
    memset(r->piece_to + l->most, 0xdb, (size_t)n - l->most);
    return (int64_t)l->most;
}

static void late_start(void *self, struct read *r)
{
    struct late *const l = self;
    assert_true(l->n < LATE_DEPTH);
    assert_int_equal(r->piece_at % READ_ALIGN, 0);
    assert_int_equal(r->piece_bytes % READ_ALIGN, 0);
    assert_int_equal((uintptr_t)r->piece_to % READ_ALIGN, 0);
    r->result = result_of(l, r);
    l->held[l->n++] = r;
}

static struct read *late_next(void *self, bool wait)
{
    struct late *const l = self;
    if (l->n == 0 || (!wait && rng_below(&l->rng, 2)))
        return NULL;
    const size_t i = rng_below(&l->rng, l->n);
    struct read *const r = l->held[i];
    l->held[i] = l->held[--l->n];
    return r;
}

static void late_close(void *self) { assert_int_equal(((struct late *)self)->n, 0); }

const struct read_engine late_engine = {
    .name = "late", .start = late_start, .next = late_next, .close = late_close};
