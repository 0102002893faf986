/* sums.h - checksums of routed experts as they lie in the files, to hold what is read against.
 *
 * XXH3 of 64 bits (libxxhash) of each matrix and each grid of scales: against bits that flip on the
 * way from a drive to memory, not against people. A SHA-256 would be safe from these too, at a
 * tenth of the speed, for every read again.
 *
 * They are made once, by reading every expert, and are as good as those reads: whether the files
 * are what was published is for glim verify to say. Kept in a sidecar, sums-KEY in a folder of the
 * caller's, KEY made of the files' paths:
 *
 *     "glimsum1", layers, experts a layer, what the files were (path, size, time, device, inode)
 *     known [layers]                  1: the layer's sums are there
 *     sum   [layers, experts, SUMS]
 *     XXH3 of all before              each 64 bits, as the machine has them
 *
 * A sidecar that is not whole, or not of these files as they are now, is as none.
 */
#ifndef GLIM_WEIGHTS_SUMS_H
#define GLIM_WEIGHTS_SUMS_H

#include "weights/experts.h"
#include "weights/weights.h"
#include "weights/windows.h"

enum { SUMS = 3 * MATRIX_PIECES }; /* of an expert: gate, its scales, up ..., down ...; 0 = none */

struct sums;
struct store;

/* Of the experts of x, whose files are w's: those that the sidecar in `folder` has. GLIM_EIO,
 * GLIM_ENOMEM. */
int sums_open(struct sums **out, const struct weights *w, const struct experts *x,
              const char *folder, struct err *e);
void sums_close(struct sums *s);

/* Called with the bytes that are read, and all; nonzero stops. */
typedef int sums_progress_fn(void *ctx, uint64_t done, uint64_t total);
/* Reads the experts of which no sums are known through a store that does not check, and keeps what
 * it learns, also if it is stopped (GLIM_ESTOPPED) or fails. */
int sums_build(struct sums *s, struct store *store, sums_progress_fn *progress, void *ctx,
               struct err *e);

/* Is expert `key` (layer * per_layer + expert), as it was read to `at`, what it should be? */
bool sums_match(const struct sums *s, uint32_t key, const struct expert *at);
/* Which tensor is not, with both sums; returns GLIM_EIO. */
int sums_blame(const struct sums *s, uint32_t key, const struct expert *at, struct err *e);

#endif
