/* tokentrie.c - see tokentrie.h. */
#include "text/tokentrie.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

static const struct trie_bytes lower[] = {{1, {'a'}, {'z'}}};
static const struct trie_bytes alpha[] = {{1, {'A'}, {'Z'}}, {1, {'a'}, {'z'}}};
static const struct trie_bytes plain[] = {
    {1, {0x20}, {0x21}},
    {1, {0x23}, {0x5B}},
    {1, {0x5D}, {0x7F}},
    {2, {0xC2, 0x80}, {0xDF, 0xBF}},
    {3, {0xE0, 0xA0, 0x80}, {0xE0, 0xBF, 0xBF}},
    {3, {0xE1, 0x80, 0x80}, {0xEC, 0xBF, 0xBF}},
    {3, {0xED, 0x80, 0x80}, {0xED, 0x9F, 0xBF}},
    {3, {0xEE, 0x80, 0x80}, {0xEF, 0xBF, 0xBF}},
    {4, {0xF0, 0x90, 0x80, 0x80}, {0xF0, 0xBF, 0xBF, 0xBF}},
    {4, {0xF1, 0x80, 0x80, 0x80}, {0xF3, 0xBF, 0xBF, 0xBF}},
    {4, {0xF4, 0x80, 0x80, 0x80}, {0xF4, 0x8F, 0xBF, 0xBF}},
};

enum { PLAIN_ASCII = 3 }; /* strings of plain that are not TRIE_HIGH */

const struct trie_bytes *trie_class_bytes(int which, size_t *n)
{
    switch (which) {
    case TRIE_LOWER: *n = COUNT_OF(lower); return lower;
    case TRIE_ALPHA: *n = COUNT_OF(alpha); return alpha;
    case TRIE_HIGH: *n = COUNT_OF(plain) - PLAIN_ASCII; return plain + PLAIN_ASCII;
    default: *n = COUNT_OF(plain); return plain;
    }
}

/* A token while the tries are made. */
struct entry {
    uint64_t head; /* its first 8 bytes, as a number that sorts as they do */
    const char *text;
    uint32_t len;
    int32_t id;
    uint8_t which; /* class */
    uint8_t chars;
};

static uint64_t head_of(const char *text, size_t len)
{
    uint64_t h = 0;
    for (size_t i = 0; i < 8; i++)
        h = h << 8 | (i < len ? (uint8_t)text[i] : 0);
    return h;
}

static int by_bytes(const void *a, const void *b)
{
    const struct entry *const x = a, *const y = b;
    if (x->head != y->head)
        return x->head < y->head ? -1 : 1;
    const int c = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
    if (c != 0 || x->len != y->len)
        return c ? c : x->len < y->len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool is_one_of(const char *c, size_t len, int which)
{
    size_t n;
    const struct trie_bytes *const set = trie_class_bytes(which, &n);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < len && set[i].len == len && (uint8_t)c[k] >= set[i].lo[k]
               && (uint8_t)c[k] <= set[i].hi[k])
            k++;
        if (k == len)
            return true;
    }
    return false;
}

/* The number of characters, if all are of the class; 0 otherwise. */
static size_t count_chars(const struct entry *x, int which)
{
    size_t chars = 0, n;
    for (size_t i = 0; i < x->len; i += n, chars++) {
        if (utf8_classify(x->text + i, x->len - i, &n) != UTF8_OK || chars == TRIE_CHARS_MAX
            || !is_one_of(x->text + i, n, which))
            return 0;
    }
    return chars;
}

static void classify(struct entry *x)
{
    int which = TRIE_LOWER;
    size_t chars = 0;
    while (which < TRIE_OTHER && (chars = count_chars(x, which)) == 0)
        which++;
    x->which = (uint8_t)which;
    x->chars = (uint8_t)chars;
}

/* The tokens with text, sorted; the caller frees the list. */
static struct entry *list_tokens(const struct tok *t, size_t *n)
{
    const uint32_t count = tok_count(t);
    struct entry *const list = malloc((count + 1) * sizeof *list);
    *n = 0;
    for (uint32_t id = 0; list && id < count; id++) {
        size_t len;
        const char *const text = tok_bytes(t, (int32_t)id, &len);
        if (tok_attr(t, (int32_t)id) != TOK_NORMAL || len == 0 || len > UINT16_MAX)
            continue;
        list[*n] = (struct entry){head_of(text, len), text, (uint32_t)len, (int32_t)id, 0, 0};
        classify(&list[(*n)++]);
    }
    if (list)
        qsort(list, *n, sizeof *list, by_bytes);
    return list;
}

