/* shares.h - what each of several drives is to read of what all of them have, as their speeds
 * change.
 */
#ifndef GLIM_BASE_SHARES_H
#define GLIM_BASE_SHARES_H

#include <stdbool.h>
#include <stdint.h>

struct drive_use { /* of a drive, while somebody watched */
    uint64_t bytes, busy_ns;
};

/* Once `use` has SHARES_BYTES in all: moves weight[n], each > 0, a quarter of the way to the
 * bandwidths that it shows, and returns true: the use is to be counted anew. Within 1/16 of them
 * nothing moves, so that what is measured a little different each time moves no stripe to another
 * drive. A drive keeps 1/64 of all, or nobody would see that it recovers; one that was not used
 * keeps its part. The sum of the weights stays. */
enum { SHARES_BYTES = 256 << 20 };
bool shares_follow(double *weight, const struct drive_use *use, unsigned n);

#endif
