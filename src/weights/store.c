/* store.c - see store.h. */
#include "weights/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "weights/windows.h"

#define NONE UINT32_MAX
/* Experts of one shape differ by a page or two, as their places in the file have it: one class. */
enum { USE_MAX = 15, PIECES = 3 * MATRIX_PIECES, SLOT_GRAIN = 1 << 16 };
/* Experts that a bulk visit holds at a time: three reads each. */
enum { BULK_AHEAD = 8 };

enum slot_state { SLOT_EMPTY, SLOT_READING, SLOT_READY };

struct slot {
    enum slot_state state;
    uint32_t key;         /* layer * per_layer + expert */
    bool wanted;          /* by the visit */
    bool fresh;           /* filled by the visit and not released */
    uint8_t use;
    uint8_t *memory;
    struct expert expert; /* where it is when ready */
    struct read read[PIECES];
    size_t reading;       /* reads that are not back */
    int error;            /* of one that failed: its index + 1 */
};

struct class { /* of layers whose experts take equal room */
    uint64_t bytes, layers;
    uint32_t first, n, hand; /* slots */
    uint32_t empty;
};

struct visit {
    uint64_t layer;
    const uint32_t *expert; /* [n] */
    size_t n;
    size_t missing;         /* from here on slots have not been found for all */
    bool *over;             /* [n] handed out */
    size_t left;            /* not handed out */
    size_t leased;
    bool bulk;              /* most of the layer is wanted */
    size_t fresh;           /* slots filled and not released */
};

struct store {
    const struct weights *weights;
    const struct experts *experts;
    struct reader *reader;
    struct slot *slot;       /* [slots] */
    struct class *class;     /* [classes] */
    uint32_t *class_of;      /* [layers] */
    uint32_t *slot_of;       /* [layers, per_layer], NONE = in none */
    size_t classes, slots;
    uint8_t *memory;
    uint64_t bytes;
    struct visit visit;
    struct store_counts counts;
};

/* ---- opening ---- */

/* The pieces of an expert, as bound, and the windows around them. */
struct parts {
    struct piece piece[PIECES];
    struct window window[PIECES];
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

uint64_t store_slot_bytes(const struct weights *w, const struct experts *x, uint64_t layer)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < x->per_layer; i++) {
        struct expert at = x->table[layer * x->per_layer + i];
        bytes = max_u64(bytes, parts_of(w, &at).bytes);
    }
    return ceil_div_u64(bytes, SLOT_GRAIN) * SLOT_GRAIN;
}

static void classify(struct store *s)
{
    for (uint64_t l = 0; l < s->experts->layers; l++) {
        const uint64_t bytes = store_slot_bytes(s->weights, s->experts, l);
        size_t c = 0;
        while (c < s->classes && s->class[c].bytes != bytes)
            c++;
        if (c == s->classes)
            s->class[s->classes++] = (struct class){.bytes = bytes};
        s->class[c].layers++;
        s->class_of[l] = (uint32_t)c;
    }
}

/* Each class gets its layers' share of the budget: as many slots a layer as every other. */
static void share_out(struct store *s, uint64_t budget)
{
    long double all = 0;
    for (size_t c = 0; c < s->classes; c++)
        all += (long double)s->class[c].layers * (long double)s->class[c].bytes;
    for (size_t c = 0; c < s->classes; c++) {
        struct class *const x = &s->class[c];
        const uint64_t share = (uint64_t)((long double)budget * (long double)x->layers / all);
        x->first = (uint32_t)s->slots;
        x->n = x->empty = (uint32_t)min_u64(max_u64(share, 1), x->layers * s->experts->per_layer);
        s->slots += x->n;
        s->bytes += x->n * x->bytes;
    }
}