static uint32_t shared(const struct entry *a, const struct entry *b)
{
    uint32_t n = 0;
    while (a && n < a->len && n < b->len && a->text[n] == b->text[n])
        n++;
    return n;
}

/* Nodes of one class. open [depth + 1]: the node at each depth of the current way. */
static int make_trie(struct trie *t, const struct entry *list, size_t n, int which, uint32_t *open)
{
    const struct entry *last = NULL;
    size_t cap = 0;
    for (size_t i = 0; i < n; i++) {
        const struct entry *const x = &list[i];
        if (x->which != which)
            continue;
        uint32_t at = shared(last, x);
        at -= at == x->len; /* a twin: a leaf of its own */
        for (uint32_t d = last ? last->len : 0; d > at; d--)
            t->node[open[d]].end = t->nodes;
        if (mem_grow(&t->node, &cap, (size_t)t->nodes + x->len, sizeof *t->node) != GLIM_OK)
            return GLIM_ENOMEM;
        for (; at < x->len; at++) {
            open[at + 1] = t->nodes;
            t->node[t->nodes++] =
                (struct trie_node){0, -1, (uint16_t)(at + 1), (uint8_t)x->text[at]};
        }
        t->node[t->nodes - 1].token = x->id;
        if (x->chars > t->chars)
            t->chars = x->chars;
        last = x;
    }
    for (uint32_t d = last ? last->len : 0; d > 0; d--)
        t->node[open[d]].end = t->nodes;
    return GLIM_OK;
}

static int make_masks(struct tokentrie *v, const struct entry *list, size_t n, int which)
{
    struct trie *const t = &v->trie[which];
    for (uint32_t k = 1; k <= t->chars; k++) {
        t->upto[k] = calloc(v->words, sizeof(uint32_t));
        if (!t->upto[k])
            return GLIM_ENOMEM;
        v->bytes += v->words * sizeof(uint32_t);
        for (size_t i = 0; i < n; i++) {
            if (list[i].which == which && list[i].chars <= k)
                t->upto[k][list[i].id / 32] |= 1u << list[i].id % 32;
        }
    }
    return GLIM_OK;
}

static int fill(struct tokentrie *v, const struct entry *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v->depth = list[i].len > v->depth ? list[i].len : v->depth;
    uint32_t *const open = calloc((size_t)v->depth + 1, sizeof *open);
    int rc = open ? GLIM_OK : GLIM_ENOMEM;
    for (int k = 0; k < TRIE_COUNT && rc == GLIM_OK; k++) {
        rc = make_trie(&v->trie[k], list, n, k, open);
        v->bytes += v->trie[k].nodes * sizeof *v->trie[k].node;
        if (rc == GLIM_OK && k != TRIE_OTHER)
            rc = make_masks(v, list, n, k);
    }
    free(open);
    return rc;
}

int tokentrie_new(struct tokentrie **out, const struct tok *t, struct err *e)
{
    struct tokentrie *const v = *out = calloc(1, sizeof *v);
    size_t n = 0;
    struct entry *const list = v ? list_tokens(t, &n) : NULL;
    int rc = list ? GLIM_OK : GLIM_ENOMEM;
    if (rc == GLIM_OK) {
        v->t = t;
        v->tokens = tok_count(t);
        v->words = (v->tokens + 31) / 32;
        v->bytes = sizeof *v;
        rc = fill(v, list, n);
    }
    free(list);
    if (rc == GLIM_OK)
        return rc;
    tokentrie_free(v);
    *out = NULL;
    return err_nomem(e, "token trie", tok_count(t) * sizeof(struct entry));
}

void tokentrie_free(struct tokentrie *v)
{
    for (int k = 0; v && k < TRIE_COUNT; k++) {
        free(v->trie[k].node);
        for (uint32_t i = 0; i <= TRIE_CHARS_MAX; i++)
            free(v->trie[k].upto[i]);
    }
    free(v);
}
