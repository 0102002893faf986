/* usage.h - how often each routed expert was used, kept across runs in an SQLite file, by model and
 * workload. Old uses fade: what is there halves with every USAGE_HALF_LIFE_TOK tokens that come.
 *
 *   U1  an addition is in the file whole or not at all, whenever the process is killed;
 *   U2  additions of several processes come one after the other, and none is lost;
 *   U3  a file that this did not write is left as it is.
 *
 * Each call opens the file and closes it: nothing is held between calls. The file is made with mode
 * 0600; it has a rollback journal, so that it is one file at rest and works on every file system
 * that has locks (a write-ahead log needs memory shared by its users). Built without SQLite both
 * calls say GLIM_EUNSUPPORTED.
 */
#ifndef GLIM_ENGINE_USAGE_H
#define GLIM_ENGINE_USAGE_H

#include <stdint.h>

#include "base/err.h"

enum { USAGE_HALF_LIFE_TOK = 1 << 17 };

/* Whose uses. */
struct usage_key {
    const char *model;    /* what it is, wherever it stands */
    const char *workload;
    const char *name;     /* of the model, for people */
    uint64_t layers, experts;
};

/* A history without tokens if there is none, or no file. uses: [layers, experts]. GLIM_EFORMAT,
 * GLIM_EIO: the file is no history, or cannot be read. */
int usage_read(const char *path, const struct usage_key *k, float *uses, uint64_t *tokens,
               struct err *e);

/* Adds uses [layers, experts] of so many tokens; makes the file if there is none. Waits so long for
 * others who write: GLIM_ESTOPPED if they are not done then. */
int usage_add(const char *path, const struct usage_key *k, const uint32_t *uses, uint64_t tokens,
              int wait_ms, struct err *e);

#endif
