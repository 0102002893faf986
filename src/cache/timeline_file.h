/* timeline_file.h - the whole pages of one timeline in one file.
 *
 *     "glimtl01", pages u64
 *     page 0, page 1 ...      each as snapshot_form.h has it, encrypted if it was made with a key
 *
 * A file is complete or absent (S1 of snapshot.h): it grows under another name. A page that is
 * torn, changed, of another model or key is an error that says so; those before it are right.
 *
 * Needs zstd and OpenSSL: without them nothing can be opened (GLIM_EUNSUPPORTED).
 */
#ifndef GLIM_CACHE_TIMELINE_FILE_H
#define GLIM_CACHE_TIMELINE_FILE_H

#include "cache/snapshot_form.h"

struct timeline_file {
    char *path, *part; /* owned; part: what it is called while it grows, NULL: it is read */
    int fd;
    struct snapshot_form form;
    const struct snapshot_key *key; /* borrowed */
    struct snapshot_name last;      /* of the last page that was put or got */
    uint64_t pages, at, bytes;      /* in all; put or got; bytes of these */
};

/* A new one, in place of what has that path once it is whole. GLIM_EIO, GLIM_ENOMEM. */
int timeline_create(struct timeline_file *t, const char *path, uint64_t page_bytes,
                    const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                    struct err *e);
/* The next page, of token, role [KV_PAGE_TOK]. */
int timeline_put(struct timeline_file *t, const int32_t *token, const uint8_t *role,
                 const uint8_t *page, struct err *e);
/* All pages are there: it gets its name. */
int timeline_commit(struct timeline_file *t, struct err *e);

/* GLIM_EINVAL: there is none; GLIM_EFORMAT: it is something else. */
int timeline_open(struct timeline_file *t, const char *path, uint64_t page_bytes,
                  const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                  struct err *e);
/* The next page while t->at < t->pages. GLIM_EFORMAT, GLIM_EIO. */
int timeline_get(struct timeline_file *t, struct snapshot_rows *rows, uint8_t *page,
                 struct err *e);

/* One that is not committed is removed. Also after a failed open, and of zeros. */
void timeline_close(struct timeline_file *t);

#endif
