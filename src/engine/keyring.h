/* keyring.h - the keys of a service's requests, one of each kind: pages belong to a key by its
 * address. Kept until the end, since pages are. For one thread. */
#ifndef GLIM_ENGINE_KEYRING_H
#define GLIM_ENGINE_KEYRING_H

#include "cache/snapshot_key.h"

struct keyring { /* zero-initialise */
    struct keyring_entry *first;
};

/* Wipes all. */
void keyring_deinit(struct keyring *r);
/* The one that is the same, which may be new; NULL: no memory. */
const struct snapshot_key *keyring_find(struct keyring *r, const struct snapshot_key *key);

#endif
