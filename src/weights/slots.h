/* slots.h - memory for routed experts that do not all fit: which slot holds which expert, and which
 * is emptied for another. No reading is done here (store.h).
 *
 *   ST1  a slot holds one expert, being read or ready, or nothing;
 *   ST3  an expert stands in at most one slot.
 *
 * The clock: each visit that hands out an expert adds one to its slot's use, up to USE_MAX; the
 * hand takes one off each slot that it passes, and empties the first that has none left.
 */
#ifndef GLIM_WEIGHTS_SLOTS_H
#define GLIM_WEIGHTS_SLOTS_H

#include "base/reader.h"
#include "weights/experts.h"
#include "weights/weights.h"
#include "weights/windows.h"

enum { SLOT_PIECES = 3 * MATRIX_PIECES };

enum slot_state { SLOT_EMPTY, SLOT_READING, SLOT_READY };

struct slot {
    enum slot_state state;
    uint32_t key;         /* layer * per_layer + expert */
    bool wanted;          /* stays, whatever the clock says */
    bool fresh;           /* the store's: filled by the visit and not released */
    uint8_t use;
    uint8_t *memory;
    struct expert expert; /* where it is when ready */
    struct read read[SLOT_PIECES];
    size_t reading;       /* reads that are not back */
    int error;            /* of one that failed: its index + 1 */
};

struct slot_class { /* of layers whose experts take equal room */
    uint64_t bytes, layers;
    uint32_t first, n, hand; /* slots */
    uint32_t empty;
};

struct slots {
    const struct weights *weights;
    const struct experts *experts;
    struct slot *slot;        /* [n] */
    struct slot_class *class; /* [classes] */
    uint32_t *class_of;       /* [layers] */
    uint32_t *slot_of;        /* [layers, per_layer] */
    size_t classes, n;
    uint8_t *memory;
    uint64_t bytes;           /* of all slots */
};

/* Bytes that a slot for any expert of a layer takes. */
uint64_t slots_bytes(const struct weights *w, const struct experts *x, uint64_t layer);

/* Slots of `budget` bytes in all for the experts of x, whose files are w's. Layers whose experts
 * take equal room share theirs; each such class gets at least one. GLIM_ENOMEM. */
int slots_init(struct slots *s, const struct weights *w, const struct experts *x, uint64_t budget,
               struct err *e);
void slots_deinit(struct slots *s);

/* Where an expert stands; NULL: nowhere. */
struct slot *slots_find(const struct slots *s, uint32_t key);
/* An empty slot for that expert; NULL: there is none. */
struct slot *slots_unused(struct slots *s, uint32_t key);
/* The same, emptied if need be: what was used least and longest ago or, if
 * `recent`, what stands right behind the hand. NULL: all are wanted or being read. */
struct slot *slots_free(struct slots *s, uint32_t key, bool recent);
/* The slot is that expert's now, to be read by those windows; `to` of each goes from x->memory. */
void slots_take(struct slots *s, struct slot *x, uint32_t key, struct window *window,
                size_t *windows);
void slots_empty(struct slots *s, struct slot *x);
void slots_use(struct slot *x); /* once more */

#endif
