/* verify_run.c - all files of a model: hashed by as many threads as there are processors, each with
 * a file of its own, and judged.
 */
#include "cli/verify.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/pool.h"
#include "base/util.h"
#include "cli/load.h"
#include "cli/out.h"

enum { THREADS_MAX = 16, REMEMBER_MS = 1000, REMEMBER_BYTES = 64 << 20 };

struct running {
    struct verify *v;
    verify_file_fn *on_file;
    pthread_mutex_t lock; /* of all below, and of what the files say */
    size_t next, shown;   /* files begun, and handed to on_file */
    uint64_t to_read;     /* bytes in all */
    uint64_t start_ns, remembered_ns;
    bool stopped;
};

static bool hashed(const struct verify_file *f) { return f->sha256.kind != SUM_NONE; }

static void judge(struct verify_file *f)
{
    const struct sum *const found = f->expected.kind == SUM_GIT ? &f->git : &f->sha256;
    f->status = f->expected.kind == SUM_NONE                ? VERIFY_NO_SUM
                : strcmp(found->hex, f->expected.hex) == 0 ? VERIFY_OK
                                                           : VERIFY_FAILED;
}

/* What can be said without reading. */
static void judge_early(struct verify_file *f)
{
    if (f->status != VERIFY_WAITING)
        return;
    if (f->expected_bytes != UINT64_MAX && f->expected_bytes != f->id.bytes)
        f->status = VERIFY_FAILED;
    else if (hashed(f))
        judge(f);
}

/* ---- with the lock held ---- */

static void show(struct running *r)
{
    struct verify *const v = r->v;
    for (; r->shown < v->files && v->file[r->shown].status != VERIFY_WAITING; r->shown++)
        if (r->on_file)
            r->on_file(v, &v->file[r->shown]);
}

static struct verify_file *take(struct running *r)
{
    struct verify *const v = r->v;
    while (r->next < v->files && v->file[r->next].status != VERIFY_WAITING)
        r->next++;
    return r->stopped || r->next == v->files ? NULL : &v->file[r->next++];
}

static void finish(struct running *r, struct verify_file *f, int rc, const struct err *e)
{
    if (rc == GLIM_ESTOPPED) {
        r->stopped = true;
    } else if (rc != GLIM_OK) {
        f->status = VERIFY_ERROR;
        (void)glim_error_set(&f->error, rc, "%s", e->text);
    } else {
        judge(f);
    }
    show(r);
    const uint64_t now = now_ns();
    if (f->id.bytes >= REMEMBER_BYTES || now - r->remembered_ns >= REMEMBER_MS * 1000000ull) {
        verify_remember(r->v);
        r->remembered_ns = now;
    }
}

static void show_progress(const struct running *r)
{
    const double s = (double)(now_ns() - r->start_ns) / 1e9, done = (double)r->v->read_bytes;
    const double rate = done / (s > 0 ? s : 1);
    const uint64_t left = (uint64_t)(((double)r->to_read - done) / (rate > 1 ? rate : 1));
    char a[HUMAN_LEN], b[HUMAN_LEN];
    progress_note("%s / %s (%d%%), %.2f GB/s, %llu:%02llu left", human_bytes(a, r->v->read_bytes),
                  human_bytes(b, r->to_read),
                  (int)(100 * done / (r->to_read ? (double)r->to_read : 1)), rate / 1e9,
                  (unsigned long long)left / 60, (unsigned long long)left % 60);
}

/* ---- the threads ---- */

static bool tick(void *ctx, uint64_t bytes)
{
    struct running *const r = ctx;
    pthread_mutex_lock(&r->lock);
    r->v->read_bytes += bytes;
    show_progress(r);
    r->stopped |= interrupted();
    const bool go_on = !r->stopped;
    pthread_mutex_unlock(&r->lock);
    return go_on;
}

static void work(void *ctx, size_t i, int worker)
{
    struct running *const r = ctx;
    (void)i, (void)worker;
    pthread_mutex_lock(&r->lock);
    for (struct verify_file *f; (f = take(r)) != NULL;) {
        struct err e = {0};
        pthread_mutex_unlock(&r->lock);
        const int rc = hash_file(f, tick, r, &e);
        pthread_mutex_lock(&r->lock);
        finish(r, f, rc, &e);
    }
    pthread_mutex_unlock(&r->lock);
}

static int run(struct running *r, size_t waiting, struct glim_error *e)
{
    struct pool *pool;
    struct err err;
    const uint64_t most = r->v->o->threads ? r->v->o->threads
                                           : min_u64((uint64_t)cpu_count(), THREADS_MAX);
    const size_t threads = (size_t)max_u64(1, min_u64(most, waiting));
    if (pool_new(&pool, (int)threads, &err) != 0)
        return glim_error_set(e, err.code, "%s", err.text);
    pool_for(pool, threads, work, r);
    pool_free(pool);
    return r->stopped ? glim_error_set(e, GLIM_ESTOPPED, "stopped") : GLIM_OK;
}

int verify_run(struct verify *v, verify_file_fn *on_file, struct glim_error *e)
{
    struct running r = {.v = v, .on_file = on_file, .lock = PTHREAD_MUTEX_INITIALIZER};
    size_t waiting = 0;
    r.start_ns = r.remembered_ns = now_ns();
    for (size_t i = 0; i < v->files; i++) {
        struct verify_file *const f = &v->file[i];
        judge_early(f);
        v->bytes += f->id.bytes;
        v->compared += f->expected.kind != SUM_NONE && f->status != VERIFY_MISSING;
        if (f->status != VERIFY_WAITING)
            continue;
        waiting++;
        r.to_read += f->id.bytes;
    }
    show(&r);
    const int rc = waiting ? run(&r, waiting, e) : GLIM_OK;
    v->ns = now_ns() - r.start_ns;
    progress_end();
    verify_remember(v);
    pthread_mutex_destroy(&r.lock);
    return rc;
}
