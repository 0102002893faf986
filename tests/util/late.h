/* late.h - an engine for readers over real files, whose drive answers late, in any order, in part,
 * or with an error.
 */
#ifndef GLIM_TESTS_UTIL_LATE_H
#define GLIM_TESTS_UTIL_LATE_H

#include "base/reader.h"
#include "util/rng.h"

enum { LATE_DEPTH = 32 }; /* reads in flight, at most */

struct late {
    struct rng rng;  /* the order of arrival, and when a look finds nothing though there is one */
    size_t most;     /* bytes that a piece brings; 0 = all */
    unsigned begun;  /* pieces so far */
    unsigned fail_from, fail_to; /* those of them that fail, counted from 1; 0 = none */
    unsigned first_tries;        /* so many tries of each read fail */
    int error;
    unsigned wrong;  /* pieces, from the next on, that come with a bit flipped */
    struct read *held[LATE_DEPTH]; /* begun and not back */
    size_t n;
};

/* self of reader_open_with is the caller's struct late, which outlives the reader. */
extern const struct read_engine late_engine;

/* The next n pieces fail; what was to fail before does not. */
void late_fail(struct late *l, unsigned n, int error);

#endif
