/* resident.c - see resident.h. */
#include "weights/resident.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/ahead.h"
#include "base/pages.h"
#include "base/util.h"
#include "weights/windows.h"

enum { BLOCK = 8 << 20, BLOCKS = 8 }; /* of a read; in flight */

struct loading {
    struct piece *piece;   /* [pieces] */
    struct window *window; /* [windows] */
    size_t pieces, windows;
    uint64_t bytes;
};

static int find_windows(struct loading *l, const struct weights *w, struct matrix *const *m,
                        size_t n, struct err *e)
{
    *l = (struct loading){0};
    l->piece = mem_zalloc(n * MATRIX_PIECES, sizeof *l->piece);
    l->window = mem_zalloc(n * MATRIX_PIECES, sizeof *l->window);
    if (!l->piece || !l->window)
        return err_nomem(e, "list of matrices", n * MATRIX_PIECES * sizeof *l->piece);
    for (size_t i = 0; i < n; i++)
        l->pieces += windows_pieces(m[i], l->piece + l->pieces);
    l->bytes = windows_around(w, l->piece, l->pieces, l->window, &l->windows);
    return GLIM_OK;
}

static void loading_free(struct loading *l)
{
    free(l->piece);
    free(l->window);
}

int resident_bytes(const struct weights *w, struct matrix *const *m, size_t n, uint64_t *bytes,
                   struct err *e)
{
    struct loading l;
    const int rc = find_windows(&l, w, m, n, e);
    *bytes = l.bytes;
    loading_free(&l);
    return rc;
}

/* The next piece of the windows, at *window and *from in it; false: there is none. */
static bool next_block(const struct loading *l, uint8_t *memory, size_t *window, uint64_t *from,
                       struct read *q)
{
    if (*window == l->windows)
        return false;
    const struct window *const x = &l->window[*window];
    const uint64_t bytes = min_u64(BLOCK, x->bytes - *from);
    *q = (struct read){.file = x->file, .at = x->at + *from, .bytes = (size_t)bytes,
                       .to = memory + x->into + *from};
    *from += bytes;
    if (*from == x->bytes) {
        *from = 0;
        ++*window;
    }
    return true;
}

static int read_windows(const struct loading *l, struct reader *reader, uint8_t *memory,
                        resident_progress_fn *progress, void *ctx, struct err *e)
{
    struct read block[BLOCKS];
    size_t window = 0;
    uint64_t from = 0, done = 0;
    int rc = GLIM_OK;
    for (size_t i = 0; i < BLOCKS && next_block(l, memory, &window, &from, &block[i]); i++)
        reader_submit(reader, &block[i]);
    for (struct read *q; (q = reader_next(reader, true)) != NULL;) {
        if (q->error && rc == GLIM_OK)
            rc = reader_blame(reader, q, e);
        done += q->bytes;
        if (progress)
            progress(ctx, done, l->bytes);
        if (rc == GLIM_OK && next_block(l, memory, &window, &from, q))
            reader_submit(reader, q);
    }
    return rc;
}

static int fill_and_read(const struct loading *l, struct reader *reader, uint8_t *memory,
                         const struct stretch *after, resident_progress_fn *progress, void *ctx,
                         struct err *e)
{
    const struct stretch fill[] = {{memory, l->bytes}, *after};
    struct ahead *ahead;
    if (ahead_start(&ahead, fill, COUNT_OF(fill), e) != 0)
        return e->code;
    const int rc = read_windows(l, reader, memory, progress, ctx, e);
    ahead_stop(ahead);
    return rc;
}

int resident_load(struct resident *r, const struct weights *w, struct reader *reader,
                  struct matrix *const *m, size_t n, const struct stretch *after,
                  resident_progress_fn *progress, void *ctx, struct err *e)
{
    struct loading l;
    *r = (struct resident){0};
    int rc = find_windows(&l, w, m, n, e);
    if (rc == 0) {
        *r = (struct resident){.memory = pages_take(l.bytes), .bytes = l.bytes};
        if (!r->memory) {
            rc = err_nomem(e, "always-on weights", l.bytes);
        } else {
            rc = fill_and_read(&l, reader, r->memory, after, progress, ctx, e);
        }
    }
    if (rc == 0) {
        r->locked = mlock(r->memory, (size_t)r->bytes) == 0;
        (void)mprotect(r->memory, (size_t)r->bytes, PROT_READ);
        windows_move(l.piece, l.pieces, l.window, r->memory);
    } else {
        resident_free(r);
    }
    loading_free(&l);
    return rc;
}

void resident_free(struct resident *r)
{
    pages_give_back(r->memory, r->bytes);
    *r = (struct resident){0};
}
