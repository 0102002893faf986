/* places.h - a service's slots: what ran in each, and what callers want done with it. See glim.h.
 *
 * places.c   which slot a request takes, what a slot remembers
 * actions.c  save, restore, erase, by the service's thread between its steps
 *
 * Between two rounds an action holds no pages, so that requests find room as ever (SV3): it joins
 * the tree anew each time, and ends where the tree ends.
 */
#ifndef GLIM_ENGINE_PLACES_H
#define GLIM_ENGINE_PLACES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/snapshot_key.h"
#include "glim.h"

struct job;
struct request;
struct slot_action;

/* Changed by the service's thread alone, with its lock. */
struct place {
    char *owner;
    const struct snapshot_key *key;
    int32_t *token; /* [n] */
    uint8_t *role;  /* [n] */
    uint64_t n;     /* 0: it remembers nothing */
    uint64_t used;  /* the service's turn at which it was last taken */
};

struct actions { /* zero-initialise; with the service's lock */
    struct slot_action *first, **end;
    uint64_t waiting;
};

/* places.c; with the service's lock held: */
uint32_t places_choose(struct glim_service *v, const struct request *r);
size_t places_list(struct glim_service *v, struct glim_service_slot *out, size_t max);
/* without: the slot has this timeline now, which is copied; n 0 or no memory: none. */
void place_set(struct glim_service *v, uint32_t slot, const char *owner,
               const struct snapshot_key *key, const int32_t *token, const uint8_t *role,
               uint64_t n);
/* The job's, which ends. */
void place_remember(const struct job *j);
void places_deinit(struct glim_service *v);

/* actions.c; the service's thread: */

/* Is there one? With the service's lock held, too. */
bool actions_waiting(const struct glim_service *v);
/* Goes on with the first one for as long as a round may take. */
void actions_step(struct glim_service *v);
/* Ends all, with GLIM_ESTOPPED. */
void actions_finish(struct glim_service *v);

#endif
