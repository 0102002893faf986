/* snapshot.c - see snapshot.h. */
#include "cache/snapshot.h"

#if GLIM_WITH_ZSTD && GLIM_WITH_SSL

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/util.h"
#include "cache/kv.h"
#include "cache/snapshot_dir.h"

enum { LEVEL = 1 };

static const char magic[8] = "glimkv01";

struct head {
    char magic[8];
    uint8_t identity[SNAPSHOT_HASH], hash[SNAPSHOT_HASH], parent[SNAPSHOT_HASH];
    uint64_t tokens, packed; /* of a page; bytes that follow the head */
    int32_t token[KV_PAGE_TOK];
    uint8_t role[KV_PAGE_TOK];
};

struct snapshot {
    struct snapshot_dir dir;
    uint8_t identity[SNAPSHOT_HASH];
    uint64_t page_bytes, most; /* most: of a file */
    uint8_t *read, *write;     /* [most] a file, whole */
    ZSTD_DCtx *unpack;
    ZSTD_CCtx *pack;
};

/* ---- opening ---- */

static int digest(const void *bytes, size_t n, uint8_t out[SNAPSHOT_HASH], struct err *e)
{
    if (EVP_Digest(bytes, n, out, NULL, EVP_sha256(), NULL) != 1)
        return err_set(e, GLIM_EUNSUPPORTED, "snapshots: OpenSSL has no SHA-256 here");
    return GLIM_OK;
}

static int make(struct snapshot *s, const char *folder, uint64_t budget, const void *identity,
                size_t n, struct err *e)
{
    s->most = sizeof(struct head) + ZSTD_compressBound(s->page_bytes) + sizeof(XXH128_canonical_t);
    if (digest(identity, n, s->identity, e) != 0)
        return e->code;
    if (budget < s->most)
        return err_set(e, GLIM_EINVAL, "%s: room for %llu bytes, expected %llu, a page, at least",
                       folder, (unsigned long long)budget, (unsigned long long)s->most);
    s->read = malloc(s->most);
    s->write = malloc(s->most);
    s->pack = ZSTD_createCCtx();
    s->unpack = ZSTD_createDCtx();
    if (!s->read || !s->write || !s->pack || !s->unpack)
        return err_nomem(e, "snapshots", 2 * s->most);
    return snapshot_dir_open(&s->dir, folder, budget, e);
}

int snapshot_open(struct snapshot **out, const char *folder, uint64_t page_bytes, uint64_t budget,
                  const void *identity, size_t n, struct err *e)
{
    struct snapshot *const s = mem_zalloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return err_nomem(e, "snapshots", sizeof *s);
    s->dir.fd = -1;
    s->page_bytes = page_bytes;
    if (make(s, folder, budget, identity, n, e) != 0) {
        snapshot_close(s);
        return e->code;
    }
    *out = s;
    return GLIM_OK;
}

void snapshot_close(struct snapshot *s)
{
    if (!s)
        return;
    snapshot_dir_close(&s->dir);
    (void)ZSTD_freeCCtx(s->pack);
    (void)ZSTD_freeDCtx(s->unpack);
    free(s->read);
    free(s->write);
    free(s);
}

int snapshot_name(const struct snapshot *s, const struct snapshot_name *before,
                  const int32_t *token, const uint8_t *role, struct snapshot_name *out,
                  struct err *e)
{
    uint8_t all[SNAPSHOT_HASH + KV_PAGE_TOK * (sizeof *token + 1)];
    const size_t roles = SNAPSHOT_HASH + KV_PAGE_TOK * sizeof *token;
    memcpy(all, before ? before->hash : s->identity, SNAPSHOT_HASH);
    memcpy(all + SNAPSHOT_HASH, token, KV_PAGE_TOK * sizeof *token);
    memcpy(all + roles, role, KV_PAGE_TOK);
    out->number = before ? before->number + 1 : 0;
    memcpy(out->parent, all, SNAPSHOT_HASH);
    return digest(all, sizeof all, out->hash, e);
}

static void head_fill(struct head *h, const struct snapshot *s, const struct snapshot_name *name,
                      const int32_t *token, const uint8_t *role, uint64_t packed)
{
    memset(h, 0, sizeof *h); /* padding too */
    h->tokens = KV_PAGE_TOK;
    h->packed = packed;
    memcpy(h->magic, magic, sizeof magic);
    memcpy(h->identity, s->identity, sizeof h->identity);
    memcpy(h->hash, name->hash, sizeof h->hash);
    memcpy(h->parent, name->parent, sizeof h->parent);
    memcpy(h->token, token, sizeof h->token);
    memcpy(h->role, role, sizeof h->role);
}

static XXH128_canonical_t sum_of(const uint8_t *bytes, size_t n)
{
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&sum, XXH3_128bits(bytes, n));
    return sum;
}

