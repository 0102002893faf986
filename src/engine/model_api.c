/* model_api.c - opening and closing a model; the machine; version and errors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/util.h"
#include "engine/engine.h"

#define STRING_(x) #x
#define STRING(x) STRING_(x)

const char *glim_version(void)
{
    return STRING(GLIM_VERSION_MAJOR) "." STRING(GLIM_VERSION_MINOR) "." STRING(GLIM_VERSION_PATCH);
}

const char *glim_error_name(int code)
{
    static const char *const name[] = {"ok",     "invalid", "io",      "format", "unsupported",
                                       "memory", "limit",   "numeric", "stopped", "busy",  "quota"};
    return code <= 0 && code > -(int)COUNT_OF(name) ? name[-code] : "unknown";
}

void glim_free(void *p) { free(p); }

int give(struct glim_error *out, const struct err *e, int rc)
{
    _Static_assert(sizeof out->text == sizeof e->text, "both texts have one size");
    if (!out)
        return rc;
    out->code = rc;
    if (rc == 0)
        out->text[0] = 0;
    else
        memcpy(out->text, e->text, sizeof out->text);
    return rc;
}

int blame(struct err *e, const char *path)
{
    struct err shown;
    (void)err_set(&shown, e->code, "%s", path);
    const bool named = strncmp(e->text, shown.text, strlen(shown.text)) == 0;
    return named ? e->code : err_prefix(e, "%s", path);
}

static struct model_knobs knobs_of(const struct glim_knobs *k)
{
    return (struct model_knobs){
        .latent_eps = k->latent_eps,
        .index_norm_eps = k->index_norm_eps,
        .index_rope = k->index_rope == 1   ? ROPE_INTERLEAVED
                      : k->index_rope == 2 ? ROPE_HALF
                                           : ROPE_AS_CONFIG,
        .index_hadamard = k->index_hadamard,
        .mtp_prenorm = k->mtp_prenorm,
        .moe_by_expert = k->moe_by_expert,
        .expand_off = k->expand_off,
        .expand_all = k->expand_all,
        .index_always = k->index_always,
    };
}

static int check_knobs(const struct glim_knobs *k, struct err *e)
{
    if (!(k->latent_eps >= 0 && k->latent_eps < 1))
        return err_set(e, GLIM_EINVAL, "latent eps: %g, expected 0 to 1", k->latent_eps);
    if (!(k->index_norm_eps >= 0 && k->index_norm_eps < 1))
        return err_set(e, GLIM_EINVAL, "indexer norm eps: %g, expected 0 to 1", k->index_norm_eps);
    if (k->index_rope < 0 || k->index_rope > 2)
        return err_set(e, GLIM_EINVAL, "indexer rope: %d, expected 0 to 2", k->index_rope);
    if (k->expand_off && k->expand_all)
        return err_set(e, GLIM_EINVAL, "expand_off and expand_all exclude each other");
    return GLIM_OK;
}

/* Scales and routers of a small model are looked at when it is opened. A large one would turn
 * milliseconds into a walk over its disk: there a value that is not finite fails the step that
 * meets it. */
enum { CHECK_VALUES_MAX = 1 << 20 };

static int check_routers(const struct model *m, struct err *e)
{
    const struct model_config *const c = &m->cfg;
    float *const row = mem_zalloc(c->hidden, sizeof *row);
    if (!row)
        return err_nomem(e, "router row", c->hidden * sizeof *row);
    int rc = GLIM_OK;
    for (uint64_t i = 0; rc == 0 && i < c->layers + c->mtp_layers; i++) {
        const struct matrix *const w = &m->layer[i].router;
        for (uint64_t r = 0; rc == 0 && m->layer[i].ffn_kind == FFN_MOE && r < w->rows; r++) {
            m->kernels.matrix_row(row, w, r);
            for (uint64_t k = 0; rc == 0 && k < w->cols; k++) {
                if (!isfinite(row[k]))
                    rc = err_set(e, GLIM_ENUMERIC,
                                 "tensor \"%s\": value [%llu,%llu] is %g, expected a finite number",
                                 w->name, (unsigned long long)r, (unsigned long long)k,
                                 (double)row[k]);
            }
        }
    }
    free(row);
    return rc;
}

static int check_values(const struct glim_model *m, struct err *e)
{
    const struct model_config *const c = &m->model.cfg;
    uint64_t scales;
    if (weights_check_all_scales(&m->weights, 0, NULL, &scales, e) != 0
        || (scales <= CHECK_VALUES_MAX
            && weights_check_all_scales(&m->weights, scales, NULL, NULL, e) != 0))
        return e->code;
    return m->model.experts.layers * c->experts * c->hidden <= CHECK_VALUES_MAX
               ? check_routers(&m->model, e)
               : GLIM_OK;
}

void model_notice(void *model, const char *text)
{
    const struct glim_model *const m = model;
    if (m->notice)
        m->notice(m->notice_ctx, text);
}

