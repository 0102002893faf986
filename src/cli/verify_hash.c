/* verify_hash.c - SHA-256 of a file, read past the page cache: many MiB are in flight while those
 * before them are hashed.
 *
 * Without a resume inside a file: the state of a hash is OpenSSL's own. What is lost is one file,
 * read at the speed of its drive.
 */
#include "cli/verify.h"

#if GLIM_WITH_SSL

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/reader.h"
#include "base/util.h"

enum { BLOCK = 1 << 20, BLOCKS = 32 };

struct hashing {
    struct reader *reader;
    uint8_t *memory; /* [BLOCKS, BLOCK] */
    uint32_t file;
    uint64_t bytes, next; /* of the file; asked for so far */
    struct read block[BLOCKS];
    bool here[BLOCKS];
    EVP_MD_CTX *sha256, *git;
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

static int begin_digests(struct hashing *h, bool git, struct err *e)
{
    h->sha256 = EVP_MD_CTX_new();
    if (!h->sha256 || !EVP_DigestInit_ex(h->sha256, EVP_sha256(), NULL))
        return crypto_failed(e);
    if (!git)
        return GLIM_OK;
    char head[32];
    const int n = snprintf(head, sizeof head, "blob %llu", (unsigned long long)h->bytes);
    h->git = EVP_MD_CTX_new();
    if (!h->git || !EVP_DigestInit_ex(h->git, EVP_sha1(), NULL)
        || !EVP_DigestUpdate(h->git, head, (size_t)n + 1))
        return crypto_failed(e);
    return GLIM_OK;
}

static int hashing_open(struct hashing *h, const char *path, bool git, struct err *e)
{
    if (reader_open(&h->reader, BLOCKS, e) != 0 || reader_file(h->reader, path, &h->file, e) != 0
        || begin_digests(h, git, e) != 0)
        return e->code;
    void *const p = mmap(NULL, (size_t)BLOCK * BLOCKS, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return err_nomem(e, "blocks of a file", (uint64_t)BLOCK * BLOCKS);
    h->memory = p;
    return GLIM_OK;
}

static void hashing_close(struct hashing *h)
{
    while (h->reader && reader_in_flight(h->reader) && reader_next(h->reader, true))
        ;
    reader_close(h->reader);
    if (h->memory)
        (void)munmap(h->memory, (size_t)BLOCK * BLOCKS);
    EVP_MD_CTX_free(h->sha256);
    EVP_MD_CTX_free(h->git);
}

static void ask(struct hashing *h, size_t i)
{
    const uint64_t left = min_u64(BLOCK, h->bytes - h->next);
    h->here[i] = false;
    h->block[i] = (struct read){.file = h->file, .at = h->next,
                                .bytes = (size_t)(ceil_div_u64(left, READ_ALIGN) * READ_ALIGN),
                                .to = h->memory + i * BLOCK};
    h->next += left;
    reader_submit(h->reader, &h->block[i]);
}

/* Waits for a block, which may come after later ones. */
static int await(struct hashing *h, size_t i, struct err *e)
{
    while (!h->here[i]) {
        struct read *const q = reader_next(h->reader, true);
        if (!q)
            return err_set(e, GLIM_EIO, "the system takes no more reads");
        h->here[q - h->block] = true;
        if (q->error)
            return reader_blame(h->reader, q, e);
    }
    return GLIM_OK;
}

static int hash_blocks(struct hashing *h, hash_tick_fn *tick, void *ctx, struct err *e)
{
    uint64_t done = 0;
    for (size_t i = 0; i < BLOCKS && h->next < h->bytes; i++)
        ask(h, i);
    for (size_t i = 0; done < h->bytes; i = (i + 1) % BLOCKS) {
        if (await(h, i, e) != 0)
            return e->code;
        const size_t n = (size_t)min_u64(h->block[i].got, h->bytes - done);
        if (n < min_u64(BLOCK, h->bytes - done))
            return err_set(e, GLIM_EIO, "the file is shorter than it was");
        if (!EVP_DigestUpdate(h->sha256, h->block[i].to, n)
            || (h->git && !EVP_DigestUpdate(h->git, h->block[i].to, n)))
            return crypto_failed(e);
        done += n;
        if (h->next < h->bytes)
            ask(h, i);
        if (!tick(ctx, n))
            return err_set(e, GLIM_ESTOPPED, "stopped");
    }
    return GLIM_OK;
}

int hash_file(struct verify_file *f, hash_tick_fn *tick, void *ctx, struct err *e)
{
    struct hashing h = {.bytes = f->id.bytes};
    struct file_id after;
    int rc = hashing_open(&h, f->path, f->expected.kind == SUM_GIT, e);
    if (rc == 0)
        rc = hash_blocks(&h, tick, ctx, e);
    if (rc == 0
        && (file_identify(f->path, &after) != 0 || memcmp(&after, &f->id, sizeof after) != 0))
        rc = err_set(e, GLIM_EIO, "%s: changed while it was read", f->path);
    if (rc == 0) {
        f->sha256 = sum_take(h.sha256, SUM_SHA256);
        if (h.git)
            f->git = sum_take(h.git, SUM_GIT);
        if (f->sha256.kind == SUM_NONE || (h.git && f->git.kind == SUM_NONE))
            rc = crypto_failed(e);
    }
    hashing_close(&h);
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
