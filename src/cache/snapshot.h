/* snapshot.h - pages of caches in a folder, so that what was computed once outlives the process.
 *
 * One file holds one whole page: all its tokens are there, with their rows of every layer, also the
 * MTP layer's. Its name is a SHA-256 over the name of the page before it, its tokens and their
 * roles; the first page's begins from the identity, a text of the caller's with everything that the
 * bits of rows depend on. So a name says all that stands before, and nobody can make two beginnings
 * that have one name.
 *
 *     folder/NUMBER-HASH.kv           8 and 64 hexadecimal digits; NUMBER pages stand before it
 *
 * What is in it: snapshot_form.h. With a key (snapshot_key.h) names are HMACs instead, and nothing
 * of the tokens or rows can be read from names or files without it; one folder may hold pages of
 * many keys, and plain ones.
 *
 *   S1  a page's file is complete or absent: it grows under another name and is on the drive before
 *       it gets its own;
 *   S2  a file that is torn, changed, or of something else is as absent, and is removed;
 *   S3  what is read has the bits that were written.
 *
 * The folder is made with mode 0700, must be the user's own and closed to others; files have 0600.
 * Several processes may share it. When it holds more than its budget, files that were not used for
 * the longest time go, of those of about one time the last pages first.
 *
 * One thread may read, look and touch while another one writes. Needs zstd and OpenSSL: without
 * them snapshot_open says GLIM_EUNSUPPORTED.
 */
#ifndef GLIM_CACHE_SNAPSHOT_H
#define GLIM_CACHE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/snapshot_form.h"

/* Uses are told apart that lie so many seconds apart. */
enum { SNAPSHOT_USE_S = 600 };

struct snapshot;

/* Makes the folder if it is not there; its parent must be. Pages have page_bytes; files are to have
 * `budget` bytes together. identity: [n]. GLIM_EIO, GLIM_EINVAL, GLIM_ENOMEM. */
int snapshot_open(struct snapshot **out, const char *folder, uint64_t page_bytes, uint64_t budget,
                  const void *identity, size_t n, struct err *e);
void snapshot_close(struct snapshot *s);

/* The name of the page of token, role [KV_PAGE_TOK] behind `before`; NULL: at the beginning. key:
 * borrowed for as long as the name is used; NULL: plain. */
int snapshot_name(const struct snapshot *s, const struct snapshot_key *key,
                  const struct snapshot_name *before, const int32_t *token, const uint8_t *role,
                  struct snapshot_name *out, struct err *e);

/* Is there such a file? It was used now, if so. */
bool snapshot_touch(struct snapshot *s, const struct snapshot_name *name);
/* Afterwards there is none. */
void snapshot_remove(struct snapshot *s, const struct snapshot_name *name);

/* The page [page_bytes]. False: absent, and what is in `page` is nothing. */
bool snapshot_read(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, uint8_t *page);

/* Writes the page unless it is there, and makes room. *bytes: of the file, 0 if it was there.
 * GLIM_EIO; nothing is left of it then. */
int snapshot_write(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, const uint8_t *page, uint64_t *bytes, struct err *e);

#endif
