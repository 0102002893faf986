/* info.c - what a model is, counted: parameters by group, bytes, cache, schedule. */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "engine/engine.h"

static enum kv_type latent_type(enum glim_kv kv)
{
    switch (kv) {
    case GLIM_KV_F32: return KV_F32;
    case GLIM_KV_BF16: return KV_BF16;
    case GLIM_KV_Q8: return KV_Q8;
    default: return KV_F16;
    }
}

static enum kv_type index_type(enum glim_kv kv, enum glim_kv_index keys)
{
    if (keys == GLIM_KV_INDEX_AUTO)
        return kv == GLIM_KV_F32 ? KV_F32 : KV_I8;
    return keys == GLIM_KV_INDEX_I8 ? KV_I8 : KV_F16;
}

struct kv_layout cache_layout(const struct glim_model *m, bool mtp, enum glim_kv kv,
                              enum glim_kv_index keys, uint8_t *index)
{
    const struct model_config *const c = &m->model.cfg;
    const uint64_t layers = c->layers + (mtp ? c->mtp_layers : 0);
    for (uint64_t i = 0; i < layers; i++)
        index[i] = c->index[i] == INDEX_FULL;
    return (struct kv_layout){layers, c->kv_rank, c->rope_dim, c->index_dim, index,
                              latent_type(kv), index_type(kv, keys)};
}

static bool is_scale(const char *name)
{
    const size_t n = strlen(name), s = strlen("_scale_inv");
    return n > s && strcmp(name + n - s, "_scale_inv") == 0;
}

/* Adds a name to a list, once. */
static void add_name(char types[NAME_BYTES], const char *name)
{
    const size_t len = strlen(name);
    for (const char *p = types; (p = strstr(p, name)); p += len) {
        if ((p == types || p[-1] == ' ') && (p[len] == 0 || p[len] == ','))
            return;
    }
    const size_t used = strlen(types);
    (void)snprintf(types + used, NAME_BYTES - used, "%s%s", used ? ", " : "", name);
}

static double bits_of(enum dtype t)
{
    const struct dtype_info *const d = dtype_info(t);
    return 8.0 * (double)d->block_bytes / (double)d->block_len;
}

/* *lowest: bits of the coarsest matrix so far. */
static void note_low_type(struct glim_model *m, const struct tensor *t, double *lowest)
{
    if (t->rank >= 2 && bits_of(t->type) < *lowest) {
        *lowest = bits_of(t->type);
        m->info.mtp_low_type = dtype_name(t->type);
    }
}

static void count_tensor(struct glim_model *m, const struct tensor *t, double *lowest_mtp)
{
    const enum tensor_group g = tensor_group_of(&m->model, t->name);
    struct glim_group *const out = &m->group[g];
    out->tensors++;
    out->bytes += t->bytes;
    m->info.tensor_bytes += t->bytes;
    if (is_scale(t->name))
        return;
    uint64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i]; /* the reader has checked the product */
    out->parameters += n;
    add_name(m->group_types[g], dtype_name(t->type));
    if (t->rank > 1 && m->model.kernels.product[t->type])
        add_name(m->group_path[g], m->model.kernels.product[t->type]);
    if (g == GROUP_MTP || g == GROUP_MTP_EXPERTS)
        note_low_type(m, t, lowest_mtp);
}

/* Of a group's quantity, the part that one token uses. */
static uint64_t active_part(const struct glim_model *m, enum tensor_group g, uint64_t quantity)
{
    const struct model_config *const c = &m->model.cfg;
    switch (g) {
    case GROUP_EMBEDDING: return c->tied_head ? quantity : 0;
    case GROUP_MTP: case GROUP_MTP_EXPERTS: case GROUP_UNUSED: return 0;
    case GROUP_EXPERTS: return quantity / c->experts * c->experts_used;
    default: return quantity;
    }
}

/* Where the weights of a group are read. */
static enum stage group_stage(enum tensor_group g)
{
    switch (g) {
    case GROUP_ATTENTION: return STAGE_ATTENTION;
    case GROUP_INDEXER: return STAGE_ATTENTION; /* in the same jobs */
    case GROUP_ROUTER: return STAGE_ROUTER;
    case GROUP_EXPERTS: return STAGE_EXPERTS;
    case GROUP_SHARED: return STAGE_EXPERTS;
    case GROUP_DENSE: return STAGE_DENSE;
    case GROUP_EMBEDDING: /* counts if it is the head too */
    case GROUP_HEAD: return STAGE_HEAD;
    default: return STAGE_REST;
    }
}

static void sum_groups(struct glim_model *m)
{
    struct glim_model_info *const x = &m->info;
    for (int g = 0; g < GROUP_COUNT; g++) {
        struct glim_group *const p = &m->group[g];
        p->active_parameters = active_part(m, (enum tensor_group)g, p->parameters);
        const uint64_t bytes = active_part(m, (enum tensor_group)g, p->bytes);
        x->active_parameters += p->active_parameters;
        x->bytes_per_token += bytes;
        m->stage_bytes[group_stage((enum tensor_group)g)] += bytes;
        m->stage_parameters[group_stage((enum tensor_group)g)] += p->active_parameters;
        if (g != GROUP_EXPERTS) {
            x->always_on_parameters += p->active_parameters;
            m->always_read_bytes += bytes;
        }
        if (g == GROUP_UNUSED)
            x->unused_parameters += p->parameters;
        else
            x->total_parameters += p->parameters;
    }
    x->mtp_parameters = m->group[GROUP_MTP].parameters + m->group[GROUP_MTP_EXPERTS].parameters;
    const uint64_t experts = m->model.experts.layers * m->model.experts.per_layer;
    m->expert_bytes =
        experts ? (m->group[GROUP_EXPERTS].bytes + m->group[GROUP_MTP_EXPERTS].bytes) / experts : 0;
}

