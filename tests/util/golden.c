#include "util/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DIR "tests/data/golden/"

static void must(int rc, const struct err *e)
{
    if (rc != 0)
        fail_msg("%s", e->text);
}

void golden_cache(struct golden *g, enum kv_type type, enum kv_type index_type)
{
    const struct model_config *const c = &g->model.cfg;
    uint8_t index[MODEL_LAYERS_MAX + 1];
    struct err e = {0};
    for (uint64_t i = 0; i < c->layers + c->mtp_layers; i++)
        index[i] = c->index[i] == INDEX_FULL;
    const struct kv_layout l = {c->layers + c->mtp_layers, c->kv_rank, c->rope_dim, c->index_dim,
                                index, type, index_type};
    kv_deinit(&g->kv);
    must(kv_init(&g->kv, &l, g->context, NULL, &e), &e);
}

/* Model, threads, workspace. */
static void open_model(struct golden *g, const char *path, const struct model_knobs *knobs,
                       int threads, size_t rows, size_t context)
{
    struct err e = {0};
    *g = (struct golden){.context = context};
    must(weights_open(&g->weights, path, &e), &e);
    must(model_init(&g->model, &g->weights, knobs, cpu_detect(), &e), &e);
    must(pool_new(&g->pool, threads, &e), &e);
    must(forward_init(&g->forward, &g->model, g->pool, rows, context, &e), &e);
}

void golden_nano(struct golden *g, const struct model_knobs *knobs, int threads, size_t rows,
                 size_t context)
{
    open_model(g, "models/glm-nano.gguf", knobs, threads, rows, context);
    golden_cache(g, KV_F16, KV_F16);
}

void golden_open(struct golden *g, const char *name, const char *model_file,
                 const struct model_knobs *knobs, int threads)
{
    struct err e = {0};
    char path[256];
    struct model_knobs k = knobs ? *knobs : (struct model_knobs){0};
    if (!(k.latent_eps > 0))
        k.latent_eps = 1e-6;
    (void)snprintf(path, sizeof path, DIR "%s%s%s", name, model_file ? "/" : "",
                   model_file ? model_file : "");
    open_model(g, path, &k, threads, GOLDEN_CONTEXT, GOLDEN_CONTEXT);
    golden_cache(g, KV_F32, KV_F32);
    (void)snprintf(path, sizeof path, DIR "%s/golden.safetensors", name);
    must(tensorfile_open(&g->expect, path, &e), &e);
    g->ids = golden_i32(g, "ids");
    g->T = (size_t)tensorfile_find(g->expect, "ids")->dim[0];
    g->logits = malloc(GOLDEN_CONTEXT * g->model.cfg.vocab * sizeof *g->logits);
    assert_non_null(g->logits);
}

void golden_close(struct golden *g)
{
    free(g->logits);
    tensorfile_close(g->expect);
    kv_deinit(&g->kv);
    forward_deinit(&g->forward);
    pool_free(g->pool);
    model_deinit(&g->model);
    weights_close(&g->weights);
}

/* Data in a safetensors file of ours is 4-byte aligned when the header is padded to that; copy
 * would hide it. */
static const void *expected(const struct golden *g, const char *name, enum dtype type)
{
    const struct tensor *const t = tensorfile_find(g->expect, name);
    if (!t)
        return NULL;
    assert_int_equal(t->type, type);
    assert_int_equal((uintptr_t)t->data % 4, 0);
    return t->data;
}

const float *golden_f32(const struct golden *g, const char *name)
{
    return expected(g, name, DT_F32);
}
const int32_t *golden_i32(const struct golden *g, const char *name)
{
    return expected(g, name, DT_I32);
}

void golden_run(struct golden *g, const int32_t *token, size_t n, size_t chunk,
                enum kernel_role role, float *logits)
{
    struct err e = {0};
    struct row row[GOLDEN_CONTEXT];
    const size_t most = role == ROLE_DECODE && chunk > DECODE_ROWS ? DECODE_ROWS : chunk;
    for (size_t t0 = 0; t0 < n; t0 += most) {
        const size_t T = n - t0 < most ? n - t0 : most;
        for (size_t t = 0; t < T; t++)
            row[t] = (struct row){&g->kv, g->kv.length + t, token[t0 + t]};
        must(forward_rows(&g->forward, row, T, role, &e), &e);
        g->kv.length += T;
        must(forward_logits(&g->forward, g->forward.final, T, role,
                            logits + t0 * g->model.cfg.vocab, &e),
             &e);
    }
}

double max_norm_error(const float *a, const float *b, size_t n)
{
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff = fmax(diff, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    return size > 0 ? diff / size : diff;
}
