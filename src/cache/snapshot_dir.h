/* snapshot_dir.h - the folder of snapshot.h: names of files, and which of them go when there are
 * too many.
 */
#ifndef GLIM_CACHE_SNAPSHOT_DIR_H
#define GLIM_CACHE_SNAPSHOT_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/snapshot.h"

enum { SNAPSHOT_FILE = 8 + 1 + 2 * SNAPSHOT_HASH + 4 }; /* bytes of a name with its 0 */

struct snapshot_dir {
    char *path; /* owned */
    int fd;     /* of the folder, -1 = none */
    uint64_t budget, bytes; /* of all files: so many allowed; there, as far as is known */
    bool counted;
};

/* A folder of the user's own that is closed to others; made if it is not there. */
int snapshot_dir_open(struct snapshot_dir *d, const char *path, uint64_t budget, struct err *e);
void snapshot_dir_close(struct snapshot_dir *d);

void snapshot_file(const struct snapshot_name *name, char file[SNAPSHOT_FILE]);

/* A file of so many bytes is there now. Over the budget, files go, down to nine tenths of it; all
 * of them are looked at then, and the first time. Also removes what dead writers left behind. */
void snapshot_dir_added(struct snapshot_dir *d, uint64_t bytes);

/* Writes a whole file under another name, then gives it its own. GLIM_EIO; nothing is left then. */
int snapshot_dir_put(struct snapshot_dir *d, const char *file, const void *bytes, size_t n,
                     struct err *e);

#endif
