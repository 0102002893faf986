/* actions.c - see places.h. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cache/timeline_file.h"
#include "engine/service.h"

/* A round does one page at least. */
#ifndef SLOT_ROUND_NS
#define SLOT_ROUND_NS 50000000
#endif

enum { WAITING_MAX = 64 };
static const uint64_t SAVER_NS = 2000 * 1000 * 1000;

struct slot_action {
    struct slot_action *next;
    enum glim_slot_verb verb;
    uint32_t slot;
    char *owner, *path;
    struct snapshot_key secret; /* derived of it; wiped */
    void (*on_done)(void *ctx, const struct glim_slot_result *r);
    void *ctx;

    /* while it is worked on */
    bool begun;
    uint64_t begin_ns;
    const struct snapshot_key *key; /* of the keyring, or NULL */
    struct kv kv;                   /* empty between rounds */
    struct timeline_file file;
    int32_t *token; /* [n]; RESTORE: [context], n of them known */
    uint8_t *role;
    uint64_t n, at; /* at: done so far */
};

/* ---- callers ---- */

static void action_free(struct slot_action *a)
{
    if (!a)
        return;
    snapshot_key_deinit(&a->secret);
    kv_deinit(&a->kv);
    timeline_close(&a->file);
    free(a->token);
    free(a->role);
    free(a->owner);
    free(a->path);
    free(a);
}

static int check(const struct glim_service *v, const struct glim_slot_request *q, struct err *e)
{
    const bool files = q->verb == GLIM_SLOT_SAVE || q->verb == GLIM_SLOT_RESTORE;
    if (!files && q->verb != GLIM_SLOT_ERASE)
        return err_set(e, GLIM_EINVAL, "slot: verb %d", (int)q->verb);
    if (q->slot >= v->shape.parallel)
        return err_set(e, GLIM_EINVAL, "slot %u: there are 0 to %llu", q->slot,
                       (unsigned long long)v->shape.parallel - 1);
    if (!q->on_done || (files && !q->file))
        return err_set(e, GLIM_EINVAL, "slot: no %s", q->on_done ? "file" : "on_done");
    if (files && !v->slot_files)
        return err_set(e, GLIM_EUNSUPPORTED, "slots are neither saved nor restored here");
    return GLIM_OK;
}

static int action_new(struct slot_action **out, const struct glim_service *v,
                      const struct glim_slot_request *q, struct err *e)
{
    struct slot_action *const a = mem_zalloc(1, sizeof *a);
    *out = a;
    if (!a)
        return err_nomem(e, "slot", sizeof *a);
    a->verb = q->verb;
    a->slot = q->slot;
    a->on_done = q->on_done;
    a->ctx = q->ctx;
    a->file.fd = -1;
    a->owner = strdup(q->owner ? q->owner : "");
    a->path = strdup(q->file ? q->file : "");
    if (!a->owner || !a->path)
        return err_nomem(e, "slot", sizeof *a);
    return v->encrypts ? snapshot_key_init(&a->secret, q->secret, q->secret_bytes, e) : GLIM_OK;
}

/* With the service's lock held. */
static int enqueue(struct glim_service *v, struct slot_action *a, struct err *e)
{
    if (v->actions.waiting == WAITING_MAX)
        return err_set(e, GLIM_EBUSY, "%d wait for slots already", WAITING_MAX);
    *(v->actions.first ? v->actions.end : &v->actions.first) = a;
    v->actions.end = &a->next;
    v->actions.waiting++;
    (void)pthread_cond_signal(&v->wake);
    return GLIM_OK;
}

int glim_service_slot(glim_service *v, const struct glim_slot_request *r, struct glim_error *err)
{
    struct err e = {0};
    struct glim_slot_request full = GLIM_SLOT_REQUEST_INIT;
    struct slot_action *a = NULL;
    memcpy(&full, r, min_u64(r->size, sizeof full));
    int rc = check(v, &full, &e);
    if (rc == 0)
        rc = action_new(&a, v, &full, &e);
    if (rc == 0) {
        (void)pthread_mutex_lock(&v->lock);
        rc = enqueue(v, a, &e);
        (void)pthread_mutex_unlock(&v->lock);
    }
    if (rc != 0)
        action_free(a);
    return give(err, &e, rc);
}

