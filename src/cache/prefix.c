/* prefix.c - see prefix.h. */
#include "cache/prefix.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

struct prefix_node {
    struct prefix_node *parent, *child, *next; /* next: of the same parent */
    uint8_t *page;
    uint64_t used; /* tick */
    struct prefix_node *earlier, *later; /* in the line */
    bool waits;
    uint64_t waited_ns; /* when it last came into the line */
    const struct snapshot_key *key; /* as its parent's */
    struct snapshot_name name;
    uint32_t n, paired; /* tokens; of them complete in the MTP layer, n - 1 at least */
    int32_t token[KV_PAGE_TOK];
    uint8_t role[KV_PAGE_TOK];
};

static struct prefix_node **children(struct prefix *p, struct prefix_node *parent)
{
    return parent ? &parent->child : &p->first;
}

/* ---- the line ---- */

static bool is_complete(const struct prefix_node *x)
{
    return x->n == KV_PAGE_TOK && x->paired == KV_PAGE_TOK;
}

static void line_up(struct prefix *p, struct prefix_node *x, uint64_t now)
{
    if (!p->saving || x->waits || !is_complete(x))
        return;
    x->waits = true;
    x->waited_ns = now;
    x->earlier = p->line_end;
    x->later = NULL;
    *(p->line_end ? &p->line_end->later : &p->line) = x;
    p->line_end = x;
}

static void leave_line(struct prefix *p, struct prefix_node *x)
{
    if (!x->waits)
        return;
    *(x->earlier ? &x->earlier->later : &p->line) = x->later;
    *(x->later ? &x->later->earlier : &p->line_end) = x->earlier;
    x->waits = false;
}

bool prefix_waiting(const struct prefix *p, struct prefix_page *out)
{
    struct prefix_node *const x = p->line;
    if (!x)
        return false;
    *out = (struct prefix_page){.page = x->page,
                                .token = x->token,
                                .role = x->role,
                                .key = x->key,
                                .name = &x->name,
                                .before = x->parent ? &x->parent->name : NULL};
    return true;
}

void prefix_take_out(struct prefix *p) { leave_line(p, p->line); }

/* ---- the tree ---- */

/* How many of the first n tokens are the node's, in the same roles. */
static uint32_t common(const struct prefix_node *x, const int32_t *token, const uint8_t *role,
                       uint64_t n)
{
    const uint32_t most = (uint32_t)min_u64(x->n, n);
    uint32_t i = 0;
    while (i < most && x->token[i] == token[i] && x->role[i] == role[i])
        i++;
    return i;
}

/* The child of that key with the most tokens in common; NULL if none has any. */
static struct prefix_node *nearest(struct prefix *p, struct prefix_node *parent,
                                   const struct snapshot_key *key, const int32_t *token,
                                   const uint8_t *role, uint64_t n, uint32_t *shared)
{
    struct prefix_node *best = NULL;
    *shared = 0;
    for (struct prefix_node *x = *children(p, parent); x; x = x->next) {
        const uint32_t k = x->key == key ? common(x, token, role, n) : 0;
        if (k > *shared) {
            *shared = k;
            best = x;
        }
    }
    return best;
}

uint64_t prefix_join(struct prefix *p, struct kv *kv, const struct snapshot_key *key,
                     const int32_t *token, const uint8_t *role, uint64_t n, uint64_t *complete)
{
    struct prefix_node *at = NULL;
    uint64_t done = 0, whole = 0;
    uint32_t shared;
    bool on = true;
    const uint64_t now = p->saving ? now_ns() : 0;
    assert(kv->length == 0);
    p->tick++;
    while (on && done < n
           && (at = nearest(p, at, key, token + done, role + done, n - done, &shared))) {
        at->used = p->tick;
        kv_join(kv, at->page, shared);
        done += shared;
        on = shared == KV_PAGE_TOK && is_complete(at);
        whole = on ? done : whole;
        if (on && now - at->waited_ns >= (uint64_t)SNAPSHOT_USE_S * 1000000000)
            line_up(p, at, now);
    }
    if (complete)
        *complete = whole;
    kv->mtp_length = done ? done - 1 : 0;
    return done;
}

static struct prefix_node *add(struct prefix *p, struct prefix_node *parent,
                               const struct snapshot_key *key)
{
    struct prefix_node *const x = mem_zalloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->parent = parent;
    x->key = key;
    x->next = *children(p, parent);
    *children(p, parent) = x;
    p->nodes++;
    return x;
}

/* The rows of one page. */
struct rows {
    uint8_t **page;
    const struct snapshot_key *key;
    const int32_t *token;
    const uint8_t *role;
    uint32_t n, paired;
};

