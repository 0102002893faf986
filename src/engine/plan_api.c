/* plan_api.c - glim_model_plan: what placement.c would do with sessions of a shape, and what speed
 * that gives (predict.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"
#include "engine/predict.h"
#include "weights/hits.h"

static const double GB = 1e9;

/* Latent rows of the attended positions on every layer, all index keys on full layers. */
static uint64_t cache_read_per_token(const struct glim_model *m, const struct session_shape *s)
{
    const struct model_config *const c = &m->model.cfg;
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout l = cache_layout(m, false, s->kv, s->kv_index, index);
    const uint64_t attended = min_u64(s->context, c->index_topk);
    const uint64_t scanned = s->context > c->index_topk ? s->context : 0;
    return c->layers * attended * kv_latent_bytes(&l)
           + config_full_layers(c) * scanned * kv_index_bytes(&l);
}

static uint64_t group_bytes(const struct glim_model *m, enum tensor_group g)
{
    for (size_t i = 0; i < m->groups; i++)
        if (strcmp(m->group[i].name, tensor_group_name(g)) == 0)
            return m->group[i].bytes;
    return 0;
}

/* ---- what lives where ---- */

static void add_item(struct glim_plan *p, const char *name, uint64_t bytes, uint64_t resident,
                     uint64_t read)
{
    p->item[p->items++] = (struct glim_plan_item){
        .name = name,
        .bytes = bytes,
        .resident_bytes = p->runs ? resident : 0,
        .streamed_bytes = p->runs ? bytes - resident : 0,
        .read_bytes_per_token = read,
    };
    if (p->runs) {
        p->resident_bytes += resident;
        p->streamed_bytes += bytes - resident;
    }
}

static void add_items(const struct glim_model *m, const struct session_shape *s,
                      const struct plan *plan, struct glim_plan *p)
{
    const bool streamed = plan->place == PLAN_STREAMED;
    const struct session_sizes one = session_sizes(m, s, plan->place != PLAN_MAPPED);
    const uint64_t embedding = group_bytes(m, GROUP_EMBEDDING);
    const uint64_t experts = group_bytes(m, GROUP_EXPERTS)
                             + (s->mtp ? group_bytes(m, GROUP_MTP_EXPERTS) : 0);
    const uint64_t in_slots = min_u64(plan->slots * m->expert_bytes, experts);
    const uint64_t a_token = group_bytes(m, GROUP_EXPERTS) / m->model.cfg.experts
                             * m->model.cfg.experts_used;
    add_item(p, "always-on weights", m->placement.always_bytes[s->mtp],
             m->placement.always_bytes[s->mtp], m->always_read_bytes);
    add_item(p, "embedding", embedding, streamed ? 0 : embedding, 0);
    add_item(p, "cache", p->cache_bytes, p->cache_bytes, cache_read_per_token(m, s));
    add_item(p, "step workspace", plan_mul(one.work, p->sessions),
             plan_mul(one.work, p->sessions), 0);
    add_item(p, "draft cache (MTP)", plan_mul(one.drafts, p->sessions),
             plan_mul(one.drafts, p->sessions), 0);
    add_item(p, "routed experts", experts, streamed ? in_slots : experts, a_token);
}

/* ---- how fast ---- */

/* Share of expert reads that slots in so much room serve. */
static int find_hit_rate(const struct glim_model *m, const struct slot_classes *k,
                         enum glim_use use, uint64_t room, double *rate, struct err *e)
{
    const uint64_t E = m->model.cfg.experts;
    double *const weight = mem_zalloc(E, sizeof *weight);
    if (!weight)
        return err_nomem(e, "use of experts", E * sizeof *weight);
    for (uint64_t i = 0; i < E; i++)
        weight[i] = predict_use(use, (double)(i + 1) / (double)E)
                    - predict_use(use, (double)i / (double)E);
    const struct hits_in in = {
        .weights = &m->weights,
        .experts = &m->model.experts,
        .classes = k,
        .layers = model_expert_layers(m),
        .used = m->model.cfg.experts_used,
        .room_bytes = room,
        .weight = weight,
    };
    const int rc = hits_rate(&in, rate, e);
    free(weight);
    return rc;
}

