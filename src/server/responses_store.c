/* responses_store.c - see responses_store.h. A list, the most recently used first; looked through
 * from the front. */
#include "server/responses_store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "server/fieldlist.h"

struct record {
    struct record *next, *previous; /* in the list */
    char *owner, *id, *before;      /* before: the response that it goes on from, or NULL */
    struct buf items, whole;        /* JSON text; items: an array */
    uint64_t bytes;
};

struct responses_store {
    pthread_mutex_t lock;
    struct record *first, *last;
    uint64_t bytes, max_bytes;
};

/* ---- records ---- */

static void record_free(struct record *r)
{
    if (!r)
        return;
    free(r->owner);
    free(r->id);
    free(r->before);
    buf_deinit(&r->items);
    buf_deinit(&r->whole);
    free(r);
}

static void put_input(struct buf *out, struct json_object *input)
{
    if (json_object_is_type(input, json_type_string)) {
        buf_adds(out, "{\"role\":\"user\",\"content\":");
        json_write_python(out, input);
        buf_addc(out, '}');
        return;
    }
    for (size_t i = 0; input && i < json_object_array_length(input); i++) {
        buf_adds(out, i ? "," : "");
        json_write_python(out, json_object_array_get_idx(input, i));
    }
}

/* [input items, output items] */
static void put_items(struct buf *out, struct json_object *input, const struct buf *output)
{
    buf_addc(out, '[');
    put_input(out, input);
    if (out->len > 1 && output->len > 2)
        buf_addc(out, ',');
    buf_add(out, output->data + 1, output->len - 1);
}

static char *copy_or_null(const char *text, bool *failed)
{
    char *const copy = text ? strdup(text) : NULL;
    *failed |= text && !copy;
    return copy;
}

static struct record *record_new(const char *owner, const char *id, const char *before,
                                 struct json_object *input, const struct buf *output,
                                 const struct buf *whole)
{
    struct record *const r = mem_zalloc(1, sizeof *r);
    bool failed = false;
    if (!r)
        return NULL;
    r->owner = copy_or_null(owner, &failed);
    r->id = copy_or_null(id, &failed);
    r->before = copy_or_null(before, &failed);
    buf_init(&r->items);
    buf_init(&r->whole);
    put_items(&r->items, input, output);
    buf_add(&r->whole, whole->data, whole->len);
    r->bytes = sizeof *r + r->items.cap + r->whole.cap;
    if (!failed && !r->items.failed && !r->whole.failed)
        return r;
    record_free(r);
    return NULL;
}

/* ---- the list; with the lock ---- */

static void unlink_record(struct responses_store *s, struct record *r)
{
    *(r->previous ? &r->previous->next : &s->first) = r->next;
    *(r->next ? &r->next->previous : &s->last) = r->previous;
    s->bytes -= r->bytes;
}

static void link_first(struct responses_store *s, struct record *r)
{
    r->previous = NULL;
    r->next = s->first;
    *(s->first ? &s->first->previous : &s->last) = r;
    s->first = r;
    s->bytes += r->bytes;
}

static struct record *find(struct responses_store *s, const char *owner, const char *id)
{
    struct record *r = s->first;
    while (r && (strcmp(r->id, id) != 0 || strcmp(r->owner, owner) != 0))
        r = r->next;
    return r;
}

static void drop(struct responses_store *s, struct record *r)
{
    unlink_record(s, r);
    record_free(r);
}

enum { CHAIN_MAX = 4096 }; /* responses of one conversation */

/* r and all before it: chain [CHAIN_MAX], the newest first; 0 if one is missing, or too many. */
static size_t find_chain(struct responses_store *s, struct record *r, struct record **chain)
{
    size_t n = 0;
    for (; r && n < CHAIN_MAX; r = find(s, r->owner, r->before)) {
        chain[n++] = r;
        if (!r->before)
            return n;
    }
    return 0;
}

static int append_items(const struct record *r, struct json_object *all)
{
    struct json_object *own = NULL;
    bool ok = json_read(r->items.data, r->items.len, "items", &own, NULL) == 0;
    for (size_t i = 0; ok && i < json_object_array_length(own); i++)
        ok = json_append(all, json_object_get(json_object_array_get_idx(own, i)));
    json_object_put(own);
    return ok ? GLIM_OK : GLIM_ENOMEM; /* it is JSON of our own */
}

/* Oldest first, each to the front: so the beginning of a conversation is dropped before its end,
 * and none of it before what was not used since. */
static int collect(struct responses_store *s, struct record *r, struct json_object *all)
{
    struct record **const chain = mem_zalloc(CHAIN_MAX, sizeof *chain);
    size_t n = chain && all ? find_chain(s, r, chain) : 0;
    int rc = !chain || !all ? GLIM_ENOMEM : n == 0 ? GLIM_EINVAL : GLIM_OK;
    for (; n > 0; n--) {
        struct record *const x = chain[n - 1];
        unlink_record(s, x);
        link_first(s, x);
        rc = rc == GLIM_OK ? append_items(x, all) : rc;
    }
    free(chain);
    return rc;
}

