/* resident.h - matrices that every token reads, held in memory of our own while experts are
 * streamed: the page cache would give them up for what passes through.
 *
 * They are read past the page cache, in file order, many pieces in flight, and locked where the
 * system allows so much; then the matrices point to the copy.
 */
#ifndef GLIM_WEIGHTS_RESIDENT_H
#define GLIM_WEIGHTS_RESIDENT_H

#include "base/ahead.h"
#include "base/reader.h"
#include "weights/weights.h"

struct resident {
    uint8_t *memory;
    uint64_t bytes;
    bool locked;
};

/* Called with the bytes that are there, and all. */
typedef void resident_progress_fn(void *ctx, uint64_t done, uint64_t total);

/* Bytes that resident_load takes for these matrices; the same data may be named several times. */
int resident_bytes(const struct weights *w, struct matrix *const *m, size_t n, uint64_t *bytes,
                   struct err *e);
/* The matrices stay as they were if it fails. progress may be NULL. Clearing new memory takes
 * longer than reading a fast drive: a thread has the system give it meanwhile, first the weights'
 * own and then, until they are there, `after`, the next that will be written to. */
int resident_load(struct resident *r, const struct weights *w, struct reader *reader,
                  struct matrix *const *m, size_t n, const struct stretch *after,
                  resident_progress_fn *progress, void *ctx, struct err *e);
void resident_free(struct resident *r);

#endif