/* The node holds that page now: as many rows as it had, or more. */
static void fill(struct prefix *p, struct prefix_node *x, const struct rows *r)
{
    kv_pages_share(p->pages, *r->page);
    if (x->page)
        kv_pages_drop(p->pages, x->page);
    x->page = *r->page;
    x->n = r->n;
    x->paired = r->paired;
    memcpy(x->token, r->token, r->n * sizeof *x->token);
    memcpy(x->role, r->role, r->n);
    line_up(p, x, now_ns());
}

/* The cache gives up its page for the node's, which has the same rows. */
static void give_page(struct prefix *p, const struct prefix_node *x, const struct rows *r)
{
    if (x->page == *r->page)
        return;
    kv_pages_share(p->pages, x->page);
    kv_pages_drop(p->pages, *r->page);
    *r->page = x->page;
}

/* The child of `at` that has these rows, made or extended if need be; NULL: no memory. */
static struct prefix_node *keep_rows(struct prefix *p, struct prefix_node *at, const struct rows *r)
{
    uint32_t shared;
    struct prefix_node *x = nearest(p, at, r->key, r->token, r->role, r->n, &shared);
    const bool has = x && shared == r->n, extends = x && shared == x->n && !x->child;
    if (!has && !extends && !(x = add(p, at, r->key)))
        return NULL;
    if (!has || (r->n == x->n && r->paired > x->paired))
        fill(p, x, r);
    else if (r->n == KV_PAGE_TOK)
        give_page(p, x, r);
    x->used = p->tick;
    return x;
}

void prefix_keep(struct prefix *p, struct kv *kv, const struct snapshot_key *key,
                 const int32_t *token, const uint8_t *role, uint64_t n, uint64_t paired, bool ends)
{
    struct prefix_node *at = NULL;
    assert(n <= kv->length && paired + 1 >= n);
    p->tick++;
    for (uint64_t i = 0; i < n; i += KV_PAGE_TOK) {
        const struct rows r = {
            .page = &kv->page[i / KV_PAGE_TOK],
            .key = key,
            .token = token + i,
            .role = role + i,
            .n = (uint32_t)min_u64(KV_PAGE_TOK, n - i),
            .paired = (uint32_t)min_u64(KV_PAGE_TOK, paired > i ? paired - i : 0),
        };
        if ((r.n < KV_PAGE_TOK && !ends) || !(at = keep_rows(p, at, &r)))
            return;
    }
}

static struct prefix_node *deepest(struct prefix_node *x)
{
    while (x && x->child)
        x = x->child;
    return x;
}

/* Every node, children before parents: visit may free it. A path may be thousands of nodes long, so
 * no recursion. */
static void walk(struct prefix *p, void (*visit)(void *ctx, struct prefix_node *x), void *ctx)
{
    for (struct prefix_node *x = deepest(p->first), *next; x; x = next) {
        next = x->next ? deepest(x->next) : x->parent;
        visit(ctx, x);
    }
}

static void free_node(void *ctx, struct prefix_node *x)
{
    struct prefix *const p = ctx;
    leave_line(p, x);
    kv_pages_drop(p->pages, x->page);
    free(x);
}

void prefix_deinit(struct prefix *p)
{
    walk(p, free_node, p);
    *p = (struct prefix){.pages = p->pages};
}

static void remove_leaf(struct prefix *p, struct prefix_node *x)
{
    struct prefix_node **at = children(p, x->parent);
    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    p->nodes--;
    free_node(p, x);
}

struct search {
    const struct kv_pages *pages;
    struct prefix_node *oldest;
};

static void look(void *ctx, struct prefix_node *x)
{
    struct search *const s = ctx;
    if (!x->child && kv_pages_holders(s->pages, x->page) == 1
        && (!s->oldest || x->used < s->oldest->used))
        s->oldest = x;
}

bool prefix_evict(struct prefix *p)
{
    struct search s = {.pages = p->pages};
    walk(p, look, &s);
    struct prefix_node *const x = s.oldest;
    if (!x)
        return false;
    remove_leaf(p, x);
    return true;
}

uint64_t prefix_erase(struct prefix *p, const struct snapshot_key *key, const int32_t *token,
                      const uint8_t *role, uint64_t n, uint64_t *left)
{
    struct prefix_node *last = NULL, *x;
    uint64_t erased = 0;
    uint32_t shared;
    *left = 0;
    while (*left < n
           && (x = nearest(p, last, key, token + *left, role + *left, n - *left, &shared))
           && shared == x->n) {
        *left += x->n;
        last = x;
    }
    while (last && !last->child && kv_pages_holders(p->pages, last->page) == 1) {
        x = last;
        last = x->parent;
        *left -= x->n;
        erased += x->n;
        remove_leaf(p, x);
    }
    return erased;
}
