/* snapshot.c - see snapshot.h. */
#include "cache/snapshot.h"

#if GLIM_WITH_ZSTD && GLIM_WITH_SSL

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"
#include "cache/snapshot_dir.h"

struct snapshot {
    struct snapshot_dir dir;
    struct snapshot_form read, write; /* of the thread that reads, of the one that writes */
};

/* ---- opening ---- */

static int make(struct snapshot *s, const char *folder, uint64_t page_bytes, uint64_t budget,
                const void *identity, size_t n, struct err *e)
{
    uint8_t hash[SNAPSHOT_HASH];
    if (snapshot_identity(identity, n, hash, e) != 0
        || snapshot_form_init(&s->read, page_bytes, hash, e) != 0
        || snapshot_form_init(&s->write, page_bytes, hash, e) != 0)
        return e->code;
    if (budget < s->read.most)
        return err_set(e, GLIM_EINVAL, "%s: room for %llu bytes, expected %llu, a page, at least",
                       folder, (unsigned long long)budget, (unsigned long long)s->read.most);
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
    if (make(s, folder, page_bytes, budget, identity, n, e) != 0) {
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
    snapshot_form_deinit(&s->read);
    snapshot_form_deinit(&s->write);
    free(s);
}

int snapshot_name(const struct snapshot *s, const struct snapshot_key *key,
                  const struct snapshot_name *before, const int32_t *token, const uint8_t *role,
                  struct snapshot_name *out, struct err *e)
{
    return snapshot_form_name(s->read.identity, key, before, token, role, out, e);
}

/* ---- reading ---- */

bool snapshot_touch(struct snapshot *s, const struct snapshot_name *name)
{
    char file[SNAPSHOT_FILE];
    snapshot_file(name, file);
    return utimensat(s->dir.fd, file, NULL, AT_SYMLINK_NOFOLLOW) == 0;
}

void snapshot_remove(struct snapshot *s, const struct snapshot_name *name)
{
    char file[SNAPSHOT_FILE];
    snapshot_file(name, file);
    (void)unlinkat(s->dir.fd, file, 0);
}

/* Bytes of the file in s->read.bytes; 0: it is no file that may be looked at, or none that fits. */
static uint64_t read_all(struct snapshot *s, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > s->read.most)
        return 0;
    return io_read_up_to(fd, s->read.bytes, (size_t)st.st_size);
}

static bool is_right(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                     const uint8_t *role, uint64_t n, uint8_t *page)
{
    struct snapshot_rows rows;
    return snapshot_form_unpack(&s->read, name, n, &rows, page)
           && memcmp(rows.token, token, sizeof rows.token) == 0
           && memcmp(rows.role, role, sizeof rows.role) == 0;
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
    if (!right && !(fd >= 0 && s->read.no_memory))
        (void)unlinkat(s->dir.fd, file, 0);
    return right;
}

/* ---- writing ---- */

int snapshot_write(struct snapshot *s, const struct snapshot_name *name, const int32_t *token,
                   const uint8_t *role, const uint8_t *page, uint64_t *bytes, struct err *e)
{
    char file[SNAPSHOT_FILE];
    size_t n;
    *bytes = 0;
    if (snapshot_touch(s, name))
        return GLIM_OK;
    if (snapshot_form_pack(&s->write, name, token, role, page, &n, e) != 0)
        return err_prefix(e, "%s", s->dir.path);
    snapshot_file(name, file);
    if (snapshot_dir_put(&s->dir, file, s->write.bytes, n, e) != 0)
        return e->code;
    *bytes = n;
    snapshot_dir_added(&s->dir, *bytes);
    return GLIM_OK;
}

#endif
