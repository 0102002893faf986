/* snapshot_form.c - see snapshot_form.h. */
#include "cache/snapshot_form.h"

#if GLIM_WITH_ZSTD && GLIM_WITH_SSL

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

enum { LEVEL = 1, NONCE = 12, TAG = 16, SUM = sizeof(XXH128_canonical_t) };

static const char plain_magic[] = "glimkv01", sealed_magic[] = "glimkvE1";

struct head {
    char magic[8];
    uint8_t identity[SNAPSHOT_HASH], hash[SNAPSHOT_HASH], parent[SNAPSHOT_HASH];
    uint64_t tokens, packed; /* of a page; bytes that follow the rows' names */
};
_Static_assert(sizeof(struct head) == SNAPSHOT_HEAD, "no padding");

int snapshot_identity(const void *bytes, size_t n, uint8_t out[SNAPSHOT_HASH], struct err *e)
{
    if (EVP_Digest(bytes, n, out, NULL, EVP_sha256(), NULL) != 1)
        return err_set(e, GLIM_ENOMEM, "snapshots: no memory for a SHA-256, or OpenSSL has none");
    return GLIM_OK;
}

static size_t end_bytes(bool with_key) { return with_key ? NONCE + TAG : SUM; }

int snapshot_form_init(struct snapshot_form *f, uint64_t page_bytes,
                       const uint8_t identity[SNAPSHOT_HASH], struct err *e)
{
    *f = (struct snapshot_form){.page_bytes = page_bytes};
    memcpy(f->identity, identity, SNAPSHOT_HASH);
    f->most = sizeof(struct head) + sizeof(struct snapshot_rows) + ZSTD_compressBound(page_bytes)
              + end_bytes(true);
    f->bytes = malloc(f->most);
    f->pack = ZSTD_createCCtx();
    f->unpack = ZSTD_createDCtx();
    return f->bytes && f->pack && f->unpack ? GLIM_OK : err_nomem(e, "snapshots", f->most);
}

void snapshot_form_deinit(struct snapshot_form *f)
{
    (void)ZSTD_freeCCtx(f->pack);
    (void)ZSTD_freeDCtx(f->unpack);
    free(f->bytes);
    *f = (struct snapshot_form){0};
}

int snapshot_form_name(const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                       const struct snapshot_name *before, const int32_t *token,
                       const uint8_t *role, struct snapshot_name *out, struct err *e)
{
    uint8_t all[SNAPSHOT_HASH + KV_PAGE_TOK * (sizeof *token + 1)];
    const size_t roles = SNAPSHOT_HASH + KV_PAGE_TOK * sizeof *token;
    memcpy(all, before ? before->hash : identity, SNAPSHOT_HASH);
    memcpy(all + SNAPSHOT_HASH, token, KV_PAGE_TOK * sizeof *token);
    memcpy(all + roles, role, KV_PAGE_TOK);
    out->number = before ? before->number + 1 : 0;
    out->key = key;
    memcpy(out->parent, all, SNAPSHOT_HASH);
    return key ? snapshot_key_mac(key->names, all, sizeof all, out->hash, e)
               : snapshot_identity(all, sizeof all, out->hash, e);
}

static void head_fill(struct head *h, const struct snapshot_form *f,
                      const struct snapshot_name *name, uint64_t packed)
{
    h->tokens = KV_PAGE_TOK;
    h->packed = packed;
    memcpy(h->magic, name->key ? sealed_magic : plain_magic, sizeof h->magic);
    memcpy(h->identity, f->identity, sizeof h->identity);
    memcpy(h->hash, name->hash, sizeof h->hash);
    memcpy(h->parent, name->parent, sizeof h->parent);
}

/* ---- plain ---- */

static XXH128_canonical_t sum_of(const uint8_t *bytes, size_t n)
{
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(bytes, n));
    return sum;
}

static bool sum_is_right(const uint8_t *bytes, size_t n)
{
    const XXH128_canonical_t sum = sum_of(bytes, n);
    return memcmp(bytes + n, &sum, sizeof sum) == 0;
}

/* ---- encrypted ---- */

/* The page's own key, nonce and what is authenticated with it; done: the page's body is as wanted.
 */
static bool cipher_begin(EVP_CIPHER_CTX *c, const struct snapshot_name *name, const uint8_t *head,
                         const uint8_t *nonce, int encrypts)
{
    uint8_t info[SNAPSHOT_HASH + 1], key[SNAPSHOT_KEY];
    int n;
    memcpy(info, name->hash, SNAPSHOT_HASH);
    info[SNAPSHOT_HASH] = 1;
    const bool ok =
        snapshot_key_mac(name->key->pages, info, sizeof info, key, NULL) == 0
        && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, encrypts) == 1
        && EVP_CipherUpdate(c, NULL, &n, head, sizeof(struct head)) == 1;
    OPENSSL_cleanse(key, sizeof key);
    return ok;
}

/* In place, in pieces that fit EVP's int. */
static bool cipher_body(EVP_CIPHER_CTX *c, uint8_t *body, size_t n)
{
    enum { PIECE = 1 << 30 };
    int done = 1;
    for (size_t at = 0; at < n && done > 0; at += PIECE) {
        const int len = (int)(n - at < PIECE ? n - at : PIECE);
        if (EVP_CipherUpdate(c, body + at, &done, body + at, len) != 1)
            return false;
    }
    return true;
}

