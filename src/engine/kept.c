/* kept.c - prefixes that a service keeps on disk (cache/snapshot.h): what waits in the tree goes to
 * the thread that writes, and a prompt goes on where the tree ends from what is there.
 *
 * Both are done by the service's thread between its steps. Reading takes at most KEPT_READ_NS a
 * round, and goes on in the next one, so that answers are not held up; writing costs it the copy of
 * a page.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/service.h"

enum { KEPT_READ_NS = 50 * 1000 * 1000, TOUCHED_MAX = 16 };
static const uint64_t KEPT_LAST_NS = 20 * 1000000000ull;
static const uint64_t KEPT_BYTES = 20ull * 1000 * 1000 * 1000;

/* ---- opening ---- */

/* The saver's thread has room for a page: the service's may be asleep. */
static void wake(void *ctx)
{
    struct glim_service *const v = ctx;
    (void)pthread_mutex_lock(&v->lock);
    (void)pthread_cond_signal(&v->wake);
    (void)pthread_mutex_unlock(&v->lock);
}

static int open_folder(struct glim_service *v, const char *folder, uint64_t bytes,
                       const struct buf *id, struct err *e)
{
    int rc = snapshot_open(&v->kept.snapshot, folder, v->pages.page_bytes,
                           bytes ? bytes : KEPT_BYTES, id->data, id->len, e);
    if (rc == 0)
        rc = saver_new(&v->kept.saver, v->kept.snapshot, v->pages.page_bytes, wake, v, e);
    v->prefix.saving = rc == 0;
    return rc;
}

int kept_open(struct glim_service *v, const struct glim_service_options *o, struct err *e)
{
    struct buf id;
    if (!o->kv_dir && !o->slot_files)
        return GLIM_OK;
    buf_init(&id);
    int rc = identity_write(&id, v->model, &v->shape, "", e);
    if (rc == 0 && o->slot_files)
        rc = snapshot_identity(id.data, id.len, v->identity, e);
    if (rc == 0 && o->kv_dir)
        rc = open_folder(v, o->kv_dir, o->kv_dir_bytes, &id, e);
    v->slot_files = o->slot_files;
    buf_deinit(&id);
    return rc;
}

void kept_close(struct glim_service *v)
{
    saver_free(v->kept.saver);
    snapshot_close(v->kept.snapshot);
    v->kept = (struct kept){0};
}

/* ---- writing ---- */

static void look(struct glim_service *v)
{
    struct err e;
    const struct saver_counts c = saver_counts(v->kept.saver);
    v->counts.saved_pages = c.pages;
    v->counts.saved_bytes = c.bytes;
    v->counts.save_failed = c.failed;
    if (saver_fault(v->kept.saver, &e)) {
        (void)err_prefix(&e, "prefixes are not saved for now");
        model_notice(v->model, e.text);
    }
}

bool kept_wants(struct glim_service *v)
{
    return v->kept.saver && v->prefix.line && saver_ready(v->kept.saver);
}

void kept_step(struct glim_service *v)
{
    struct prefix_page x;
    struct err e;
    if (!v->kept.saver)
        return;
    look(v);
    for (int i = 0; i < TOUCHED_MAX && kept_wants(v) && prefix_waiting(&v->prefix, &x); i++) {
        if (snapshot_name(v->kept.snapshot, x.key, x.before, x.token, x.role, x.name, &e) == 0
            && !snapshot_touch(v->kept.snapshot, x.name))
            saver_give(v->kept.saver, x.name, x.token, x.role, x.page);
        prefix_take_out(&v->prefix);
    }
}

void kept_finish(struct glim_service *v)
{
    const uint64_t end = now_ns() + KEPT_LAST_NS;
    while (v->kept.saver && saver_wait(v->kept.saver, end) && v->prefix.line && now_ns() < end)
        kept_step(v);
    if (v->kept.saver)
        look(v);
}

/* ---- reading ---- */

void kept_begin(struct job *j, uint64_t complete, uint64_t most)
{
    struct kept_path *const k = &j->kept;
    struct glim_service *const v = j->service;
    struct err e;
    k->at = complete;
    k->most = most;
    k->reads = v->kept.snapshot != NULL;
    for (uint64_t i = 0; i < complete && k->reads; i += KV_PAGE_TOK)
        k->reads = snapshot_name(v->kept.snapshot, j->key, i ? &k->last : NULL, j->s.token + i,
                                 j->s.role + i, &k->last, &e)
                   == 0;
}

/* The next page is on the timeline; false: there is none, or no room for it. */
static bool read_page(struct job *j)
{
    struct kept_path *const k = &j->kept;
    struct glim_service *const v = j->service;
    const int32_t *const token = j->s.token + k->at;
    const uint8_t *const role = j->s.role + k->at;
    struct snapshot_name name;
    struct err e;
    if (k->at + KV_PAGE_TOK > k->most
        || snapshot_name(v->kept.snapshot, j->key, k->at ? &k->last : NULL, token, role, &name, &e)
               != 0
        || !room_evict(v, 1))
        return false;
    uint8_t *const page = kv_pages_take(&v->pages);
    const bool right = snapshot_read(v->kept.snapshot, &name, token, role, page);
    if (right) {
        kv_truncate(&j->s.kv, k->at); /* where the tree had a part of it */
        kv_join(&j->s.kv, page, KV_PAGE_TOK);
        k->last = name;
        k->at += KV_PAGE_TOK;
    }
    kv_pages_drop(&v->pages, page);
    return right;
}

bool kept_read(struct job *j)
{
    struct kept_path *const k = &j->kept;
    struct glim_service *const v = j->service;
    const uint64_t before = k->at;
    while (k->reads && now_ns() < v->kept.read_end_ns)
        k->reads = read_page(j);
    if (k->at > before) {
        prefix_keep(&v->prefix, &j->s.kv, j->key, j->s.token, j->s.role, k->at, k->at, false);
        v->counts.restored_tok += k->at - before;
        j->s.kv.mtp_length = k->at - 1;
    }
    return !k->reads;
}

void kept_round(struct glim_service *v) { v->kept.read_end_ns = now_ns() + KEPT_READ_NS; }