static void foretell(const struct glim_model *m, const struct session_shape *s, double hit_rate,
                     struct glim_plan *p)
{
    const uint64_t layers = model_expert_layers(m);
    const struct predict_in in = {
        .layers = layers,
        .used = m->model.cfg.experts_used,
        .hit_rate = hit_rate,
        .expert_bytes = (double)m->expert_bytes,
        .rest_bytes = (double)(m->always_read_bytes + cache_read_per_token(m, s)),
        .ram_bytes_per_s = p->ram_gb_s * GB,
        .drive_bytes_per_s = p->drive.gb_s * GB,
        .latency_s = p->drive.latency_us * 1e-6,
    };
    struct predict_out out;
    predict(&in, &out);
    const double read = (double)(layers * in.used) * in.expert_bytes;
    p->expert_hit_rate = in.hit_rate;
    p->disk_read_per_token = (uint64_t)((1 - in.hit_rate) * read);
    p->ram_read_per_token = (uint64_t)(in.rest_bytes + read);
    p->ram_ms = out.ram_s * 1e3;
    p->disk_ms = out.disk_s * 1e3;
    p->tok_s_ram = 1 / out.ram_s;
    p->tok_s_disk = out.disk_s > 0 ? 1 / out.disk_s : (double)INFINITY;
    p->tok_s = 1 / out.seconds;
}

/* Of a prompt's step, where experts are streamed: how long it is, and what it takes. */
static void plan_chunk(const struct glim_model *m, bool choose, struct session_shape *s,
                       struct plan_need *need, struct plan *plan, struct glim_plan *p)
{
    const struct chunk_speeds v = {
        .ram_bytes_per_s = p->ram_gb_s * GB,
        .drive_bytes_per_s = p->drive.gb_s * GB,
        .latency_s = p->drive.latency_us * 1e-6,
        .flop_per_s = chunk_flop_s(m),
    };
    struct predict_chunk_out out;
    if (choose)
        s->chunk = chunk_choose(m, s, p->sessions, need, &v);
    placement_need_of(m, s, p->sessions, need);
    plan_make(need, plan);
    const double slots = (double)min_u64(plan->slots, p->experts) / (double)p->experts;
    chunk_foretell(m, s->chunk, slots, &v, &out);
    p->chunk_read_s = out.read_s;
    p->chunk_compute_s = out.compute_s;
}

/* ---- the request ---- */

static int check_request(const struct glim_model *m, const struct glim_plan_request *q,
                         struct err *e)
{
    if (!(q->ram_gb_s >= 0 && q->ram_gb_s < 1e6))
        return err_set(e, GLIM_EINVAL, "bandwidth: %g GB/s, expected 0 to 1e6", q->ram_gb_s);
    if (!(q->hit_rate >= 0 && q->hit_rate <= 1))
        return err_set(e, GLIM_EINVAL, "hit rate: %g, expected 0 to 1", q->hit_rate);
    if (drive_check(&q->drive, e) != 0)
        return e->code;
    if (q->context_tok > m->model.cfg.context)
        return err_set(e, GLIM_EINVAL, "context: %llu tokens, the model has %llu",
                       (unsigned long long)q->context_tok,
                       (unsigned long long)m->model.cfg.context);
    if (q->chunk_tok > CHUNK_MAX)
        return err_set(e, GLIM_EINVAL, "chunk: %llu tokens, expected at most %d",
                       (unsigned long long)q->chunk_tok, CHUNK_MAX);
    if (q->mtp && m->model.cfg.mtp_layers == 0)
        return err_set(e, GLIM_EUNSUPPORTED, "drafts: the model has no MTP layer");
    return GLIM_OK;
}

