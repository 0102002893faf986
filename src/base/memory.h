/* memory.h - how much memory this process may still take: what the system has available, and what
 * the limits of its control groups leave, of each from its own up to the root (cgroup v2 memory.max
 * and memory.high, v1 memory.limit_in_bytes). Pages of files that a group has read count as free:
 * the system gives them up first.
 */
#ifndef GLIM_BASE_MEMORY_H
#define GLIM_BASE_MEMORY_H

#include <stdint.h>

enum { MEMORY_GROUP_BYTES = 256 };

struct memory {
    uint64_t bytes;     /* of the machine; 0 = unknown */
    uint64_t available; /* of the machine now; 0 = unknown */
    uint64_t limit;     /* of the group that leaves least; UINT64_MAX = there is none */
    uint64_t left;      /* what it leaves now; UINT64_MAX = there is none */
    char group[MEMORY_GROUP_BYTES]; /* its folder, "" = there is none */
};

/* root: "" for this machine; a folder with a `proc` and control groups of its own in tests. What
 * cannot be read counts as not there. */
void memory_look(const char *root, struct memory *out);

/* What may be taken: the least of what is available and what is left. */
uint64_t memory_usable(const struct memory *m);

#endif
