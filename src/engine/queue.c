/* queue.c - see queue.h. */
#include "engine/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

void queue_deinit(struct queue *q)
{
    assert(q->waiting == 0);
    while (q->owner) {
        struct owner *const o = q->owner;
        q->owner = o->next;
        free(o->name);
        free(o);
    }
}

static struct owner *find(const struct queue *q, const char *name)
{
    struct owner *o = q->owner;
    while (o && strcmp(o->name, name) != 0)
        o = o->next;
    return o;
}

static struct owner *add(struct queue *q, const char *name)
{
    struct owner *const o = mem_zalloc(1, sizeof *o);
    if (!o || !(o->name = strdup(name))) {
        free(o);
        return NULL;
    }
    o->next = q->owner;
    q->owner = o;
    return o;
}

/* An owner with nothing left to do is forgotten. */
static void drop_idle(struct queue *q, struct owner *idle)
{
    if (idle->running || idle->first)
        return;
    struct owner **at = &q->owner;
    while (*at != idle)
        at = &(*at)->next;
    *at = idle->next;
    free(idle->name);
    free(idle);
}

int queue_put(struct queue *q, struct request *r, struct err *e)
{
    struct owner *o = find(q, r->owner);
    if (!o && !(o = add(q, r->owner)))
        return err_nomem(e, "queue", sizeof *o);
    r->next = NULL;
    if (o->last)
        o->last->next = r;
    else
        o->first = r;
    o->last = r;
    o->waiting++;
    q->waiting++;
    return GLIM_OK;
}

uint64_t queue_waiting(const struct queue *q, const char *owner)
{
    const struct owner *const o = find(q, owner);
    return o ? o->waiting : 0;
}

static bool before(const struct owner *a, const struct owner *b)
{
    return a->running != b->running ? a->running < b->running : a->turn < b->turn;
}

static struct request *take(struct queue *q, struct owner *o, struct request *r)
{
    struct request **at = &o->first, *previous = NULL;
    for (; *at != r; at = &(*at)->next)
        previous = *at;
    *at = r->next;
    if (o->last == r)
        o->last = previous;
    r->next = NULL;
    o->waiting--;
    q->waiting--;
    return r;
}

struct request *queue_take(struct queue *q)
{
    struct owner *best = NULL;
    for (struct owner *o = q->owner; o; o = o->next) {
        if (o->first && (!best || before(o, best)))
            best = o;
    }
    if (!best)
        return NULL;
    best->running++;
    best->turn = ++q->turns;
    return take(q, best, best->first);
}

void queue_done(struct queue *q, const struct request *r)
{
    struct owner *const o = find(q, r->owner);
    o->running--;
    drop_idle(q, o);
}

struct request *queue_take_over(struct queue *q)
{
    struct err ignored;
    for (struct owner *o = q->owner; o; o = o->next) {
        for (struct request *r = o->first; r; r = r->next) {
            if (request_over(r, &ignored) == 0)
                continue;
            (void)take(q, o, r);
            drop_idle(q, o);
            return r;
        }
    }
    return NULL;
}

struct request *queue_find(const struct queue *q, uint64_t id)
{
    for (const struct owner *o = q->owner; o; o = o->next) {
        for (struct request *r = o->first; r; r = r->next) {
            if (r->id == id)
                return r;
        }
    }
    return NULL;
}
