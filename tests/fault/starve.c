/* starve.c - a library that is loaded before the others, by which allocations of a running program
 * fail: its own and those of the libraries that it uses. For tests/http/starved.py.
 *
 * The file that GLIM_TEST_STARVE names holds a struct page, through which the test says which calls
 * fail and learns what happened. Blocks are counted too, so that leaks show.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

enum { THREADS = 16, FRAMES = 14, PAGE_BYTES = 4096, EARLY_BYTES = 1 << 16 };

struct page {
    atomic_ulong first, many;  /* the first-th call fails, from 1, and the next many - 1; 0: none */
    atomic_ulong calls;        /* of threads that count */
    atomic_ulong failed;
    atomic_long live;          /* blocks */
    atomic_uint only[THREADS]; /* the threads that count, 0 after the last; none: all */
    atomic_uint seen[THREADS]; /* the threads that have called */
    char where[PAGE_BYTES - 5 * 8 - 2 * 4 * THREADS]; /* the latest call that failed */
};

static struct page *page;
static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);
static __thread unsigned own;
static __thread bool inside;

/* What asks before the others are found; never given back. */
static char early[EARLY_BYTES];
static size_t early_used;

static void *early_block(size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if (n > sizeof early - early_used)
        abort();
    early_used += n;
    return early + early_used - n;
}

static bool is_early(const void *p)
{
    return (uintptr_t)p - (uintptr_t)early < sizeof early;
}

static void find(void *to, const char *name)
{
    void *const f = dlsym(RTLD_NEXT, name);
    memcpy(to, &f, sizeof f);
}

/* False: still at it. */
static bool ready(void)
{
    static bool begun;
    if (real_mmap)
        return true;
    if (begun)
        return false;
    begun = true;
    find(&real_free, "free");
    find(&real_calloc, "calloc");
    find(&real_realloc, "realloc");
    find(&real_posix_memalign, "posix_memalign");
    find(&real_aligned_alloc, "aligned_alloc");
    find(&real_malloc, "malloc");
    find(&real_mmap, "mmap");
    return true;
}

__attribute__((constructor)) static void start(void)
{
    const char *const name = getenv("GLIM_TEST_STARVE");
    const int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || !ready())
        return;
    void *const at = real_mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    page = at == MAP_FAILED ? NULL : at;
    (void)close(fd);
}

struct frames {
    int n;
    size_t used; /* bytes of page->where */
};

/* A function, as addr2line takes it. */
static _Unwind_Reason_Code note_frame(struct _Unwind_Context *c, void *ctx)
{
    struct frames *const f = ctx;
    const uintptr_t at = _Unwind_GetIP(c);
    const size_t room = sizeof page->where - f->used;
    Dl_info in;
    if (f->n++ < 3) /* this library's own */
        return _URC_NO_REASON;
    if (f->n > FRAMES || !dladdr((const void *)at, &in))
        return _URC_NORMAL_STOP;
    const int more = snprintf(page->where + f->used, room, "%s+0x%lx\n", in.dli_fname,
                              (unsigned long)(at - (uintptr_t)in.dli_fbase));
    if (more < 0 || (size_t)more >= room)
        return _URC_NORMAL_STOP;
    f->used += (size_t)more;
    return _URC_NO_REASON;
}

/* Of threads that fail together, one. */
static void note_where(void)
{
    static atomic_flag noting = ATOMIC_FLAG_INIT;
    if (atomic_flag_test_and_set(&noting))
        return;
    (void)_Unwind_Backtrace(note_frame, &(struct frames){0});
    atomic_flag_clear(&noting);
}

static bool counts(void)
{
    if (!own)
        own = (unsigned)syscall(SYS_gettid);
    for (size_t i = 0; i < THREADS && page->seen[i] != own; i++) {
        unsigned none = 0;
        if (atomic_compare_exchange_strong(&page->seen[i], &none, own))
            break;
    }
    for (size_t i = 0; i < THREADS && page->only[i]; i++) {
        if (page->only[i] == own)
            return true;
    }
    return page->only[0] == 0;
}

static bool fails(void)
{
    if (!page || inside || !counts())
        return false;
    const unsigned long call = atomic_fetch_add(&page->calls, 1) + 1, first = page->first;
    if (first == 0 || call < first || call - first >= page->many)
        return false;
    inside = true;
    atomic_fetch_add(&page->failed, 1);
    note_where();
    inside = false;
    errno = ENOMEM;
    return true;
}

static void *counted(void *p)
{
    if (p && page)
        atomic_fetch_add(&page->live, 1);
    return p;
}

void *malloc(size_t n)
{
    if (!ready())
        return early_block(n);
    return fails() ? NULL : counted(real_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    if (!ready())
        return early_block(n * size);
    return fails() ? NULL : counted(real_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    if (!ready() || is_early(p)) {
        void *const more = malloc(n);
        if (more && p)
            memcpy(more, p, n); /* early blocks have something behind them */
        return more;
    }
    if (fails())
        return NULL;
    return p ? real_realloc(p, n) : counted(real_realloc(p, n));
}

void free(void *p)
{
    if (!p || is_early(p) || !ready())
        return;
    if (page)
        atomic_fetch_sub(&page->live, 1);
    real_free(p);
}

int posix_memalign(void **out, size_t to, size_t n)
{
    if (!ready() || fails())
        return ENOMEM;
    const int rc = real_posix_memalign(out, to, n);
    if (rc == 0)
        (void)counted(*out);
    return rc;
}

void *aligned_alloc(size_t to, size_t n)
{
    return !ready() || fails() ? NULL : counted(real_aligned_alloc(to, n));
}

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
    if (!ready() || ((flags & MAP_ANONYMOUS) && fails()))
        return MAP_FAILED;
    return real_mmap(at, n, prot, flags, fd, off);
}
