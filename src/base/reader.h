/* reader.h - many reads of files in flight at once, past the page cache.
 *
 * One thread submits reads and takes them back in the order in which they end. Files are opened for
 * direct access where their file system has it: gigabytes that are read once would only push out of
 * the page cache what is needed there, and be copied once more. So offsets, lengths and addresses
 * are multiples of READ_ALIGN.
 *
 * What moves the bytes is an engine: io_uring where the system has it, else a few threads that
 * pread. Tests and simulated drives bring engines of their own.
 *
 *   R1  a read that was submitted comes back exactly once;
 *   R2  until then nobody else touches its bytes;
 *   R3  one that comes back without an error has all its bytes, or all up to the end that the file
 *       had when it was opened.
 */
#ifndef GLIM_BASE_READER_H
#define GLIM_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { READ_ALIGN = 4096 };

struct read { /* the caller's storage */
    uint32_t file; /* of reader_file */
    uint64_t at;   /* offset in it */
    size_t bytes;
    uint8_t *to;
    void *owner;   /* the caller's, left alone */

    size_t got;    /* out: less than bytes only at the end of the file */
    int error;     /* out: errno, ENODATA where the file shrank; 0 = all is there */

    /* the reader's */
    struct read *next;
    unsigned tries;
    /* for engines: the piece that is missing, and how its reading ended */
    int fd;
    uint64_t piece_at;
    size_t piece_bytes;
    uint8_t *piece_to;
    int64_t result; /* bytes, or minus errno */
};

struct read_engine {
    const char *name;
    /* Begins a piece. Never more than `depth` of reader_open are begun and not yet back. */
    void (*start)(void *self, struct read *r);
    /* A read whose piece is over, with its result; NULL: none is yet (waits for one if `wait`). */
    struct read *(*next)(void *self, bool wait);
    void (*close)(void *self);
};

struct reader;

/* depth: reads in flight, >= 1; more wait their turn. */
int reader_open(struct reader **out, unsigned depth, struct err *e);
/* With another engine, which becomes the reader's to close, even if this fails. */
int reader_open_with(struct reader **out, unsigned depth, const struct read_engine *engine,
                     void *self, struct err *e);
/* None may be in flight. */
void reader_close(struct reader *r);
const char *reader_name(const struct reader *r); /* its engine's */

/* Opens a regular file; its number goes to *file. The same path again gives the same number. */
int reader_file(struct reader *r, const char *path, uint32_t *file, struct err *e);

void reader_submit(struct reader *r, struct read *q);
/* One that came back; NULL: none yet (none at all, if `wait`). */
struct read *reader_next(struct reader *r, bool wait);
unsigned reader_in_flight(const struct reader *r); /* those that wait their turn included */

/* What went wrong with q, in words; returns GLIM_EIO. */
int reader_blame(const struct reader *r, const struct read *q, struct err *e);

/* ---- the engines ---- */

/* NULL where the system does not have it, or lets nobody use it. */
void *read_uring_new(unsigned depth);
extern const struct read_engine read_uring;
void *read_threads_new(unsigned depth); /* NULL: out of memory or threads */
extern const struct read_engine read_threads;

#endif
