/* plan_api.c - glim_model_plan: what would live where, and the bounds on speed that follow from
 * bytes alone.
 *
 *     tok/s from memory = GB/s of memory / bytes read from memory a token
 *     tok/s from disk   = GB/s of disk / bytes missed a token
 *
 * Misses assume that every expert is used equally often, which GLM-5.2's measured use is close to.
 */
#include <math.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"
#include "weights/plan.h"

enum { ITEM_ALWAYS, ITEM_CACHE, ITEM_WORK, ITEM_DRAFTS, ITEM_EXPERTS, ITEM_MTP, ITEM_COUNT };

static const double GB = 1e9, RAM_GB_S = 20, DISK_GB_S = 3;

static int cache_size(const struct glim_model *m, const struct glim_plan_request *q,
                      struct glim_plan *out, struct err *e)
{
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(m, false, q->kv, q->kv_index, index);
    out->cache_bytes_per_token = kv_bytes_per_token(&l);
    uint64_t tokens;
    if (!mul_u64(out->context_tok, out->sessions, &tokens)
        || !mul_u64(tokens, out->cache_bytes_per_token, &out->cache_bytes))
        return err_set(e, GLIM_ELIMIT,
                       "cache of %llu sessions with %llu tokens: more bytes than can be counted",
                       (unsigned long long)out->sessions, (unsigned long long)out->context_tok);
    return GLIM_OK;
}

/* What sessions hold so that they can draft: the MTP layer's cache, states and logits. */
static int draft_size(const struct glim_model *m, const struct glim_plan_request *q,
                      const struct glim_plan *p, uint64_t *bytes, struct err *e)
{
    const struct model_config *const c = &m->model.cfg;
    uint8_t index[MODEL_LAYERS_MAX + 1];
    *bytes = 0;
    if (c->mtp_layers == 0)
        return GLIM_OK;
    const struct kv_layout l = cache_layout(m, true, q->kv, q->kv_index, index);
    uint64_t of_one;
    if (!mul_u64(p->context_tok, kv_bytes_per_token(&l) - p->cache_bytes_per_token, &of_one)
        || !add_u64(of_one, session_draft_bytes(c, CHUNK_DEFAULT), &of_one)
        || !mul_u64(of_one, p->sessions, bytes))
        return err_set(e, GLIM_ELIMIT,
                       "drafts of %llu sessions with %llu tokens: more bytes than can be counted",
                       (unsigned long long)p->sessions, (unsigned long long)p->context_tok);
    return GLIM_OK;
}

/* Latent rows of the attended positions on every layer, all index keys on full layers. */
static uint64_t cache_read_per_token(const struct glim_model *m, const struct glim_plan_request *q,
                                     uint64_t context)
{
    const struct model_config *const c = &m->model.cfg;
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(m, false, q->kv, q->kv_index, index);
    const uint64_t attended = min_u64(context, c->index_topk);
    const uint64_t scanned = context > c->index_topk ? context : 0;
    return c->layers * attended * kv_latent_bytes(&l)
           + config_full_layers(c) * scanned * kv_index_bytes(&l);
}

static void fill_items(const struct glim_model *m, const struct glim_plan_request *q,
                       const struct glim_plan *p, uint64_t draft_bytes,
                       struct plan_item item[ITEM_COUNT])
{
    const struct model_config *const c = &m->model.cfg;
    uint64_t always = m->embed_bytes, experts = 0, mtp = 0;
    for (size_t i = 0; i < m->groups; i++) {
        const struct glim_group *const g = &m->group[i];
        if (strcmp(g->name, tensor_group_name(GROUP_EXPERTS)) == 0)
            experts = g->bytes;
        else if (strncmp(g->name, "mtp", 3) == 0)
            mtp += g->bytes;
        else if (strcmp(g->name, tensor_group_name(GROUP_UNUSED)) != 0
                 && strcmp(g->name, tensor_group_name(GROUP_EMBEDDING)) != 0)
            always += g->bytes;
    }
    item[ITEM_ALWAYS] = (struct plan_item){.name = "always-on weights", .bytes = always,
                                           .read_bytes = m->always_read_bytes};
    item[ITEM_CACHE] = (struct plan_item){.name = "cache", .bytes = p->cache_bytes,
                                          .read_bytes = cache_read_per_token(m, q, p->context_tok)};
    item[ITEM_WORK] = (struct plan_item){.name = "step workspace", .bytes = forward_plan(
        &m->model, CHUNK_DEFAULT, min_u64(p->context_tok, c->context), pool_threads(m->pool))};
    item[ITEM_DRAFTS] = (struct plan_item){.name = "draft cache (MTP)", .bytes = draft_bytes};
    item[ITEM_EXPERTS] = (struct plan_item){.name = "routed experts", .bytes = experts,
                                            .read_bytes = experts / c->experts * c->experts_used,
                                            .unit_bytes = m->expert_bytes};
    item[ITEM_MTP] = (struct plan_item){.name = "draft layer (MTP)", .bytes = mtp};
}

