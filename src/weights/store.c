/* store.c - see store.h: visits of the slots, and the reads that fill them. */
#include "weights/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "weights/doubts.h"
#include "weights/slots.h"
#include "weights/windows.h"

/* Experts that a bulk visit holds at a time: three reads each; that it hands out at a time while
 * others are read, so that somebody looks in time to begin more reads. */
enum { BULK_AHEAD = 8, BULK_OUT = 2 };

struct visit {
    uint64_t layer;
    const uint32_t *expert; /* [n] */
    size_t n;
    size_t missing;         /* from here on slots have not been found for all */
    bool *over, *now;       /* [n] handed out; this time */
    size_t left;            /* not handed out */
    size_t leased;
    bool bulk;              /* most of the layer is wanted */
    size_t fresh;           /* slots filled and not released */
};

struct store {
    struct slots slots;
    struct reader *reader;
    struct sums *sums; /* NULL: reads are not checked */
    struct visit visit;
    unsigned told; /* set of drives whose bytes were wrong */
    struct store_counts counts;
};

/* ---- opening ---- */

int store_open(struct store **out, const struct weights *w, const struct experts *x,
               const struct slot_classes *k, uint64_t used, uint64_t budget, struct reader *reader,
               struct err *e)
{
    struct store *const s = mem_zalloc(1, sizeof *s);
    *out = NULL;
    if (!s) {
        reader_close(reader);
        return err_nomem(e, "store of experts", sizeof *s);
    }
    s->reader = reader;
    s->visit.over = mem_zalloc(2 * x->per_layer, sizeof *s->visit.over);
    s->visit.now = s->visit.over + (s->visit.over ? x->per_layer : 0);
    const int rc = s->visit.over ? slots_init(&s->slots, w, x, k, used, budget,
                                              reader_by_mapping(reader), e)
                                 : err_nomem(e, "store of experts", x->per_layer);
    if (rc != 0) {
        store_close(s);
        return rc;
    }
    *out = s;
    return GLIM_OK;
}

static void submit(struct store *s, struct slot *x)
{
    x->reading = x->reads;
    s->counts.reads += x->reads;
    for (size_t i = 0; i < x->reads; i++)
        reader_submit(s->reader, &x->read[i]);
}

/* Is what was read what it should be? */
static bool is_right(struct store *s, const struct slot *x)
{
    if (!s->sums)
        return true;
    const uint64_t from = now_ns();
    const bool right = sums_match(s->sums, x->key, &x->expert);
    s->counts.check_ns += now_ns() - from;
    s->counts.checked++;
    s->counts.wrong += !right;
    return right;
}

/* A bit may have flipped on the way, or on one of several drives. */
static void ask_others(struct store *s, struct slot *x)
{
    x->again = true;
    x->doubt = doubt_new(s->reader, s->slots.weights, &s->slots.experts->table[x->key],
                         &x->expert);
    for (size_t i = 0; i < x->reads; i++)
        x->read[i].other = true;
    submit(s, x);
}

/* What was read again is there, right or not. */
static void settle(struct store *s, struct slot *x)
{
    if (x->doubt && !x->error)
        doubt_tell(x->doubt, s->reader, x->key % (uint32_t)s->slots.experts->per_layer, &s->told);
    doubt_free(x->doubt);
    x->doubt = NULL;
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
    if (!x->error && !is_right(s, x)) {
        if (!x->again) {
            ask_others(s, x);
            return;
        }
        x->wrong = true;
        x->error = 1;
    }
    settle(s, x);
    if (!x->error)
        x->state = SLOT_READY;
    else if (!x->wanted)
        slots_empty(&s->slots, x);
}

/* Until nothing is in flight. */
static void drain(struct store *s)
{
    while (s->reader && reader_in_flight(s->reader)) {
        struct read *const q = reader_next(s->reader, true);
        if (!q)
            break;
        take_back(s, q);
    }
}

void store_resize(struct store *s, uint64_t budget)
{
    assert(s->visit.n == 0);
    drain(s);
    slots_resize(&s->slots, budget);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    drain(s);
    reader_close(s->reader);
    sums_close(s->sums);
    slots_deinit(&s->slots);
    free(s->visit.over);
    free(s);
}

uint64_t store_bytes(const struct store *s) { return s->slots.bytes; }

struct stretch store_memory(const struct store *s)
{
    const struct slots *const o = &s->slots;
    return o->by_mapping ? (struct stretch){0} : (struct stretch){o->memory, o->bytes};
}

uint64_t store_layer_bytes(const struct store *s, uint64_t layer)
{
    const struct slots *const o = &s->slots;
    return o->class[o->class_of[layer]].bytes * o->experts->per_layer;
}

void store_check_reads(struct store *s, struct sums *sums)
{
    s->sums = sums;
    s->counts = (struct store_counts){0};
}

void store_count(const struct store *s, struct store_counts *out) { *out = s->counts; }

bool store_checks_reads(const struct store *s) { return s->sums != NULL; }

/* Starts to read an expert into an empty slot. */
static void fill(struct store *s, struct slot *x, uint32_t key)
{
    struct window window[SLOT_PIECES];
    slots_take(&s->slots, x, key, window, &x->reads);
    for (size_t i = 0; i < x->reads; i++) {
        const struct window *const o = &window[i];
        x->read[i] = (struct read){.file = o->file, .at = o->at, .bytes = (size_t)o->bytes,
                                   .to = x->memory + o->into, .owner = x};
    }
    submit(s, x);
}

/* ---- a visit ---- */