/* ---- the service's thread: beginning ---- */

static int make_timeline(struct slot_action *a, uint64_t n, struct err *e)
{
    a->token = mem_zalloc(n, sizeof *a->token);
    a->role = mem_zalloc(n, 1);
    return a->token && a->role ? GLIM_OK : err_nomem(e, "slot", n * 5);
}

static int copy_timeline(struct slot_action *a, const struct place *p, struct err *e)
{
    a->n = p->n;
    if (make_timeline(a, p->n, e) != 0)
        return e->code;
    memcpy(a->token, p->token, p->n * sizeof *a->token);
    memcpy(a->role, p->role, p->n);
    return GLIM_OK;
}

static int check_place(const struct glim_service *v, const struct slot_action *a, struct err *e)
{
    const struct place *const p = &v->place[a->slot];
    if (v->running[a->slot])
        return err_set(e, GLIM_EBUSY, "slot %u: a request runs there", a->slot);
    if (p->n > 0 && strcmp(p->owner, a->owner) != 0)
        return err_set(e, GLIM_EINVAL, "slot %u: holds a request of somebody else", a->slot);
    if (p->n == 0 && a->verb != GLIM_SLOT_RESTORE)
        return err_set(e, GLIM_EINVAL, "slot %u: no request has run there", a->slot);
    return GLIM_OK;
}

static int begin_restore(struct glim_service *v, struct slot_action *a, struct err *e)
{
    if (make_timeline(a, v->shape.context, e) != 0)
        return e->code;
    return timeline_open(&a->file, a->path, v->pages.page_bytes, v->identity, a->key, e);
}

static int begin(struct glim_service *v, struct slot_action *a, struct err *e)
{
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct session_shape *const s = &v->shape;
    const struct kv_layout l = cache_layout(v->model, s->mtp, s->kv, s->kv_index, index);
    a->begun = true;
    a->begin_ns = now_ns();
    if (check_place(v, a, e) != 0)
        return e->code;
    if (v->encrypts && !(a->key = keyring_find(&v->keyring, &a->secret)))
        return err_nomem(e, "slot", sizeof a->secret);
    if (kv_init(&a->kv, &l, s->context, &v->pages, e) != 0)
        return e->code;
    if (a->verb == GLIM_SLOT_RESTORE)
        return begin_restore(v, a, e);
    if (copy_timeline(a, &v->place[a->slot], e) != 0)
        return e->code;
    return a->verb == GLIM_SLOT_ERASE ? GLIM_OK
                                      : timeline_create(&a->file, a->path, v->pages.page_bytes,
                                                        v->identity, a->key, e);
}

/* ---- rounds: 1: there is more to do; 0: done; else an error ---- */

static int save_round(struct glim_service *v, struct slot_action *a, uint64_t end, struct err *e)
{
    uint64_t whole;
    int rc = GLIM_OK;
    (void)prefix_join(&v->prefix, &a->kv, a->key, a->token, a->role, a->n, &whole);
    bool more = a->at < whole;
    while (more) {
        rc = timeline_put(&a->file, a->token + a->at, a->role + a->at, kv_page(&a->kv, a->at), e);
        a->at += rc == 0 ? KV_PAGE_TOK : 0;
        more = rc == 0 && a->at < whole && now_ns() < end;
    }
    kv_truncate(&a->kv, 0);
    if (rc != 0 || a->at < whole)
        return rc != 0 ? rc : 1;
    if (a->at == 0)
        return err_set(e, GLIM_EINVAL, "slot %u: not one whole page of %d tokens is in memory",
                       a->slot, KV_PAGE_TOK);
    return timeline_commit(&a->file, e);
}

/* The next page of the file; 1: it is on the timeline, 0: there is no more, or no room. */
static int restore_page(struct glim_service *v, struct slot_action *a, struct err *e)
{
    struct snapshot_rows rows;
    if (a->file.at == a->file.pages || a->at + KV_PAGE_TOK > v->shape.context || !room_evict(v, 1))
        return 0;
    uint8_t *const page = kv_pages_take(&v->pages);
    const int rc = timeline_get(&a->file, &rows, page, e);
    if (rc == 0) {
        memcpy(a->token + a->at, rows.token, sizeof rows.token);
        memcpy(a->role + a->at, rows.role, sizeof rows.role);
        kv_join(&a->kv, page, KV_PAGE_TOK);
        a->at += KV_PAGE_TOK;
    }
    kv_pages_drop(&v->pages, page);
    return rc == 0 ? 1 : rc;
}

