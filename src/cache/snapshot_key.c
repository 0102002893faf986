/* snapshot_key.c - see snapshot_key.h. */
#include "cache/snapshot_key.h"

#if GLIM_WITH_SSL

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static int mac(const void *key, size_t keys, const void *bytes, size_t n,
               uint8_t out[SNAPSHOT_KEY], struct err *e)
{
    if (!HMAC(EVP_sha256(), key, (int)keys, bytes, n, out, NULL))
        return err_set(e, GLIM_ENOMEM,
                       "snapshots: no memory for an HMAC-SHA256, or OpenSSL has none");
    return GLIM_OK;
}

int snapshot_key_mac(const uint8_t key[SNAPSHOT_KEY], const void *bytes, size_t n,
                     uint8_t out[SNAPSHOT_KEY], struct err *e)
{
    return mac(key, SNAPSHOT_KEY, bytes, n, out, e);
}

int snapshot_key_init(struct snapshot_key *k, const void *secret, size_t n, struct err *e)
{
    static const char salt[] = "glim kv 1", names[] = "names\1", pages[] = "pages\1";
    uint8_t root[SNAPSHOT_KEY];
    if (n < SNAPSHOT_SECRET_MIN)
        return err_set(e, GLIM_EINVAL,
                       "a secret of %zu bytes to encrypt prefixes with, expected %d at least", n,
                       SNAPSHOT_SECRET_MIN);
    int rc = mac(salt, sizeof salt - 1, secret, n, root, e);
    if (rc == 0)
        rc = mac(root, sizeof root, names, sizeof names - 1, k->names, e);
    if (rc == 0)
        rc = mac(root, sizeof root, pages, sizeof pages - 1, k->pages, e);
    OPENSSL_cleanse(root, sizeof root);
    return rc;
}

void snapshot_key_deinit(struct snapshot_key *k) { OPENSSL_cleanse(k, sizeof *k); }

bool snapshot_key_same(const struct snapshot_key *a, const struct snapshot_key *b)
{
    return CRYPTO_memcmp(a, b, sizeof *a) == 0;
}

#else

int snapshot_key_init(struct snapshot_key *k, const void *secret, size_t n, struct err *e)
{
    (void)k;
    (void)secret;
    (void)n;
    return err_set(e, GLIM_EUNSUPPORTED,
                   "this glim was built without OpenSSL and encrypts no prefixes");
}

void snapshot_key_deinit(struct snapshot_key *k) { (void)k; }

bool snapshot_key_same(const struct snapshot_key *a, const struct snapshot_key *b)
{
    return a == b;
}

#endif
