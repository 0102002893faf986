/* slots.c - see slots.h. */
#include "weights/slots.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"
#include "base/util.h"

#define NONE UINT32_MAX
/* Slots of a class, at most; the hostile build has two. */
#ifndef SLOTS_MAX
#define SLOTS_MAX UINT32_MAX
#endif
/* Experts of one shape differ by a page or two, as their places in the file have it: one class. */
enum { SLOT_GRAIN = 1 << 16 };
/* Slots that are compared for the least score. */
enum { LOOK = 32 };

/* ---- opening ---- */

/* The pieces of an expert, as bound, and the windows around them. */
struct parts {
    struct piece piece[SLOT_PIECES];
    struct window window[SLOT_PIECES];
    size_t pieces, windows;
    uint64_t bytes;
};

static struct parts parts_of(const struct weights *w, struct expert *x)
{
    struct parts p = {0};
    p.pieces = windows_pieces(&x->gate, p.piece);
    p.pieces += windows_pieces(&x->up, p.piece + p.pieces);
    p.pieces += windows_pieces(&x->down, p.piece + p.pieces);
    p.bytes = windows_around(w, p.piece, p.pieces, p.window, &p.windows);
    return p;
}

uint64_t slots_bytes(const struct weights *w, const struct experts *x, uint64_t layer)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < x->per_layer; i++) {
        struct expert at = x->table[layer * x->per_layer + i];
        bytes = max_u64(bytes, parts_of(w, &at).bytes);
    }
    return ceil_div_u64(bytes, SLOT_GRAIN) * SLOT_GRAIN;
}

int slot_classes_init(struct slot_classes *k, const struct weights *w, const struct experts *x,
                      struct err *e)
{
    *k = (struct slot_classes){.class = mem_zalloc(x->layers, sizeof *k->class),
                               .of_layer = mem_zalloc(x->layers, sizeof *k->of_layer)};
    if (!k->class || !k->of_layer) {
        slot_classes_deinit(k);
        return err_nomem(e, "classes of experts", x->layers * sizeof *k->class);
    }
    for (uint64_t l = 0; l < x->layers; l++) {
        const uint64_t bytes = slots_bytes(w, x, l);
        size_t c = 0;
        while (c < k->n && k->class[c].slot_bytes != bytes)
            c++;
        if (c == k->n)
            k->class[k->n++] = (struct plan_class){.slot_bytes = bytes};
        k->class[c].layers++;
        k->of_layer[l] = (uint32_t)c;
    }
    return GLIM_OK;
}

void slot_classes_deinit(struct slot_classes *k)
{
    free(k->class);
    free(k->of_layer);
    *k = (struct slot_classes){0};
}

/* Slots of each class for a budget. */
static void share_out(struct slots *s, uint64_t budget)
{
    (void)plan_slots(s->share, s->classes, s->experts->per_layer, s->used, budget);
}

