/* gram_build.c - see gram_build.h. */
#include "text/gram_build.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

void gram_builder_init(struct gram_builder *b, struct err *e)
{
    *b = (struct gram_builder){.e = e};
}

void gram_builder_deinit(struct gram_builder *b)
{
    for (size_t i = 0; i < b->rules; i++)
        free(b->rule[i].name);
    free(b->rule);
    free(b->edge);
    free(b->repeat);
    gram_builder_init(b, NULL);
}

int gram_fault(struct gram_builder *b, int code, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    if (b->rc != GLIM_OK)
        return b->rc;
    va_start(ap, fmt);
    err_format(text, sizeof text, fmt, ap);
    va_end(ap);
    return b->rc = err_set(b->e, code, "%s", text);
}

int gram_no_memory(struct gram_builder *b)
{
    return gram_fault(b, GLIM_ENOMEM, "grammar: out of memory");
}

static bool grow(struct gram_builder *b, void *array, size_t *cap, size_t need, size_t size)
{
    if (b->rc == GLIM_OK && mem_grow(array, cap, need, size) != GLIM_OK)
        b->rc = err_nomem(b->e, "grammar", (unsigned long long)need * size);
    return b->rc == GLIM_OK;
}

uint32_t gram_node(struct gram_builder *b)
{
    if (b->rc != GLIM_OK)
        return 0;
    if (b->nodes >= GRAM_NODES_MAX) {
        gram_fault(b, GLIM_ELIMIT, "grammar: %zu nodes, expected at most %d: make it smaller",
                   b->nodes + 1, GRAM_NODES_MAX);
        return 0;
    }
    return (uint32_t)b->nodes++;
}

uint32_t gram_rule(struct gram_builder *b, const char *name, size_t len)
{
    if (b->rules >= GRAM_RULES_MAX)
        gram_fault(b, GLIM_ELIMIT, "grammar: %zu rules, expected at most %d: make it smaller",
                   b->rules + 1, GRAM_RULES_MAX);
    if (!grow(b, &b->rule, &b->rule_cap, b->rules + 1, sizeof *b->rule))
        return 0;
    struct gram_draft_rule *const r = &b->rule[b->rules];
    *r = (struct gram_draft_rule){.name = name ? strndup(name, len) : NULL};
    b->rules++;
    if (name && !r->name)
        b->rc = err_nomem(b->e, "grammar", len);
    r->frag.start = gram_node(b);
    r->frag.end = gram_node(b);
    return (uint32_t)b->rules - 1;
}

struct gram_frag gram_rule_frag(const struct gram_builder *b, uint32_t rule)
{
    return b->rc == GLIM_OK ? b->rule[rule].frag : (struct gram_frag){0, 0};
}

static void add_edge(struct gram_builder *b, uint32_t from, struct gram_edge edge)
{
    if (b->edges >= GRAM_EDGES_MAX)
        gram_fault(b, GLIM_ELIMIT, "grammar: %zu edges, expected at most %d: make it smaller",
                   b->edges + 1, GRAM_EDGES_MAX);
    if (grow(b, &b->edge, &b->edge_cap, b->edges + 1, sizeof *b->edge))
        b->edge[b->edges++] = (struct gram_draft_edge){from, edge};
}

void gram_empty(struct gram_builder *b, uint32_t from, uint32_t to)
{
    if (from != to)
        add_edge(b, from, (struct gram_edge){.kind = GRAM_EMPTY, .target = to});
}

void gram_bytes(struct gram_builder *b, uint32_t from, uint8_t lo, uint8_t hi, uint32_t to)
{
    assert(lo <= hi);
    add_edge(b, from, (struct gram_edge){.kind = GRAM_BYTES, .lo = lo, .hi = hi, .target = to});
}

void gram_token(struct gram_builder *b, uint32_t from, int32_t id, uint32_t to)
{
    add_edge(b, from, (struct gram_edge){.kind = GRAM_TOKEN, .arg = (uint32_t)id, .target = to});
}

void gram_call(struct gram_builder *b, uint32_t from, uint32_t rule, uint32_t to)
{
    add_edge(b, from, (struct gram_edge){.kind = GRAM_CALL, .arg = rule, .target = to});
}

uint32_t gram_text(struct gram_builder *b, uint32_t from, const char *text, size_t len)
{
    for (size_t i = 0; i < len && b->rc == GLIM_OK; i++) {
        const uint32_t to = gram_node(b);
        gram_bytes(b, from, (uint8_t)text[i], (uint8_t)text[i], to);
        from = to;
    }
    return from;
}

uint32_t gram_string(struct gram_builder *b, uint32_t from, const char *text)
{
    return gram_text(b, from, text, strlen(text));
}

