/* kv.c - see kv.h. */
#include "cache/kv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static enum kv_type rope_type(const struct kv_layout *l)
{
    return l->type == KV_Q8 ? KV_F16 : l->type;
}

uint64_t kv_latent_bytes(const struct kv_layout *l)
{
    return kv_row_bytes(l->type, l->latent_dim) + kv_row_bytes(rope_type(l), l->rope_dim);
}

uint64_t kv_index_bytes(const struct kv_layout *l)
{
    return kv_row_bytes(l->index_type, l->index_dim);
}

uint64_t kv_bytes_per_token(const struct kv_layout *l)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < l->layers; i++)
        bytes += kv_latent_bytes(l) + (l->index[i] ? kv_index_bytes(l) : 0);
    return bytes;
}

static void lay_out(struct kv *kv, const struct kv_layout *l)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i < l->layers; i++) {
        kv->latent_at[i] = at;
        at += KV_PAGE_TOK * kv->latent_bytes;
        kv->index_at[i] = l->index[i] ? at : UINT64_MAX;
        at += l->index[i] ? KV_PAGE_TOK * kv->index_bytes : 0;
    }
    kv->page_bytes = at;
}

uint64_t kv_page_bytes(const struct kv_layout *l) { return KV_PAGE_TOK * kv_bytes_per_token(l); }

static uint64_t page_count(const struct kv *kv) { return ceil_div_u64(kv->capacity, KV_PAGE_TOK); }

static int take_pages(struct kv *kv, struct kv_pages *pages, struct err *e)
{
    const uint64_t n = page_count(kv);
    kv->pages = pages ? pages : &kv->own;
    if (!pages && kv_pages_init(&kv->own, kv->page_bytes, n, e) != 0)
        return err_prefix(e, "cache for %llu tokens", (unsigned long long)kv->capacity);
    kv->page = mem_zalloc(n, sizeof *kv->page);
    if (!kv->page)
        return err_nomem(e, "cache", n * sizeof *kv->page);
    for (uint64_t i = 0; i < n && !pages; i++)
        kv->page[i] = kv_pages_take(&kv->own);
    return GLIM_OK;
}

int kv_init(struct kv *kv, const struct kv_layout *l, uint64_t capacity, struct kv_pages *pages,
            struct err *e)
{
    *kv = (struct kv){
        .type = l->type,
        .rope_type = rope_type(l),
        .index_type = l->index_type,
        .layers = l->layers,
        .rope_at = kv_row_bytes(l->type, l->latent_dim),
        .latent_bytes = kv_latent_bytes(l),
        .index_bytes = kv_index_bytes(l),
        .latent_at = mem_zalloc(l->layers, sizeof *kv->latent_at),
        .index_at = mem_zalloc(l->layers, sizeof *kv->index_at),
        .capacity = capacity,
    };
    if (!kv->latent_at || !kv->index_at) {
        kv_deinit(kv);
        return err_nomem(e, "cache layout", l->layers * 2 * sizeof *kv->latent_at);
    }
    lay_out(kv, l);
    const int rc = take_pages(kv, pages, e);
    if (rc != 0)
        kv_deinit(kv);
    return rc;
}

/* Gives back all pages from `first` on. */
static void drop_pages(struct kv *kv, uint64_t first)
{
    for (uint64_t i = first; kv->page && i < page_count(kv) && kv->page[i]; i++) {
        kv_pages_drop(kv->pages, kv->page[i]);
        kv->page[i] = NULL;
    }
}

void kv_deinit(struct kv *kv)
{
    drop_pages(kv, 0);
    kv_pages_deinit(&kv->own);
    free(kv->page);
    free(kv->latent_at);
    free(kv->index_at);
    *kv = (struct kv){0};
}

static bool owns(const struct kv *kv, uint64_t i)
{
    return kv->page[i] && kv_pages_holders(kv->pages, kv->page[i]) == 1;
}

uint64_t kv_own_pages(const struct kv *kv, uint64_t from, uint64_t to)
{
    uint64_t n = 0;
    for (uint64_t i = from / KV_PAGE_TOK; i * KV_PAGE_TOK < to; i++)
        n += !owns(kv, i);
    return n;
}

int kv_own(struct kv *kv, uint64_t from, uint64_t to, struct err *e)
{
    assert(to <= kv->capacity);
    for (uint64_t i = from / KV_PAGE_TOK; i * KV_PAGE_TOK < to; i++) {
        uint8_t *const old = kv->page[i];
        if (owns(kv, i))
            continue;
        uint8_t *const page = kv_pages_take(kv->pages);
        if (!page)
            return err_set(e, GLIM_ELIMIT,
                           "cache full: all %u pages of %d tokens are in use",
                           kv->pages->count, KV_PAGE_TOK);
        if (old) {
            memcpy(page, old, kv->page_bytes);
            kv_pages_drop(kv->pages, old);
        }
        kv->page[i] = page;
    }
    return GLIM_OK;
}

void kv_join(struct kv *kv, uint8_t *page, uint64_t n)
{
    const uint64_t i = kv->length / KV_PAGE_TOK;
    assert(kv->length % KV_PAGE_TOK == 0 && n <= KV_PAGE_TOK && !kv->page[i]);
    kv_pages_share(kv->pages, page);
    kv->page[i] = page;
    kv->length += n;
}

void kv_truncate(struct kv *kv, uint64_t n)
{
    assert(n <= kv->length);
    kv->length = n;
    kv->mtp_length = min_u64(kv->mtp_length, n ? n - 1 : 0);
    if (kv->pages != &kv->own)
        drop_pages(kv, ceil_div_u64(n, KV_PAGE_TOK));
}