static void take_request(const struct glim_model *m, const struct glim_plan_request *q,
                         struct session_shape *s, struct glim_plan *p)
{
    const uint64_t context = min_u64(CONTEXT_DEFAULT, m->model.cfg.context);
    *p = (struct glim_plan){
        .ram_bytes = placement_budget(q->ram_bytes),
        .context_tok = q->context_tok ? q->context_tok : context,
        .sessions = q->sessions ? q->sessions : 1,
        .ram_gb_s = q->ram_gb_s > 0 ? q->ram_gb_s : ASSUMED_RAM_GB_S,
        .drive = q->drive,
        .use = q->use,
        .experts = model_expert_layers(m) * m->model.cfg.experts,
    };
    if (!(q->drive.gb_s > 0))
        p->drive = (struct glim_drive_model){.gb_s = ASSUMED_DISK_GB_S,
                                            .latency_us = ASSUMED_LATENCY_US};
    *s = (struct session_shape){
        .context = p->context_tok,
        .chunk = q->chunk_tok ? min_u64(q->chunk_tok, p->context_tok)
                              : chunk_least(p->context_tok),
        .kv = q->kv,
        .kv_index = q->kv_index,
        .mtp = q->mtp,
    };
    p->cache_bytes_per_token = session_sizes(m, &(struct session_shape){
        .context = 1, .chunk = 1, .kv = q->kv, .kv_index = q->kv_index}, true).cache;
    p->cache_bytes =
        plan_mul(plan_mul(p->cache_bytes_per_token, p->context_tok), p->sessions);
}

static int fill_plan(const struct glim_model *m, const struct glim_plan_request *q,
                     struct session_shape *s, const struct slot_classes *k,
                     struct glim_plan *p, struct err *e)
{
    struct plan_need need;
    struct plan plan;
    placement_need(m, s, p->sessions, p->ram_bytes, k, &need);
    plan_make(&need, &plan);
    p->least_ram_bytes = plan.least_bytes;
    if (plan.place == PLAN_STREAMED)
        plan_chunk(m, q->chunk_tok == 0, s, &need, &plan, p);
    p->chunk_tok = s->chunk;
    p->runs = plan.place != PLAN_REFUSED;
    p->fits = plan.place == PLAN_MAPPED;
    p->expert_slots = p->fits ? p->experts : min_u64(plan.slots, p->experts);
    if (!p->runs)
        placement_advise(m, s, p->sessions, &need, &p->advice);
    add_items(m, s, &plan, p);
    double hit_rate = p->fits ? 1 : q->hit_rate;
    if (plan.place == PLAN_STREAMED && !(hit_rate > 0)
        && find_hit_rate(m, k, p->use, plan.room_bytes, &hit_rate, e) != 0)
        return e->code;
    if (p->runs)
        foretell(m, s, hit_rate, p);
    return GLIM_OK;
}

static int make_plan(const struct glim_model *m, const struct glim_plan_request *q,
                     struct glim_plan *p, struct err *e)
{
    struct session_shape s;
    struct slot_classes classes;
    if (check_request(m, q, e) != 0)
        return e->code;
    take_request(m, q, &s, p);
    if (p->cache_bytes == UINT64_MAX)
        return err_set(e, GLIM_ELIMIT,
                       "cache of %llu sessions with %llu tokens: more bytes than can be counted",
                       (unsigned long long)p->sessions, (unsigned long long)p->context_tok);
    if (slot_classes_init(&classes, &m->weights, &m->model.experts, e) != 0)
        return e->code;
    const int rc = fill_plan(m, q, &s, &classes, p, e);
    slot_classes_deinit(&classes);
    return rc;
}

int glim_model_plan(const glim_model *m, const struct glim_plan_request *q, struct glim_plan *out,
                    struct glim_error *err)
{
    struct err e = {0};
    struct glim_plan_request req = GLIM_PLAN_REQUEST_INIT;
    if (q)
        memcpy(&req, q, q->size < sizeof req ? q->size : sizeof req);
    return give(err, &e, make_plan(m, &req, out, &e));
}
