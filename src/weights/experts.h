/* experts.h - leases on routed experts.
 *
 * The forward pass never touches an expert's bytes without a lease, so that where an expert lives
 * (mapped, streamed) is decided here and nowhere else. A step visits one layer at a time: it says
 * which experts it wants, and gets leases in whatever order they become ready.
 *
 *   E1  a leased expert is never evicted, and its matrices do not move;
 *   E2  each lease has one release; `leased` is 0 between steps;
 *   E3  which tier served an expert never changes its bytes.
 */
#ifndef GLIM_WEIGHTS_EXPERTS_H
#define GLIM_WEIGHTS_EXPERTS_H

#include "base/err.h"
#include "kernels/kernels.h"
#include "weights/uses.h"

struct expert {
    struct matrix gate, up; /* [F, D] */
    struct matrix down;     /* [D, F] */
};

/* Its i-th matrix of three. */
static inline const struct matrix *expert_matrix(const struct expert *x, size_t i)
{
    return i == 0 ? &x->gate : i == 1 ? &x->up : &x->down;
}

struct store;

struct experts {
    struct expert *table; /* [layers, per_layer], owned: as bound, in the mapped files */
    uint64_t layers, per_layer;
    struct store *store;  /* owned: where streamed experts live; NULL = all are used as mapped */
    bool streamed;        /* there is a store, or will be */
    uint64_t leased;      /* now */
    uint64_t acquired;    /* since opening: statistics */
    struct uses uses;     /* of streamed ones, as the forward pass counts them */
};

/* Of a layer, by a step. Mapped experts may be visited by several steps at a time, streamed ones by
 * one: its leases are what the others would wait for. */
struct expert_visit {
    struct experts *experts;
    uint64_t layer;
    const uint32_t *wanted; /* [n] */
    size_t n, given, leased;
};

int experts_init(struct experts *x, uint64_t layers, uint64_t per_layer, struct err *e);
void experts_deinit(struct experts *x);

/* Where the binder writes a mapped expert's matrices. */
struct expert *experts_slot(struct experts *x, uint64_t layer, uint64_t expert);

/* Begins a visit of a layer: of expert[n], rising, which stays until experts_end. */
void experts_begin(struct expert_visit *v, struct experts *x, uint64_t layer,
                   const uint32_t *expert, size_t n);
/* Leases on experts that are ready and were not handed out yet: their places in `expert`, the
 * leases, and how many; room for all in both. Waits for one, if `wait` and any is left, so *n = 0
 * then means that all were handed out. Earlier leases must have been released. GLIM_EIO: one
 * cannot be read. */
int experts_next(struct expert_visit *v, bool wait, uint32_t *place, const struct expert **lease,
                 size_t *n, struct err *e);
void experts_release(struct expert_visit *v, const struct expert *lease);
void experts_end(struct expert_visit *v);

#endif
