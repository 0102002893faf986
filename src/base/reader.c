/* reader.c - see reader.h: files and their copies, reads that wait their turn, pieces that came
 * back short. */
#include "base/reader.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"

enum {
    READ_TRIES = 3, /* of a piece that fails or brings nothing */
    WIDTH_MIN = 4,  /* stripes in flight a drive: what one of 1 to 14 GB/s takes to be busy */
    CALM = 64,      /* looks that find nothing back, before there is one fewer */
};

struct file {
    char *path;
    int fd;
    uint64_t size;
    unsigned drives;            /* set of those that have it; 1: no copies */
    uint32_t copy[READ_DRIVES]; /* its file there; copy[0] is itself */
};

struct reader {
    const struct read_engine *engine;
    void *self;
    struct file *file; /* [files] */
    size_t files, cap;
    unsigned depth, width, begun; /* parts: that there are; to be in flight; in flight */
    unsigned least;               /* of width */
    unsigned burst, calm;         /* parts found since a look found none; such looks */
    struct read *first, *last;    /* of which not all is begun */
    unsigned waiting;
    struct read *part, *free;     /* [depth]; unused ones */
    double weight[READ_DRIVES];
    uint64_t brought[READ_DRIVES];
    unsigned left_out;         /* set of drives */
    reader_notice_fn *notice;
    void *notice_ctx;
};

static const char *text_of(int error)
{
    return error == ENODATA ? "the file is shorter than it was" : strerror(error);
}

int reader_open_with(struct reader **out, unsigned depth, const struct read_engine *engine,
                     void *self, struct err *e)
{
    struct reader *const r = mem_zalloc(1, sizeof *r);
    struct read *const part = mem_zalloc(depth, sizeof *part);
    *out = NULL;
    if (!r || !part) {
        engine->close(self);
        free(r);
        free(part);
        return err_nomem(e, "reader", sizeof *r + depth * sizeof *part);
    }
    *r = (struct reader){.engine = engine, .self = self, .depth = depth, .part = part};
    r->width = r->least = (unsigned)min_u64(WIDTH_MIN, depth);
    for (unsigned d = 0; d < READ_DRIVES; d++)
        r->weight[d] = 1;
    for (unsigned i = 0; i < depth; i++) {
        part[i].next = r->free;
        r->free = &part[i];
    }
    *out = r;
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
    free(r->part);
    free(r);
}

const char *reader_name(const struct reader *r) { return r->engine->name; }
bool reader_by_mapping(const struct reader *r) { return r->engine->by_mapping; }

uint64_t reader_now_ns(const struct reader *r)
{
    return r->engine->now_ns ? r->engine->now_ns(r->self) : now_ns();
}

/* ---- files and copies ---- */

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
    f.drives = 1;
    f.copy[0] = *file;
    r->file[r->files++] = f;
    return GLIM_OK;
}

uint64_t reader_bytes(const struct reader *r, uint32_t file) { return r->file[file].size; }

int reader_same(const struct reader *r, uint32_t file, const struct io_map *m, struct err *e)
{
    const struct file *const f = &r->file[file];
    struct stat st;
    if (fstat(f->fd, &st) != 0)
        return err_set(e, GLIM_EIO, "%s: %s", f->path, strerror(errno));
    if ((uint64_t)st.st_dev != m->dev || (uint64_t)st.st_ino != m->ino)
        return err_set(e, GLIM_EIO, "%s: another file than when the model was opened", f->path);
    if (f->size != m->size)
        return err_set(e, GLIM_EIO,
                       "%s: %" PRIu64 " bytes, %" PRIu64 " when the model was opened",
                       f->path, f->size, m->size);
    return GLIM_OK;
}

int reader_mirror(struct reader *r, uint32_t file, uint32_t copy, unsigned drive, struct err *e)
{
    struct file *const f = &r->file[file];
    const struct file *const c = &r->file[copy];
    assert(drive > 0 && drive < READ_DRIVES && reader_in_flight(r) == 0);
    if (c->size != f->size)
        return err_set(e, GLIM_EINVAL, "%s: %" PRIu64 " bytes, expected %" PRIu64 " as in %s",
                       c->path, c->size, f->size, f->path);
    f->drives |= 1u << drive;
    f->copy[drive] = copy;
    r->least = (unsigned)max_u64(r->least, min_u64((drive + 1) * WIDTH_MIN, r->depth));
    r->width = (unsigned)max_u64(r->width, r->least);
    memset(r->brought, 0, sizeof r->brought);
    return GLIM_OK;
}

void reader_share(struct reader *r, unsigned drive, double weight)
{
    assert(drive < READ_DRIVES && weight > 0);
    r->weight[drive] = weight;
}

void reader_on_notice(struct reader *r, reader_notice_fn *fn, void *ctx)
{
    r->notice = fn;
    r->notice_ctx = ctx;
}

uint64_t reader_drive_bytes(const struct reader *r, unsigned drive) { return r->brought[drive]; }

/* Those that have f and are not in `failed`; without the ones left out, if there are others. */
static unsigned usable(const struct reader *r, const struct file *f, unsigned failed)
{
    const unsigned all = f->drives & ~failed, sound = all & ~r->left_out;
    return sound ? sound : all;
}

/* The one of `drives` whose stripe this is. */
static unsigned drive_of(const struct reader *r, uint32_t file, uint64_t at, unsigned drives)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u; /* 0.618... * 2^64 */
    const uint64_t fraction = (at / READ_STRIPE + (uint64_t)file * 97) * golden;
    double all = 0;
    unsigned last = 0;
    for (unsigned d = 0; d < READ_DRIVES; d++)
        all += drives >> d & 1 ? r->weight[d] : 0;
    double x = (double)(fraction >> 11) * 0x1p-53 * all;
    for (unsigned d = 0; d < READ_DRIVES; d++) {
        if (!(drives >> d & 1))
            continue;
        last = d;
        if (x < r->weight[d])
            break;
        x -= r->weight[d];
    }
    return last;
}

