/* reader.c - see reader.h: files, reads that wait their turn, pieces that came back short. */
#include "base/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"

enum { READ_TRIES = 3 }; /* of a piece that fails or brings nothing */

struct file {
    char *path;
    int fd;
    uint64_t size;
};

struct reader {
    const struct read_engine *engine;
    void *self;
    struct file *file; /* [files] */
    size_t files, cap;
    unsigned depth, begun;
    struct read *first, *last; /* waiting their turn */
    unsigned waiting;
};

int reader_open_with(struct reader **out, unsigned depth, const struct read_engine *engine,
                     void *self, struct err *e)
{
    *out = mem_zalloc(1, sizeof **out);
    if (!*out) {
        engine->close(self);
        return err_nomem(e, "reader", sizeof **out);
    }
    **out = (struct reader){.engine = engine, .self = self, .depth = depth};
    return GLIM_OK;
}

int reader_open(struct reader **out, unsigned depth, struct err *e)
{
    *out = NULL;
    void *self = read_uring_new(depth);
    if (self)
        return reader_open_with(out, depth, &read_uring, self, e);
    self = read_threads_new(depth);
    return self ? reader_open_with(out, depth, &read_threads, self, e)
                : err_nomem(e, "threads that read", depth);
}

void reader_close(struct reader *r)
{
    if (!r)
        return;
    r->engine->close(r->self);
    for (size_t i = 0; i < r->files; i++) {
        close(r->file[i].fd);
        free(r->file[i].path);
    }
    free(r->file);
    free(r);
}

const char *reader_name(const struct reader *r) { return r->engine->name; }

int reader_file(struct reader *r, const char *path, uint32_t *file, struct err *e)
{
    for (size_t i = 0; i < r->files; i++)
        if (strcmp(r->file[i].path, path) == 0) {
            *file = (uint32_t)i;
            return GLIM_OK;
        }
    if (mem_grow(&r->file, &r->cap, r->files + 1, sizeof *r->file) != 0)
        return err_nomem(e, path, sizeof *r->file);
    struct file f = {.path = strdup(path)};
    if (!f.path)
        return err_nomem(e, path, strlen(path) + 1);
    const int rc = io_open_direct(path, &f.fd, &f.size, e);
    if (rc != 0) {
        free(f.path);
        return rc;
    }
    *file = (uint32_t)r->files;
    r->file[r->files++] = f;
    return GLIM_OK;
}

/* Begins what is missing of q. */
static void begin(struct reader *r, struct read *q)
{
    q->piece_at = q->at + q->got;
    q->piece_bytes = q->bytes - q->got;
    q->piece_to = q->to + q->got;
    q->result = 0;
    r->begun++;
    r->engine->start(r->self, q);
}

static void begin_waiting(struct reader *r)
{
    while (r->first && r->begun < r->depth) {
        struct read *const q = r->first;
        r->first = q->next;
        r->waiting--;
        begin(r, q);
    }
}

void reader_submit(struct reader *r, struct read *q)
{
    q->got = 0;
    q->error = 0;
    q->tries = 0;
    q->next = NULL;
    q->fd = r->file[q->file].fd;
    if (r->first)
        r->last->next = q;
    else
        r->first = q;
    r->last = q;
    r->waiting++;
    begin_waiting(r);
}

/* Is q over? Otherwise it is to be begun again. */
static bool over(const struct reader *r, struct read *q)
{
    const uint64_t end = r->file[q->file].size;
    const bool brought = q->result > 0;
    if (brought)
        q->got += (size_t)min_u64((uint64_t)q->result, q->piece_bytes);
    if (q->got == q->bytes || (q->result >= 0 && q->at + q->got >= end))
        return true;
    const size_t kept = q->got / READ_ALIGN * READ_ALIGN; /* direct access goes on from there */
    q->got = kept;
    if (brought && q->at + kept > q->piece_at)
        return false;
    if (q->result != -EINTR && q->result != -EAGAIN && ++q->tries == READ_TRIES) {
        q->error = q->result < 0 ? (int)-q->result : ENODATA;
        return true;
    }
    return false;
}

struct read *reader_next(struct reader *r, bool wait)
{
    for (;;) {
        struct read *const q = r->begun ? r->engine->next(r->self, wait) : NULL;
        if (!q)
            return NULL;
        r->begun--;
        if (over(r, q)) {
            begin_waiting(r);
            return q;
        }
        begin(r, q);
    }
}

unsigned reader_in_flight(const struct reader *r) { return r->begun + r->waiting; }

int reader_blame(const struct reader *r, const struct read *q, struct err *e)
{
    return err_set(e, GLIM_EIO, "%s: reading %zu bytes at %" PRIu64 ": %s", r->file[q->file].path,
                   q->bytes, q->at,
                   q->error == ENODATA ? "the file is shorter than it was" : strerror(q->error));
}
