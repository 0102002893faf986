/* kv.h - what a conversation keeps per token: compressed attention state, and nothing else.
 *
 * Per layer a row [Rk | Dr] (normed latent, rotated rope key); on layers with an indexer also a row
 * [Di] (index key). Latent and index key have types of their own; the rope key has the latent's, or
 * F16 behind a latent in Q8: its position is in it, which eight bits would blur.
 *
 * GLM-5.2 at 16 bits: 78*576*2 + 21*128*2 = 95,232 bytes a token, and 1,408 more for the MTP layer.
 *
 * Rows live in pages of KV_PAGE_TOK tokens; a page holds all layers of its tokens, each layer's
 * rows together. A cache has all its pages from the start, or takes them from a store that it
 * shares with others (kv_pages.h), and may then begin with pages of theirs.
 *
 *   C1  a page that others hold as well is never written: who wants to gets a copy (kv_own);
 *   C2  rows below `length` are never written again until a truncate, but with the same bits;
 *   C3  latent and index rows are cut together: one length for all of them (the MTP layer trails by
 *       one token or more).
 */
#ifndef GLIM_CACHE_KV_H
#define GLIM_CACHE_KV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cache/kv_pages.h"
#include "kernels/kernels.h"

#ifndef KV_PAGE_TOK
#define KV_PAGE_TOK 64
#endif

struct kv_layout {
    uint64_t layers;       /* the MTP layer's, if kept, is the last */
    uint64_t latent_dim;   /* Rk */
    uint64_t rope_dim;     /* Dr */
    uint64_t index_dim;    /* Di */
    const uint8_t *index;  /* [layers] 1 = keeps index keys; borrowed while laying out */
    enum kv_type type, index_type;
};

struct kv {
    enum kv_type type, rope_type, index_type;
    uint64_t layers;
    uint64_t rope_at;                   /* offset of the rope key in a latent row */
    uint64_t latent_bytes, index_bytes; /* of a row */
    uint64_t *latent_at, *index_at;     /* [layers] offsets in a page; index_at UINT64_MAX = none */
    uint64_t page_bytes;
    struct kv_pages own, *pages; /* own: if nobody else's; pages: where they come from */
    uint8_t **page;      /* [capacity / KV_PAGE_TOK, up] NULL: not there yet */
    uint64_t capacity;   /* tokens */
    uint64_t length;     /* tokens whose rows are complete */
    uint64_t mtp_length; /* the same for the MTP layer */
};

/* Bytes of a latent row with its rope key, and of an index key. */
uint64_t kv_latent_bytes(const struct kv_layout *l);
uint64_t kv_index_bytes(const struct kv_layout *l);
uint64_t kv_bytes_per_token(const struct kv_layout *l);

/* Bytes of a page of such a cache. */
uint64_t kv_page_bytes(const struct kv_layout *l);

/* pages (borrowed; of kv_page_bytes each): takes them from there as kv_own is called. NULL: has
 * all that `capacity` tokens need, for itself, as address space. */
int kv_init(struct kv *kv, const struct kv_layout *l, uint64_t capacity, struct kv_pages *pages,
            struct err *e);
void kv_deinit(struct kv *kv);

/* Before rows [from, to) are written: pages for them that nobody else holds. What they held is
 * there still, from whoever wrote it. GLIM_ELIMIT if there are no more; some may have been taken.
 * Does nothing to a cache with pages of its own. */
int kv_own(struct kv *kv, uint64_t from, uint64_t to, struct err *e);
/* How many pages it would take. */
uint64_t kv_own_pages(const struct kv *kv, uint64_t from, uint64_t to);
/* The next page of a cache that has whole pages only is this one, which others hold: length grows
 * by n <= KV_PAGE_TOK tokens. */
void kv_join(struct kv *kv, uint8_t *page, uint64_t n);

/* Forgets all rows from token n on. */
void kv_truncate(struct kv *kv, uint64_t n);

static inline uint8_t *kv_page(const struct kv *kv, uint64_t pos)
{
    return kv->page[pos / KV_PAGE_TOK];
}

/* The row of token pos: [Rk] in kv->type, and at kv->rope_at [Dr] in kv->rope_type. */
static inline uint8_t *kv_latent(const struct kv *kv, uint64_t layer, uint64_t pos)
{
    return kv_page(kv, pos) + kv->latent_at[layer] + pos % KV_PAGE_TOK * kv->latent_bytes;
}

/* The row of token pos, [Di] in kv->index_type; the layer must keep index keys. */
static inline uint8_t *kv_index(const struct kv *kv, uint64_t layer, uint64_t pos)
{
    return kv_page(kv, pos) + kv->index_at[layer] + pos % KV_PAGE_TOK * kv->index_bytes;
}

#endif
