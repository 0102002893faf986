/* scan.c - see scan.h: a ring of blocks, of which the oldest is waited for. */
#include "base/scan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { BLOCK = 1 << 20, BLOCKS = 16 };

struct block {
    struct read read[SCAN_FILES];
    size_t away;   /* reads that are not back */
    uint64_t at;   /* of what is asked for: it begins in the first page read */
    size_t bytes;
};

struct scan {
    struct reader *reader;
    const uint32_t *file; /* [files] */
    size_t files;
    const struct range *range; /* [ranges]; what is left of the first is from `at` on */
    size_t ranges;
    uint64_t at;
    struct block block[BLOCKS];
    uint8_t *memory; /* [BLOCKS, files, BLOCK] */
};

/* Starts to read what comes next into a block; false: nothing is left. */
static bool start(struct scan *s, struct block *b)
{
    while (s->ranges && s->at >= s->range->to) {
        s->range++;
        s->ranges--;
        s->at = s->ranges ? s->range->from : 0;
    }
    if (!s->ranges)
        return false;
    const uint64_t page = s->at / READ_ALIGN * READ_ALIGN;
    b->at = s->at;
    b->bytes = (size_t)(min_u64(page + BLOCK, s->range->to) - s->at);
    b->away = s->files;
    const uint64_t end = ceil_div_u64(b->at + b->bytes, READ_ALIGN) * READ_ALIGN;
    for (size_t i = 0; i < s->files; i++) {
        uint8_t *const to = s->memory + ((size_t)(b - s->block) * s->files + i) * BLOCK;
        b->read[i] = (struct read){.file = s->file[i], .at = page, .bytes = (size_t)(end - page),
                                   .to = to, .owner = b};
        reader_submit(s->reader, &b->read[i]);
    }
    s->at += b->bytes;
    return true;
}

/* Waits until all of a block is there. */
static int finish(struct scan *s, struct block *b, struct err *e)
{
    while (b->away) {
        struct read *const q = reader_next(s->reader, true);
        assert(q);
        ((struct block *)q->owner)->away--;
    }
    for (size_t i = 0; i < s->files; i++)
        if (b->read[i].error)
            return reader_blame(s->reader, &b->read[i], e);
    return GLIM_OK;
}

static int hand_over(const struct scan *s, const struct block *b, scan_fn *fn, void *ctx,
                     struct err *e)
{
    const uint8_t *data[SCAN_FILES] = {NULL};
    for (size_t i = 0; i < s->files; i++)
        data[i] = b->read[i].to + b->at % READ_ALIGN;
    return fn(ctx, b->at, b->bytes, data, e);
}

static int walk(struct scan *s, scan_fn *fn, void *ctx, struct err *e)
{
    size_t first = 0, n = 0; /* the blocks under way */
    int rc = GLIM_OK;
    while (n < BLOCKS && start(s, &s->block[n]))
        n++;
    for (; rc == GLIM_OK && n > 0; first = (first + 1) % BLOCKS) {
        struct block *const b = &s->block[first];
        rc = finish(s, b, e);
        if (rc == GLIM_OK)
            rc = hand_over(s, b, fn, ctx, e);
        if (rc != GLIM_OK || !start(s, b))
            n--;
    }
    while (reader_in_flight(s->reader))
        (void)reader_next(s->reader, true);
    return rc;
}

int scan_files(struct reader *r, const uint32_t *file, size_t files, const struct range *range,
               size_t ranges, scan_fn *fn, void *ctx, struct err *e)
{
    assert(files > 0 && files <= SCAN_FILES && reader_in_flight(r) == 0);
    struct scan *const s = mem_zalloc(1, sizeof *s);
    uint8_t *const memory = aligned_alloc(READ_ALIGN, files * BLOCKS * BLOCK);
    int rc;
    if (!s || !memory) {
        rc = err_nomem(e, "blocks of files", files * BLOCKS * BLOCK);
    } else {
        *s = (struct scan){.reader = r, .file = file, .files = files, .range = range,
                           .ranges = ranges, .at = ranges ? range->from : 0, .memory = memory};
        rc = walk(s, fn, ctx, e);
    }
    free(memory);
    free(s);
    return rc;
}

size_t scan_samples(uint64_t bytes, uint64_t head, uint64_t tail, struct range out[SCAN_SAMPLES])
{
    head = min_u64(head, bytes);
    tail = min_u64(tail, bytes - head);
    const uint64_t pages = (bytes - head - tail) / READ_ALIGN;
    uint64_t random = bytes;
    size_t n = 0;
    out[n++] = (struct range){0, head};
    for (uint64_t i = 0; i < SCAN_PAGES; i++) {
        const uint64_t first = pages * i / SCAN_PAGES, end = pages * (i + 1) / SCAN_PAGES;
        if (first == end)
            continue;
        random = random * 6364136223846793005u + 1442695040888963407u;
        const uint64_t at = head + (first + (random >> 33) % (end - first)) * READ_ALIGN;
        out[n++] = (struct range){at, at + READ_ALIGN};
    }
    out[n++] = (struct range){bytes - tail, bytes};
    return n;
}

struct comparing {
    scan_progress_fn *progress;
    void *ctx;
    uint64_t done, differs;
};

enum { DIFFERS = 1 };

static int compare(void *ctx, uint64_t at, size_t bytes, const uint8_t *const *data, struct err *e)
{
    struct comparing *const c = ctx;
    if (memcmp(data[0], data[1], bytes) != 0) {
        size_t i = 0;
        while (data[0][i] == data[1][i])
            i++;
        c->differs = at + i;
        return DIFFERS;
    }
    c->done += bytes;
    if (c->progress && c->progress(c->ctx, c->done))
        return err_set(e, GLIM_ESTOPPED, "stopped");
    return GLIM_OK;
}

int scan_compare(struct reader *r, uint32_t a, uint32_t b, const struct range *range, size_t ranges,
                 scan_progress_fn *progress, void *ctx, uint64_t *differs, struct err *e)
{
    struct comparing c = {.progress = progress, .ctx = ctx, .differs = SCAN_SAME};
    const uint32_t file[SCAN_FILES] = {a, b};
    const int rc = scan_files(r, file, 2, range, ranges, compare, &c, e);
    *differs = c.differs;
    return rc == DIFFERS ? GLIM_OK : rc;
}