static int keep_mirrors(struct glim_model *m, const struct glim_model_options *o, struct err *e)
{
    if (o->mirrors > GLIM_MIRRORS_MAX)
        return err_set(e, GLIM_EINVAL, "mirrors: %zu, expected at most %d", o->mirrors,
                       GLIM_MIRRORS_MAX);
    for (; m->mirrors < o->mirrors; m->mirrors++) {
        const char *const dir = o->mirror[m->mirrors];
        m->mirror[m->mirrors] = strdup(dir);
        if (!m->mirror[m->mirrors])
            return err_nomem(e, "path", strlen(dir));
    }
    return GLIM_OK;
}

static int open_parts(struct glim_model *m, const char *path, const struct glim_model_options *o,
                      struct err *e)
{
    enum cpu_level isa = cpu_detect();
    if (o->isa && cpu_level_parse(o->isa, &isa, e) != 0)
        return e->code;
    if (!cpu_has(isa))
        return err_set(e, GLIM_EUNSUPPORTED, "isa \"%s\": this machine has %s", o->isa,
                       cpu_level_name(cpu_detect()));
    m->isa = isa;
    m->placement.ram_bytes = o->ram_bytes;
    m->placement.drive = o->drive;
    m->placement.stream_always = o->knobs.stream_always;
    m->progress = o->progress;
    m->progress_ctx = o->progress_ctx;
    m->notice = o->notice;
    m->notice_ctx = o->notice_ctx;
    if (habits_init(m, o, e) != 0)
        return e->code;
    m->stop = o->stop;
    if (o->sums_folder && !(m->sums_folder = strdup(o->sums_folder)))
        return err_nomem(e, "path", strlen(o->sums_folder));
    m->path = strdup(path);
    if (!m->path)
        return err_nomem(e, "path", strlen(path));
    if (keep_mirrors(m, o, e) != 0)
        return e->code;
    const struct model_knobs knobs = knobs_of(&o->knobs);
    if (check_knobs(&o->knobs, e) != 0 || drive_check(&o->drive, e) != 0
        || weights_open(&m->weights, path, e) != 0)
        return e->code;
    if (model_init(&m->model, &m->weights, &knobs, isa, e) != 0 || defaults_read(m, e) != 0
        || info_fill(m, e) != 0 || placement_measure(m, e) != 0 || check_values(m, e) != 0
        || tensorfile_check(m->weights.file, e) != 0)
        return blame(e, path);
    if (pool_new(&m->pool, o->threads ? o->threads : cpu_count(), e) != 0)
        return e->code;
    if (!o->unpinned)
        (void)pool_pin(m->pool);
    return GLIM_OK;
}

int glim_model_open(glim_model **out, const char *path, const struct glim_model_options *o,
                    struct glim_error *err)
{
    struct err e = {0};
    *out = NULL;
    struct glim_model_options opt = GLIM_MODEL_OPTIONS_INIT;
    if (o)
        memcpy(&opt, o, o->size < sizeof opt ? o->size : sizeof opt);
    struct glim_model *const m = mem_zalloc(1, sizeof *m);
    if (!m)
        return give(err, &e, err_nomem(&e, "model", sizeof *m));
    const int rc = open_parts(m, path, &opt, &e);
    if (rc != 0) {
        glim_model_close(m);
        return give(err, &e, rc);
    }
    m->info.threads = pool_threads(m->pool);
    *out = m;
    return give(err, &e, GLIM_OK);
}

void glim_model_close(glim_model *m)
{
    if (!m)
        return;
    habits_end(m);
    tokenizer_free(m->tokenizer);
    pool_free(m->pool);
    model_deinit(&m->model);
    resident_free(&m->resident);
    weights_close(&m->weights);
    free(m->sums_folder);
    free(m->path);
    for (size_t i = 0; i < m->mirrors; i++)
        free(m->mirror[i]);
    free(m);
}

int glim_model_check(const glim_model *m, struct glim_error *err)
{
    struct err e = {0};
    return give(err, &e, tensorfile_check(m->weights.file, &e));
}

void glim_machine(struct glim_machine *out)
{
    _Static_assert(sizeof out->cpu == CPU_NAME_BYTES, "both names have one size");
    _Static_assert(sizeof out->memory_group == MEMORY_GROUP_BYTES, "and both paths");
    struct memory memory;
    memory_look("", &memory);
    *out = (struct glim_machine){
        .isa = cpu_level_name(cpu_detect()),
        .processors = cpu_count(),
        .memory_bytes = memory.bytes,
        .memory_available_bytes = memory_usable(&memory),
        .memory_limit_bytes = memory.limit == UINT64_MAX ? 0 : memory.limit,
        .memory_budget_bytes = placement_budget(0),
    };
    memcpy(out->memory_group, memory.group, sizeof out->memory_group);
    cpu_model_name(out->cpu);
}
