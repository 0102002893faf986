/* copyfile.h - a large file copied into a folder on another drive.
 *
 * The copy grows as NAME.part and gets its name when all of it is on the drive, so NAME is whole
 * wherever it exists, and never takes the place of something. What a former attempt has left is
 * gone on with if it is part of this file: its last 2 * COPYFILE_SYNC bytes, of which a crash may
 * have taken some, are compared in full, those before them by samples.
 *
 * A part must be a regular file of this user (or of the folder's owner) with one name: a link would
 * send the bytes elsewhere.
 */
#ifndef GLIM_BASE_COPYFILE_H
#define GLIM_BASE_COPYFILE_H

#include "base/scan.h"

enum { COPYFILE_SYNC = 1 << 28 }; /* bytes between two syncs */

/* Bytes of dir/name.part; 0: there is none. */
int copyfile_left(const char *dir, const char *name, uint64_t *bytes, struct err *e);

/* Copies the file `from` to dir/name. progress (may be NULL) is called with the bytes that are
 * there. GLIM_EIO that names what stands in the way; GLIM_ELIMIT if the drive has not the room;
 * GLIM_ESTOPPED if progress said so: what is done stays for the next attempt. */
int copyfile(const char *from, const char *dir, const char *name, scan_progress_fn *progress,
             void *ctx, struct err *e);

#endif
