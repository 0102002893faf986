/* scan.h - walks through files from front to back, one alone or several side by side, with many
 * reads ahead of where it stands. For whoever looks at all bytes: to compare, copy, add up.
 */
#ifndef GLIM_BASE_SCAN_H
#define GLIM_BASE_SCAN_H

#include "base/reader.h"

enum { SCAN_FILES = 2 };

struct range {
    uint64_t from, to;
};

/* Bytes [at, at + bytes) of each file: data[files]. A code other than 0 ends the scan. */
typedef int scan_fn(void *ctx, uint64_t at, size_t bytes, const uint8_t *const *data,
                    struct err *e);

/* Calls fn with the bytes of the ranges, in their order, in blocks of at most a MiB. Each file is
 * as long as the ranges say. No other read of r is in flight. Takes 16 MiB of memory a file.
 * Returns what fn did, or what went wrong. */
int scan_files(struct reader *r, const uint32_t *file, size_t files, const struct range *range,
               size_t ranges, scan_fn *fn, void *ctx, struct err *e);

enum { SCAN_PAGES = 32, SCAN_SAMPLES = SCAN_PAGES + 2 };

/* What stands for a file of `bytes`: its first `head` and last `tail` bytes, and SCAN_PAGES pages
 * between, one somewhere in each of as many equal parts: the same ones each time. Rising; how
 * many. */
size_t scan_samples(uint64_t bytes, uint64_t head, uint64_t tail, struct range out[SCAN_SAMPLES]);

#define SCAN_SAME UINT64_MAX

/* Called with the bytes that are done; nonzero stops. */
typedef int scan_progress_fn(void *ctx, uint64_t done);

/* *differs: the first byte of the ranges that is not the same in both files, or SCAN_SAME. progress
 * may be NULL; GLIM_ESTOPPED if it said so. */
int scan_compare(struct reader *r, uint32_t a, uint32_t b, const struct range *range, size_t ranges,
                 scan_progress_fn *progress, void *ctx, uint64_t *differs, struct err *e);

#endif
