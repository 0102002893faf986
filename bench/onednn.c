/* onednn.c - see onednn.h. */
#include "onednn.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

#include <dnnl.h>

#if DNNL_VERSION_MAJOR != 2
#error "bench/onednn.c speaks to oneDNN 2.x, which Debian 12 calls libdnnl-dev"
#endif

const char *const onednn_names[ONEDNN_TYPES] = {"int8", "bf16", "f32"};

static const struct {
    dnnl_data_type_t x, w, y;
} types[ONEDNN_TYPES] = {
    {dnnl_u8, dnnl_s8, dnnl_s32}, {dnnl_bf16, dnnl_bf16, dnnl_f32}, {dnnl_f32, dnnl_f32, dnnl_f32}};

struct onednn {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t matmul;
    dnnl_memory_t x, w, y;
};

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void must(dnnl_status_t s, const char *what)
{
    if (s == dnnl_success)
        return;
    fprintf(stderr, "oneDNN: %s: status %d\n", what, (int)s);
    exit(1);
}

static dnnl_memory_desc_t layout(size_t a, size_t b, dnnl_data_type_t t, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    const dnnl_dims_t dims = {(dnnl_dim_t)a, (dnnl_dim_t)b};
    must(dnnl_memory_desc_init_by_tag(&md, 2, dims, t, tag), "layout");
    return md;
}

static dnnl_memory_t memory(const dnnl_memory_desc_t *md, void *data)
{
    dnnl_memory_t m;
    must(dnnl_memory_create(&m, md, engine, data), "memory");
    return m;
}

static void run(dnnl_primitive_t p, const dnnl_exec_arg_t *arg, int n)
{
    must(dnnl_primitive_execute(p, stream, n, arg), "execute");
    must(dnnl_stream_wait(stream), "wait");
}

/* A copy of w [rows, cols] in the product's own layout. */
static dnnl_memory_t reordered(struct onednn *d, dnnl_data_type_t t, size_t rows, size_t cols,
                               const void *w)
{
    const dnnl_memory_desc_t from = layout(cols, rows, t, dnnl_ba);
    const dnnl_memory_desc_t *const to =
        dnnl_primitive_desc_query_md(d->desc, dnnl_query_weights_md, 0);
    dnnl_memory_t in = memory(&from, (void *)w), out = memory(to, DNNL_MEMORY_ALLOCATE);
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t reorder;
    must(dnnl_reorder_primitive_desc_create(&desc, &from, engine, to, engine, NULL), "reorder");
    must(dnnl_primitive_create(&reorder, desc), "reorder");
    run(reorder, (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, in}, {DNNL_ARG_TO, out}}, 2);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_destroy(in);
    return out;
}

struct onednn *onednn_new(enum onednn_type t, size_t T, size_t rows, size_t cols, const void *w,
                          const void *x, void *y)
{
    struct onednn *const d = calloc(1, sizeof *d);
    if (!engine) {
        must(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
        must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    }
    const dnnl_memory_desc_t xd = layout(T, cols, types[t].x, dnnl_ab),
                             wd = layout(cols, rows, types[t].w, dnnl_format_tag_any),
                             yd = layout(T, rows, types[t].y, dnnl_ab);
    dnnl_matmul_desc_t op;
    must(dnnl_matmul_desc_init(&op, &xd, &wd, NULL, &yd), "matmul");
    if (!d || dnnl_primitive_desc_create(&d->desc, &op, NULL, engine, NULL) != dnnl_success) {
        free(d);
        return NULL;
    }
    must(dnnl_primitive_create(&d->matmul, d->desc), "matmul");
    d->x = memory(&xd, (void *)x);
    d->y = memory(&yd, y);
    d->w = reordered(d, types[t].w, rows, cols, w);
    return d;
}

void onednn_free(struct onednn *d)
{
    if (!d)
        return;
    dnnl_memory_destroy(d->x);
    dnnl_memory_destroy(d->y);
    dnnl_memory_destroy(d->w);
    dnnl_primitive_destroy(d->matmul);
    dnnl_primitive_desc_destroy(d->desc);
    free(d);
}

void onednn_run(struct onednn *d)
{
    const dnnl_exec_arg_t arg[] = {
        {DNNL_ARG_SRC, d->x}, {DNNL_ARG_WEIGHTS, d->w}, {DNNL_ARG_DST, d->y}};
    run(d->matmul, arg, 3);
}

void onednn_threads(int n) { omp_set_num_threads(n); }

const char *onednn_how(const struct onednn *d)
{
    const char *s = "?";
    dnnl_primitive_desc_query(d->desc, dnnl_query_impl_info_str, 0, &s);
    return s;
}

const char *onednn_version(void)
{
    static char text[32];
    const dnnl_version_t *const v = dnnl_version();
    (void)snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}