static int restore_round(struct glim_service *v, struct slot_action *a, uint64_t end, struct err *e)
{
    int rc = prefix_join(&v->prefix, &a->kv, a->key, a->token, a->role, a->at, NULL) == a->at;
    bool more = rc == 1;
    while (more) {
        rc = restore_page(v, a, e);
        more = rc == 1 && now_ns() < end;
    }
    if (a->kv.length == a->at && a->at > 0)
        prefix_keep(&v->prefix, &a->kv, a->key, a->token, a->role, a->at, a->at, false);
    kv_truncate(&a->kv, 0);
    if (rc == 0)
        place_set(v, a->slot, a->owner, a->key, a->token, a->role, a->at);
    return rc;
}

/* Pages of kv_dir from token `left` on. What is being written is waited for: it would come back. */
static void erase_kept(struct glim_service *v, const struct slot_action *a, uint64_t left)
{
    struct snapshot *const s = v->kept.snapshot;
    struct snapshot_name name;
    struct err e;
    if (!s)
        return;
    (void)saver_wait(v->kept.saver, now_ns() + SAVER_NS);
    for (uint64_t i = 0; i + KV_PAGE_TOK <= a->n; i += KV_PAGE_TOK) {
        if (snapshot_name(s, a->key, i ? &name : NULL, a->token + i, a->role + i, &name, &e) != 0)
            return;
        if (i >= left)
            snapshot_remove(s, &name);
    }
}

static int erase(struct glim_service *v, struct slot_action *a)
{
    uint64_t left;
    a->at = prefix_erase(&v->prefix, a->key, a->token, a->role, a->n, &left);
    erase_kept(v, a, left);
    place_set(v, a->slot, "", NULL, NULL, NULL, 0);
    return GLIM_OK;
}

static int step(struct glim_service *v, struct slot_action *a, struct err *e)
{
    const uint64_t end = now_ns() + SLOT_ROUND_NS;
    if (!a->begun && begin(v, a, e) != 0)
        return e->code;
    switch (a->verb) {
    case GLIM_SLOT_SAVE: return save_round(v, a, end, e);
    case GLIM_SLOT_RESTORE: return restore_round(v, a, end, e);
    case GLIM_SLOT_ERASE: break;
    }
    return erase(v, a);
}

/* ---- the end ---- */

static void end_first(struct glim_service *v, int rc, const struct err *e)
{
    (void)pthread_mutex_lock(&v->lock);
    struct slot_action *const a = v->actions.first;
    v->actions.first = a->next;
    v->actions.waiting--;
    (void)pthread_mutex_unlock(&v->lock);
    const struct glim_slot_result r = {.code = rc,
                                       .error = rc ? e->text : "",
                                       .tokens = a->at,
                                       .bytes = a->file.bytes,
                                       .ns = a->begun ? now_ns() - a->begin_ns : 0};
    timeline_close(&a->file); /* what was not finished is gone when the caller hears of it */
    a->on_done(a->ctx, &r);
    action_free(a);
}

bool actions_waiting(const struct glim_service *v) { return v->actions.first != NULL; }

static struct slot_action *first(struct glim_service *v)
{
    (void)pthread_mutex_lock(&v->lock);
    struct slot_action *const a = v->actions.first;
    (void)pthread_mutex_unlock(&v->lock);
    return a;
}

void actions_step(struct glim_service *v)
{
    struct err e;
    struct slot_action *const a = first(v);
    const int rc = a ? step(v, a, &e) : 1;
    if (rc <= 0)
        end_first(v, rc, &e);
}

void actions_finish(struct glim_service *v)
{
    struct err e;
    (void)err_set(&e, GLIM_ESTOPPED, "the service is being stopped");
    while (first(v))
        end_first(v, e.code, &e);
}
