/* reader.c - see reader.h: reads that wait their turn, pieces that came back short. */
#include "base/reader_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

enum {
    READ_TRIES = 3, /* of a piece that fails or brings nothing */
    CALM = 64,      /* looks that find nothing back, before there is one fewer */
    GAP_NS = 50000, /* between two looks that see all that ends as it ends */
};

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
    r->drives = 1;
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
    reader_close_files(r);
    free(r->part);
    free(r);
}

const char *reader_name(const struct reader *r) { return r->engine->name; }
bool reader_by_mapping(const struct reader *r) { return r->engine->by_mapping; }

uint64_t reader_now_ns(const struct reader *r)
{
    return r->engine->now_ns ? r->engine->now_ns(r->self) : now_ns();
}

/* ---- reads ---- */

/* Begins what is missing of q. */
static void begin(struct reader *r, struct read *q)
{
    q->piece_at = q->at + q->got;
    q->piece_bytes = q->bytes - q->got;
    q->piece_to = q->to + q->got;
    q->result = 0;
    if (r->drives > 1 && r->flying[q->drive] == 0)
        r->since_ns[q->drive] = reader_now_ns(r);
    if (r->begun++ == 0)
        r->seen_ns = r->since_ns[q->drive];
    r->flying[q->drive]++;
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
    const uint64_t at = q->at + q->cut;
    const uint64_t to = min_u64((at / READ_STRIPE + 1) * READ_STRIPE, q->at + q->bytes);
    const unsigned drive = reader_drive_of(r, q->file, at, q->other);
    struct read *const p = r->free;
    r->free = p->next;
    *p = (struct read){.file = q->file, .at = at, .bytes = (size_t)(to - at), .to = q->to + q->cut,
                       .drive = drive, .fd = reader_copy(r, q->file, drive)->fd, .whole = q};
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
        if (reader_move(r, q, error))
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

/* How long a drive takes for a part is known where its end is seen as it comes, and so was the end
 * of the part before, or its beginning on an idle drive; what is found after a gap may have ended
 * long before. p: what came of a look, or of waiting, from `from` on. */
static void watch(struct reader *r, const struct read *p, uint64_t from, bool wait)
{
    const uint64_t now = reader_now_ns(r);
    const bool gapless = from - r->seen_ns < GAP_NS, waited = wait && now - from >= GAP_NS;
    if (!gapless)
        memset(r->since_ns, 0, sizeof r->since_ns);
    if (p && !gapless && !waited)
        return;
    r->seen_ns = now;
    if (!p)
        return;
    const unsigned d = p->drive;
    if (r->since_ns[d]) {
        r->use[d].busy_ns += now - r->since_ns[d];
        r->use[d].bytes += p->result > 0 ? (uint64_t)p->result : 0;
    }
    r->since_ns[d] = r->flying[d] > 1 ? now : 0;
    if (shares_follow(r->weight, r->use, r->drives))
        memset(r->use, 0, sizeof r->use);
}

/* A part that came back. */
static struct read *take_part(struct reader *r, bool wait)
{
    if (r->begun == 0)
        return NULL;
    const uint64_t from = r->drives > 1 ? reader_now_ns(r) : 0;
    struct read *const p = r->engine->next(r->self, wait);
    if (r->drives > 1)
        watch(r, p, from, wait);
    if (p) {
        r->begun--;
        r->flying[p->drive]--;
    }
    return p;
}

struct read *reader_next(struct reader *r, bool wait)
{
    for (;;) {
        struct read *const p = take_part(r, wait);
        if (!p) {
            narrow(r);
            return NULL;
        }
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
                   q->bytes, q->at, reader_error_text(q->error));
}
