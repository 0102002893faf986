/* copyfile.c - see copyfile.h. All names are looked up in the folder that was opened first. */
#include "base/copyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/drive.h"
#include "base/io.h"
#include "base/util.h"

enum { READS = 16 };

struct copying {
    const char *from, *dir, *name;
    char *path; /* dir/name.part */
    const char *part; /* its name in the folder */
    int folder, fd;
    uint64_t bytes, done, synced;
    scan_progress_fn *progress;
    void *ctx;
};

static int failed(const struct copying *c, const char *what, struct err *e)
{
    return err_set(e, GLIM_EIO, "%s: %s: %s", c->path, what, strerror(errno));
}

static int open_folder(struct copying *c, struct err *e)
{
    if (asprintf(&c->path, "%s/%s.part", c->dir, c->name) < 0) {
        c->path = NULL;
        return err_nomem(e, c->dir, strlen(c->dir));
    }
    c->part = c->path + strlen(c->dir) + 1;
    c->folder = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return c->folder >= 0 ? GLIM_OK
                          : err_set(e, GLIM_EIO, "%s: %s", c->dir, strerror(errno));
}

static void copying_deinit(struct copying *c)
{
    if (c->fd >= 0)
        close(c->fd);
    if (c->folder >= 0)
        close(c->folder);
    free(c->path);
}