static uint32_t key_of(const struct store *s, size_t i)
{
    return (uint32_t)(s->visit.layer * s->slots.experts->per_layer) + s->visit.expert[i];
}

static struct slot *slot_of(struct store *s, size_t i)
{
    return slots_find(&s->slots, key_of(s, i));
}

/* Starts what is missing, as far as there are slots. */
static void start_reads(struct store *s)
{
    struct visit *const v = &s->visit;
    for (; v->missing < v->n; v->missing++) {
        if (v->over[v->missing] || slot_of(s, v->missing))
            continue;
        if (v->bulk && v->fresh >= BULK_AHEAD)
            return;
        const uint32_t key = key_of(s, v->missing);
        struct slot *const x = slots_free(&s->slots, key, v->bulk);
        if (!x)
            return;
        fill(s, x, key);
        x->wanted = x->fresh = true;
        v->fresh++;
    }
}

void store_begin(struct store *s, uint64_t layer, const uint32_t *expert, size_t n)
{
    struct visit *const v = &s->visit;
    assert(v->n == 0 && n <= s->slots.experts->per_layer);
    v->layer = layer;
    v->expert = expert;
    v->n = v->left = n;
    v->missing = v->fresh = 0;
    v->bulk = n > s->slots.experts->per_layer / 2;
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

/* Marks what is ready, rising, up to n in all: those that this visit read, or the others. */
static size_t mark_ready(struct store *s, bool fresh, size_t marked, size_t n)
{
    struct visit *const v = &s->visit;
    for (size_t i = 0; i < v->n && marked < n; i++) {
        const struct slot *const x = v->over[i] ? NULL : slot_of(s, i);
        if (!x || x->state != SLOT_READY || x->fresh != fresh)
            continue;
        v->over[i] = v->now[i] = true;
        marked++;
    }
    return marked;
}

/* Hands out what is ready. In a bulk visit a few at a time, those just read first: others can be
 * read into their slots, while what was there before is work for when the drive is behind. */
static size_t hand_out(struct store *s, uint32_t *place, const struct expert **lease)
{
    struct visit *const v = &s->visit;
    const size_t most = v->bulk && (v->fresh || v->missing < v->n) ? BULK_OUT : v->n;
    const size_t marked = mark_ready(s, false, mark_ready(s, true, 0, most), most);
    size_t n = 0;
    for (size_t i = 0; i < v->n && n < marked; i++) {
        if (!v->now[i])
            continue;
        v->now[i] = false;
        place[n] = (uint32_t)i;
        lease[n++] = &slot_of(s, i)->expert;
    }
    v->left -= n;
    v->leased += n;
    return n;
}

/* The first expert that is wanted and cannot be read. What an earlier visit asked for in vain is
 * asked for again: since then the drive may be back. */
static int blame_failed(struct store *s, struct err *e)
{
    for (size_t i = 0; i < s->visit.n; i++) {
        struct slot *const x = s->visit.over[i] ? NULL : slot_of(s, i);
        if (!x || !x->error || x->reading)
            continue;
        if (!x->fresh) {
            slots_empty(&s->slots, x);
            s->visit.missing = min_u64(s->visit.missing, i);
            continue;
        }
        if (x->wrong)
            return sums_blame(s->sums, x->key, &x->expert, e);
        const struct expert *const at = &s->slots.experts->table[x->key];
        (void)reader_blame(s->reader, &x->read[x->error - 1], e);
        return err_prefix(e, "expert %u of tensor \"%s\"", s->visit.expert[i], at->gate.name);
    }
    start_reads(s);
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
            slots_empty(&s->slots, x);
    }
    v->n = 0;
}

/* ---- the drive ---- */

const char *store_reads(const struct store *s) { return reader_name(s->reader); }

/* Empties all slots, when the last read of a step that failed is back. */
static void forget(struct store *s)
{
    drain(s);
    for (size_t i = 0; i < s->slots.n; i++)
        if (s->slots.slot[i].state != SLOT_EMPTY)
            slots_empty(&s->slots, &s->slots.slot[i]);
}

/* Fills empty slots with experts that are in none. */
static void fill_at_random(struct store *s, uint64_t *random)
{
    const uint64_t n = s->slots.experts->layers * s->slots.experts->per_layer;
    for (size_t i = 0; i < s->slots.n; i++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        const uint32_t key = (uint32_t)((*random >> 33) % n);
        struct slot *const x = slots_find(&s->slots, key) ? NULL : slots_unused(&s->slots, key);
        if (x)
            fill(s, x, key);
    }
}

int store_measure(struct store *s, uint64_t ns, double *bytes_per_s, struct err *e)
{
    const struct store_counts before = s->counts;
    struct sums *const sums = s->sums;
    uint64_t random = 1;
    int rc = GLIM_OK;
    forget(s);
    s->sums = NULL; /* what the drive gives, not what is done with it */
    const uint64_t start = now_ns();
    fill_at_random(s, &random);
    while (reader_in_flight(s->reader)) {
        struct read *const q = reader_next(s->reader, true);
        struct slot *const x = q->owner;
        if (q->error && rc == GLIM_OK)
            rc = reader_blame(s->reader, q, e);
        take_back(s, q);
        if (x->state != SLOT_READY)
            continue;
        slots_empty(&s->slots, x);
        if (now_ns() - start < ns)
            fill_at_random(s, &random);
    }
    *bytes_per_s = (double)(s->counts.bytes - before.bytes) * 1e9 / (double)(now_ns() - start);
    s->counts = before;
    s->sums = sums;
    return rc;
}
