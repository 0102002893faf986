/* doubts.c - see doubts.h. */
#include "weights/doubts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/util.h"
#include "weights/windows.h"

enum { MATRICES = 3 };

struct part { /* of a matrix, in one stripe */
    const char *tensor;
    const uint8_t *data;
    size_t bytes;
    uint32_t file;
    uint64_t at, sum;
    unsigned drive;
};

struct doubt {
    size_t n;
    struct part part[];
};

/* Cuts a piece at the stripes' bounds: how many parts; out may be NULL. */
static size_t cut_piece(const struct weights *w, const struct piece *mapped, const struct piece *at,
                        const char *tensor, struct part *out)
{
    uint32_t file = 0;
    uint64_t where = 0, done = 0;
    size_t n = 0;
    (void)weights_locate(w, *mapped->data, &file, &where);
    while (done < mapped->bytes) {
        const uint64_t rest = READ_STRIPE - (where + done) % READ_STRIPE;
        const uint64_t bytes = min_u64(rest, mapped->bytes - done);
        if (out)
            out[n] = (struct part){.tensor = tensor, .file = file, .at = where + done,
                                   .data = (const uint8_t *)*at->data + done,
                                   .bytes = (size_t)bytes};
        done += bytes;
        n++;
    }
    return n;
}

static size_t cut_expert(const struct weights *w, const struct expert *mapped,
                         const struct expert *at, struct part *out)
{
    size_t n = 0;
    for (size_t i = 0; i < MATRICES; i++) {
        struct matrix file = *expert_matrix(mapped, i), here = *expert_matrix(at, i);
        struct piece from[MATRIX_PIECES], to[MATRIX_PIECES];
        const size_t pieces = windows_pieces(&file, from);
        (void)windows_pieces(&here, to);
        for (size_t p = 0; p < pieces; p++)
            n += cut_piece(w, &from[p], &to[p], file.name, out ? out + n : NULL);
    }
    return n;
}

struct doubt *doubt_new(const struct reader *r, const struct weights *w,
                        const struct expert *mapped, const struct expert *at)
{
    const size_t n = cut_expert(w, mapped, at, NULL);
    struct doubt *const d = mem_zalloc(1, sizeof *d + n * sizeof d->part[0]);
    if (!d)
        return NULL;
    d->n = cut_expert(w, mapped, at, d->part);
    for (size_t i = 0; i < n; i++) {
        struct part *const p = &d->part[i];
        p->sum = XXH3_64bits(p->data, p->bytes);
        p->drive = reader_drive_of(r, p->file, p->at, false);
    }
    return d;
}

void doubt_free(struct doubt *d) { free(d); }

void doubt_tell(const struct doubt *d, const struct reader *r, unsigned no, unsigned *told)
{
    struct err e;
    for (size_t i = 0; i < d->n; i++) {
        const struct part *const p = &d->part[i];
        const unsigned drive = reader_drive_of(r, p->file, p->at, true);
        if (drive == p->drive || *told >> p->drive & 1
            || XXH3_64bits(p->data, p->bytes) == p->sum)
            continue;
        *told |= 1u << p->drive;
        (void)err_set(&e, GLIM_EIO,
                      "%s: %zu bytes at %" PRIu64 " were not what they should be (expert %u of "
                      "tensor \"%s\"); those of %s are; glim mirror verify says what else is wrong",
                      reader_path(r, p->file, p->drive), p->bytes, p->at, no, p->tensor,
                      reader_path(r, p->file, drive));
        reader_tell(r, e.text);
    }
}
