/* ahead.c - see ahead.h. */
#include "base/ahead.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"

enum { STEP = 4 << 20 };

struct ahead {
    pthread_t thread;
    atomic_bool stop;
    size_t n;
    struct stretch stretch[]; /* [n] */
};

/* false: the system does not do that, or is to stop. */
static bool prepare(struct ahead *a, const struct stretch *s)
{
    for (uint64_t at = 0; at < s->bytes; at += STEP) {
        const size_t bytes = (size_t)min_u64(STEP, s->bytes - at);
        if (atomic_load(&a->stop) || madvise(s->at + at, bytes, MADV_POPULATE_WRITE) != 0)
            return false;
    }
    return true;
}

static void *run(void *ctx)
{
    struct ahead *const a = ctx;
    for (size_t i = 0; i < a->n && prepare(a, &a->stretch[i]); i++)
        ;
    return NULL;
}

int ahead_start(struct ahead **out, const struct stretch *s, size_t n, struct err *e)
{
    struct ahead *const a = mem_zalloc(1, sizeof *a + n * sizeof *s);
    *out = NULL;
    if (!a)
        return err_nomem(e, "list of memory", sizeof *a + n * sizeof *s);
    a->n = n;
    memcpy(a->stretch, s, n * sizeof *s);
    if (pthread_create(&a->thread, NULL, run, a) == 0)
        *out = a;
    else
        free(a);
    return GLIM_OK;
}

void ahead_stop(struct ahead *a)
{
    if (!a)
        return;
    atomic_store(&a->stop, true);
    (void)pthread_join(a->thread, NULL);
    free(a);
}