/* ---- calls from outside ---- */

struct responses_store *responses_store_new(uint64_t max_bytes)
{
    struct responses_store *const s = mem_zalloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->max_bytes = max_bytes;
    (void)pthread_mutex_init(&s->lock, NULL);
    return s;
}

void responses_store_free(struct responses_store *s)
{
    while (s && s->first)
        drop(s, s->first);
    if (s)
        (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

void responses_store_put(struct responses_store *s, const char *owner, const char *id,
                         const char *previous, struct json_object *input,
                         const struct buf *output, const struct buf *whole)
{
    struct record *const r = record_new(owner, id, previous, input, output, whole);
    if (!r)
        return;
    (void)pthread_mutex_lock(&s->lock);
    link_first(s, r);
    while (s->last && s->bytes > s->max_bytes)
        drop(s, s->last);
    (void)pthread_mutex_unlock(&s->lock);
}

int responses_store_items(struct responses_store *s, const char *owner, const char *id,
                          struct json_object **items)
{
    *items = json_object_new_array();
    (void)pthread_mutex_lock(&s->lock);
    struct record *const r = find(s, owner, id);
    const int rc = r ? collect(s, r, *items) : GLIM_EINVAL;
    (void)pthread_mutex_unlock(&s->lock);
    if (rc == GLIM_OK)
        return rc;
    json_object_put(*items);
    *items = NULL;
    return rc;
}

/* ---- items by their ids ---- */

struct references {
    struct json_object *input;
    size_t at[REFERENCES_MAX], n; /* places in it */
};

static const char *id_of(const struct references *r, size_t k)
{
    return block_word(json_object_array_get_idx(r->input, r->at[k]), "id");
}

static void find_references(struct references *r)
{
    const size_t n = json_object_array_length(r->input);
    for (size_t i = 0; i < n && r->n < REFERENCES_MAX; i++) {
        struct json_object *const item = json_object_array_get_idx(r->input, i);
        if (block_is(item, "item_reference") && *block_word(item, "id"))
            r->at[r->n++] = i;
    }
}

/* Does it have one of them, perhaps? Few do, and the others are not read. */
static bool may_have(const struct record *x, const struct references *r)
{
    for (size_t k = 0; k < r->n; k++) {
        const char *const id = id_of(r, k);
        if (memmem(x->items.data, x->items.len, id, strlen(id)))
            return true;
    }
    return false;
}

static struct json_object *find_item(struct json_object *items, const char *id)
{
    for (size_t i = 0; i < json_object_array_length(items); i++) {
        struct json_object *const item = json_object_array_get_idx(items, i);
        if (strcmp(block_word(item, "id"), id) == 0 && !block_is(item, "item_reference"))
            return item;
    }
    return NULL;
}

static int resolve_from(const struct record *x, struct references *r)
{
    struct json_object *items = NULL;
    if (!may_have(x, r))
        return GLIM_OK;
    if (json_read(x->items.data, x->items.len, "items", &items, NULL) != 0)
        return GLIM_ENOMEM; /* it is JSON of our own */
    for (size_t k = r->n; k-- > 0;) {
        struct json_object *const item = find_item(items, id_of(r, k));
        if (!item)
            continue;
        if (json_object_array_put_idx(r->input, r->at[k], json_object_get(item)) != 0)
            json_object_put(item);
        r->at[k] = r->at[--r->n];
    }
    json_object_put(items);
    return GLIM_OK;
}

int responses_store_resolve(struct responses_store *s, const char *owner,
                            struct json_object *input)
{
    struct references r = {.input = input};
    int rc = GLIM_OK;
    find_references(&r);
    (void)pthread_mutex_lock(&s->lock);
    for (const struct record *x = s->first; rc == GLIM_OK && x && r.n > 0; x = x->next) {
        if (strcmp(x->owner, owner) == 0)
            rc = resolve_from(x, &r);
    }
    (void)pthread_mutex_unlock(&s->lock);
    return rc;
}

bool responses_store_get(struct responses_store *s, const char *owner, const char *id,
                         struct buf *out)
{
    (void)pthread_mutex_lock(&s->lock);
    struct record *const r = find(s, owner, id);
    if (r)
        buf_add(out, r->whole.data, r->whole.len);
    (void)pthread_mutex_unlock(&s->lock);
    return r != NULL;
}

bool responses_store_delete(struct responses_store *s, const char *owner, const char *id)
{
    (void)pthread_mutex_lock(&s->lock);
    struct record *const r = find(s, owner, id);
    if (r)
        drop(s, r);
    (void)pthread_mutex_unlock(&s->lock);
    return r != NULL;
}
