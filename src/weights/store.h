/* store.h - routed experts that do not all fit in memory: read from the files into slots (slots.h)
 * when a step wants what they do not hold.
 *
 * One step at a time visits one layer's experts at a time (experts.h). At store_begin all reads of
 * what is missing start, as far as there are slots; store_next hands out what is there, first what
 * was there before, then what arrives, in any order. A slot that is wanted is not emptied before
 * the visit is over (E1).
 *
 *   ST2  a slot whose reads failed holds nothing: the next visit tries again;
 *   ST4  with checksums (sums.h), a slot is ready only if what it holds has the right ones.
 *
 * A visit that wants most of a layer, as prompts do, goes through all layers once and then again:
 * each expert would push out the one that is needed soonest. So it reads a few experts ahead into a
 * few slots right behind the hand, and the others stay: for the next chunk, and for generation.
 */
#ifndef GLIM_WEIGHTS_STORE_H
#define GLIM_WEIGHTS_STORE_H

#include "base/ahead.h"
#include "base/reader.h"
#include "weights/experts.h"
#include "weights/sums.h"
#include "weights/weights.h"

struct store;
struct slot_classes;

/* For the experts of x, whose files are w's, whose classes are k (slots.h, not kept) and of which a
 * token uses `used` in a layer, with slots of `budget` bytes in all. Takes the reader, which has
 * the files open (windows_open_files), even if it fails. */
int store_open(struct store **out, const struct weights *w, const struct experts *x,
               const struct slot_classes *k, uint64_t used, uint64_t budget, struct reader *reader,
               struct err *e);
/* Between steps: slots of another budget, at most as many as at first. */
void store_resize(struct store *s, uint64_t budget);
void store_close(struct store *s);
uint64_t store_bytes(const struct store *s); /* of its slots */
struct stretch store_memory(const struct store *s); /* theirs; empty: experts are used as mapped */
uint64_t store_layer_bytes(const struct store *s, uint64_t layer); /* of all experts' slots */

/* From now on an expert is ready only if its checksum is right; one whose is not is read once more,
 * from other drives where these have copies, and said so (doubts.h), then is GLIM_EIO. Takes the
 * sums, which are whole; no visit is under way. */
void store_check_reads(struct store *s, struct sums *sums);
bool store_checks_reads(const struct store *s);

/* Visits experts[n] of a layer, rising, n <= per_layer. */
void store_begin(struct store *s, uint64_t layer, const uint32_t *expert, size_t n);
/* Which of those are ready and were not handed out yet: their places in `expert`, *n of them, and
 * where they are, until store_release. Waits for one, if `wait` and any is left; so *n = 0 then
 * means that all were handed out. What was handed out before must have been released. GLIM_EIO: one
 * cannot be read; the visit is to be ended. */
int store_next(struct store *s, bool wait, uint32_t *place, const struct expert **lease, size_t *n,
               struct err *e);
void store_release(struct store *s, const struct expert *lease);
void store_end(struct store *s);

/* Reads experts at random for so long, as many at once as there are slots and reads in flight, and
 * forgets all. */
int store_measure(struct store *s, uint64_t ns, double *bytes_per_s, struct err *e);
const char *store_reads(const struct store *s); /* the reader's engine */

struct store_counts { /* since opening */
    uint64_t wanted, hits;   /* experts */
    uint64_t reads, bytes;   /* from disk */
    uint64_t wait_ns;        /* in which a step had nothing to compute */
    uint64_t checked, wrong; /* experts held against their checksums; that differed */
    uint64_t check_ns;       /* that took */
};
void store_count(const struct store *s, struct store_counts *out);

#endif