/* Moves the groups that exist to the front and points them at their strings. */
static void name_groups(struct glim_model *m)
{
    const struct kernels *const k = &m->model.kernels;
    struct kernels ref;
    kernels_ref(&ref);
    const char *const vectors = k->rmsnorm == ref.rmsnorm ? ref.level : k->level;
    for (int g = 0; g < GROUP_COUNT; g++) {
        if (m->group[g].tensors == 0)
            continue;
        struct glim_group x = m->group[g];
        x.name = tensor_group_name((enum tensor_group)g);
        x.types = m->group_types[g];
        x.path = g == GROUP_UNUSED ? "none"
               : m->group_path[g][0] ? m->group_path[g]
                                     : vectors;
        m->group[m->groups++] = x;
    }
}

static void copy_config(struct glim_model *m)
{
    const struct model_config *const c = &m->model.cfg;
    struct glim_model_info *const x = &m->info;
    *x = (struct glim_model_info){
        .name = m->name,
        .family = c->family,
        .architecture = c->architecture,
        .format = weights_is_gguf(&m->weights) ? "gguf" : "safetensors",
        .isa = m->model.kernels.level,
        .layers = (int)c->layers,
        .mtp_layers = (int)c->mtp_layers,
        .full_indexer_layers = (int)config_full_layers(c),
        .vocab = c->vocab,
        .hidden = c->hidden,
        .heads = c->heads,
        .q_rank = c->q_rank,
        .kv_rank = c->kv_rank,
        .nope_dim = c->nope_dim,
        .rope_dim = c->rope_dim,
        .v_dim = c->v_dim,
        .experts = c->experts,
        .experts_used = c->experts_used,
        .shared_experts = c->shared_experts,
        .expert_width = c->expert_width,
        .dense_width = c->dense_width,
        .expert_groups = c->groups,
        .expert_groups_used = c->groups_used,
        .index_heads = c->index_heads,
        .index_dim = c->index_dim,
        .index_topk = c->index_topk,
        .context = c->context,
        .rope_theta = c->rope_theta,
        .norm_eps = c->norm_eps,
        .latent_eps = c->latent_eps,
        .expert_scale = c->expert_scale,
        .index_schedule = m->schedule,
        .index_source = c->index_source,
    };
    for (uint64_t i = 0; i < c->layers; i++) {
        x->dense_layers += c->ffn[i] == FFN_DENSE;
        m->schedule[i] = c->index[i] == INDEX_FULL ? 'f' : c->index[i] == INDEX_SHARED ? 's' : '-';
    }
}

/* general.name, else the last part of the path. */
static int read_name(struct glim_model *m, struct err *e)
{
    const char *name = NULL;
    if (meta_get_str(weights_meta(&m->weights), "general.name", false, &name, e) != 0)
        return e->code;
    if (!name) {
        size_t end = strlen(m->path);
        while (end > 1 && m->path[end - 1] == '/')
            end--;
        size_t begin = end;
        while (begin > 0 && m->path[begin - 1] != '/')
            begin--;
        (void)snprintf(m->name, sizeof m->name, "%.*s", (int)(end - begin), m->path + begin);
    } else {
        (void)snprintf(m->name, sizeof m->name, "%s", name);
    }
    return GLIM_OK;
}

int info_fill(struct glim_model *m, struct err *e)
{
    if (read_name(m, e) != 0)
        return e->code;
    copy_config(m);
    const struct tensorfile *const f = m->weights.file;
    m->info.tensors = tensorfile_count(f);
    m->info.files = tensorfile_maps(f);
    for (uint32_t i = 0; i < tensorfile_maps(f); i++)
        m->info.file_bytes += tensorfile_map(f, i)->size;
    double lowest_mtp = 8;
    for (size_t i = 0; i < tensorfile_count(f); i++)
        count_tensor(m, tensorfile_at(f, i), &lowest_mtp);
    sum_groups(m);
    name_groups(m);
    uint8_t index[MODEL_LAYERS_MAX + 1];
    const struct kv_layout without = cache_layout(m, false, GLIM_KV_F16, GLIM_KV_INDEX_F16, index);
    m->info.cache_bytes_per_token = kv_bytes_per_token(&without);
    const struct kv_layout with = cache_layout(m, true, GLIM_KV_F16, GLIM_KV_INDEX_F16, index);
    m->info.mtp_cache_bytes_per_token = kv_bytes_per_token(&with) - m->info.cache_bytes_per_token;
    return GLIM_OK;
}

const struct glim_model_info *glim_model_info(const glim_model *m) { return &m->info; }

size_t glim_model_group_count(const glim_model *m) { return m->groups; }

const struct glim_group *glim_model_group(const glim_model *m, size_t i)
{
    return i < m->groups ? &m->group[i] : NULL;
}

size_t glim_model_tensor_count(const glim_model *m) { return tensorfile_count(m->weights.file); }

int glim_model_tensor(const glim_model *m, size_t i, struct glim_tensor *out)
{
    if (i >= tensorfile_count(m->weights.file))
        return GLIM_EINVAL;
    const struct tensor *const t = tensorfile_at(m->weights.file, i);
    *out = (struct glim_tensor){
        .name = t->name,
        .type = dtype_name(t->type),
        .rank = t->rank,
        .bytes = t->bytes,
        .offset = t->offset,
        .file = tensorfile_map(m->weights.file, t->file)->path,
    };
    _Static_assert(sizeof out->dim / sizeof *out->dim == TENSOR_MAX_RANK, "both hold every rank");
    memcpy(out->dim, t->dim, sizeof out->dim);
    return GLIM_OK;
}