/* bytes [n] behind the head become encrypted, nonce and tag follow. */
static bool seal(const struct snapshot_name *name, uint8_t *bytes, size_t n)
{
    uint8_t *const nonce = bytes + n, rest[16];
    int left;
    EVP_CIPHER_CTX *const c = EVP_CIPHER_CTX_new();
    const bool ok = c && RAND_bytes(nonce, NONCE) == 1 && cipher_begin(c, name, bytes, nonce, 1)
                    && cipher_body(c, bytes + sizeof(struct head), n - sizeof(struct head))
                    && EVP_CipherFinal_ex(c, rest, &left) == 1
                    && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, nonce + NONCE) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

static bool unseal(struct snapshot_form *f, const struct snapshot_name *name, size_t n)
{
    uint8_t *const bytes = f->bytes;
    uint8_t *const nonce = bytes + n, rest[16];
    int left;
    EVP_CIPHER_CTX *const c = EVP_CIPHER_CTX_new();
    f->no_memory = !c || !cipher_begin(c, name, bytes, nonce, 0);
    const bool ok = !f->no_memory
                    && cipher_body(c, bytes + sizeof(struct head), n - sizeof(struct head))
                    && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, nonce + NONCE) == 1
                    && EVP_CipherFinal_ex(c, rest, &left) == 1;
    EVP_CIPHER_CTX_free(c);
    return ok;
}

/* ---- both ---- */

int snapshot_form_pack(struct snapshot_form *f, const struct snapshot_name *name,
                       const int32_t *token, const uint8_t *role, const uint8_t *page, size_t *n,
                       struct err *e)
{
    struct snapshot_rows rows;
    struct head h;
    uint8_t *const at = f->bytes + sizeof h + sizeof rows;
    const size_t packed =
        ZSTD_compressCCtx(f->pack, at, ZSTD_compressBound(f->page_bytes), page, f->page_bytes,
                          LEVEL);
    if (ZSTD_isError(packed))
        return err_set(e, GLIM_ENOMEM, "zstd: %s", ZSTD_getErrorName(packed));
    head_fill(&h, f, name, packed);
    memcpy(rows.token, token, sizeof rows.token);
    memcpy(rows.role, role, sizeof rows.role);
    memcpy(f->bytes, &h, sizeof h);
    memcpy(f->bytes + sizeof h, &rows, sizeof rows);
    *n = sizeof h + sizeof rows + packed;
    if (name->key) {
        if (!seal(name, f->bytes, *n))
            return err_set(e, GLIM_ENOMEM,
                           "snapshots: no memory to encrypt, or OpenSSL has no AES-256-GCM");
    } else {
        const XXH128_canonical_t sum = sum_of(f->bytes, *n);
        memcpy(f->bytes + *n, &sum, sizeof sum);
    }
    *n += end_bytes(name->key);
    return GLIM_OK;
}

uint64_t snapshot_form_bytes(const struct snapshot_form *f, bool with_key)
{
    struct head h;
    memcpy(&h, f->bytes, sizeof h);
    if (memcmp(h.magic, with_key ? sealed_magic : plain_magic, sizeof h.magic) != 0
        || memcmp(h.identity, f->identity, sizeof h.identity) != 0 || h.tokens != KV_PAGE_TOK
        || h.packed > ZSTD_compressBound(f->page_bytes))
        return 0;
    return sizeof h + sizeof(struct snapshot_rows) + h.packed + end_bytes(with_key);
}

bool snapshot_form_unpack(struct snapshot_form *f, const struct snapshot_name *name, uint64_t n,
                          struct snapshot_rows *rows, uint8_t *page)
{
    const size_t least = sizeof(struct head) + sizeof *rows + end_bytes(name->key);
    f->no_memory = false;
    if (n < least || n > f->most)
        return false;
    const uint64_t packed = n - least, body = n - end_bytes(name->key);
    struct head want;
    head_fill(&want, f, name, packed);
    if (memcmp(f->bytes, &want, sizeof want) != 0
        || !(name->key ? unseal(f, name, body) : sum_is_right(f->bytes, body)))
        return false;
    memcpy(rows, f->bytes + sizeof want, sizeof *rows);
    return ZSTD_decompressDCtx(f->unpack, page, f->page_bytes,
                               f->bytes + sizeof want + sizeof *rows, packed)
           == f->page_bytes;
}

bool snapshot_form_next(struct snapshot_form *f, const struct snapshot_key *key,
                        const struct snapshot_name *before, uint64_t n,
                        struct snapshot_name *name, struct snapshot_rows *rows, uint8_t *page)
{
    struct snapshot_name said = {.key = key};
    struct head h;
    f->no_memory = false;
    if (n < sizeof h)
        return false;
    memcpy(&h, f->bytes, sizeof h);
    memcpy(said.hash, h.hash, sizeof said.hash);
    memcpy(said.parent, before ? before->hash : f->identity, sizeof said.parent);
    if (!snapshot_form_unpack(f, &said, n, rows, page))
        return false;
    f->no_memory =
        snapshot_form_name(f->identity, key, before, rows->token, rows->role, name, NULL) != 0;
    return !f->no_memory && memcmp(name->hash, said.hash, sizeof said.hash) == 0;
}

#endif
