/* service.c - see service.h. */
#include "engine/service.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { PARALLEL_DEFAULT = 32, QUEUE_DEFAULT = 256, SERVICE_CONTEXT_DEFAULT = 32768 };

/* Less than twice the time without prompts passes between an answer's tokens. */
static const double PROMPT_SHARE = 0.4;

/* Pages that the oldest request may take besides its context's: copies before it writes. */
enum { SPARE_PAGES = 8 };

static int shape_of(struct glim_service *v, const struct glim_service_options *o, struct err *e)
{
    struct session_shape *const s = &v->shape;
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    so.context_tok = o->context_tok ? o->context_tok
                                    : min_u64(v->model->model.cfg.context, SERVICE_CONTEXT_DEFAULT);
    so.chunk_tok = o->chunk_tok;
    so.kv = o->kv;
    so.kv_index = o->kv_index;
    so.mtp = o->mtp;
    if (session_shape_of(v->model, &so, s, e) != 0)
        return e->code;
    s->parallel = o->parallel ? o->parallel : PARALLEL_DEFAULT;
    if (s->parallel > JOBS_MAX)
        return err_set(e, GLIM_EINVAL, "parallel: %u requests, expected at most %d", o->parallel,
                       JOBS_MAX);
    if (!(o->prompt_share >= 0 && o->prompt_share < 1))
        return err_set(e, GLIM_EINVAL, "prompt share: %g, expected 0 up to 1", o->prompt_share);
    const uint64_t least = s->context + SPARE_PAGES * KV_PAGE_TOK;
    s->cache = max_u64(o->cache_tok ? o->cache_tok : plan_mul(2, s->context), least);
    s->cache = plan_mul(ceil_div_u64(s->cache, KV_PAGE_TOK), KV_PAGE_TOK);
    v->prompt_share = o->prompt_share > 0 ? o->prompt_share : PROMPT_SHARE;
    v->queue_max = o->queue ? o->queue : QUEUE_DEFAULT;
    v->owner_max = o->owner_queue ? o->owner_queue : UINT64_MAX;
    return GLIM_OK;
}

static int make_caches(struct glim_service *v, struct err *e)
{
    struct glim_model *const m = v->model;
    const struct session_shape *const s = &v->shape;
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(m, s->mtp, s->kv, s->kv_index, index);
    v->prefix.pages = &v->pages;
    if (kv_pages_init(&v->pages, kv_page_bytes(&l), s->cache / KV_PAGE_TOK, e) != 0)
        return err_prefix(e, "cache for %llu tokens", (unsigned long long)s->cache);
    struct stepper_shape steps[2];
    (void)stepper_shapes(m, s, steps);
    if (stepper_init(&v->prompt, m, &steps[0], s->mtp, e) != 0)
        return e->code;
    return stepper_init(&v->decode, m, &steps[1], s->mtp, e);
}

/* Before the first request finds out. */
static int can_encrypt(struct err *e)
{
    static const uint8_t any[SNAPSHOT_SECRET_MIN];
    struct snapshot_key k;
    const int rc = snapshot_key_init(&k, any, sizeof any, e);
    snapshot_key_deinit(&k);
    return rc;
}

static int start(struct glim_service *v, const struct glim_service_options *o, struct err *e)
{
    struct glim_error ge;
    glim_tokenizer *ignored;
    if (shape_of(v, o, e) != 0 || (o->kv_encrypt && can_encrypt(e) != 0))
        return e->code;
    if (glim_model_tokenizer(v->model, &ignored, &ge) != 0)
        return err_set(e, ge.code, "%s", ge.text);
    if (placement_enter(v->model, &v->shape, &v->memory_bytes, e) != 0)
        return blame(e, v->model->path);
    if (make_caches(v, e) != 0 || kept_open(v, o, e) != 0)
        return e->code;
    draft_init(&v->policy, v->model->model.cfg.experts_used);
    v->counts.context_tok = v->shape.context;
    v->counts.cache_tok = v->shape.cache;
    v->counts.parallel = v->shape.parallel;
    v->counts.queue = v->queue_max;
    v->state = v->counts;
    if (pthread_create(&v->thread, NULL, service_thread, v) != 0)
        return err_set(e, GLIM_ENOMEM, "service: no thread");
    v->started = true;
    return GLIM_OK;
}

