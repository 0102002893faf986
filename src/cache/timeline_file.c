/* timeline_file.c - see timeline_file.h. */
#include "cache/timeline_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"

static const char magic[8] = "glimtl01";

struct head {
    char magic[8];
    uint64_t pages; /* 0: it was never finished */
};

static int fault(const struct timeline_file *t, struct err *e)
{
    return err_set(e, GLIM_EIO, "%s: %s", t->path, strerror(errno));
}

static int prepare(struct timeline_file *t, const char *path, uint64_t page_bytes,
                   const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                   struct err *e)
{
    *t = (struct timeline_file){.fd = -1, .key = key};
    if (!(t->path = strdup(path)))
        return err_nomem(e, "path", strlen(path));
    return snapshot_form_init(&t->form, page_bytes, identity, e);
}

/* ---- writing ---- */

static int write_head(struct timeline_file *t, uint64_t pages, struct err *e)
{
    struct head h = {.pages = pages};
    memcpy(h.magic, magic, sizeof magic);
    return pwrite(t->fd, &h, sizeof h, 0) == (ssize_t)sizeof h ? GLIM_OK : fault(t, e);
}

int timeline_create(struct timeline_file *t, const char *path, uint64_t page_bytes,
                    const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                    struct err *e)
{
    static atomic_uint last;
    if (prepare(t, path, page_bytes, identity, key, e) != 0)
        return e->code;
    const size_t n = strlen(path) + 40;
    if (!(t->part = malloc(n)))
        return err_nomem(e, "path", n);
    (void)snprintf(t->part, n, "%s.part-%ld-%u", path, (long)getpid(), atomic_fetch_add(&last, 1));
    t->fd = open(t->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    t->bytes = sizeof(struct head);
    if (t->fd < 0 || lseek(t->fd, sizeof(struct head), SEEK_SET) < 0)
        return fault(t, e);
    return write_head(t, 0, e);
}

int timeline_put(struct timeline_file *t, const int32_t *token, const uint8_t *role,
                 const uint8_t *page, struct err *e)
{
    struct snapshot_name name;
    size_t n;
    if (snapshot_form_name(t->form.identity, t->key, t->at ? &t->last : NULL, token, role, &name, e)
            != 0
        || snapshot_form_pack(&t->form, &name, token, role, page, &n, e) != 0
        || io_write_all(t->fd, t->form.bytes, n, t->path, e) != 0)
        return e->code;
    t->last = name;
    t->at++;
    t->bytes += n;
    return GLIM_OK;
}

int timeline_commit(struct timeline_file *t, struct err *e)
{
    if (write_head(t, t->at, e) != 0)
        return e->code;
    if (fdatasync(t->fd) != 0 || rename(t->part, t->path) != 0)
        return fault(t, e);
    free(t->part);
    t->part = NULL;
    return GLIM_OK;
}

/* ---- reading ---- */

int timeline_open(struct timeline_file *t, const char *path, uint64_t page_bytes,
                  const uint8_t identity[SNAPSHOT_HASH], const struct snapshot_key *key,
                  struct err *e)
{
    struct stat st;
    struct head h;
    if (prepare(t, path, page_bytes, identity, key, e) != 0)
        return e->code;
    /* Not blocked by a FIFO of that name. */
    t->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (t->fd < 0 && errno == ENOENT)
        return err_set(e, GLIM_EINVAL, "%s: there is no such file", path);
    if (t->fd < 0 || fstat(t->fd, &st) != 0)
        return fault(t, e);
    if (!S_ISREG(st.st_mode) || io_read_up_to(t->fd, &h, sizeof h) != sizeof h
        || memcmp(h.magic, magic, sizeof magic) != 0 || h.pages == 0)
        return err_set(e, GLIM_EFORMAT, "%s: no slot was saved here, or not to its end", path);
    t->pages = h.pages;
    t->bytes = sizeof h;
    return GLIM_OK;
}

int timeline_get(struct timeline_file *t, struct snapshot_rows *rows, uint8_t *page, struct err *e)
{
    struct snapshot_name name;
    if (io_read_up_to(t->fd, t->form.bytes, SNAPSHOT_HEAD) != SNAPSHOT_HEAD)
        return err_set(e, GLIM_EFORMAT, "%s: ends in page %llu of %llu", t->path,
                       (unsigned long long)t->at, (unsigned long long)t->pages);
    const uint64_t n = snapshot_form_bytes(&t->form, t->key);
    if (n == 0)
        return err_set(e, GLIM_EFORMAT,
                       "%s: page %llu is torn, or was saved by another model, cache format or "
                       "version of glim, or is %s",
                       t->path, (unsigned long long)t->at,
                       t->key ? "not encrypted" : "encrypted");
    const size_t body = n - SNAPSHOT_HEAD;
    const bool there = io_read_up_to(t->fd, t->form.bytes + SNAPSHOT_HEAD, body) == body;
    if (!there
        || !snapshot_form_next(&t->form, t->key, t->at ? &t->last : NULL, n, &name, rows, page))
        return there && t->form.no_memory
                   ? err_nomem(e, t->path, n)
                   : err_set(e, GLIM_EFORMAT, "%s: page %llu is torn or changed%s", t->path,
                             (unsigned long long)t->at, t->key ? ", or another key's" : "");
    t->last = name;
    t->at++;
    t->bytes += n;
    return GLIM_OK;
}

void timeline_close(struct timeline_file *t)
{
    if (t->path && t->fd >= 0)
        (void)close(t->fd);
    if (t->part)
        (void)unlink(t->part);
    if (t->path)
        snapshot_form_deinit(&t->form);
    free(t->path);
    free(t->part);
    *t = (struct timeline_file){.fd = -1};
}
