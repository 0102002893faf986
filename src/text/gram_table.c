/* gram_table.c - see gram_table.h. */
#include "text/gram_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

int gram_table_init(struct gram_table *t, const struct grammar *g, size_t limit)
{
    uint32_t none;
    *t = (struct gram_table){.g = g, .limit = limit};
    if (mem_grow(&t->frame, &t->frame_cap, 1, sizeof *t->frame) != GLIM_OK)
        return GLIM_ENOMEM;
    t->frame[t->frames++] = (struct gram_frame){0};
    return gram_intern(t, NULL, 0, &none); /* the first id is STATE_NONE */
}

void gram_table_deinit(struct gram_table *t)
{
    free(t->frame);
    free(t->item);
    free(t->state);
    free(t->next);
    free(t->frame_index.slot);
    free(t->state_index.slot);
    *t = (struct gram_table){0};
}

size_t gram_table_bytes(const struct gram_table *t)
{
    return t->frame_cap * sizeof *t->frame + t->item_cap * sizeof *t->item
           + t->state_cap * sizeof *t->state + t->next_cap * sizeof *t->next
           + (t->frame_index.slots + t->state_index.slots) * sizeof *t->frame_index.slot;
}

/* Finaliser of splitmix64. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

/* Room for one more, at most half full. */
static int index_grow(struct gram_index *x)
{
    if (2 * (x->used + 1) <= x->slots)
        return GLIM_OK;
    const struct gram_index old = *x;
    const size_t slots = old.slots ? 2 * old.slots : 64;
    x->slot = calloc(slots, sizeof *x->slot);
    if (!x->slot) {
        *x = old;
        return GLIM_ENOMEM;
    }
    x->slots = slots;
    for (size_t i = 0; i < old.slots; i++) {
        size_t k = old.slot[i].hash & (slots - 1);
        while (x->slot[k].id)
            k = (k + 1) & (slots - 1);
        x->slot[k] = old.slot[i];
    }
    free(old.slot);
    return GLIM_OK;
}

static int check_limit(const struct gram_table *t)
{
    return gram_table_bytes(t) > t->limit ? GLIM_ELIMIT : GLIM_OK;
}

int gram_push(struct gram_table *t, struct gram_frame f, uint32_t *stack)
{
    struct gram_index *const x = &t->frame_index;
    const uint32_t hash = (uint32_t)mix(mix((uint64_t)f.edge << 32 | f.count) + f.below);
    if (index_grow(x) != GLIM_OK)
        return GLIM_ENOMEM;
    size_t i = hash & (x->slots - 1);
    for (; x->slot[i].id; i = (i + 1) & (x->slots - 1)) {
        const struct gram_frame *const have = &t->frame[x->slot[i].id];
        if (have->edge == f.edge && have->count == f.count && have->below == f.below) {
            *stack = x->slot[i].id;
            return GLIM_OK;
        }
    }
    if (mem_grow(&t->frame, &t->frame_cap, t->frames + 1, sizeof *t->frame) != GLIM_OK)
        return GLIM_ENOMEM;
    x->slot[i].id = *stack = (uint32_t)t->frames;
    x->slot[i].hash = hash;
    x->used++;
    t->frame[t->frames++] = f;
    return check_limit(t);
}

static uint32_t hash_items(const uint64_t *items, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++)
        h = mix(h + items[i]);
    return (uint32_t)h;
}

/* Which classes lead anywhere at all is known from the start. */
static void fill_next(struct gram_table *t, uint32_t state)
{
    const struct grammar *const g = t->g;
    const struct gram_state *const s = &t->state[state];
    uint32_t *const next = t->next + (size_t)state * g->classes;
    memset(next, 0, g->classes * sizeof *next);
    for (uint32_t i = 0; i < s->items; i++) {
        const uint64_t item = t->item[s->item + i];
        if (item == ITEM_END)
            continue;
        const uint32_t node = item_node(item);
        for (uint32_t k = g->first[node]; k < g->first[node + 1]; k++) {
            const struct gram_edge *const x = &g->edge[k];
            for (unsigned c = g->class_of[x->lo]; x->kind == GRAM_BYTES && c <= g->class_of[x->hi];
                 c++)
                next[c] = STATE_UNKNOWN;
        }
    }
}