/* ---- characters ---- */

/* Where the last characters of gram_chars end: after[n] is followed by any n continuation bytes,
 * then by after[0]. */
struct tails {
    struct gram_builder *b;
    uint32_t after[4];
    int known; /* entries of after */
};

static uint32_t tail(struct tails *t, size_t n)
{
    for (; t->known <= (int)n && t->b->rc == GLIM_OK; t->known++) {
        t->after[t->known] = gram_node(t->b);
        gram_bytes(t->b, t->after[t->known], 0x80, 0xBF, t->after[t->known - 1]);
    }
    return t->after[n];
}

static bool all_are(const uint8_t *bytes, size_t n, uint8_t value)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

/* All strings of n bytes from lo to hi whose bytes after the first are continuation bytes. Recurses
 * n deep at most: 4. */
static void sequences(struct tails *t, uint32_t from, const uint8_t *lo, const uint8_t *hi,
                      size_t n)
{
    static const uint8_t lowest[3] = {0x80, 0x80, 0x80}, highest[3] = {0xBF, 0xBF, 0xBF};
    uint8_t first = lo[0], last = hi[0];
    if (n == 1) {
        gram_bytes(t->b, from, first, last, t->after[0]);
        return;
    }
    const bool low_cut = !all_are(lo + 1, n - 1, 0x80);
    const bool high_cut = !all_are(hi + 1, n - 1, 0xBF);
    if (low_cut || (high_cut && first == last)) {
        const uint32_t mid = gram_node(t->b);
        gram_bytes(t->b, from, first, first, mid);
        sequences(t, mid, lo + 1, first == last ? hi + 1 : highest, n - 1);
        if (first++ == last)
            return;
    }
    if (high_cut) {
        const uint32_t mid = gram_node(t->b);
        gram_bytes(t->b, from, last, last, mid);
        sequences(t, mid, lowest, hi + 1, n - 1);
        last--;
    }
    if (first <= last)
        gram_bytes(t->b, from, first, last, tail(t, n - 1));
}

void gram_chars(struct gram_builder *b, uint32_t from, const struct gram_range *r, size_t n,
                uint32_t to)
{
    static const struct gram_range block[] = {
        {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xD7FF}, {0xE000, 0xFFFF}, {0x10000, GRAM_CHAR_MAX}};
    struct tails t = {.b = b, .after = {to}, .known = 1};
    for (size_t i = 0; i < n && b->rc == GLIM_OK; i++) {
        for (size_t k = 0; k < COUNT_OF(block); k++) {
            const uint32_t lo = r[i].lo > block[k].lo ? r[i].lo : block[k].lo;
            const uint32_t hi = r[i].hi < block[k].hi ? r[i].hi : block[k].hi;
            char first[4], last[4];
            if (lo > hi)
                continue;
            const size_t len = utf8_encode(lo, first);
            utf8_encode(hi, last);
            sequences(&t, from, (const uint8_t *)first, (const uint8_t *)last, len);
        }
    }
}

/* ---- repetition ---- */

static uint32_t counted(struct gram_builder *b, uint32_t from, struct gram_frag frag, uint32_t min,
                        uint32_t max)
{
    const uint32_t rule = gram_rule(b, NULL, 0);
    if (!grow(b, &b->repeat, &b->repeat_cap, b->repeats + 1, sizeof *b->repeat))
        return 0;
    b->rule[rule].frag = frag;
    b->repeat[b->repeats] = (struct gram_repeat){rule, min, max};
    const uint32_t to = gram_node(b);
    add_edge(b, from,
             (struct gram_edge){.kind = GRAM_REPEAT, .arg = (uint32_t)b->repeats, .target = to});
    b->repeats++;
    return to;
}

uint32_t gram_times(struct gram_builder *b, uint32_t from, struct gram_frag frag, uint32_t min,
                    uint32_t max)
{
    const uint32_t most = max == GRAM_UNBOUNDED ? min : max;
    if (most > GRAM_REPEAT_MAX)
        gram_fault(b, GLIM_ELIMIT, "grammar: a repetition of %u, expected at most %d", most,
                   GRAM_REPEAT_MAX);
    if (max == 0)
        return from;
    if (max != 1 && (max != GRAM_UNBOUNDED || min > 1))
        return counted(b, from, frag, min, max);
    const uint32_t to = gram_node(b);
    gram_empty(b, from, frag.start);
    gram_empty(b, frag.end, to);
    if (max == GRAM_UNBOUNDED)
        gram_empty(b, frag.end, frag.start);
    if (min == 0)
        gram_empty(b, frag.start, to);
    return to;
}
