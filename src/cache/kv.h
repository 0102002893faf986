/* kv.h - what a conversation keeps per token: compressed attention state, and nothing else.
 *
 * Per layer a row [Rk | Dr] (normed latent, rotated rope key); on layers with an indexer also a row
 * [Di] (index key). Latent and index key have types of their own; the rope key has the latent's, or
 * F16 behind a latent in Q8: its position is in it, which eight bits would blur.
 *
 * GLM-5.2 at 16 bits: 78*576*2 + 21*128*2 = 95,232 bytes a token, and 1,408 more for the MTP layer.
 *
 * Rows live in pages of KV_PAGE_TOK tokens; a page holds all layers of its tokens, each layer's
 * rows together.
 *
 *   C1  a page is written by one session only;
 *   C2  rows below `length` are never written again until a truncate;
 *   C3  latent and index rows are cut together: one length for all of them (the MTP layer trails by
 *       one token or more).
 */
#ifndef GLIM_CACHE_KV_H
#define GLIM_CACHE_KV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
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
    uint8_t *memory;     /* pages, back to back; only touched ones cost memory */
    uint64_t capacity;   /* tokens */
    uint64_t length;     /* tokens whose rows are complete */
    uint64_t mtp_length; /* the same for the MTP layer */
};

/* Bytes of a latent row with its rope key, and of an index key. */
uint64_t kv_latent_bytes(const struct kv_layout *l);
uint64_t kv_index_bytes(const struct kv_layout *l);
uint64_t kv_bytes_per_token(const struct kv_layout *l);

/* Address space for `capacity` tokens. */
int kv_init(struct kv *kv, const struct kv_layout *l, uint64_t capacity, struct err *e);
void kv_deinit(struct kv *kv);

/* Forgets all rows from token n on. */
void kv_truncate(struct kv *kv, uint64_t n);

static inline uint8_t *kv_page(const struct kv *kv, uint64_t pos)
{
    return kv->memory + pos / KV_PAGE_TOK * kv->page_bytes;
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