int glim_service_start(glim_service **out, glim_model *m, const struct glim_service_options *o,
                       struct glim_error *err)
{
    struct err e = {0};
    struct glim_service_options full = GLIM_SERVICE_OPTIONS_INIT;
    if (o)
        memcpy(&full, o, min_u64(o->size, sizeof full));
    struct glim_service *const v = mem_zalloc(1, sizeof *v);
    *out = NULL;
    if (!v)
        return give(err, &e, err_nomem(&e, "service", sizeof *v));
    v->model = m;
    v->encrypts = full.kv_encrypt;
    (void)pthread_mutex_init(&v->lock, NULL);
    (void)pthread_cond_init(&v->wake, NULL);
    const int rc = start(v, &full, &e);
    if (rc != 0)
        glim_service_stop(v);
    else
        *out = v;
    return give(err, &e, rc);
}

void glim_service_stop(glim_service *v)
{
    if (!v)
        return;
    (void)pthread_mutex_lock(&v->lock);
    atomic_store(&v->stopping, true);
    (void)pthread_cond_signal(&v->wake);
    (void)pthread_mutex_unlock(&v->lock);
    if (v->started)
        (void)pthread_join(v->thread, NULL);
    kept_close(v);
    queue_deinit(&v->queue);
    places_deinit(v);
    if (v->prefix.pages)
        prefix_deinit(&v->prefix);
    stepper_deinit(&v->prompt);
    stepper_deinit(&v->decode);
    kv_pages_deinit(&v->pages);
    keyring_deinit(&v->keyring);
    placement_leave(v->model, v->memory_bytes);
    (void)pthread_cond_destroy(&v->wake);
    (void)pthread_mutex_destroy(&v->lock);
    free(v);
}

/* ---- callers ---- */

/* Whoever has used up what is his is told so, whether or not the queue is full. */
static int check_queue(const struct glim_service *v, const struct request *r, struct err *e)
{
    const uint64_t all = v->queue.waiting, own = queue_waiting(&v->queue, r->owner);
    if (own >= v->owner_max)
        return err_set(e, GLIM_EQUOTA,
                       "%llu requests of yours wait already, expected at most %llu",
                       (unsigned long long)own, (unsigned long long)v->owner_max);
    if (all >= v->queue_max)
        return err_set(e, GLIM_EBUSY, "%llu requests wait already, expected at most %llu",
                       (unsigned long long)all, (unsigned long long)v->queue_max);
    return GLIM_OK;
}

static int admit(struct glim_service *v, struct request *r, uint64_t *id, struct err *e)
{
    if (check_queue(v, r, e) != 0) {
        v->refused++;
        return e->code;
    }
    r->id = v->last_id + 1;
    if (queue_put(&v->queue, r, e) != 0)
        return e->code;
    v->last_id = r->id;
    if (id)
        *id = r->id;
    (void)pthread_cond_signal(&v->wake);
    return GLIM_OK;
}

int glim_service_submit(glim_service *v, const struct glim_request *q, uint64_t *id,
                        struct glim_error *err)
{
    struct err e = {0};
    struct request *r;
    if (request_new(&r, q, v->encrypts, &e) != 0)
        return give(err, &e, e.code);
    int rc = GLIM_OK;
    if (r->prompts >= v->shape.context)
        rc = err_set(&e, GLIM_ELIMIT, "prompt: %zu tokens, the context has room for %llu",
                     r->prompts, (unsigned long long)v->shape.context);
    (void)pthread_mutex_lock(&v->lock);
    if (rc == 0)
        rc = admit(v, r, id, &e);
    (void)pthread_mutex_unlock(&v->lock);
    if (rc != 0)
        request_free(r);
    return give(err, &e, rc);
}

void glim_service_cancel(glim_service *v, uint64_t id)
{
    (void)pthread_mutex_lock(&v->lock);
    struct request *r = queue_find(&v->queue, id);
    for (size_t i = 0; i < COUNT_OF(v->running) && !r; i++)
        r = v->running[i] && v->running[i]->id == id ? v->running[i] : NULL;
    if (r)
        atomic_store(&r->cancelled, true);
    (void)pthread_cond_signal(&v->wake);
    (void)pthread_mutex_unlock(&v->lock);
}

void glim_service_state(glim_service *v, struct glim_service_state *out)
{
    (void)pthread_mutex_lock(&v->lock);
    *out = v->state;
    out->waiting = v->queue.waiting;
    out->refused = v->refused;
    for (size_t i = 0; i < COUNT_OF(v->running); i++)
        out->running += v->running[i] != NULL;
    (void)pthread_mutex_unlock(&v->lock);
}

size_t glim_service_slots(glim_service *v, struct glim_service_slot *out, size_t max)
{
    (void)pthread_mutex_lock(&v->lock);
    const size_t n = places_list(v, out, max);
    (void)pthread_mutex_unlock(&v->lock);
    return n;
}
