/* mirrors.h - folders on other drives that hold copies of a checkpoint's files, under the same
 * names.
 *
 * A copy serves reads if it has the same size and the same bytes where it is looked at: all of the
 * file's header, its last page, and SCAN_PAGES pages in between. The rest is believed; whoever
 * wants to know compares all (mirror_compare).
 *
 * A folder may hold some of the files only. It must not be the model's own, nor hold links to its
 * files: two readers of one drive are no faster than one.
 */
#ifndef GLIM_WEIGHTS_MIRRORS_H
#define GLIM_WEIGHTS_MIRRORS_H

#include "base/scan.h"
#include "weights/weights.h"

/* Of a drive, in all rounds together, or until then. */
enum { MEASURE_BYTES = 96 << 20, MEASURE_NS = 120000000, MEASURE_ROUNDS = 4 };

/* DIR/name of file i; the caller frees it; NULL: out of memory. */
char *mirror_path(const struct weights *w, uint32_t i, const char *dir);

struct mirror_copy { /* of a file; numbers of a reader */
    uint32_t file, copy;
    bool there; /* is there anything of that name? */
};
/* Opens file i, and what `dir` has of it, for r. GLIM_EFORMAT with both sizes if they differ,
 * GLIM_EINVAL if it is the file itself. */
int mirror_open(const struct weights *w, struct reader *r, uint32_t i, const char *dir,
                struct mirror_copy *out, struct err *e);
/* Looks for a difference in the parts named above (whole: in all of the file). GLIM_EFORMAT with
 * both names and the first offset if there is one. progress: may be NULL. */
int mirror_compare(const struct weights *w, struct reader *r, uint32_t i, const char *dir,
                   const struct mirror_copy *c, bool whole, scan_progress_fn *progress, void *ctx,
                   struct err *e);

struct mirror_found {
    uint32_t files;     /* that are there, of weights_files */
    double bytes_per_s; /* of its drive, as measured */
};
/* Makes what n < READ_DRIVES folders have serve reads of the files, which windows_open_files has
 * opened for r, each drive with a share as fast as it is; out[0] are the files themselves, out[1 +
 * i] what folder i has. Reads MEASURE_BYTES of each drive. An error if a folder has none of the
 * files, or one that cannot serve. */
int mirrors_add(const struct weights *w, struct reader *r, const char *const *dir, size_t n,
                struct mirror_found *out, struct err *e);

#endif
