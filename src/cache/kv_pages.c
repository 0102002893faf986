/* kv_pages.c - see kv_pages.h. */
#include "cache/kv_pages.h"

#include <assert.h>
#include <stdlib.h>

#include "base/pages.h"
#include "base/util.h"

int kv_pages_init(struct kv_pages *p, uint64_t page_bytes, uint64_t count, struct err *e)
{
    *p = (struct kv_pages){.page_bytes = page_bytes};
    uint64_t bytes;
    if (!mul_u64(count, page_bytes, &bytes) || bytes > SIZE_MAX / 2 || count > UINT32_MAX)
        return err_set(e, GLIM_ELIMIT,
                       "cache: %llu pages of %llu bytes are more than can be addressed",
                       (unsigned long long)count, (unsigned long long)page_bytes);
    p->count = (uint32_t)count;
    p->memory = pages_take(bytes);
    p->holders = mem_zalloc(count, sizeof *p->holders);
    p->free = mem_zalloc(count, sizeof *p->free);
    if (!p->memory || !p->holders || !p->free) {
        kv_pages_deinit(p);
        return err_nomem(e, "cache", bytes);
    }
    for (uint32_t i = 0; i < p->count; i++)
        p->free[i] = p->count - 1 - i;
    return GLIM_OK;
}

void kv_pages_deinit(struct kv_pages *p)
{
    pages_give_back(p->memory, p->count * p->page_bytes);
    free(p->holders);
    free(p->free);
    *p = (struct kv_pages){0};
}

static uint32_t number(const struct kv_pages *p, const uint8_t *page)
{
    const uint64_t i = (uint64_t)(page - p->memory) / p->page_bytes;
    assert(page >= p->memory && i < p->count);
    return (uint32_t)i;
}

uint8_t *kv_pages_take(struct kv_pages *p)
{
    if (p->used == p->count)
        return NULL;
    const uint32_t i = p->free[p->count - ++p->used];
    p->holders[i] = 1;
    return p->memory + i * p->page_bytes;
}

void kv_pages_share(struct kv_pages *p, const uint8_t *page)
{
    const uint32_t i = number(p, page);
    assert(p->holders[i] > 0);
    p->holders[i]++;
}

void kv_pages_drop(struct kv_pages *p, const uint8_t *page)
{
    const uint32_t i = number(p, page);
    assert(p->holders[i] > 0);
    if (--p->holders[i] == 0)
        p->free[p->count - p->used--] = i;
}

uint32_t kv_pages_holders(const struct kv_pages *p, const uint8_t *page)
{
    return p->holders[number(p, page)];
}
