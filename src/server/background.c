/* background.c - see background.h. The list's lock is taken with a generation's held, never the
 * other way round. */
#include "server/background.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/dialect.h"

struct background {
    pthread_mutex_t lock;
    struct generation *first;
};

struct background *background_new(void)
{
    struct background *const b = mem_zalloc(1, sizeof *b);
    if (b)
        (void)pthread_mutex_init(&b->lock, NULL);
    return b;
}

void background_free(struct background *b)
{
    if (b)
        (void)pthread_mutex_destroy(&b->lock);
    free(b);
}

void background_add(struct background *b, struct generation *g)
{
    (void)pthread_mutex_lock(&b->lock);
    g->next = b->first;
    b->first = g;
    (void)pthread_mutex_unlock(&b->lock);
}

void background_remove(struct background *b, struct generation *g)
{
    (void)pthread_mutex_lock(&b->lock);
    struct generation **at = &b->first;
    while (*at && *at != g)
        at = &(*at)->next;
    if (*at)
        *at = g->next;
    (void)pthread_mutex_unlock(&b->lock);
}

/* Held, so that it does not end its life: the caller releases its exchange. */
static struct generation *find(struct background *b, const char *owner, const char *id)
{
    (void)pthread_mutex_lock(&b->lock);
    struct generation *g = b->first;
    while (g && (strcmp(exchange_id(g->x) + 4, id) != 0
                 || strcmp(exchange_owner(g->x), owner) != 0))
        g = g->next;
    if (g)
        exchange_hold(g->x);
    (void)pthread_mutex_unlock(&b->lock);
    return g;
}

bool background_ask(struct background *b, const char *owner, const char *id,
                    enum background_wish wish, struct buf *out)
{
    struct generation *const g = find(b, owner, id);
    if (!g)
        return false;
    (void)pthread_mutex_lock(&g->lock);
    if (wish == BACKGROUND_FORGET) {
        g->forgotten = true;
        background_remove(b, g);
    }
    if (wish != BACKGROUND_LOOK && g->left > 0)
        generation_cancel(g);
    if (wish != BACKGROUND_FORGET)
        g->dialect->whole(g, out);
    (void)pthread_mutex_unlock(&g->lock);
    exchange_release(g->x);
    return true;
}

void background_cancel_all(struct background *b)
{
    (void)pthread_mutex_lock(&b->lock);
    for (struct generation *g = b->first; g; g = g->next)
        generation_cancel(g);
    (void)pthread_mutex_unlock(&b->lock);
}
