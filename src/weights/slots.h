/* slots.h - memory for routed experts that do not all fit: which slot holds which expert, and which
 * is emptied for another. No reading is done here (store.h).
 *
 *   ST1  a slot holds one expert, being read or ready, or nothing;
 *   ST3  an expert stands in at most one slot.
 *
 * A hand goes round the slots: of the next few that may go, it empties the one whose expert has the
 * lowest score of use (uses.h).
 */
#ifndef GLIM_WEIGHTS_SLOTS_H
#define GLIM_WEIGHTS_SLOTS_H

#include "base/reader.h"
#include "weights/experts.h"
#include "weights/plan.h"
#include "weights/weights.h"
#include "weights/windows.h"

enum { SLOT_PIECES = 3 * MATRIX_PIECES };

enum slot_state { SLOT_EMPTY, SLOT_READING, SLOT_READY };

struct slot {
    enum slot_state state;
    uint32_t key;         /* layer * per_layer + expert */
    bool wanted;          /* stays, whoever else needs a slot */
    bool fresh;           /* the store's: filled by the visit and not released */
    uint8_t *memory;
    struct expert expert; /* where it is when ready */
    struct read read[SLOT_PIECES];
    size_t reads, reading; /* in all; that are not back */
    int error;            /* of one that failed: its index + 1 */
    bool again, wrong;    /* read a second time, its checksum being wrong; still */
    struct doubt *doubt;  /* the store's, of that: what the first time brought */
};

struct slot_classes {
    struct plan_class *class; /* [n] */
    size_t n;
    uint32_t *of_layer;       /* [layers] */
};

struct slot_class { /* of layers whose experts take equal room */
    uint64_t bytes;
    uint32_t first, n, hand; /* slots */
    uint32_t empty;
    uint32_t most;           /* what n can grow to */
};

struct slots {
    const struct weights *weights;
    const struct experts *experts;
    struct slot *slot;        /* [n] */
    struct slot_class *class; /* [classes] */
    struct plan_class *share; /* [classes] how many slots each is to have */
    uint32_t *class_of;       /* [layers] */
    uint32_t *slot_of;        /* [layers, per_layer] */
    size_t classes, n;        /* n: as many as there were at first */
    uint64_t used;            /* experts of a layer that a token uses */
    uint8_t *memory;
    uint64_t bytes;           /* of all slots */
    uint64_t most_bytes;      /* of memory, most of which may not be there yet */
    bool by_mapping;          /* slots hold nothing: their experts are used as mapped (reader.h) */
};

/* Bytes that a slot for any expert of a layer takes. */
uint64_t slots_bytes(const struct weights *w, const struct experts *x, uint64_t layer);

/* The layers of x, whose files are w's, by the room that their experts take: looks at every expert,
 * which takes tens of milliseconds where there are 20,000 of them in 141 files. GLIM_ENOMEM. */
int slot_classes_init(struct slot_classes *k, const struct weights *w, const struct experts *x,
                      struct err *e);
void slot_classes_deinit(struct slot_classes *k);

/* Slots of `budget` bytes in all, as plan_slots shares them out, for the experts of x, whose files
 * are w's, whose classes are k (not kept) and of which a token uses `used` in a layer. by_mapping:
 * their memory is not to be touched. GLIM_ENOMEM. */
int slots_init(struct slots *s, const struct weights *w, const struct experts *x,
               const struct slot_classes *k, uint64_t used, uint64_t budget, bool by_mapping,
               struct err *e);
/* Other slots for another budget, at most as many as at first. What goes is emptied and its memory
 * given back. Nothing may be wanted or being read. */
void slots_resize(struct slots *s, uint64_t budget);
void slots_deinit(struct slots *s);

/* Where an expert stands; NULL: nowhere. */
struct slot *slots_find(const struct slots *s, uint32_t key);
/* An empty slot for that expert; NULL: there is none. */
struct slot *slots_unused(struct slots *s, uint32_t key);
/* The same, emptied if need be: as the hand finds it or, if
 * `recent`, what stands right behind the hand. NULL: all are wanted or being read. */
struct slot *slots_free(struct slots *s, uint32_t key, bool recent);
/* The slot is that expert's now, to be read by those windows; `to` of each goes from x->memory. */
void slots_take(struct slots *s, struct slot *x, uint32_t key, struct window *window,
                size_t *windows);
void slots_empty(struct slots *s, struct slot *x);

#endif