/* The name must be free: nothing is overwritten, links are not followed. */
static int check_name(const struct copying *c, struct err *e)
{
    struct stat st;
    if (fstatat(c->folder, c->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(e, GLIM_EIO, "%s/%s: is there already; remove it first", c->dir, c->name);
    return GLIM_OK;
}

/* May this be what a former attempt has left? */
static int check_part(const struct copying *c, const struct stat *st, struct err *e)
{
    struct stat folder;
    if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
        return err_set(e, GLIM_EIO, "%s: is %s, expected a regular file with one name; remove it "
                       "first", c->path, S_ISREG(st->st_mode) ? "a file with several names"
                                         : S_ISLNK(st->st_mode) ? "a symbolic link"
                                                                : "something else");
    if (st->st_uid != geteuid()
        && (fstat(c->folder, &folder) != 0 || st->st_uid != folder.st_uid))
        return err_set(e, GLIM_EIO, "%s: belongs to user %u, expected %u; remove it first", c->path,
                       (unsigned)st->st_uid, (unsigned)geteuid());
    return GLIM_OK;
}

static int open_part(struct copying *c, struct err *e)
{
    struct stat st;
    const int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (fstatat(c->folder, c->part, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        if (check_part(c, &st, e) != 0)
            return e->code;
        c->fd = openat(c->folder, c->part, flags);
    } else {
        c->fd = openat(c->folder, c->part, flags | O_CREAT | O_EXCL, 0644);
    }
    if (c->fd < 0)
        return failed(c, "opening", e);
    if (flock(c->fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(e, GLIM_EIO, "%s: another process is copying it", c->path);
    /* Once more: the name may have changed hands. */
    return fstat(c->fd, &st) != 0 ? failed(c, "opening", e) : check_part(c, &st, e);
}

/* How much of what is left by a former attempt is good: all but what a crash took from its end, or
 * nothing. */
static int find_good(struct copying *c, struct reader *r, uint32_t from, struct err *e)
{
    struct range range[SCAN_SAMPLES];
    uint32_t part;
    uint64_t at;
    if (reader_file(r, c->path, &part, e) != 0)
        return e->code;
    const uint64_t left = min_u64(reader_bytes(r, part), c->bytes);
    const uint64_t tail = min_u64(2 * (uint64_t)COPYFILE_SYNC, left);
    const size_t n = scan_samples(left, READ_STRIPE, tail, range);
    if (scan_compare(r, from, part, range, n, NULL, NULL, &at, e) != 0)
        return e->code;
    c->done = at == SCAN_SAME ? left : at >= left - tail ? at : 0;
    c->done = c->done / READ_ALIGN * READ_ALIGN;
    if (ftruncate(c->fd, (off_t)c->done) != 0 || lseek(c->fd, (off_t)c->done, SEEK_SET) < 0)
        return failed(c, "truncating", e);
    return GLIM_OK;
}

static int check_room(const struct copying *c, struct err *e)
{
    struct drive_room room;
    if (drive_room(c->dir, &room, e) != 0)
        return e->code;
    if (room.free_bytes >= c->bytes - c->done)
        return GLIM_OK;
    return err_set(e, GLIM_ELIMIT, "%s: %" PRIu64 " bytes are free, %s needs %" PRIu64, c->dir,
                   room.free_bytes, c->name, c->bytes - c->done);
}

/* To the drive, and out of the page cache: nobody reads it from there. */
static int sync_part(struct copying *c, struct err *e)
{
    if (fdatasync(c->fd) != 0)
        return failed(c, "writing", e);
    (void)posix_fadvise(c->fd, (off_t)c->synced, (off_t)(c->done - c->synced),
                        POSIX_FADV_DONTNEED);
    c->synced = c->done;
    return GLIM_OK;
}

static int write_block(void *ctx, uint64_t at, size_t bytes, const uint8_t *const *data,
                       struct err *e)
{
    struct copying *const c = ctx;
    (void)at;
    if (io_write_all(c->fd, data[0], bytes, c->path, e) != 0)
        return e->code;
    c->done += bytes;
    if (c->done - c->synced >= COPYFILE_SYNC && sync_part(c, e) != 0)
        return e->code;
    if (c->progress && c->progress(c->ctx, c->done))
        return err_set(e, GLIM_ESTOPPED, "stopped");
    return GLIM_OK;
}

/* Gives the part its name. */
static int rename_part(const struct copying *c, struct err *e)
{
    if (renameat2(c->folder, c->part, c->folder, c->name, RENAME_NOREPLACE) != 0) {
        if (errno != EINVAL && errno != ENOSYS)
            return failed(c, "renaming", e);
        /* A file system that cannot promise it: the look is older than the renaming. */
        if (check_name(c, e) != 0)
            return e->code;
        if (renameat(c->folder, c->part, c->folder, c->name) != 0)
            return failed(c, "renaming", e);
    }
    return fsync(c->folder) == 0 || errno == EINVAL ? GLIM_OK : failed(c, "renaming", e);
}

static int copy(struct copying *c, struct reader *r, struct err *e)
{
    uint32_t from;
    if (reader_file(r, c->from, &from, e) != 0)
        return e->code;
    c->bytes = reader_bytes(r, from);
    if (open_folder(c, e) != 0 || check_name(c, e) != 0 || open_part(c, e) != 0
        || find_good(c, r, from, e) != 0 || check_room(c, e) != 0)
        return e->code;
    c->synced = c->done;
    const struct range rest = {c->done, c->bytes};
    if (scan_files(r, &from, 1, &rest, 1, write_block, c, e) != 0 || sync_part(c, e) != 0)
        return e->code;
    if (fsync(c->fd) != 0)
        return failed(c, "writing", e);
    return rename_part(c, e);
}

int copyfile(const char *from, const char *dir, const char *name, scan_progress_fn *progress,
             void *ctx, struct err *e)
{
    struct copying c = {.from = from, .dir = dir, .name = name, .folder = -1, .fd = -1,
                        .progress = progress, .ctx = ctx};
    struct reader *r;
    int rc = reader_open(&r, READS, e);
    if (rc == 0)
        rc = copy(&c, r, e);
    reader_close(r);
    copying_deinit(&c);
    return rc;
}

int copyfile_left(const char *dir, const char *name, uint64_t *bytes, struct err *e)
{
    struct copying c = {.dir = dir, .name = name, .folder = -1, .fd = -1};
    struct stat st;
    *bytes = 0;
    int rc = open_folder(&c, e);
    if (rc == 0 && fstatat(c.folder, c.part, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        rc = check_part(&c, &st, e);
        *bytes = rc == 0 ? (uint64_t)st.st_size : 0;
    }
    copying_deinit(&c);
    return rc;
}
