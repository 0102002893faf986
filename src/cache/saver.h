/* saver.h - a thread that writes pages into a folder of snapshots, one after the other, while its
 * owner does something else.
 *
 * The owner gives it a copy of a page whenever it is ready. A page that cannot be written stays
 * with it and is tried again SAVER_AGAIN_S later, until then it is not ready: what a full disk
 * costs is snapshots.
 */
#ifndef GLIM_CACHE_SAVER_H
#define GLIM_CACHE_SAVER_H

#include "cache/snapshot.h"

#ifndef SAVER_AGAIN_S
#define SAVER_AGAIN_S 30
#endif

struct saver;

struct saver_counts {
    uint64_t pages, bytes; /* written */
    uint64_t failed;       /* attempts */
};

/* s: borrowed; its reading side stays the owner's. wake is called by the thread, with no lock held,
 * when it is ready again or has failed. */
int saver_new(struct saver **out, struct snapshot *s, uint64_t page_bytes, void (*wake)(void *ctx),
              void *ctx, struct err *e);
/* Ends what is being written, leaves the rest. */
void saver_free(struct saver *v);

bool saver_ready(struct saver *v);
/* Only when it is ready. Copies all, token and role [KV_PAGE_TOK], page [page_bytes]. */
void saver_give(struct saver *v, const struct snapshot_name *name, const int32_t *token,
                const uint8_t *role, const uint8_t *page);
/* Waits for it to be ready; false: it is not by then, or it cannot write. */
bool saver_wait(struct saver *v, uint64_t until_ns);
struct saver_counts saver_counts(struct saver *v);
/* What went wrong since the last write that succeeded, told once; false: nothing new. */
bool saver_fault(struct saver *v, struct err *e);

#endif
