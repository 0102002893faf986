/* verify_hash.c - SHA-256 of a file, read past the page cache: many MiB are in flight while those
 * before them are hashed (base/scan).
 *
 * Without a resume inside a file: the state of a hash is OpenSSL's own. What is lost is one file,
 * read at the speed of its drive.
 */
#include "cli/verify.h"

#if GLIM_WITH_SSL

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/scan.h"

enum { READS = 16 }; /* in flight */

struct hashing {
    EVP_MD_CTX *sha256, *git;
    hash_tick_fn *tick;
    void *ctx;
};

static struct sum sum_take(EVP_MD_CTX *ctx, enum sum_kind kind)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct sum s = {.kind = kind};
    static const char digit[] = "0123456789abcdef";
    if (!EVP_DigestFinal_ex(ctx, bytes, &n) || 2 * n >= sizeof s.hex)
        return (struct sum){.kind = SUM_NONE};
    for (unsigned i = 0; i < n; i++) {
        s.hex[2 * i] = digit[bytes[i] >> 4];
        s.hex[2 * i + 1] = digit[bytes[i] & 15];
    }
    return s;
}

struct sum hash_text(const char *text)
{
    EVP_MD_CTX *const ctx = EVP_MD_CTX_new();
    struct sum s = {.kind = SUM_NONE};
    if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL)
        && EVP_DigestUpdate(ctx, text, strlen(text)))
        s = sum_take(ctx, SUM_SHA256);
    EVP_MD_CTX_free(ctx);
    return s;
}

static int crypto_failed(struct err *e) { return err_set(e, GLIM_ENOMEM, "OpenSSL: no digest"); }

static int begin(struct hashing *h, uint64_t bytes, bool git, struct err *e)
{
    h->sha256 = EVP_MD_CTX_new();
    if (!h->sha256 || !EVP_DigestInit_ex(h->sha256, EVP_sha256(), NULL))
        return crypto_failed(e);
    if (!git)
        return GLIM_OK;
    char head[32];
    const int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)bytes);
    h->git = EVP_MD_CTX_new();
    if (!h->git || !EVP_DigestInit_ex(h->git, EVP_sha1(), NULL)
        || !EVP_DigestUpdate(h->git, head, (size_t)n + 1))
        return crypto_failed(e);
    return GLIM_OK;
}

static int hash_block(void *ctx, uint64_t at, size_t bytes, const uint8_t *const *data,
                      struct err *e)
{
    struct hashing *const h = ctx;
    (void)at;
    if (!EVP_DigestUpdate(h->sha256, data[0], bytes)
        || (h->git && !EVP_DigestUpdate(h->git, data[0], bytes)))
        return crypto_failed(e);
    return h->tick(h->ctx, bytes) ? GLIM_OK : err_set(e, GLIM_ESTOPPED, "stopped");
}

static int changed(const char *path, struct err *e)
{
    return err_set(e, GLIM_EIO, "%s: changed while it was read", path);
}

static int read_all(struct hashing *h, const struct verify_file *f, struct err *e)
{
    struct reader *r;
    uint32_t file;
    const struct range all = {0, f->id.bytes};
    if (reader_open(&r, READS, e) != 0)
        return e->code;
    int rc = reader_file(r, f->path, &file, e);
    if (rc == 0)
        rc = reader_bytes(r, file) == f->id.bytes
                 ? scan_files(r, &file, 1, &all, 1, hash_block, h, e)
                 : changed(f->path, e);
    reader_close(r);
    return rc;
}

int hash_file(struct verify_file *f, hash_tick_fn *tick, void *ctx, struct err *e)
{
    struct hashing h = {.tick = tick, .ctx = ctx};
    struct file_id after;
    int rc = begin(&h, f->id.bytes, f->expected.kind == SUM_GIT, e);
    if (rc == 0)
        rc = read_all(&h, f, e);
    if (rc == 0
        && (file_identify(f->path, &after) != 0 || memcmp(&after, &f->id, sizeof after) != 0))
        rc = changed(f->path, e);
    if (rc == 0) {
        f->sha256 = sum_take(h.sha256, SUM_SHA256);
        if (h.git)
            f->git = sum_take(h.git, SUM_GIT);
        if (f->sha256.kind == SUM_NONE || (h.git && f->git.kind == SUM_NONE))
            rc = crypto_failed(e);
    }
    EVP_MD_CTX_free(h.sha256);
    EVP_MD_CTX_free(h.git);
    return rc;
}

#else

struct sum hash_text(const char *text)
{
    (void)text;
    return (struct sum){.kind = SUM_NONE};
}

int hash_file(struct verify_file *f, hash_tick_fn *tick, void *ctx, struct err *e)
{
    (void)f, (void)tick, (void)ctx;
    return err_set(e, GLIM_EUNSUPPORTED, "this program was built without OpenSSL");
}

#endif
