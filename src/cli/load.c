/* load.c - see load.h. */
#include "cli/load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/util.h"
#include "cli/dirs.h"
#include "cli/out.h"

int glim_error_set(struct glim_error *e, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_format(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    e->code = code;
    return code;
}

/* The folder of the running program; /proc resolves links on the way. */
static bool program_folder(char *dir)
{
    const ssize_t n = readlink("/proc/self/exe", dir, MODEL_PATH_MAX - 1);
    if (n <= 0)
        return false;
    dir[n] = 0;
    char *const slash = strrchr(dir, '/');
    if (slash)
        *slash = 0;
    return slash != NULL;
}

int model_path(const struct opts *o, char *path, struct glim_error *e)
{
    /* installed; build/glim; build/asan/glim */
    static const char *const place[] = {"../share/glim/models", "../models", "../../models"};
    char dir[MODEL_PATH_MAX], found[MODEL_PATH_MAX];
    if (o->model) {
        if (snprintf(path, MODEL_PATH_MAX, "%s", o->model) >= MODEL_PATH_MAX)
            return glim_error_set(e, GLIM_EINVAL, "-m: the path is longer than %d bytes",
                                  MODEL_PATH_MAX - 1);
        return GLIM_OK;
    }
    for (size_t i = 0; program_folder(dir) && i < COUNT_OF(place); i++)
        if (snprintf(found, sizeof found, "%s/%s/glm-nano.gguf", dir, place[i]) < MODEL_PATH_MAX &&
            realpath(found, path) && access(path, R_OK) == 0)
            return GLIM_OK;
    return glim_error_set(
        e, GLIM_EIO, "the bundled model glm-nano.gguf is not there; name a model with -m PATH");
}

static void on_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)ctx;
    progress_show(what, done, total);
}

static void on_notice(void *ctx, const char *text)
{
    (void)ctx;
    say_notice("%s", text);
}

/* --usage, or for answers the user's own file; NULL = none. */
static const char *usage_file(const struct opts *o, char path[USER_PATH_MAX])
{
    if (o->usage)
        return strcmp(o->usage, "off") == 0 ? NULL : o->usage;
    const bool answers = o->verb == VERB_RUN || o->verb == VERB_CHAT || o->verb == VERB_SERVE;
    return answers && user_path(USER_STATE, "usage.db", path) ? path : NULL;
}

static void set_knobs(struct glim_knobs *k, const struct opts *o)
{
    k->latent_eps = isnan(o->latent_eps) ? 0 : o->latent_eps;
    k->index_norm_eps = isnan(o->index_norm_eps) ? 0 : o->index_norm_eps;
    k->index_rope = o->index_rope;
    k->index_hadamard = o->index_hadamard;
    k->mtp_prenorm = o->mtp_prenorm;
    k->moe_by_expert = o->moe_by_expert;
    k->expand_off = o->expand == 1;
    k->expand_all = o->expand == 2;
    k->index_always = o->index_always;
}

static int on_stop(void *ctx)
{
    (void)ctx;
    return interrupted();
}

struct glim_drive_model model_drive(const struct opts *o)
{
    return (struct glim_drive_model){o->drive.gb_s, o->drive.latency_us, (uint32_t)o->drive.depth};
}

int model_open(const struct opts *o, glim_model **out, struct glim_error *e)
{
    char path[MODEL_PATH_MAX], usage[USER_PATH_MAX], sums[USER_PATH_MAX];
    *out = NULL;
    int rc = model_path(o, path, e);
    if (rc != GLIM_OK)
        return rc;
    struct glim_model_options mo = GLIM_MODEL_OPTIONS_INIT;
    mo.threads = (int)o->threads;
    mo.unpinned = o->unpinned;
    mo.isa = o->isa;
    mo.ram_bytes = o->ram_bytes;
    mo.mirror = o->mirror.v;
    mo.mirrors = o->mirror.n;
    if (o->verb == VERB_BENCH)
        mo.drive = model_drive(o);
    mo.progress = on_progress;
    mo.notice = on_notice;
    mo.usage = usage_file(o, usage);
    mo.workload = o->workload;
    mo.stop = on_stop;
    if (o->check_reads && !user_path(USER_CACHE, "", sums))
        return glim_error_set(e, GLIM_EIO, "--check-reads: no folder for checksums: neither "
                              "XDG_CACHE_HOME nor HOME is set");
    mo.sums_folder = o->check_reads ? sums : NULL;
    set_knobs(&mo.knobs, o);
    rc = glim_model_open(out, path, &mo, e);
    progress_end();
    return rc;
}

int model_tokenizer(const struct opts *o, glim_tokenizer **out, struct glim_error *e)
{
    char path[MODEL_PATH_MAX];
    *out = NULL;
    const int rc = model_path(o, path, e);
    return rc == GLIM_OK ? glim_tokenizer_open(out, path, e) : rc;
}

void model_plan_request(const struct opts *o, uint64_t context_tok, struct glim_plan_request *out)
{
    *out = (struct glim_plan_request)GLIM_PLAN_REQUEST_INIT;
    out->ram_bytes = o->ram_bytes;
    out->context_tok = o->ctx ? o->ctx : context_tok;
    out->chunk_tok = o->chunk;
    out->kv = (enum glim_kv)o->kv;
    out->kv_index = (enum glim_kv_index)o->kv_index;
}

bool model_drafts(const struct opts *o, const glim_model *m)
{
    return o->drafts >= DRAFTS_ONE
           || (o->drafts == DRAFTS_AUTO && glim_model_info(m)->mtp_layers > 0);
}

bool model_drafts_fit(const struct opts *o, const glim_model *m,
                      const struct glim_plan_request *session)
{
    struct glim_plan_request q = *session;
    struct glim_plan p;
    struct glim_error e;
    q.mtp = model_drafts(o, m);
    if (!q.mtp || o->drafts != DRAFTS_AUTO)
        return q.mtp;
    return glim_model_plan(m, &q, &p, &e) != GLIM_OK || p.runs;
}

int model_draft_count(const struct opts *o)
{
    return o->drafts == DRAFTS_AUTO  ? GLIM_DRAFTS_AUTO
           : o->drafts == DRAFTS_OFF ? GLIM_DRAFTS_OFF
                                     : o->drafts - DRAFTS_ONE + 1;
}

int model_session(const struct opts *o, glim_model *m, uint64_t context_tok, glim_session **out,
                  struct glim_error *e)
{
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    struct glim_plan_request q;
    model_plan_request(o, context_tok, &q);
    so.context_tok = q.context_tok;
    so.chunk_tok = q.chunk_tok;
    so.kv = q.kv;
    so.kv_index = q.kv_index;
    so.mtp = o->mtp || model_drafts_fit(o, m, &q);
    return glim_session_new(out, m, &so, e);
}

static void take_real(double *field, double given)
{
    if (!isnan(given))
        *field = given;
}

void model_sampling(const struct opts *o, const glim_model *m, struct glim_sampling *out)
{
    *out = (struct glim_sampling)GLIM_SAMPLING_INIT;
    glim_model_sampling(m, out);
    take_real(&out->temperature, o->temp);
    take_real(&out->top_p, o->top_p);
    take_real(&out->min_p, o->min_p);
    take_real(&out->repetition_penalty, o->repeat_penalty);
    take_real(&out->presence_penalty, o->presence_penalty);
    take_real(&out->frequency_penalty, o->frequency_penalty);
    if (o->top_k != OPT_UNSET)
        out->top_k = (uint32_t)o->top_k;
    out->seed = o->seed;
}