static int take_memory(struct store *s, struct err *e)
{
    s->slot = mem_zalloc(s->slots, sizeof *s->slot);
    if (!s->slot)
        return err_nomem(e, "slots of experts", s->slots * sizeof *s->slot);
    void *const p = mmap(NULL, (size_t)s->bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return err_nomem(e, "experts in memory", s->bytes);
    s->memory = p;
    (void)madvise(p, (size_t)s->bytes, MADV_HUGEPAGE);
    uint8_t *at = s->memory;
    for (size_t c = 0; c < s->classes; c++)
        for (uint32_t i = 0; i < s->class[c].n; i++, at += s->class[c].bytes)
            s->slot[s->class[c].first + i].memory = at;
    return GLIM_OK;
}

int store_open(struct store **out, const struct weights *w, const struct experts *x,
               uint64_t budget, struct reader *reader, struct err *e)
{
    struct store *const s = mem_zalloc(1, sizeof *s);
    *out = NULL;
    if (!s) {
        reader_close(reader);
        return err_nomem(e, "store of experts", sizeof *s);
    }
    *s = (struct store){.weights = w, .experts = x, .reader = reader};
    const uint64_t n = x->layers * x->per_layer;
    s->class = mem_zalloc(x->layers, sizeof *s->class);
    s->class_of = mem_zalloc(x->layers, sizeof *s->class_of);
    s->slot_of = mem_zalloc(n, sizeof *s->slot_of);
    s->visit.over = mem_zalloc(x->per_layer, sizeof *s->visit.over);
    int rc = !s->class || !s->class_of || !s->slot_of || !s->visit.over
               ? err_nomem(e, "store of experts", n * sizeof *s->slot_of)
               : GLIM_OK;
    if (rc == 0) {
        classify(s);
        share_out(s, budget);
        memset(s->slot_of, 0xff, n * sizeof *s->slot_of);
        rc = take_memory(s, e) != 0 ? e->code : windows_open_files(w, reader, e);
    }
    if (rc != 0) {
        store_close(s);
        return rc;
    }
    *out = s;
    return GLIM_OK;
}

/* ---- slots ---- */

static struct class *class_of(struct store *s, uint32_t key)
{
    return &s->class[s->class_of[key / s->experts->per_layer]];
}

static void empty(struct store *s, struct slot *x)
{
    s->slot_of[x->key] = NONE;
    x->state = SLOT_EMPTY;
    x->error = 0;
    x->use = 0;
    class_of(s, x->key)->empty++;
}

/* A read that came back; its slot may be ready now. */
static void take_back(struct store *s, struct read *q)
{
    struct slot *const x = q->owner;
    if (q->error && !x->error)
        x->error = (int)(q - x->read) + 1;
    s->counts.bytes += q->got;
    if (--x->reading > 0)
        return;
    if (!x->error)
        x->state = SLOT_READY;
    else if (!x->wanted)
        empty(s, x);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    while (s->reader && reader_in_flight(s->reader)) {
        struct read *const q = reader_next(s->reader, true);
        if (!q)
            break;
    }
    reader_close(s->reader);
    if (s->memory)
        (void)munmap(s->memory, (size_t)s->bytes);
    free(s->visit.over);
    free(s->slot);
    free(s->slot_of);
    free(s->class_of);
    free(s->class);
    free(s);
}

uint64_t store_bytes(const struct store *s) { return s->bytes; }
void store_count(const struct store *s, struct store_counts *out) { *out = s->counts; }

static bool may_go(const struct slot *x) { return x->state == SLOT_READY && !x->wanted; }

/* A slot to empty: the one used least and longest ago, as the hand finds it. */
static struct slot *find_oldest(struct store *s, struct class *c)
{
    for (uint64_t step = 0; step < (uint64_t)c->n * (USE_MAX + 1); step++) {
        struct slot *const x = &s->slot[c->first + c->hand];
        c->hand = (c->hand + 1) % c->n;
        if (may_go(x) && x->use-- == 0)
            return x;
    }
    return NULL;
}

/* One of those right behind the hand, which stays: a few slots that are filled again and again. */
static struct slot *find_newest(struct store *s, struct class *c)
{
    for (uint32_t step = 1; step <= c->n; step++) {
        struct slot *const x = &s->slot[c->first + (c->hand + c->n - step) % c->n];
        if (may_go(x))
            return x;
    }
    return NULL;
}

/* An empty slot of the class, emptied if need be; NULL: all are wanted or being read. */
static struct slot *find_slot(struct store *s, struct class *c)
{
    for (uint32_t step = 0; c->empty > 0 && step < c->n; step++) {
        struct slot *const x = &s->slot[c->first + c->hand];
        c->hand = (c->hand + 1) % c->n;
        if (x->state == SLOT_EMPTY)
            return x;
    }
    struct slot *const x = s->visit.bulk ? find_newest(s, c) : find_oldest(s, c);
    if (x)
        empty(s, x);
    return x;
}

static void fill(struct store *s, struct slot *x, uint32_t key)
{
    x->expert = s->experts->table[key];
    struct parts p = parts_of(s->weights, &x->expert);
    windows_move(p.piece, p.pieces, p.window, x->memory);
    x->key = key;
    x->state = SLOT_READING;
    x->wanted = x->fresh = true;
    s->visit.fresh++;
    class_of(s, key)->empty--;
    x->reading = p.windows;
    s->slot_of[key] = (uint32_t)(x - s->slot);
    s->counts.reads += p.windows;
    for (size_t i = 0; i < p.windows; i++) {
        const struct window *const o = &p.window[i];
        x->read[i] = (struct read){.file = o->file, .at = o->at, .bytes = (size_t)o->bytes,
                                   .to = x->memory + o->into, .owner = x};
        reader_submit(s->reader, &x->read[i]);
    }
}

/* ---- a visit ---- */

static uint32_t key_of(const struct store *s, size_t i)
{
    return (uint32_t)(s->visit.layer * s->experts->per_layer) + s->visit.expert[i];
}

static struct slot *slot_of(struct store *s, size_t i)
{
    const uint32_t at = s->slot_of[key_of(s, i)];
    return at == NONE ? NULL : &s->slot[at];
}

/* Starts what is missing, as far as there are slots. */
static void start_reads(struct store *s)
{
    struct visit *const v = &s->visit;
    struct class *const c = &s->class[s->class_of[v->layer]];
    for (; v->missing < v->n; v->missing++) {
        if (v->over[v->missing] || slot_of(s, v->missing))
            continue;
        if (v->bulk && v->fresh >= BULK_AHEAD)
            return;
        struct slot *const x = find_slot(s, c);
        if (!x)
            return;
        fill(s, x, key_of(s, v->missing));
    }
}

void store_begin(struct store *s, uint64_t layer, const uint32_t *expert, size_t n)
{
    struct visit *const v = &s->visit;
    assert(v->n == 0 && n <= s->experts->per_layer);
    v->layer = layer;
    v->expert = expert;
    v->n = v->left = n;
    v->missing = v->fresh = 0;
    v->bulk = n > s->experts->per_layer / 2;
    memset(v->over, 0, n * sizeof *v->over);
    s->counts.wanted += n;
    for (size_t i = 0; i < n; i++) {
        struct slot *const x = slot_of(s, i);
        if (x) {
            x->wanted = true;
            s->counts.hits++;
        }
    }
    start_reads(s);
}

/* Hands out what is ready. */
static size_t hand_out(struct store *s, uint32_t *place, const struct expert **lease)
{
    struct visit *const v = &s->visit;
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        struct slot *const x = v->over[i] ? NULL : slot_of(s, i);
        if (!x || x->state != SLOT_READY)
            continue;
        v->over[i] = true;
        x->use = (uint8_t)min_u64(x->use + 1u, USE_MAX);
        place[n] = (uint32_t)i;
        lease[n++] = &x->expert;
    }
    v->left -= n;
    v->leased += n;
    return n;
}

