/* reader.h - many reads of files in flight at once, past the page cache.
 *
 * One thread submits reads and takes them back in the order in which they end. Files are opened for
 * direct access where their file system has it: gigabytes that are read once would only push out of
 * the page cache what is needed there, and be copied once more. So offsets, lengths and addresses
 * are multiples of READ_ALIGN.
 *
 * A drive shares itself out among all that is in flight: ten reads that are begun at once end at
 * once, late. So reads are cut into parts, where the offset in the file is a multiple of
 * READ_STRIPE, and no more parts are in flight than keep the drive busy: few, as long as the
 * thread looks in time to begin others; more, up to `depth`, after a look that found the drive
 * idle. So the first read that was submitted is there first, and can be worked on.
 *
 * What moves the bytes is an engine: io_uring where the system has it, else a few threads that
 * pread. Tests and simulated drives bring engines of their own.
 *
 * A file may have copies on other drives. Each stripe belongs to one copy: stripe i of file f to
 * the one in whose share of [0, 1) the fraction of (i + 97 f) * 0.618... lies. Neighbours are so
 * spread as evenly as the shares allow, and a stripe comes from the same drive each time, which may
 * have a cache, as long as the drives keep their speeds: shares follow these (shares.h). A drive
 * whose read fails for good is left out from then on where another has a copy, and said so once;
 * its reads are done by the others.
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
#include "base/io.h"

enum {
    READ_ALIGN = 4096,
    READ_STRIPE = 1 << 20,
    READ_DRIVES = 8, /* that a file may be on */
};

struct read { /* the caller's storage */
    uint32_t file; /* of reader_file */
    uint64_t at;   /* offset in it */
    size_t bytes;
    uint8_t *to;
    void *owner;   /* the caller's, left alone */
    bool other;    /* each stripe from another drive than its own, if another has it */

    size_t got;    /* out: less than bytes only at the end of the file */
    int error;     /* out: errno, ENODATA where the file shrank; 0 = all is there */

    /* the reader's */
    struct read *next;
    unsigned tries;
    unsigned drive, failed; /* that reads it; set of those that could not */
    struct read *whole;     /* of which this is a part */
    size_t cut, parts;      /* bytes that went into parts; parts that are not back */
    /* for engines: the piece that is missing, and how its reading ended */
    int fd;
    uint64_t piece_at;
    size_t piece_bytes;
    uint8_t *piece_to;
    int64_t result; /* bytes, or minus errno */
};

struct read_engine {
    const char *name;
    bool by_mapping; /* brings no bytes: who reads looks at the file as it is mapped (reads that are
                      * over, in R3, have all their bytes there) */
    /* Begins a piece. Never more than `depth` of reader_open are begun and not yet back. */
    void (*start)(void *self, struct read *r);
    /* A read whose piece is over, with its result; NULL: none is yet (waits for one if `wait`). */
    struct read *(*next)(void *self, bool wait);
    void (*close)(void *self);
    /* NULL: the system's. Simulated drives have a time of their own. */
    uint64_t (*now_ns)(void *self);
};

struct reader;

/* depth: parts in flight at most, >= 1. */
int reader_open(struct reader **out, unsigned depth, struct err *e);
/* With another engine, which becomes the reader's to close, even if this fails. */
int reader_open_with(struct reader **out, unsigned depth, const struct read_engine *engine,
                     void *self, struct err *e);
/* None may be in flight. */
void reader_close(struct reader *r);
const char *reader_name(const struct reader *r); /* its engine's */
bool reader_by_mapping(const struct reader *r);  /* the same */

/* Opens a regular file; its number goes to *file. The same path again gives the same number. */
int reader_file(struct reader *r, const char *path, uint32_t *file, struct err *e);
uint64_t reader_bytes(const struct reader *r, uint32_t file); /* when it was opened */
/* GLIM_EIO unless that is the file that m maps, as long as it was then: a path may have changed
 * hands in between. */
int reader_same(const struct reader *r, uint32_t file, const struct io_map *m, struct err *e);

/* From now on `copy`, another file of this reader, serves reads of `file` too, as what `drive` has
 * of it: 1 .. READ_DRIVES - 1; drive 0 has the files themselves. None may be in flight. That the
 * bytes are the same is the caller's to know (weights/mirrors.h); GLIM_EINVAL if the sizes
 * differ. */
int reader_mirror(struct reader *r, uint32_t file, uint32_t copy, unsigned drive, struct err *e);
/* What a drive gets of the files that it has, beside the others' weights: its bandwidth. > 0; all
 * are 1 at first. From then on the shares follow what the drives give (shares.h). */
void reader_share(struct reader *r, unsigned drive, double weight);
/* Called, from reader_next, with a line on each drive that is left out from now on. */
typedef void reader_notice_fn(void *ctx, const char *text);
void reader_on_notice(struct reader *r, reader_notice_fn *fn, void *ctx);
void reader_tell(const struct reader *r, const char *text); /* a line for it */
/* Which drive reads a stripe of a file now, and the path there. */
unsigned reader_drive_of(const struct reader *r, uint32_t file, uint64_t at, bool other);
const char *reader_path(const struct reader *r, uint32_t file, unsigned drive);
/* What it has brought since the last reader_mirror. */
uint64_t reader_drive_bytes(const struct reader *r, unsigned drive);

void reader_submit(struct reader *r, struct read *q);
/* One that came back; NULL: none yet (none at all, if `wait`). */
struct read *reader_next(struct reader *r, bool wait);
/* 0: all that was submitted has come back. Counts parts, and reads that wait their turn. */
unsigned reader_in_flight(const struct reader *r);
uint64_t reader_now_ns(const struct reader *r); /* its engine's time */

/* What went wrong with q, in words; returns GLIM_EIO. */
int reader_blame(const struct reader *r, const struct read *q, struct err *e);

/* ---- the engines ---- */

/* NULL where the system does not have it, or lets nobody use it. */
void *read_uring_new(unsigned depth);
extern const struct read_engine read_uring;
void *read_threads_new(unsigned depth); /* NULL: out of memory or threads */
extern const struct read_engine read_threads;

/* For measuring: a drive in numbers (reader_drive.c). */
struct drive_model {
    double bytes_per_s;  /* > 0 */
    uint64_t latency_ns; /* before a read's first byte */
    unsigned depth;      /* reads that it works on at once, >= 1 */
};
void *read_drive_new(const struct drive_model *m, unsigned depth); /* NULL: out of memory */
extern const struct read_engine read_drive;

#endif