static int add_state(struct gram_table *t, const uint64_t *items, size_t n)
{
    const size_t classes = t->g->classes;
    if (mem_grow(&t->item, &t->item_cap, t->items + n, sizeof *t->item) != GLIM_OK
        || mem_grow(&t->state, &t->state_cap, t->states + 1, sizeof *t->state) != GLIM_OK
        || mem_grow(&t->next, &t->next_cap, (t->states + 1) * classes, sizeof *t->next) != GLIM_OK)
        return GLIM_ENOMEM;
    struct gram_state *const s = &t->state[t->states];
    *s = (struct gram_state){.item = (uint32_t)t->items, .items = (uint32_t)n, .mask = -1};
    for (int k = 0; k < TRIE_OTHER; k++)
        s->uniform[k] = STATE_UNKNOWN;
    if (n > 0)
        memcpy(t->item + t->items, items, n * sizeof *items);
    t->items += n;
    fill_next(t, (uint32_t)t->states++);
    return check_limit(t);
}

int gram_intern(struct gram_table *t, const uint64_t *items, size_t n, uint32_t *state)
{
    struct gram_index *const x = &t->state_index;
    const uint32_t hash = hash_items(items, n);
    *state = STATE_NONE;
    if (n == 0 && t->states > 0)
        return GLIM_OK;
    if (index_grow(x) != GLIM_OK)
        return GLIM_ENOMEM;
    size_t i = hash & (x->slots - 1);
    for (; x->slot[i].id; i = (i + 1) & (x->slots - 1)) {
        const struct gram_state *const s = &t->state[x->slot[i].id];
        if (x->slot[i].hash == hash && s->items == n
            && memcmp(t->item + s->item, items, n * sizeof *items) == 0) {
            *state = x->slot[i].id;
            return GLIM_OK;
        }
    }
    const int rc = add_state(t, items, n);
    if (rc != GLIM_OK || n == 0)
        return rc;
    x->slot[i].id = *state = (uint32_t)t->states - 1;
    x->slot[i].hash = hash;
    x->used++;
    return GLIM_OK;
}

/* ---- copying ---- */

/* The stack `s` of `from`, built up again from the bottom; way [depth] is scratch. */
static int copy_stack(struct gram_table *to, const struct gram_table *from, uint32_t s,
                      uint32_t **way, size_t *cap, uint32_t *stack)
{
    size_t n = 0;
    *stack = 0;
    for (; s != 0; s = from->frame[s].below) {
        if (mem_grow(way, cap, n + 1, sizeof **way) != GLIM_OK)
            return GLIM_ENOMEM;
        (*way)[n++] = s;
    }
    int rc = GLIM_OK;
    while (n > 0 && rc == GLIM_OK) {
        struct gram_frame f = from->frame[(*way)[--n]];
        f.below = *stack;
        rc = gram_push(to, f, stack);
    }
    return rc;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int gram_copy(struct gram_table *to, const struct gram_table *from, uint32_t s, uint32_t *state)
{
    const struct gram_state *const x = &from->state[s];
    uint64_t *const items = malloc((x->items + 1) * sizeof *items);
    uint32_t *way = NULL;
    size_t cap = 0;
    int rc = items ? GLIM_OK : GLIM_ENOMEM;
    for (uint32_t i = 0; i < x->items && rc == GLIM_OK; i++) {
        const uint64_t item = from->item[x->item + i];
        uint32_t stack = 0;
        if (item != ITEM_END)
            rc = copy_stack(to, from, item_stack(item), &way, &cap, &stack);
        items[i] = item == ITEM_END ? ITEM_END : item_of(item_node(item), stack);
    }
    if (rc == GLIM_OK) {
        qsort(items, x->items, sizeof *items, by_value);
        rc = gram_intern(to, items, x->items, state);
    }
    free(way);
    free(items);
    return rc;
}