static void predict(struct glim_plan *p, const struct plan_item *item)
{
    const struct plan_item *const x = &item[ITEM_EXPERTS];
    p->expert_hit_rate = x->bytes ? (double)x->resident / (double)x->bytes : 1;
    p->disk_read_per_token = (uint64_t)((1 - p->expert_hit_rate) * (double)x->read_bytes);
    p->ram_read_per_token =
        item[ITEM_ALWAYS].read_bytes + item[ITEM_CACHE].read_bytes + x->read_bytes;
    p->tok_s_ram = p->ram_gb_s * GB / (double)max_u64(p->ram_read_per_token, 1);
    p->tok_s_disk =
        p->disk_read_per_token ? p->disk_gb_s * GB / (double)p->disk_read_per_token : INFINITY;
    p->tok_s = fmin(p->tok_s_ram, p->tok_s_disk);
}

/* The items as the caller sees them. Nothing is placed where the model does not run. */
static void report_items(struct glim_plan *p, const struct plan_item *item)
{
    for (size_t i = 0; i < ITEM_COUNT; i++) {
        const struct plan_item *const x = &item[i];
        const uint64_t streamed = p->runs ? x->bytes - x->resident : 0;
        p->item[p->items++] =
            (struct glim_plan_item){x->name, x->bytes, x->resident, streamed, x->read_bytes};
        p->streamed_bytes += streamed;
    }
    p->fits = p->runs && p->streamed_bytes == 0;
}

static int plan(const struct glim_model *m, const struct glim_plan_request *q, struct glim_plan *p,
                struct err *e)
{
    if (!(q->ram_gb_s >= 0 && q->ram_gb_s < 1e6) || !(q->disk_gb_s >= 0 && q->disk_gb_s < 1e6))
        return err_set(e, GLIM_EINVAL, "bandwidth: %g and %g GB/s, expected 0 to 1e6", q->ram_gb_s,
                       q->disk_gb_s);
    *p = (struct glim_plan){
        .ram_bytes = q->ram_bytes ? q->ram_bytes : cpu_memory_available_bytes(),
        .context_tok = q->context_tok ? q->context_tok : 8192,
        .sessions = q->sessions ? q->sessions : 1,
        .ram_gb_s = q->ram_gb_s > 0 ? q->ram_gb_s : RAM_GB_S,
        .disk_gb_s = q->disk_gb_s > 0 ? q->disk_gb_s : DISK_GB_S,
    };
    if (p->context_tok > m->model.cfg.context)
        return err_set(e, GLIM_EINVAL, "context: %llu tokens, the model has %llu",
                       (unsigned long long)p->context_tok,
                       (unsigned long long)m->model.cfg.context);
    if (cache_size(m, q, p, e) != 0)
        return e->code;
    uint64_t draft_bytes;
    struct plan_item item[ITEM_COUNT];
    if (draft_size(m, q, p, &draft_bytes, e) != 0)
        return e->code;
    fill_items(m, q, p, draft_bytes, item);
    p->least_ram_bytes = item[ITEM_ALWAYS].bytes + item[ITEM_CACHE].bytes + item[ITEM_WORK].bytes
        + item[ITEM_DRAFTS].bytes + m->model.cfg.experts_used * m->expert_bytes;
    p->runs = p->ram_bytes >= p->least_ram_bytes;
    if (p->runs) {
        p->resident_bytes = plan_place(item, ITEM_COUNT, p->ram_bytes);
        predict(p, item);
    }
    report_items(p, item);
    return GLIM_OK;
}

int glim_model_plan(const glim_model *m, const struct glim_plan_request *q, struct glim_plan *out,
                    struct glim_error *err)
{
    struct err e = {0};
    struct glim_plan_request req = GLIM_PLAN_REQUEST_INIT;
    if (q)
        memcpy(&req, q, q->size < sizeof req ? q->size : sizeof req);
    return give(err, &e, plan(m, &req, out, &e));
}
