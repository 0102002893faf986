/* doubts.h - whose bytes were wrong, where an expert's checksum was wrong and reading it again from
 * other drives was right: the stripe, and the drive that brought it.
 */
#ifndef GLIM_WEIGHTS_DOUBTS_H
#define GLIM_WEIGHTS_DOUBTS_H

#include "base/reader.h"
#include "weights/experts.h"
#include "weights/weights.h"

struct doubt;

/* What was read of an expert, each stripe as a checksum. mapped: as bound in the files of w, which
 * have those numbers in the reader too; at: where it was read to, which does not move. NULL: out of
 * memory, so nobody will know. */
struct doubt *doubt_new(const struct reader *r, const struct weights *w,
                        const struct expert *mapped, const struct expert *at);
void doubt_free(struct doubt *d);
/* The right bytes were read there now, with read.other: says to reader_on_notice where they differ
 * from those before, unless something was said of that drive already, which is what `told`, a set,
 * is for. no: the expert's in its layer. */
void doubt_tell(const struct doubt *d, const struct reader *r, unsigned no, unsigned *told);

#endif
