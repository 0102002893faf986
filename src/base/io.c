/* io.c - see io.h.
 *
 * The fault handler's table is made of chunks that are never freed or moved, so that the handler
 * can walk it without a lock: a chunk pointer goes from NULL to its chunk once; a slot's `base` is
 * published last and withdrawn first. Only open and close take the lock. The handler uses atomics
 * and mmap (a bare system call), nothing else.
 *
 * From the faulting page to the end of the map, zero pages take the place of the file: the rest of
 * a file that shrank is gone as well, and one mapping instead of one per page keeps clear of the
 * kernel's limit on mappings.
 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

enum { SLOTS_PER_CHUNK = 1024, MAX_CHUNKS = 64 };

struct slot {
    atomic_uintptr_t base; /* 0 = free */
    atomic_uintptr_t end;
    atomic_bool faulted;
};

static _Atomic(struct slot *) chunks[MAX_CHUNKS];
static atomic_bool any_fault;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction
    previous; /* changes under table_lock, when somebody has put a handler over ours */
static uintptr_t page_size;
static _Thread_local volatile sig_atomic_t passing_on;

/* ---- the handler ---- */

static struct slot *slot_of_address(uintptr_t a)
{
    for (int c = 0; c < MAX_CHUNKS; c++) {
        struct slot *const s = atomic_load_explicit(&chunks[c], memory_order_acquire);
        if (!s)
            break;
        for (int i = 0; i < SLOTS_PER_CHUNK; i++) {
            const uintptr_t base = atomic_load_explicit(&s[i].base, memory_order_acquire);
            if (base && a >= base && a < atomic_load_explicit(&s[i].end, memory_order_relaxed))
                return &s[i];
        }
    }
    return NULL;
}

/* `passing_on`: a handler that chains to us although we chain to it must not send us round in
 * circles. */
static void to_previous_handler(int sig, siginfo_t *info, void *context)
{
    const bool again = passing_on;
    passing_on = 1;
    if (!again && (previous.sa_flags & SA_SIGINFO)) {
        previous.sa_sigaction(sig, info, context);
    } else if (!again && previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(sig);
    } else {
        /* Nobody: back to the default, which ends the process when the access is tried again. */
        struct sigaction dfl = {.sa_handler = SIG_DFL};
        (void)sigaction(SIGBUS, &dfl, NULL);
        if (info->si_code <= 0)
            (void)raise(sig);
    }
    passing_on = again;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    const int saved = errno;
    const uintptr_t a = (uintptr_t)info->si_addr;
    struct slot *const s =
        info->si_code > 0 ? slot_of_address(a) : NULL; /* <= 0: sent by kill, no address */
    if (s) {
        const uintptr_t page = a & ~(page_size - 1),
                        end = atomic_load_explicit(&s->end, memory_order_relaxed);
        atomic_store(&s->faulted, true);
        atomic_store(&any_fault, true);
        if (mmap((void *)page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                 0)
            != MAP_FAILED) {
            errno = saved;
            return;
        }
    }
    to_previous_handler(sig, info, context);
    errno = saved;
}

/* Puts our handler in front, again if another one has taken its place since. With table_lock
 * held. */
static void install_handler(void)
{
    struct sigaction now;
    if (sigaction(SIGBUS, NULL, &now) != 0
        || ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_sigbus))
        return;
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    previous = now;
    struct sigaction sa = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGBUS, &sa, NULL);
}

/* ---- slots ---- */

static struct slot *slot_at(int i)
{
    return atomic_load(&chunks[i / SLOTS_PER_CHUNK]) + i % SLOTS_PER_CHUNK;
}

enum { SLOTS_FULL = -1, SLOTS_NO_MEMORY = -2 };

/* A free slot's number, or why there is none. */
static int slot_find(void)
{
    for (int c = 0; c < MAX_CHUNKS; c++) {
        struct slot *s = atomic_load(&chunks[c]);
        if (!s) {
            s = mem_zalloc(SLOTS_PER_CHUNK, sizeof *s);
            if (!s)
                return SLOTS_NO_MEMORY;
            atomic_store(&chunks[c], s);
        }
        for (int i = 0; i < SLOTS_PER_CHUNK; i++) {
            if (atomic_load(&s[i].base) == 0)
                return c * SLOTS_PER_CHUNK + i;
        }
    }
    return SLOTS_FULL;
}

