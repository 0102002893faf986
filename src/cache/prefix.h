/* prefix.h - what has been computed once, for everyone who begins the same way.
 *
 * A tree of pages: a node holds one page and the tokens and roles of its rows, its children go on
 * behind it. Inner nodes are whole pages; a leaf may be part of one. A cache that begins joins the
 * pages of the longest path that its tokens and roles have in common with, up to the token where
 * they part; who then writes into the last page gets a copy (C1). Roles count, since rows of
 * prompts and of answers have different bits.
 *
 *   PX1  what a node says of its rows is true until the node goes: nobody writes its page;
 *   PX2  the MTP layer's rows of a path are complete up to one before its last token.
 *
 * Who has a key (snapshot_key.h) shares with nobody: a path belongs to the key that it was kept
 * with, or to none, and is found with that one only.
 *
 * Where snapshots are kept (saving), pages that are whole and complete wait in a line to be saved:
 * parents before children, and again when they were used and SNAPSHOT_USE_S have passed.
 *
 * The tree is a holder of its pages. The one that was not used for the longest time goes first,
 * leaves only, and only where nobody else holds the page. One thread at a time.
 * Cost: a page is 64 tokens; finding n tokens takes n / 64 nodes and what children must be looked
 * at; making room looks at all nodes.
 */
#ifndef GLIM_CACHE_PREFIX_H
#define GLIM_CACHE_PREFIX_H

#include "cache/kv.h"
#include "cache/snapshot.h"

struct prefix_node;

struct prefix { /* zero-initialise but for pages */
    struct kv_pages *pages; /* borrowed */
    struct prefix_node *first; /* of the beginnings */
    uint64_t tick, nodes;
    bool saving;
    struct prefix_node *line, *line_end; /* waiting to be saved */
};

void prefix_deinit(struct prefix *p);

/* An empty cache joins the longest path for token [n] in role [n] that was kept with this key
 * (NULL: without); returns how many tokens that are, with length and mtp_length set. *complete
 * (may be NULL): so many of them are in whole pages that are complete in the MTP layer as well. */
uint64_t prefix_join(struct prefix *p, struct kv *kv, const struct snapshot_key *key,
                     const int32_t *token, const uint8_t *role, uint64_t n, uint64_t *complete);

/* Keeps rows [0, n) of a cache, n <= length, of which the MTP layer has [0, paired), n - 1 at least
 * (n where no such layer is kept). ends: the last part of a page too, since nobody will write it;
 * else whole pages only. Where the tree has the same rows the cache gets its page in place of its
 * own. Without memory for a node it keeps less. key: borrowed until the tree ends. */
void prefix_keep(struct prefix *p, struct kv *kv, const struct snapshot_key *key,
                 const int32_t *token, const uint8_t *role, uint64_t n, uint64_t paired, bool ends);

/* The page that waits for the longest time; borrowed until the tree changes. */
struct prefix_page {
    const uint8_t *page;
    const int32_t *token; /* [KV_PAGE_TOK] */
    const uint8_t *role;
    const struct snapshot_key *key;
    struct snapshot_name *name;         /* the caller's to set, before it takes the page out */
    const struct snapshot_name *before; /* the page's before it; NULL: it is a first one */
};
bool prefix_waiting(const struct prefix *p, struct prefix_page *out);
/* That page no longer waits. */
void prefix_take_out(struct prefix *p);

/* Lets the last pages of the path of these tokens go, as far as nothing goes on behind them and
 * nobody else holds them; returns how many tokens were in them. *left: of the path so many stay. */
uint64_t prefix_erase(struct prefix *p, const struct snapshot_key *key, const int32_t *token,
                      const uint8_t *role, uint64_t n, uint64_t *left);

/* Lets one page go; false if there is none that nobody else holds. */
bool prefix_evict(struct prefix *p);

#endif