/* The first expert that is wanted and cannot be read. */
static int blame_failed(struct store *s, struct err *e)
{
    for (size_t i = 0; i < s->visit.n; i++) {
        struct slot *const x = s->visit.over[i] ? NULL : slot_of(s, i);
        if (!x || !x->error || x->reading)
            continue;
        const struct expert *const at = &s->experts->table[x->key];
        (void)reader_blame(s->reader, &x->read[x->error - 1], e);
        return err_prefix(e, "expert %u of tensor \"%s\"", s->visit.expert[i], at->gate.name);
    }
    return GLIM_OK;
}

int store_next(struct store *s, bool wait, uint32_t *place, const struct expert **lease, size_t *n,
               struct err *e)
{
    struct visit *const v = &s->visit;
    assert(v->leased == 0);
    start_reads(s);
    for (struct read *q; (q = reader_next(s->reader, false)) != NULL;)
        take_back(s, q);
    *n = hand_out(s, place, lease);
    while (wait && *n == 0 && v->left > 0) {
        if (blame_failed(s, e) != 0)
            return e->code;
        const uint64_t from = now_ns();
        struct read *const q = reader_next(s->reader, true);
        s->counts.wait_ns += now_ns() - from;
        assert(q); /* what is wanted and not there is being read, or a slot is free for it */
        take_back(s, q);
        start_reads(s);
        *n = hand_out(s, place, lease);
    }
    return GLIM_OK;
}