static int slot_take(uintptr_t base, uintptr_t end)
{
    pthread_mutex_lock(&table_lock);
    install_handler();
    const int i = slot_find();
    if (i >= 0) {
        struct slot *const s = slot_at(i);
        atomic_store(&s->faulted, false);
        atomic_store(&s->end, end);
        atomic_store_explicit(&s->base, base, memory_order_release);
    }
    pthread_mutex_unlock(&table_lock);
    return i;
}

static void slot_give_back(int i)
{
    pthread_mutex_lock(&table_lock);
    atomic_store(&slot_at(i)->base, 0);
    pthread_mutex_unlock(&table_lock);
}

/* ---- files ---- */

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket"
         : S_ISCHR(mode) || S_ISBLK(mode) ? "a device" : "not a regular file";
}

/* Opens a regular file for reading and nothing else: looked at before opening, because opening a
 * device can already do something, and again afterwards, because the name may have changed
 * hands. */
static int open_regular(const char *path, int *fd, struct stat *st, struct err *e)
{
    *fd = -1;
    if (stat(path, st) != 0)
        return err_set(e, GLIM_EIO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st->st_mode))
        return err_set(e, GLIM_EIO, "%s: is %s, expected a regular file", path,
                       kind_of(st->st_mode));
    const int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f < 0)
        return err_set(e, GLIM_EIO, "%s: %s", path, strerror(errno));
    if (fstat(f, st) != 0 || !S_ISREG(st->st_mode)) {
        close(f);
        return err_set(e, GLIM_EIO, "%s: changed while it was opened, expected a regular file",
                       path);
    }
    *fd = f;
    return GLIM_OK;
}

