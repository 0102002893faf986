/* kv.c - see kv.h. Pages are reserved as address space at once and become memory when first
 * written. */
#include "cache/kv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/pages.h"
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

int kv_init(struct kv *kv, const struct kv_layout *l, uint64_t capacity, struct err *e)
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
    uint64_t bytes;
    if (!mul_u64(ceil_div_u64(capacity, KV_PAGE_TOK), kv->page_bytes, &bytes)
        || bytes > SIZE_MAX / 2) {
        kv_deinit(kv);
        return err_set(e, GLIM_ELIMIT, "cache for %llu tokens: more bytes than can be addressed",
                       (unsigned long long)capacity);
    }
    kv->memory = pages_take(bytes);
    if (kv->memory)
        return GLIM_OK;
    kv_deinit(kv);
    return err_nomem(e, "cache", bytes);
}

void kv_deinit(struct kv *kv)
{
    pages_give_back(kv->memory, ceil_div_u64(kv->capacity, KV_PAGE_TOK) * kv->page_bytes);
    free(kv->latent_at);
    free(kv->index_at);
    *kv = (struct kv){0};
}

void kv_truncate(struct kv *kv, uint64_t n)
{
    assert(n <= kv->length);
    kv->length = n;
    kv->mtp_length = min_u64(kv->mtp_length, n ? n - 1 : 0);
}
