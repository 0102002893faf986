/* ahead.h - memory of pages_take that the system gives before it is written to, asked by a thread
 * of its own, in steps. At the first touch of a page it would be cleared by who can wait least.
 * Only hints: no byte changes, and what was not reached comes when it is touched.
 */
#ifndef GLIM_BASE_AHEAD_H
#define GLIM_BASE_AHEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct stretch { /* of memory; bytes may be 0 */
    uint8_t *at;
    uint64_t bytes;
};

struct ahead;

/* Begins with s[0] of s[n], which is copied. The memory stays mapped until ahead_stop. *out NULL:
 * there is no thread to be had, which is no error. GLIM_ENOMEM. */
int ahead_start(struct ahead **out, const struct stretch *s, size_t n, struct err *e);
/* Ends it, done or not. NULL: nothing. */
void ahead_stop(struct ahead *a);

#endif
