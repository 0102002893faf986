/* queue.h - requests that wait, and whose turn it is.
 *
 * The next request is one of the owner with the fewest requests being worked on; of such owners, of
 * the one whose last turn was longest ago; of its requests, the oldest. So an owner with a hundred
 * requests delays another's only one by those that run already.
 *
 * Not responsible for locks: one caller at a time.
 */
#ifndef GLIM_ENGINE_QUEUE_H
#define GLIM_ENGINE_QUEUE_H

#include "engine/request.h"

struct owner {
    struct owner *next;
    char *name;
    struct request *first, *last; /* that wait, oldest first */
    uint64_t waiting;             /* how many these are */
    uint64_t running;             /* that were taken and are not done */
    uint64_t turn;                /* the queue's count when it was last served */
};

struct queue { /* zero-initialise */
    struct owner *owner; /* those with requests that wait or run */
    uint64_t waiting, turns;
};

/* Frees the owners; no requests may be left. */
void queue_deinit(struct queue *q);
/* The queue borrows the request until it is taken, removed or done. */
int queue_put(struct queue *q, struct request *r, struct err *e);
/* How many requests of that owner wait. */
uint64_t queue_waiting(const struct queue *q, const char *owner);
/* NULL if none waits. */
struct request *queue_take(struct queue *q);
/* A request that was taken has ended. */
void queue_done(struct queue *q, const struct request *r);
/* One that waits and is over (request_over), out of the queue, as if taken and done; NULL: none. */
struct request *queue_take_over(struct queue *q);
/* The one that waits with this id, which stays; NULL: none. */
struct request *queue_find(const struct queue *q, uint64_t id);

#endif
