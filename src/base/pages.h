/* pages.h - large memory of our own, that all threads read.
 *
 * Pages of 2 MiB where the system has them to spare. On a machine with several memory nodes the
 * pages lie on all of them in turn, so that each reads at the speed of all: nobody can tell which
 * thread will want an expert or a token's latents. (Mapped weights lie where the thread that read
 * them first runs, which is the one that reads those rows in each job: pool.h.)
 */
#ifndef GLIM_BASE_PAGES_H
#define GLIM_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zeros, bytes > 0; none is taken from the system before it is written to. NULL: the system refuses
 * so many. */
void *pages_take(uint64_t bytes);
void pages_give_back(void *p, uint64_t bytes); /* p may be NULL */

/* The nodes of a list as /sys has it ("0-1,4"), one bit each; false: it is none, or names one that
 * has no bit. */
bool pages_nodes(const char *list, uint64_t *nodes);

#endif
