/* kv_pages.h - the memory of caches, in pages that several may hold at once.
 *
 * A page is taken with one holder, gets more by kv_pages_share, and is free again when all have
 * dropped it. What stands in it is kv.h's; who else holds it decides who may write (C1, C2 there).
 * Pages are reserved as address space and become memory when first written; a page that was free
 * keeps what it held. One thread at a time.
 */
#ifndef GLIM_CACHE_KV_PAGES_H
#define GLIM_CACHE_KV_PAGES_H

#include <stdint.h>

#include "base/err.h"

struct kv_pages {
    uint8_t *memory;     /* [count, page_bytes] */
    uint64_t page_bytes;
    uint32_t count, used; /* used: with holders */
    uint32_t *holders;   /* [count] */
    uint32_t *free;      /* [count - used] the rest, the next to be taken last */
};

int kv_pages_init(struct kv_pages *p, uint64_t page_bytes, uint64_t count, struct err *e);
void kv_pages_deinit(struct kv_pages *p);

/* NULL: all have holders. At first they come in the order of their addresses. */
uint8_t *kv_pages_take(struct kv_pages *p);
void kv_pages_share(struct kv_pages *p, const uint8_t *page);
void kv_pages_drop(struct kv_pages *p, const uint8_t *page);
uint32_t kv_pages_holders(const struct kv_pages *p, const uint8_t *page);

#endif