int io_open_direct(const char *path, int *fd, uint64_t *size, struct err *e)
{
    struct stat st;
    if (open_regular(path, fd, &st, e) != 0)
        return e->code;
    *size = (uint64_t)st.st_size;
    const int flags = fcntl(*fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(*fd, F_SETFL, flags | O_DIRECT);
    return GLIM_OK;
}

static int map_fd(struct io_map *m, int fd, struct err *e)
{
    if (m->size == 0)
        return GLIM_OK;
    if (m->size > SIZE_MAX / 2)
        return err_set(e, GLIM_ELIMIT, "%s: %" PRIu64 " bytes, too large to map", m->path, m->size);
    void *const p = mmap(NULL, (size_t)m->size, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        return err_set(e, errno == ENOMEM ? GLIM_ENOMEM : GLIM_EIO,
                       "%s: mapping %" PRIu64 " bytes: %s", m->path, m->size, strerror(errno));
    }
    m->data = p;
    m->slot = slot_take((uintptr_t)p, (uintptr_t)p + (uintptr_t)m->size);
    if (m->slot == SLOTS_NO_MEMORY)
        return err_nomem(e, "table of mapped files", SLOTS_PER_CHUNK * sizeof(struct slot));
    if (m->slot < 0) {
        return err_set(e, GLIM_ELIMIT, "%s: more than %d files are mapped", m->path,
                       MAX_CHUNKS * SLOTS_PER_CHUNK);
    }
    return GLIM_OK;
}

int io_map_open(struct io_map *m, const char *path, struct err *e)
{
    *m = (struct io_map){.slot = -1};
    m->path = strdup(path);
    if (!m->path)
        return err_nomem(e, path, strlen(path) + 1);
    int fd;
    struct stat st;
    int rc = open_regular(path, &fd, &st, e);
    if (rc == 0) {
        m->size = (uint64_t)st.st_size;
        m->dev = (uint64_t)st.st_dev;
        m->ino = (uint64_t)st.st_ino;
        rc = map_fd(m, fd, e);
        close(fd);
    }
    if (rc != 0)
        io_map_close(m);
    return rc;
}

void io_map_close(struct io_map *m)
{
    if (!m)
        return;
    if (m->slot >= 0 && m->path)
        slot_give_back(m->slot);
    if (m->data)
        (void)munmap((void *)(uintptr_t)m->data, (size_t)m->size);
    free(m->path);
    *m = (struct io_map){.slot = -1};
}

int io_map_check(const struct io_map *m, struct err *e)
{
    if (m->slot >= 0 && atomic_load(&slot_at(m->slot)->faulted))
        return err_set(e, GLIM_EIO,
                       "%s: a part could not be read: the file shrank or its disk failed", m->path);
    struct stat st;
    if (stat(m->path, &st) == 0 && (uint64_t)st.st_dev == m->dev && (uint64_t)st.st_ino == m->ino
        && (uint64_t)st.st_size < m->size) {
        return err_set(e, GLIM_EIO,
                       "%s: now %" PRIu64 " bytes, expected %" PRIu64
                       ": the file shrank while in use",
                       m->path, (uint64_t)st.st_size, m->size);
    }
    return GLIM_OK;
}

void io_map_alone(const struct io_map *m, const void *p, uint64_t n, bool alone)
{
    if (n == 0 || !m->data)
        return;
    const uintptr_t at = (uintptr_t)p & ~(page_size - 1), end = (uintptr_t)p + (uintptr_t)n;
    /* Hints: failure changes nothing. WILLNEED reads exactly this, in one piece. */
    (void)madvise((void *)at, end - at, alone ? MADV_RANDOM : MADV_NORMAL);
    if (alone)
        (void)madvise((void *)at, end - at, MADV_WILLNEED);
}

bool io_any_fault(void) { return atomic_load_explicit(&any_fault, memory_order_relaxed); }

/* Reads from fd to its end into *b [cap], growing up to max + 1 bytes. */
static int read_to_end(int fd, const char *path, uint64_t max, char **b, size_t *len, size_t cap,
                       struct err *e)
{
    for (;;) {
        if (mem_grow(b, &cap, *len + 2, 1) != 0)
            return err_nomem(e, path, *len + 2);
        const ssize_t n = read(fd, *b + *len, cap - *len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, GLIM_EIO, "%s: reading: %s", path, strerror(errno));
        if (n == 0)
            return GLIM_OK;
        *len += (size_t)n;
        if (*len > max)
            return err_set(e, GLIM_ELIMIT, "%s: more than %" PRIu64 " bytes", path, max);
    }
}

int io_read_file(const char *path, uint64_t max, char **out, size_t *len, struct err *e)
{
    *out = NULL;
    *len = 0;
    int fd;
    struct stat st;
    int rc = open_regular(path, &fd, &st, e);
    if (rc != 0)
        return rc;
    char *b = NULL;
    const uint64_t size = (uint64_t)st.st_size;
    if (size > max || size > SIZE_MAX / 4) {
        rc = err_set(e, GLIM_ELIMIT, "%s: %" PRIu64 " bytes, expected at most %" PRIu64, path, size,
                     max);
    } else {
        const size_t cap = (size_t)size + 2;
        b = malloc(cap);
        rc = b ? read_to_end(fd, path, max, &b, len, cap, e) : err_nomem(e, path, cap);
    }
    close(fd);
    if (rc != 0) {
        free(b);
        *len = 0;
        return rc;
    }
    b[*len] = 0;
    *out = b;
    return GLIM_OK;
}

size_t io_read_up_to(int fd, void *to, size_t n)
{
    size_t have = 0;
    while (have < n) {
        const ssize_t got = read(fd, (char *)to + have, n - have);
        if (got == 0 || (got < 0 && errno != EINTR))
            break;
        have += got > 0 ? (size_t)got : 0;
    }
    return have;
}

int io_write_all(int fd, const void *bytes, size_t n, const char *name, struct err *e)
{
    const char *p = bytes;
    while (n > 0) {
        const ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return err_set(e, GLIM_EIO, "%s: writing: %s", name,
                           w < 0 ? strerror(errno) : "nothing was written");
        p += w;
        n -= (size_t)w;
    }
    return GLIM_OK;
}
