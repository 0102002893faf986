/* io.h - files: whole small ones into memory, large ones mapped read-only.
 *
 * A mapped file may shrink, or its disk vanish, while we read it; the kernel then raises SIGBUS. io
 * installs one handler that puts zero pages under the faulting address and marks the map as
 * damaged, so that the reader goes on, and the owner finds out by io_map_check before it believes
 * anything it computed. Faults elsewhere go to whoever handled SIGBUS before us. Each io_map_open
 * puts the handler back in front should another have taken its place.
 *
 * Invariant IO1: no result computed from a map is handed out before io_map_check has passed after
 * the reads.
 */
#ifndef GLIM_BASE_IO_H
#define GLIM_BASE_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct io_map {
    const uint8_t *data; /* [size], NULL when size is 0 */
    uint64_t size;
    char *path;          /* owned */
    int slot;            /* in the fault handler's table, -1 = none */
    uint64_t dev, ino;   /* identity at open */
};

/* Maps a regular file read-only. Anything but a regular file is refused without blocking (a FIFO, a
 * device). */
int io_map_open(struct io_map *m, const char *path, struct err *e);
void io_map_close(struct io_map *m);

/* GLIM_EIO if a read of this map has faulted since it was opened, or if the file is now shorter
 * than the map. */
int io_map_check(const struct io_map *m, struct err *e);

/* Says how [p, p + n) of the map is about to be read: a small piece among gigabytes that nobody
 * wants yet (alone), or as usual again. Without it each first touch pulls in the device's whole
 * read-ahead, often megabytes. */
void io_map_alone(const struct io_map *m, const void *p, uint64_t n, bool alone);

/* Cheap (one atomic load): has any map of this process faulted? */
bool io_any_fault(void);

/* Opens a regular file for reads past the page cache (O_DIRECT), where its file system has them;
 * the caller closes *fd. */
int io_open_direct(const char *path, int *fd, uint64_t *size, struct err *e);

/* Reads a whole regular file of at most `max` bytes; *out is 0-terminated and the caller frees
 * it. */
int io_read_file(const char *path, uint64_t max, char **out, size_t *len, struct err *e);

/* Reads n bytes where the descriptor stands; fewer at the end or an error. How many. */
size_t io_read_up_to(int fd, void *to, size_t n);

/* Writes all of it to a descriptor; short writes go on, errors (a full disk) are reported with
 * `name`. */
int io_write_all(int fd, const void *bytes, size_t n, const char *name, struct err *e);

#endif