/* Another drive goes on with a read that failed for good; false: there is none. */
static bool move(struct reader *r, struct read *q, int error)
{
    const struct file *const f = &r->file[q->file];
    q->failed |= 1u << q->drive;
    const unsigned drives = usable(r, f, q->failed);
    if (!drives)
        return false;
    if (!(r->left_out >> q->drive & 1)) {
        struct err e;
        r->left_out |= 1u << q->drive;
        (void)err_set(&e, GLIM_EIO, "%s: reading %zu bytes at %" PRIu64 ": %s; other drives read "
                      "what they have copies of from now on",
                      r->file[f->copy[q->drive]].path, q->piece_bytes, q->piece_at, text_of(error));
        if (r->notice)
            r->notice(r->notice_ctx, e.text);
    }
    q->drive = drive_of(r, q->file, q->at, drives);
    q->fd = r->file[f->copy[q->drive]].fd;
    q->tries = 0;
    return true;
}

/* ---- reads ---- */

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

static void take_first(struct reader *r)
{
    r->first = r->first->next;
    r->waiting--;
}

/* What one drive reads of q, from where it was cut last: up to the end of the stripe. */
static struct read *cut(struct reader *r, struct read *q)
{
    const struct file *const f = &r->file[q->file];
    const uint64_t at = q->at + q->cut;
    const uint64_t to = min_u64((at / READ_STRIPE + 1) * READ_STRIPE, q->at + q->bytes);
    const unsigned drive = drive_of(r, q->file, at, usable(r, f, 0));
    struct read *const p = r->free;
    r->free = p->next;
    *p = (struct read){.file = q->file, .at = at, .bytes = (size_t)(to - at), .to = q->to + q->cut,
                       .drive = drive, .fd = r->file[f->copy[drive]].fd, .whole = q};
    q->cut += p->bytes;
    q->parts++;
    return p;
}

static void begin_waiting(struct reader *r)
{
    while (r->first && r->begun < r->width) {
        struct read *const q = r->first;
        struct read *const p = cut(r, q);
        if (q->cut == q->bytes)
            take_first(r);
        begin(r, p);
    }
}

/* A part is over; its whole read, if that was the last. */
static struct read *join(struct reader *r, struct read *p)
{
    struct read *const q = p->whole;
    q->got += p->got;
    q->parts--;
    if (p->error && !q->error) {
        q->error = p->error;
        if (q->cut < q->bytes)
            take_first(r); /* only the first is cut: the rest is not begun */
        q->cut = q->bytes;
    }
    p->next = r->free;
    r->free = p;
    return q->parts == 0 && q->cut == q->bytes ? q : NULL;
}

void reader_submit(struct reader *r, struct read *q)
{
    q->got = 0;
    q->error = 0;
    q->next = NULL;
    q->cut = q->parts = 0;
    if (r->first)
        r->last->next = q;
    else
        r->first = q;
    r->last = q;
    r->waiting++;
    begin_waiting(r);
}

/* Is q over? Otherwise it is to be begun again. */
static bool over(struct reader *r, struct read *q)
{
    const uint64_t end = r->file[q->file].size;
    const bool brought = q->result > 0;
    if (brought) {
        q->got += (size_t)min_u64((uint64_t)q->result, q->piece_bytes);
        r->brought[q->drive] += (uint64_t)q->result;
    }
    if (q->got == q->bytes || (q->result >= 0 && q->at + q->got >= end))
        return true;
    const size_t kept = q->got / READ_ALIGN * READ_ALIGN; /* direct access goes on from there */
    q->got = kept;
    if (brought && q->at + kept > q->piece_at)
        return false;
    if (q->result != -EINTR && q->result != -EAGAIN && ++q->tries == READ_TRIES) {
        const int error = q->result < 0 ? (int)-q->result : ENODATA;
        if (move(r, q, error))
            return false;
        q->error = error;
        return true;
    }
    return false;
}

/* A look found a part that is back. Where as many are back at once as should be in flight, the
 * drive was idle. */
static void widen(struct reader *r)
{
    if (++r->burst < r->width || !r->first)
        return;
    r->width = (unsigned)min_u64(2 * (uint64_t)r->width, r->depth);
    r->burst = r->calm = 0;
}

/* A look found none. */
static void narrow(struct reader *r)
{
    r->calm = 2 * r->burst > r->width ? 0 : r->calm + (r->begun == r->width);
    r->burst = 0;
    if (r->calm < CALM)
        return;
    r->calm = 0;
    r->width = (unsigned)max_u64(r->width - 1, r->least);
}

struct read *reader_next(struct reader *r, bool wait)
{
    for (;;) {
        struct read *const p = r->begun ? r->engine->next(r->self, wait) : NULL;
        if (!p) {
            narrow(r);
            return NULL;
        }
        r->begun--;
        if (!wait)
            widen(r);
        if (!over(r, p)) {
            begin(r, p);
            continue;
        }
        struct read *const whole = join(r, p);
        begin_waiting(r);
        if (whole)
            return whole;
    }
}

unsigned reader_in_flight(const struct reader *r) { return r->begun + r->waiting; }

int reader_blame(const struct reader *r, const struct read *q, struct err *e)
{
    return err_set(e, GLIM_EIO, "%s: reading %zu bytes at %" PRIu64 ": %s", r->file[q->file].path,
                   q->bytes, q->at, text_of(q->error));
}
