/* drive.h - how fast the drive below a file is, and what room it has. */
#ifndef GLIM_BASE_DRIVE_H
#define GLIM_BASE_DRIVE_H

#include "base/reader.h"

/* Reads READ_STRIPE bytes at scattered places of a file, 16 at once, until `ns` have passed or
 * `bytes` were asked for: *bytes_per_s; 0 for an empty file. No other read of r is in flight. */
int drive_measure(struct reader *r, uint32_t file, uint64_t ns, uint64_t bytes,
                  double *bytes_per_s, struct err *e);
/* The same for the drive of a folder that holds no large file: with one of at most `bytes` that has
 * no name or loses it at once. GLIM_EIO if none can be made there. */
int drive_measure_folder(const char *dir, uint64_t ns, uint64_t bytes, double *bytes_per_s,
                         struct err *e);

struct drive_room {
    uint64_t free_bytes; /* for this user */
    uint64_t device;     /* equal numbers: the same file system */
};
/* Of the file system on which a file or folder is. */
int drive_room(const char *path, struct drive_room *out, struct err *e);

#endif
