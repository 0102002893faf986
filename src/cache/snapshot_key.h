/* snapshot_key.h - what pages are encrypted with: everything is derived from a secret of the one
 * whose prompt it was, so that nobody finds or reads them without it.
 *
 *     root = HMAC-SHA256("glim kv 1", secret)                     (HKDF's extract, RFC 5869)
 *     names, pages = HKDF-Expand(root, "names"), HKDF-Expand(root, "pages")
 *     a page's own key = HKDF-Expand(pages, the page's hash)
 *
 * Nothing here makes a weak secret strong: who holds the files can try secrets as fast as SHA-256
 * goes. Needs OpenSSL.
 */
#ifndef GLIM_CACHE_SNAPSHOT_KEY_H
#define GLIM_CACHE_SNAPSHOT_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SNAPSHOT_KEY = 32, SNAPSHOT_SECRET_MIN = 16 }; /* bytes */

struct snapshot_key {
    uint8_t names[SNAPSHOT_KEY], pages[SNAPSHOT_KEY];
};

/* secret: [n], not needed afterwards. GLIM_EINVAL below SNAPSHOT_SECRET_MIN, GLIM_EUNSUPPORTED. */
int snapshot_key_init(struct snapshot_key *k, const void *secret, size_t n, struct err *e);
/* Leaves zeros. */
void snapshot_key_deinit(struct snapshot_key *k);
/* In a time that does not depend on what they are. */
bool snapshot_key_same(const struct snapshot_key *a, const struct snapshot_key *b);
/* HMAC-SHA256 of bytes [n]; with a last byte of 1 it is HKDF-Expand. */
int snapshot_key_mac(const uint8_t key[SNAPSHOT_KEY], const void *bytes, size_t n,
                     uint8_t out[SNAPSHOT_KEY], struct err *e);

#endif
