/* keyring.c - see keyring.h. */
#include "engine/keyring.h"

#include <stdlib.h>

#include "base/util.h"

struct keyring_entry {
    struct keyring_entry *next;
    struct snapshot_key key;
};

void keyring_deinit(struct keyring *r)
{
    while (r->first) {
        struct keyring_entry *const x = r->first;
        r->first = x->next;
        snapshot_key_deinit(&x->key);
        free(x);
    }
}

const struct snapshot_key *keyring_find(struct keyring *r, const struct snapshot_key *key)
{
    struct keyring_entry *x = r->first;
    while (x && !snapshot_key_same(&x->key, key))
        x = x->next;
    if (x)
        return &x->key;
    if (!(x = mem_zalloc(1, sizeof *x)))
        return NULL;
    x->key = *key;
    x->next = r->first;
    r->first = x;
    return &x->key;
}
