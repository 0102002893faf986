/* places.c - see places.h. */
#include "engine/places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/service.h"

/* ---- which one ---- */

/* How many tokens the prompt begins with are the place's, if it is a free one of this owner's. */
static uint64_t common(const struct place *p, const struct request *r)
{
    const uint64_t most = min_u64(p->n, r->prompts);
    uint64_t i = 0;
    if (p->n == 0 || strcmp(p->owner, r->owner) != 0)
        return 0;
    while (i < most && p->token[i] == r->prompt[i])
        i++;
    return i;
}

/* Better than nothing in common: never used; else not used for longer. */
static bool before(const struct place *a, const struct place *b)
{
    return !a->n != !b->n ? !a->n : a->used < b->used;
}

uint32_t places_choose(struct glim_service *v, const struct request *r)
{
    uint32_t best = JOBS_MAX;
    uint64_t most = 0;
    for (uint32_t i = 0; i < v->shape.parallel; i++) {
        const struct place *const p = &v->place[i];
        if (v->running[i])
            continue;
        /* The beginnings of templates are alike: half of it counts. */
        const uint64_t same = common(p, r), counts = same * 2 >= p->n ? same : 0;
        if (best == JOBS_MAX || counts > most
            || (counts == 0 && most == 0 && before(p, &v->place[best]))) {
            best = i;
            most = counts;
        }
    }
    v->place[best].used = ++v->turns;
    return best;
}

/* ---- what it remembers ---- */

static void place_clear(struct place *p)
{
    free(p->owner);
    free(p->token);
    free(p->role);
    *p = (struct place){.used = p->used};
}

static void *copy(const void *from, uint64_t n, size_t size)
{
    void *const to = mem_zalloc(n, size);
    if (to)
        memcpy(to, from, n * size);
    return to;
}

void place_set(struct glim_service *v, uint32_t slot, const char *owner,
               const struct snapshot_key *key, const int32_t *token, const uint8_t *role,
               uint64_t n)
{
    struct place *const p = &v->place[slot];
    struct place to = {.key = key, .n = n, .used = p->used};
    if (n > 0) {
        to.owner = strdup(owner);
        to.token = copy(token, n, sizeof *token);
        to.role = copy(role, n, sizeof *role);
        if (!to.owner || !to.token || !to.role)
            place_clear(&to);
    }
    (void)pthread_mutex_lock(&v->lock);
    place_clear(p);
    *p = to;
    (void)pthread_mutex_unlock(&v->lock);
}

void place_remember(const struct job *j)
{
    if (j->s.token && j->s.kv.length > 0)
        place_set(j->service, j->r->place, j->r->owner, j->key, j->s.token, j->s.role,
                  j->s.kv.length);
}

void places_deinit(struct glim_service *v)
{
    for (size_t i = 0; i < COUNT_OF(v->place); i++)
        place_clear(&v->place[i]);
}

/* ---- the list ---- */

static void show(const struct request *r, struct glim_service_slot *out)
{
    out->id = r->id;
    out->phase = atomic_load(&r->phase);
    out->prompt_tok = r->prompts;
    out->cached_tok = atomic_load(&r->cached_tok);
    out->done_tok = atomic_load(&r->done_tok);
    out->output_tok = atomic_load(&r->output_tok);
    out->age_ns = now_ns() - r->submitted_ns;
    (void)snprintf(out->owner, sizeof out->owner, "%s", r->owner);
}

static void show_idle(const struct place *p, struct glim_service_slot *out)
{
    out->phase = GLIM_PHASE_IDLE;
    out->kept_tok = p->n;
    (void)snprintf(out->owner, sizeof out->owner, "%s", p->owner ? p->owner : "");
}

size_t places_list(struct glim_service *v, struct glim_service_slot *out, size_t max)
{
    size_t n = 0;
    for (; n < v->shape.parallel && n < max; n++) {
        out[n] = (struct glim_service_slot){.slot = (int32_t)n};
        if (v->running[n])
            show(v->running[n], &out[n]);
        else
            show_idle(&v->place[n], &out[n]);
    }
    for (const struct owner *o = v->queue.owner; o; o = o->next) {
        for (const struct request *r = o->first; r && n < max; r = r->next) {
            out[n] = (struct glim_service_slot){.slot = -1};
            show(r, &out[n++]);
        }
    }
    return n;
}
