/* snapshot_form.h - a page as bytes for a disk, plain or encrypted, and back.
 *
 *     "glimkv01", identity [32], hash [32], hash of the page before [32]
 *     tokens a page, packed bytes     64 bits each, as the machine has them, like all here
 *     token i32 [KV_PAGE_TOK], role u8 [KV_PAGE_TOK]
 *     the page, zstd level 1 [packed bytes]
 *     XXH3 of 128 bits of all before [16]
 *
 * With a key (snapshot_key.h) it begins with "glimkvE1", hashes are HMACs, tokens, roles and the
 * page are encrypted with AES-256-GCM and the page's own key, what stands before them is
 * authenticated with them, and the end is
 *
 *     nonce [12], random; tag [16]
 *
 * The checksum is against drives, not against people: who can write plain files can lie. Who can
 * write encrypted ones can at most take them away or put older ones of the same page back, which
 * are as right.
 *
 * Needs zstd and OpenSSL: without them snapshot_form_init says GLIM_EUNSUPPORTED.
 */
#ifndef GLIM_CACHE_SNAPSHOT_FORM_H
#define GLIM_CACHE_SNAPSHOT_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/kv.h"
#include "cache/snapshot_key.h"

enum { SNAPSHOT_HASH = 32, SNAPSHOT_HEAD = 8 + 3 * SNAPSHOT_HASH + 2 * 8 };

struct snapshot_name {
    uint8_t hash[SNAPSHOT_HASH], parent[SNAPSHOT_HASH]; /* parent: the page's before it */
    uint32_t number;
    const struct snapshot_key *key; /* borrowed; NULL: plain */
};

struct snapshot_rows {
    int32_t token[KV_PAGE_TOK];
    uint8_t role[KV_PAGE_TOK];
};

/* For one thread. */
struct snapshot_form {
    uint8_t identity[SNAPSHOT_HASH];
    uint64_t page_bytes, most; /* most: bytes of a page's form */
    uint8_t *bytes;            /* [most] */
    void *pack, *unpack;       /* zstd's */
    bool no_memory; /* why the latest look at a page failed: it may be whole */
};

/* SHA-256 of bytes [n]. */
int snapshot_identity(const void *bytes, size_t n, uint8_t out[SNAPSHOT_HASH], struct err *e);

int snapshot_form_init(struct snapshot_form *f, uint64_t page_bytes,
                       const uint8_t identity[SNAPSHOT_HASH], struct err *e);
void snapshot_form_deinit(struct snapshot_form *f);

/* The name of the page of token, role [KV_PAGE_TOK] behind `before`; NULL: at the beginning. */
int snapshot_form_name(const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                       const struct snapshot_name *before, const int32_t *token,
                       const uint8_t *role, struct snapshot_name *out, struct err *e);

/* f->bytes [*n] is the page of that name. */
int snapshot_form_pack(struct snapshot_form *f, const struct snapshot_name *name,
                       const int32_t *token, const uint8_t *role, const uint8_t *page, size_t *n,
                       struct err *e);
/* How long the page is whose form begins with f->bytes [SNAPSHOT_HEAD]; 0: it is none of this
 * identity that was written with a key, or without one. */
uint64_t snapshot_form_bytes(const struct snapshot_form *f, bool with_key);
/* Is f->bytes [n], which it may overwrite, a page of that hash, whole and unchanged? *rows then are
 * its tokens and roles, and page [page_bytes] is it. Of `name` the hash of the page before it and
 * the key count too. */
bool snapshot_form_unpack(struct snapshot_form *f, const struct snapshot_name *name, uint64_t n,
                          struct snapshot_rows *rows, uint8_t *page);
/* The same for the page behind `before`, whose name is then *name: its tokens say what it is. */
bool snapshot_form_next(struct snapshot_form *f, const struct snapshot_key *key,
                        const struct snapshot_name *before, uint64_t n,
                        struct snapshot_name *name, struct snapshot_rows *rows, uint8_t *page);

#endif