static int take_memory(struct slots *s, struct err *e)
{
    for (size_t c = 0; c < s->classes; c++) {
        struct slot_class *const x = &s->class[c];
        x->bytes = s->share[c].slot_bytes;
        x->first = (uint32_t)s->n;
        x->n = x->most = x->empty = (uint32_t)min_u64(s->share[c].slots, SLOTS_MAX);
        s->n += x->n;
        s->bytes += x->n * x->bytes;
    }
    s->most_bytes = s->bytes;
    s->slot = mem_zalloc(s->n, sizeof *s->slot);
    if (!s->slot)
        return err_nomem(e, "slots of experts", s->n * sizeof *s->slot);
    s->memory = s->by_mapping ? mmap(NULL, (size_t)s->bytes, PROT_NONE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                              : pages_take(s->bytes);
    if (s->memory == MAP_FAILED)
        s->memory = NULL;
    if (!s->memory)
        return err_nomem(e, "experts in memory", s->bytes);
    uint8_t *at = s->memory;
    for (size_t c = 0; c < s->classes; c++)
        for (uint32_t i = 0; i < s->class[c].n; i++, at += s->class[c].bytes)
            s->slot[s->class[c].first + i].memory = at;
    return GLIM_OK;
}

int slots_init(struct slots *s, const struct weights *w, const struct experts *x,
               const struct slot_classes *k, uint64_t used, uint64_t budget, bool by_mapping,
               struct err *e)
{
    *s = (struct slots){.weights = w, .experts = x, .classes = k->n, .used = used,
                        .by_mapping = by_mapping};
    const uint64_t n = x->layers * x->per_layer;
    s->class = mem_zalloc(k->n, sizeof *s->class);
    s->share = mem_zalloc(k->n, sizeof *s->share);
    s->class_of = mem_zalloc(x->layers, sizeof *s->class_of);
    s->slot_of = mem_zalloc(n, sizeof *s->slot_of);
    if (!s->class || !s->share || !s->class_of || !s->slot_of) {
        slots_deinit(s);
        return err_nomem(e, "slots of experts", n * sizeof *s->slot_of);
    }
    memset(s->slot_of, 0xff, n * sizeof *s->slot_of);
    memcpy(s->share, k->class, k->n * sizeof *s->share);
    memcpy(s->class_of, k->of_layer, x->layers * sizeof *s->class_of);
    share_out(s, budget);
    if (take_memory(s, e) != 0) {
        slots_deinit(s);
        return e->code;
    }
    return GLIM_OK;
}

void slots_deinit(struct slots *s)
{
    pages_give_back(s->memory, s->most_bytes);
    free(s->share);
    free(s->slot);
    free(s->slot_of);
    free(s->class_of);
    free(s->class);
    *s = (struct slots){0};
}

/* ---- slots ---- */

static struct slot_class *class_of(struct slots *s, uint32_t key)
{
    return &s->class[s->class_of[key / s->experts->per_layer]];
}

struct slot *slots_find(const struct slots *s, uint32_t key)
{
    const uint32_t at = s->slot_of[key];
    return at == NONE ? NULL : &s->slot[at];
}

void slots_empty(struct slots *s, struct slot *x)
{
    s->slot_of[x->key] = NONE;
    x->state = SLOT_EMPTY;
    x->error = 0;
    x->again = x->wrong = false;
    class_of(s, x->key)->empty++;
}

/* The slots of a class are the first n of those there is memory for. */
static void resize_class(struct slots *s, struct slot_class *c, uint32_t n)
{
    for (uint32_t i = n; i < c->n; i++) {
        struct slot *const x = &s->slot[c->first + i];
        assert(x->state != SLOT_READING && !x->wanted);
        if (x->state == SLOT_READY)
            slots_empty(s, x);
        c->empty--;
    }
    if (n < c->n)
        (void)madvise(s->slot[c->first + n].memory, (size_t)((c->n - n) * c->bytes),
                      MADV_DONTNEED);
    else
        c->empty += n - c->n;
    c->n = n;
    c->hand %= n;
}

void slots_resize(struct slots *s, uint64_t budget)
{
    share_out(s, budget);
    s->bytes = 0;
    for (size_t c = 0; c < s->classes; c++) {
        struct slot_class *const x = &s->class[c];
        resize_class(s, x, (uint32_t)min_u64(s->share[c].slots, x->most));
        s->bytes += x->n * x->bytes;
    }
}

static bool may_go(const struct slot *x) { return x->state == SLOT_READY && !x->wanted; }

/* A slot to empty: the one used least of the next few from the hand on. */
static struct slot *find_least_used(struct slots *s, struct slot_class *c)
{
    struct slot *least = NULL;
    double low = 0;
    for (uint32_t step = 0, seen = 0; step < c->n && seen < LOOK; step++) {
        struct slot *const x = &s->slot[c->first + c->hand];
        c->hand = (c->hand + 1) % c->n;
        if (!may_go(x))
            continue;
        const double score = uses_score(&s->experts->uses, x->key);
        if (seen++ == 0 || score < low) {
            least = x;
            low = score;
        }
    }
    return least;
}

/* One of those right behind the hand, which stays: a few slots that are filled again and again. */
static struct slot *find_newest(struct slots *s, struct slot_class *c)
{
    for (uint32_t step = 1; step <= c->n; step++) {
        struct slot *const x = &s->slot[c->first + (c->hand + c->n - step) % c->n];
        if (may_go(x))
            return x;
    }
    return NULL;
}

struct slot *slots_unused(struct slots *s, uint32_t key)
{
    struct slot_class *const c = class_of(s, key);
    for (uint32_t step = 0; c->empty > 0 && step < c->n; step++) {
        struct slot *const x = &s->slot[c->first + c->hand];
        c->hand = (c->hand + 1) % c->n;
        if (x->state == SLOT_EMPTY)
            return x;
    }
    return NULL;
}

struct slot *slots_free(struct slots *s, uint32_t key, bool recent)
{
    struct slot_class *const c = class_of(s, key);
    struct slot *x = slots_unused(s, key);
    if (x)
        return x;
    x = recent ? find_newest(s, c) : find_least_used(s, c);
    if (x)
        slots_empty(s, x);
    return x;
}

void slots_take(struct slots *s, struct slot *x, uint32_t key, struct window *window,
                size_t *windows)
{
    x->expert = s->experts->table[key];
    struct parts p = parts_of(s->weights, &x->expert);
    if (!s->by_mapping)
        windows_move(p.piece, p.pieces, p.window, x->memory);
    memcpy(window, p.window, p.windows * sizeof *window);
    *windows = p.windows;
    x->key = key;
    x->state = SLOT_READING;
    class_of(s, key)->empty--;
    s->slot_of[key] = (uint32_t)(x - s->slot);
}
