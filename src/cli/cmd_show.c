/* cmd_show.c - glim show: what a model file holds. Headers only; no weight is read. */
#include <inttypes.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"

/* ---- for people ---- */

enum { LABEL = -14 }; /* printf width: left-aligned */

static void row(const char *label, const char *text) { out_text("%*s%s\n", LABEL, label, text); }

static void show_shape(const struct glim_model_info *i)
{
    char t[256], n[HUMAN_LEN];
    snprintf(t, sizeof t, "%d (%d dense, %d with experts)%s", i->layers, i->dense_layers,
             i->layers - i->dense_layers, i->mtp_layers ? ", and a draft layer (MTP)" : "");
    row("layers", t);
    if (i->mtp_low_type) {
        snprintf(t, sizeof t, "has %s matrices, below 8 bits: fewer of its drafts will be right",
                 i->mtp_low_type);
        row("draft layer", t);
    }
    row("hidden", human_count(n, i->hidden));
    snprintf(t, sizeof t,
             "%" PRIu64 " heads; latent %" PRIu64 ", query latent %" PRIu64 ", nope %" PRIu64
             ", rope %" PRIu64 ", value %" PRIu64,
             i->heads, i->kv_rank, i->q_rank, i->nope_dim, i->rope_dim, i->v_dim);
    row("attention", t);
    if (i->index_heads) {
        snprintf(t, sizeof t,
                 "%" PRIu64 " heads of %" PRIu64 "; picks %" PRIu64 " tokens; %d full layers",
                 i->index_heads, i->index_dim, i->index_topk, i->full_indexer_layers);
        row("indexer", t);
    }
    if (i->experts) {
        snprintf(t, sizeof t,
                 "%" PRIu64 " of width %" PRIu64 ", %" PRIu64 " used, %" PRIu64
                 " shared; dense width %" PRIu64,
                 i->experts, i->expert_width, i->experts_used, i->shared_experts, i->dense_width);
        row("experts", t);
    }
    row("vocabulary", human_count(n, i->vocab));
    row("context", human_count(n, i->context));
}

static void show_sizes(const struct glim_model_info *i)
{
    char t[256], a[HUMAN_LEN], b[HUMAN_LEN], c[HUMAN_LEN];
    snprintf(t, sizeof t, "%s total, %s active for a token, %s always on",
             human_params(a, i->total_parameters), human_params(b, i->active_parameters),
             human_params(c, i->always_on_parameters));
    row("parameters", t);
    if (i->unused_parameters) {
        snprintf(t, sizeof t, "%s more are stored and not used",
                 human_params(a, i->unused_parameters));
        row("", t);
    }
    snprintf(t, sizeof t, "%s in %" PRIu64 " tensors, %" PRIu64 " file%s",
             human_bytes(a, i->tensor_bytes), i->tensors, i->files, i->files == 1 ? "" : "s");
    row("weights", t);
    snprintf(t, sizeof t, "%s of weights", human_bytes(a, i->bytes_per_token));
    row("a token reads", t);
    snprintf(t, sizeof t, "%s bytes a token at 16 bits, %s for %s tokens",
             human_count(a, i->cache_bytes_per_token),
             human_bytes(b, i->cache_bytes_per_token * i->context), human_count(c, i->context));
    row("cache", t);
}

static void show_groups(const glim_model *m)
{
    char a[HUMAN_LEN], b[HUMAN_LEN], c[HUMAN_LEN];
    out_text("\n%-22s %8s %12s %12s %12s  %-16s %s\n", "group", "tensors", "parameters", "active",
             "bytes", "types", "path");
    for (size_t i = 0; i < glim_model_group_count(m); i++) {
        const struct glim_group *const g = glim_model_group(m, i);
        out_text("%-22s %8" PRIu64 " %12s %12s %12s  %-16s %s\n", g->name, g->tensors,
                 human_params(a, g->parameters), human_params(b, g->active_parameters),
                 human_bytes(c, g->bytes), g->types, g->path);
    }
}

static void show_schedule(const struct glim_model_info *i)
{
    if (!i->index_schedule || !strpbrk(i->index_schedule, "fs"))
        return;
    out_text("\nindexer by layer (f full, s shared, - none)%s%s\n", i->index_source ? "; " : "",
             i->index_source ? i->index_source : "");
    for (const char *p = i->index_schedule; *p;) {
        const int n = (int)strnlen(p, 64);
        out_text("  %.*s\n", n, p);
        p += n;
    }
}

static const char *or_none(const char *text) { return text && *text ? text : "-"; }

static void show_text(const glim_model *m)
{
    const struct glim_model_info *const i = glim_model_info(m);
    char t[256];
    row("model", or_none(i->name));
    snprintf(t, sizeof t, "%s (%s in %s)", or_none(i->family), or_none(i->architecture),
             or_none(i->format));
    row("family", t);
    show_shape(i);
    show_sizes(i);
    show_groups(m);
    show_schedule(i);
}

static void shape_text(char *buf, size_t size, const struct glim_tensor *t)
{
    size_t at = (size_t)snprintf(buf, size, "[");
    for (int d = 0; d < t->rank && d < 8 && at < size; d++)
        at += (size_t)snprintf(buf + at, size - at, d ? ", %" PRIu64 : "%" PRIu64, t->dim[d]);
    if (at < size)
        snprintf(buf + at, size - at, "]");
}

