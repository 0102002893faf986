/* experts.c - see experts.h. */
#include "weights/experts.h"

#include <assert.h>
#include <stdlib.h>

#include "base/util.h"
#include "weights/store.h"

int experts_init(struct experts *x, uint64_t layers, uint64_t per_layer, struct err *e)
{
    *x = (struct experts){.layers = layers, .per_layer = per_layer};
    uint64_t n;
    if (!mul_u64(layers, per_layer, &n) || !(x->table = mem_zalloc(n, sizeof *x->table)))
        return err_nomem(e, "table of experts", layers * per_layer * sizeof *x->table);
    return uses_init(&x->uses, layers, per_layer, e);
}

void experts_deinit(struct experts *x)
{
    assert(x->leased == 0);
    store_close(x->store);
    uses_deinit(&x->uses);
    free(x->table);
    *x = (struct experts){0};
}

struct expert *experts_slot(struct experts *x, uint64_t layer, uint64_t expert)
{
    assert(layer < x->layers && expert < x->per_layer);
    return &x->table[layer * x->per_layer + expert];
}

void experts_begin(struct expert_visit *v, struct experts *x, uint64_t layer,
                   const uint32_t *expert, size_t n)
{
    assert(layer < x->layers);
    *v = (struct expert_visit){.experts = x, .layer = layer, .wanted = expert, .n = n};
    if (x->store)
        store_begin(x->store, layer, expert, n);
}

int experts_next(struct expert_visit *v, bool wait, uint32_t *place, const struct expert **lease,
                 size_t *n, struct err *e)
{
    struct experts *const x = v->experts;
    assert(v->leased == 0);
    if (x->store && store_next(x->store, wait, place, lease, n, e) != 0)
        return e->code;
    if (!x->store) {
        *n = v->n - v->given;
        for (size_t i = 0; i < *n; i++) {
            place[i] = (uint32_t)i;
            lease[i] = experts_slot(x, v->layer, v->wanted[i]);
        }
    }
    v->given += *n;
    v->leased += *n;
    x->leased += *n;
    x->acquired += *n;
    return GLIM_OK;
}

void experts_release(struct expert_visit *v, const struct expert *lease)
{
    struct experts *const x = v->experts;
    assert(v->leased > 0);
    if (x->store)
        store_release(x->store, lease);
    v->leased--;
    x->leased--;
}

void experts_end(struct expert_visit *v)
{
    assert(v->leased == 0);
    if (v->experts->store)
        store_end(v->experts->store);
}