/* ---- reading ---- */

bool snapshot_touch(struct snapshot *s, const struct snapshot_name *name)
{
    char file[SNAPSHOT_FILE];
    snapshot_file(name, file);
    return utimensat(s->dir.fd, file, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Bytes of the file in s->read; 0: it is no file that may be looked at, or none that fits. */
static uint64_t read_all(struct snapshot *s, int fd)
{
    struct stat st;
    uint64_t n = 0;
    ssize_t got = 1;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > s->most)
        return 0;
    while (n < (uint64_t)st.st_size && got > 0) {
        got = read(fd, s->read + n, (uint64_t)st.st_size - n);
        n += got > 0 ? (uint64_t)got : 0;
        if (got < 0 && errno == EINTR)
            got = 1;
    }
    return n;
}

static bool is_right(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                     const uint8_t *role, uint64_t n, uint8_t *page)
{
    if (n < sizeof(struct head) + sizeof(XXH128_canonical_t))
        return false;
    const uint64_t packed = n - sizeof(struct head) - sizeof(XXH128_canonical_t);
    struct head want;
    head_fill(&want, s, name, token, role, packed);
    const XXH128_canonical_t sum = sum_of(s->read, n - sizeof sum);
    return memcmp(s->read, &want, sizeof want) == 0
           && memcmp(s->read + n - sizeof sum, &sum, sizeof sum) == 0
           && ZSTD_decompressDCtx(s->unpack, page, s->page_bytes, s->read + sizeof want, packed)
                  == s->page_bytes;
}

bool snapshot_read(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, uint8_t *page)
{
    char file[SNAPSHOT_FILE];
    snapshot_file(name, file);
    /* Not blocked by a FIFO of that name. */
    const int fd = openat(s->dir.fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 && errno != ELOOP)
        return false;
    const bool right =
        fd >= 0 && is_right(s, name, token, role, read_all(s, fd), page);
    if (fd >= 0)
        (void)close(fd);
    if (!right)
        (void)unlinkat(s->dir.fd, file, 0);
    return right;
}

/* ---- writing ---- */

int snapshot_write(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, const uint8_t *page, uint64_t *bytes, struct err *e)
{
    char file[SNAPSHOT_FILE];
    uint8_t *const at = s->write + sizeof(struct head);
    *bytes = 0;
    if (snapshot_touch(s, name))
        return GLIM_OK;
    const size_t packed = ZSTD_compressCCtx(s->pack, at, ZSTD_compressBound(s->page_bytes), page,
                                            s->page_bytes, LEVEL);
    if (ZSTD_isError(packed))
        return err_set(e, GLIM_ENOMEM, "%s: zstd: %s", s->dir.path, ZSTD_getErrorName(packed));
    struct head h;
    head_fill(&h, s, name, token, role, packed);
    const size_t n = sizeof h + packed;
    memcpy(s->write, &h, sizeof h);
    const XXH128_canonical_t sum = sum_of(s->write, n);
    memcpy(s->write + n, &sum, sizeof sum);
    snapshot_file(name, file);
    if (snapshot_dir_put(&s->dir, file, s->write, n + sizeof sum, e) != 0)
        return e->code;
    *bytes = n + sizeof sum;
    snapshot_dir_added(&s->dir, *bytes);
    return GLIM_OK;
}

#else

int snapshot_open(struct snapshot **out, const char *folder, uint64_t page_bytes, uint64_t budget,
                  const void *identity, size_t n, struct err *e)
{
    (void)page_bytes;
    (void)budget;
    (void)identity;
    (void)n;
    *out = NULL;
    return err_set(e, GLIM_EUNSUPPORTED,
                   "%s: this glim was built without zstd or OpenSSL, and keeps no prefixes on disk",
                   folder);
}

void snapshot_close(struct snapshot *s) { (void)s; }

int snapshot_name(const struct snapshot *s, const struct snapshot_name *before,
                  const int32_t *token, const uint8_t *role, struct snapshot_name *out,
                  struct err *e)
{
    (void)s;
    (void)before;
    (void)token;
    (void)role;
    (void)out;
    return err_set(e, GLIM_EUNSUPPORTED, "built without snapshots");
}

bool snapshot_touch(struct snapshot *s, const struct snapshot_name *name)
{
    (void)s;
    (void)name;
    return false;
}

bool snapshot_read(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, uint8_t *page)
{
    (void)s;
    (void)name;
    (void)token;
    (void)role;
    (void)page;
    return false;
}

int snapshot_write(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, const uint8_t *page, uint64_t *bytes, struct err *e)
{
    (void)s;
    (void)name;
    (void)token;
    (void)role;
    (void)page;
    (void)bytes;
    return err_set(e, GLIM_EUNSUPPORTED, "built without snapshots");
}

#endif