void store_release(struct store *s, const struct expert *lease)
{
    struct slot *const x = (struct slot *)(void *)((uint8_t *)(uintptr_t)lease
                                                   - offsetof(struct slot, expert));
    assert(s->visit.leased > 0 && x->state == SLOT_READY);
    x->wanted = false;
    s->visit.leased--;
    s->visit.fresh -= x->fresh;
    x->fresh = false;
}

void store_end(struct store *s)
{
    struct visit *const v = &s->visit;
    assert(v->leased == 0);
    for (size_t i = 0; i < v->n; i++) {
        struct slot *const x = slot_of(s, i);
        if (!x)
            continue;
        x->wanted = x->fresh = false;
        if (x->error && x->reading == 0)
            empty(s, x);
    }
    v->n = 0;
}

/* ---- the drive ---- */

const char *store_reads(const struct store *s) { return reader_name(s->reader); }

static void forget(struct store *s)
{
    for (size_t i = 0; i < s->slots; i++)
        if (s->slot[i].state != SLOT_EMPTY)
            empty(s, &s->slot[i]);
}

/* Fills empty slots with experts that are in none; how many. */
static size_t fill_at_random(struct store *s, uint64_t *random)
{
    const uint64_t n = s->experts->layers * s->experts->per_layer;
    size_t filled = 0;
    for (size_t i = 0; i < s->slots; i++) {
        struct slot *const x = &s->slot[i];
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        const uint32_t key = (uint32_t)((*random >> 33) % n);
        const struct class *const c = class_of(s, key);
        if (x->state != SLOT_EMPTY || s->slot_of[key] != NONE || i < c->first
            || i >= c->first + c->n)
            continue;
        fill(s, x, key);
        x->wanted = x->fresh = false;
        filled++;
    }
    return filled;
}

int store_measure(struct store *s, uint64_t ns, double *bytes_per_s, struct err *e)
{
    const struct store_counts before = s->counts;
    uint64_t random = 1;
    int rc = GLIM_OK;
    forget(s);
    const uint64_t start = now_ns();
    (void)fill_at_random(s, &random);
    while (reader_in_flight(s->reader)) {
        struct read *const q = reader_next(s->reader, true);
        struct slot *const x = q->owner;
        if (q->error && rc == GLIM_OK)
            rc = reader_blame(s->reader, q, e);
        take_back(s, q);
        if (x->state != SLOT_READY)
            continue;
        empty(s, x);
        if (now_ns() - start < ns)
            (void)fill_at_random(s, &random);
    }
    *bytes_per_s = (double)(s->counts.bytes - before.bytes) * 1e9 / (double)(now_ns() - start);
    s->counts = before;
    return rc;
}