static int show_tensors(const glim_model *m)
{
    char shape[192], n[HUMAN_LEN];
    for (size_t i = 0; i < glim_model_tensor_count(m) && !out_failed(); i++) {
        struct glim_tensor t;
        if (glim_model_tensor(m, i, &t) != GLIM_OK)
            return fail("tensor %zu cannot be described", i);
        shape_text(shape, sizeof shape, &t);
        out_text("%-44s %-8s %-22s %14s  %s\n", t.name, t.type, shape, human_count(n, t.bytes),
                 t.file);
    }
    return EXIT_OK;
}

/* ---- for programs ---- */

static void add_config(struct json_object *j, const struct glim_model_info *i)
{
    const struct { const char *key; uint64_t value;
    } number[] = {
        {"layers", (uint64_t)i->layers},
        {"mtp_layers", (uint64_t)i->mtp_layers},
        {"dense_layers", (uint64_t)i->dense_layers},
        {"full_indexer_layers", (uint64_t)i->full_indexer_layers},
        {"vocabulary", i->vocab},
        {"hidden", i->hidden},
        {"heads", i->heads},
        {"q_rank", i->q_rank},
        {"kv_rank", i->kv_rank},
        {"nope_dim", i->nope_dim},
        {"rope_dim", i->rope_dim},
        {"v_dim", i->v_dim},
        {"experts", i->experts},
        {"experts_used", i->experts_used},
        {"shared_experts", i->shared_experts},
        {"expert_width", i->expert_width},
        {"dense_width", i->dense_width},
        {"expert_groups", i->expert_groups},
        {"expert_groups_used", i->expert_groups_used},
        {"index_heads", i->index_heads},
        {"index_dim", i->index_dim},
        {"index_topk", i->index_topk},
        {"context", i->context},
    };
    for (size_t k = 0; k < sizeof number / sizeof *number; k++)
        json_add_u64(j, number[k].key, number[k].value);
    json_add_real(j, "rope_theta", i->rope_theta);
    json_add_real(j, "norm_eps", i->norm_eps);
    json_add_real(j, "latent_eps", i->latent_eps);
    json_add_real(j, "expert_scale", i->expert_scale);
    json_add_text(j, "index_schedule", i->index_schedule);
    json_add_text(j, "index_source", i->index_source);
}

static struct json_object *groups_json(const glim_model *m)
{
    struct json_object *const list = json_object_new_array();
    for (size_t i = 0; i < glim_model_group_count(m); i++) {
        const struct glim_group *const g = glim_model_group(m, i);
        struct json_object *const j = json_object_new_object();
        json_add_text(j, "name", g->name);
        json_add_u64(j, "tensors", g->tensors);
        json_add_u64(j, "parameters", g->parameters);
        json_add_u64(j, "active_parameters", g->active_parameters);
        json_add_u64(j, "bytes", g->bytes);
        json_add_text(j, "types", g->types);
        json_add_text(j, "path", g->path);
        json_object_array_add(list, j);
    }
    return list;
}

static struct json_object *tensor_json(const struct glim_tensor *t)
{
    struct json_object *const j = json_object_new_object(), *const shape = json_object_new_array();
    for (int d = 0; d < t->rank && d < 8; d++)
        json_object_array_add(shape, json_object_new_uint64(t->dim[d]));
    json_add_text(j, "name", t->name);
    json_add_text(j, "type", t->type);
    json_object_object_add(j, "shape", shape);
    json_add_u64(j, "bytes", t->bytes);
    json_add_u64(j, "offset", t->offset);
    json_add_text(j, "file", t->file);
    return j;
}

static struct json_object *tensors_json(const glim_model *m)
{
    struct json_object *const list = json_object_new_array();
    struct glim_tensor t;
    for (size_t i = 0; i < glim_model_tensor_count(m); i++)
        if (glim_model_tensor(m, i, &t) == GLIM_OK)
            json_object_array_add(list, tensor_json(&t));
    return list;
}

static void show_json(const glim_model *m, bool tensors)
{
    const struct glim_model_info *const i = glim_model_info(m);
    struct json_object *const j = json_object_new_object();
    json_add_text(j, "name", i->name);
    json_add_text(j, "family", i->family);
    json_add_text(j, "architecture", i->architecture);
    json_add_text(j, "format", i->format);
    json_add_u64(j, "total_parameters", i->total_parameters);
    json_add_u64(j, "active_parameters", i->active_parameters);
    json_add_u64(j, "always_on_parameters", i->always_on_parameters);
    json_add_u64(j, "mtp_parameters", i->mtp_parameters);
    json_add_text(j, "mtp_low_type", i->mtp_low_type);
    json_add_u64(j, "unused_parameters", i->unused_parameters);
    json_add_u64(j, "cache_bytes_per_token", i->cache_bytes_per_token);
    json_add_u64(j, "mtp_cache_bytes_per_token", i->mtp_cache_bytes_per_token);
    json_add_u64(j, "bytes_per_token", i->bytes_per_token);
    json_add_u64(j, "files", i->files);
    json_add_u64(j, "file_bytes", i->file_bytes);
    json_add_u64(j, "tensors", i->tensors);
    json_add_u64(j, "tensor_bytes", i->tensor_bytes);
    add_config(j, i);
    json_object_object_add(j, "groups", groups_json(m));
    if (tensors)
        json_object_object_add(j, "tensor_list", tensors_json(m));
    out_json(j);
}

int cmd_show(const struct opts *o)
{
    glim_model *m;
    struct glim_error e;
    int code = EXIT_OK;
    if (model_open(o, &m, &e) != GLIM_OK)
        return fail_glim(&e);
    if (o->json)
        show_json(m, o->tensors);
    else if (o->tensors)
        code = show_tensors(m);
    else
        show_text(m);
    glim_model_close(m);
    return code;
}
