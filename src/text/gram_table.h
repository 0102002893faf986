/* gram_table.h - the states that a run has met. Internal to text/grammar.
 *
 * A stack is a frame and the stack below it; equal stacks have one number (0 is the empty one). An
 * item is a node and a stack: one way in which the bytes so far may have been meant. A state is a
 * sorted set of items; equal sets have one number (0 is the empty set: nothing matches).
 * next[state] [class] is the state after a byte of that class, or STATE_UNKNOWN until somebody
 * asks.
 */
#ifndef GLIM_TEXT_GRAM_TABLE_H
#define GLIM_TEXT_GRAM_TABLE_H

#include "base/err.h"
#include "text/gram_impl.h"
#include "text/tokentrie.h"

#define STATE_NONE    0u
#define STATE_UNKNOWN UINT32_MAX
#define STATE_MIXED   (UINT32_MAX - 1) /* different ones for different characters */

#define ITEM_END UINT64_MAX /* the text may end here */

static inline uint64_t item_of(uint32_t node, uint32_t stack)
{
    return (uint64_t)node << 32 | stack;
}
static inline uint32_t item_node(uint64_t item)
{
    return (uint32_t)(item >> 32);
}
static inline uint32_t item_stack(uint64_t item)
{
    return (uint32_t)item;
}

struct gram_frame {
    uint32_t edge;  /* the GRAM_CALL or GRAM_REPEAT that is under way */
    uint32_t count; /* GRAM_REPEAT: how many times are complete; unbounded ones count to min */
    uint32_t below; /* stack */
};

struct gram_state {
    uint32_t item, items;         /* in gram_table.item */
    uint32_t uniform[TRIE_OTHER]; /* the state after any character of that class */
    int32_t mask;                 /* in the run's masks; -1: not known */
};

struct gram_index { /* open addressing; id 0 = free */
    struct {
        uint32_t hash, id;
    } * slot;
    size_t slots, used;
};

struct gram_table {
    const struct grammar *g;
    struct gram_frame *frame; /* [frames], the first stands for the empty stack */
    uint64_t *item;
    struct gram_state *state; /* [states], the first is STATE_NONE */
    uint32_t *next;           /* [states, classes] */
    size_t frames, items, states;
    size_t frame_cap, item_cap, state_cap, next_cap;
    struct gram_index frame_index, state_index;
    size_t limit; /* bytes */
};

/* A table that is full (its limit) fails with GLIM_ELIMIT. */
int gram_table_init(struct gram_table *t, const struct grammar *g, size_t limit);
void gram_table_deinit(struct gram_table *t);
size_t gram_table_bytes(const struct gram_table *t);

int gram_push(struct gram_table *t, struct gram_frame f, uint32_t *stack);
/* items [n]: sorted, each once. */
int gram_intern(struct gram_table *t, const uint64_t *items, size_t n, uint32_t *state);

/* The state `s` of table `from`, in `to`. */
int gram_copy(struct gram_table *to, const struct gram_table *from, uint32_t s, uint32_t *state);

static inline bool gram_may_end(const struct gram_table *t, uint32_t s)
{
    const struct gram_state *const x = &t->state[s];
    return x->items > 0 && t->item[x->item + x->items - 1] == ITEM_END;
}

#endif
