/* reader_inside.h - what a reader is made of: for reader.c and reader_files.c. */
#ifndef GLIM_BASE_READER_INSIDE_H
#define GLIM_BASE_READER_INSIDE_H

#include "base/reader.h"
#include "base/shares.h"

enum { WIDTH_MIN = 4 }; /* stripes in flight a drive: what one of 1 to 14 GB/s takes to be busy */

struct file {
    char *path;
    int fd;
    uint64_t size;
    unsigned drives;            /* set of those that have it; 1: no copies */
    uint32_t copy[READ_DRIVES]; /* its file there; copy[0] is itself */
};

struct reader {
    const struct read_engine *engine;
    void *self;
    struct file *file; /* [files] */
    size_t files, cap;
    unsigned depth, width, begun; /* parts: that there are; to be in flight; in flight */
    unsigned least;               /* of width */
    unsigned burst, calm;         /* parts found since a look found none; such looks */
    struct read *first, *last;    /* of which not all is begun */
    unsigned waiting;
    struct read *part, *free;     /* [depth]; unused ones */
    double weight[READ_DRIVES];
    uint64_t brought[READ_DRIVES];
    unsigned left_out;         /* set of drives */
    unsigned drives;           /* 1: no file has copies */
    unsigned flying[READ_DRIVES]; /* parts in flight on each */
    struct drive_use use[READ_DRIVES];
    uint64_t seen_ns;          /* until then all that had ended was taken as it ended */
    uint64_t since_ns[READ_DRIVES]; /* each works at what it will bring next; 0: not known */
    reader_notice_fn *notice;
    void *notice_ctx;
};

/* ---- reader_files.c ---- */

void reader_close_files(struct reader *r);
/* The file that serves `file` there. */
const struct file *reader_copy(const struct reader *r, uint32_t file, unsigned drive);
/* Another drive goes on with a read that failed for good; false: there is none. */
bool reader_move(struct reader *r, struct read *q, int error);
const char *reader_error_text(int error);

#endif
