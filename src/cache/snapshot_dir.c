/* snapshot_dir.c - see snapshot_dir.h.
 *
 * Several processes may count, add and remove at once: each looks at what is there before it
 * removes anything, and a file that is gone already is none.
 */
#include "cache/snapshot_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"

/* A name that nobody gave its file in so long is of a writer that died. */
enum { PART_DEAD_S = 3600 };

static const char part_prefix[] = "part-", suffix[] = ".kv";

/* ---- the folder ---- */

static int fault(const struct snapshot_dir *d, const char *file, struct err *e)
{
    return err_set(e, GLIM_EIO, "%s%s%s: %s", d->path, file ? "/" : "", file ? file : "",
                   strerror(errno));
}

static int check_folder(const struct snapshot_dir *d, struct err *e)
{
    struct stat st;
    if (fstat(d->fd, &st) != 0)
        return fault(d, NULL, e);
    if (st.st_uid != geteuid())
        return err_set(e, GLIM_EINVAL, "%s: belongs to user %u, expected %u", d->path,
                       (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & 077)
        return err_set(e, GLIM_EINVAL,
                       "%s: mode %04o lets others in, expected 0700: it will hold what people "
                       "wrote; chmod 700 it",
                       d->path, (unsigned)st.st_mode & 07777);
    return GLIM_OK;
}

int snapshot_dir_open(struct snapshot_dir *d, const char *path, uint64_t budget, struct err *e)
{
    *d = (struct snapshot_dir){.path = strdup(path), .fd = -1, .budget = budget};
    if (!d->path)
        return err_nomem(e, "path", strlen(path));
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fault(d, NULL, e);
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return d->fd < 0 ? fault(d, NULL, e) : check_folder(d, e);
}

void snapshot_dir_close(struct snapshot_dir *d)
{
    if (d->fd >= 0)
        (void)close(d->fd);
    free(d->path);
    *d = (struct snapshot_dir){.fd = -1};
}

/* ---- names ---- */

static const char digits[] = "0123456789abcdef";

void snapshot_file(const struct snapshot_name *name, char file[SNAPSHOT_FILE])
{
    char *at = file + snprintf(file, SNAPSHOT_FILE, "%08x-", (unsigned)name->number);
    for (int i = 0; i < SNAPSHOT_HASH; i++) {
        *at++ = digits[name->hash[i] >> 4];
        *at++ = digits[name->hash[i] & 15];
    }
    memcpy(at, suffix, sizeof suffix);
}

static bool is_snapshot(const char *file)
{
    return strlen(file) == SNAPSHOT_FILE - 1 && strspn(file, digits) == 8 && file[8] == '-'
           && strspn(file + 9, digits) == (size_t)(2 * SNAPSHOT_HASH)
           && strcmp(file + 9 + (size_t)(2 * SNAPSHOT_HASH), suffix) == 0;
}

/* ---- which go ---- */

struct entry {
    char file[SNAPSHOT_FILE];
    uint64_t bytes;
    int64_t use; /* time in units of SNAPSHOT_USE_S */
};

struct list {
    struct entry *entry;
    size_t n, cap;
};

/* Those that go first are last; of one time the later pages: names begin with the number. */
static int by_use(const void *x, const void *y)
{
    const struct entry *const a = x, *const b = y;
    return a->use != b->use ? (a->use < b->use) - (a->use > b->use) : strcmp(a->file, b->file);
}

static void look_at(struct snapshot_dir *d, struct list *l, const char *file)
{
    struct stat st;
    const bool part = strncmp(file, part_prefix, sizeof part_prefix - 1) == 0;
    if ((!part && !is_snapshot(file)) || fstatat(d->fd, file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (part && S_ISREG(st.st_mode) && st.st_mtime + PART_DEAD_S < time(NULL))
        (void)unlinkat(d->fd, file, 0);
    if (part || mem_grow(&l->entry, &l->cap, l->n + 1, sizeof *l->entry) != 0)
        return;
    struct entry *const x = &l->entry[l->n++];
    memcpy(x->file, file, sizeof x->file);
    x->bytes = (uint64_t)st.st_size;
    x->use = st.st_mtime / SNAPSHOT_USE_S;
    d->bytes += x->bytes;
}

/* All files, and d->bytes. Without memory it is as if some were not there. */
static void list_files(struct snapshot_dir *d, struct list *l)
{
    const int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const dir = fd >= 0 ? fdopendir(fd) : NULL;
    d->bytes = 0;
    if (!dir) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (const struct dirent *x; (x = readdir(dir));)
        look_at(d, l, x->d_name);
    (void)closedir(dir);
}

void snapshot_dir_added(struct snapshot_dir *d, uint64_t bytes)
{
    struct list l = {0};
    d->bytes += bytes;
    if (d->counted && d->bytes <= d->budget)
        return;
    list_files(d, &l);
    d->counted = true;
    if (d->bytes > d->budget && l.n > 0) {
        qsort(l.entry, l.n, sizeof *l.entry, by_use);
        while (l.n-- > 0 && d->bytes > d->budget / 10 * 9) {
            (void)unlinkat(d->fd, l.entry[l.n].file, 0);
            d->bytes -= l.entry[l.n].bytes;
        }
    }
    free(l.entry);
}

/* ---- a new one ---- */

static int fill(const struct snapshot_dir *d, int fd, const char *part, const void *bytes, size_t n,
                struct err *e)
{
    if (io_write_all(fd, bytes, n, d->path, e) != 0)
        return e->code;
    return fdatasync(fd) == 0 ? GLIM_OK : fault(d, part, e);
}

int snapshot_dir_put(struct snapshot_dir *d, const char *file, const void *bytes, size_t n,
                     struct err *e)
{
    static atomic_uint last;
    char part[64];
    (void)snprintf(part, sizeof part, "%s%ld-%u-%llx", part_prefix, (long)getpid(),
                   atomic_fetch_add(&last, 1), (unsigned long long)now_ns());
    const int fd = openat(d->fd, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fault(d, part, e);
    int rc = fill(d, fd, part, bytes, n, e);
    if (close(fd) != 0 && rc == 0)
        rc = fault(d, part, e);
    if (rc == 0 && renameat(d->fd, part, d->fd, file) != 0)
        rc = fault(d, file, e);
    if (rc != 0)
        (void)unlinkat(d->fd, part, 0);
    return rc;
}
