/* weights.c - see weights.h. Names and shapes are checked here once; whoever holds a struct matrix
 * may trust it. */
#include "weights/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"

#define SCALE_SUFFIX "_scale_inv"

int weights_open(struct weights *w, const char *path, struct err *e)
{
    *w = (struct weights){0};
    return tensorfile_open(&w->file, path, e);
}

void weights_close(struct weights *w)
{
    if (!w)
        return;
    tensorfile_close(w->file);
    *w = (struct weights){0};
}

bool weights_is_gguf(const struct weights *w) { return tensorfile_format(w->file) == FORMAT_GGUF; }
const struct meta *weights_meta(const struct weights *w) { return tensorfile_meta(w->file); }
bool weights_has(const struct weights *w, const char *name)
{
    return tensorfile_find(w->file, name) != NULL;
}

/* ---- files ---- */

uint32_t weights_files(const struct weights *w) { return tensorfile_maps(w->file); }

const char *weights_file(const struct weights *w, uint32_t i)
{
    return tensorfile_map(w->file, i)->path;
}

bool weights_locate(const struct weights *w, const void *data, uint32_t *file, uint64_t *at)
{
    const uintptr_t p = (uintptr_t)data;
    for (uint32_t i = 0; i < weights_files(w); i++) {
        const struct io_map *const m = tensorfile_map(w->file, i);
        if (p < (uintptr_t)m->data || p - (uintptr_t)m->data >= m->size)
            continue;
        *file = i;
        *at = p - (uintptr_t)m->data;
        return true;
    }
    return false;
}

/* ---- shapes ---- */

/* "[6144,2048,256]" */
static const char *shape_text(char *text, size_t size, const uint64_t *dim, int rank)
{
    size_t n = 0;
    for (int i = 0; i < rank && n < size; i++)
        n += (size_t)snprintf(text + n, size - n, "%s%" PRIu64, i ? "," : "[", dim[i]);
    if (rank == 0)
        (void)snprintf(text, size, "[");
    if (n + 2 <= size)
        (void)snprintf(text + (rank ? n : 1), 2, "]");
    return text;
}

static const char *file_of(const struct weights *w, const struct tensor *t)
{
    return tensorfile_map(w->file, t->file)->path;
}

/* Equal but for dimensions of 1 in front: GGUF drops them, and a layer with one expert is still a
 * stack. */
static bool same_shape(const struct tensor *t, const uint64_t *want, int rank)
{
    int a = 0, b = 0;
    while (a < t->rank && t->dim[a] == 1)
        a++;
    while (b < rank && want[b] == 1)
        b++;
    return t->rank - a == rank - b
           && memcmp(t->dim + a, want + b, (size_t)(rank - b) * sizeof *want) == 0;
}

/* The tensor `name` of exactly this shape. */
static int find_shaped(const struct weights *w, const char *name, const uint64_t *want, int rank,
                       const struct tensor **out, struct err *e)
{
    *out = tensorfile_find(w->file, name);
    char expected[128], found[256];
    shape_text(expected, sizeof expected, want, rank);
    if (!*out) {
        return err_set(e, GLIM_EFORMAT, "%s: tensor \"%s\" is absent, expected shape %s",
                       tensorfile_path(w->file), name, expected);
    }
    if (!same_shape(*out, want, rank)) {
        return err_set(e, GLIM_EFORMAT, "%s: tensor \"%s\": shape %s, expected %s",
                       file_of(w, *out), name,
                       shape_text(found, sizeof found, (*out)->dim, (*out)->rank), expected);
    }
    return GLIM_OK;
}

/* ---- matrices ---- */

static int check_decodes(const struct weights *w, const struct tensor *t, struct err *e)
{
    if (dtype_info(t->type)->decodes)
        return GLIM_OK;
    return err_set(e, GLIM_EUNSUPPORTED,
                   "%s: tensor \"%s\": type %s, expected one that glim computes with",
                   file_of(w, t), t->name, dtype_name(t->type));
}

/* The grid of scales of an F8 matrix, which may lie in another shard. */
static int find_scales(const struct weights *w, struct matrix *m, struct err *e)
{
    struct buf name;
    buf_init(&name);
    buf_adds(&name, m->name);
    buf_adds(&name, SCALE_SUFFIX);
    const uint64_t want[2] = {ceil_div_u64(m->rows, F8_BLOCK), ceil_div_u64(m->cols, F8_BLOCK)};
    const struct tensor *t = NULL;
    int rc =
        name.failed ? err_nomem(e, m->name, name.len) : find_shaped(w, name.data, want, 2, &t, e);
    if (rc == 0 && t->type != DT_F32) {
        rc = err_set(e, GLIM_EUNSUPPORTED, "%s: tensor \"%s\": type %s, expected F32",
                     file_of(w, t), t->name, dtype_name(t->type));
    } else if (rc == 0 && (uintptr_t)t->data % sizeof(float) != 0) {
        rc = err_set(e, GLIM_EUNSUPPORTED,
                     "%s: tensor \"%s\": offset %" PRIu64 ", expected a multiple of 4",
                     file_of(w, t), t->name, t->offset);
    } else if (rc == 0) {
        m->scale = (const float *)(const void *)t->data;
    }
    buf_deinit(&name);
    return rc;
}

/* Fills *out with [rows, cols] at `data` of t. */
static int fill_matrix(const struct weights *w, const struct tensor *t, uint64_t rows,
                       uint64_t cols, struct matrix *out, struct err *e)
{
    const int rc = check_decodes(w, t, e);
    if (rc != 0)
        return rc;
    uint64_t row_bytes = 0;
    if (!dtype_bytes(t->type, 1, cols, &row_bytes)) {
        return err_set(e, GLIM_EFORMAT,
                       "%s: tensor \"%s\": rows of %" PRIu64 " values are not whole blocks of %s",
                       file_of(w, t), t->name, cols, dtype_name(t->type));
    }
    *out = (struct matrix){.data = t->data,
                           .type = t->type,
                           .rows = rows,
                           .cols = cols,
                           .row_bytes = row_bytes,
                           .name = t->name};
    return GLIM_OK;
}

int weights_matrix(const struct weights *w, const char *name, uint64_t rows, uint64_t cols,
                   struct matrix *out, struct err *e)
{
    *out = (struct matrix){0};
    const struct tensor *t;
    const uint64_t want[2] = {rows, cols};
    int rc = find_shaped(w, name, want, 2, &t, e);
    if (rc == 0)
        rc = fill_matrix(w, t, rows, cols, out, e);
    if (rc == 0 && t->type == DT_F8_E4M3)
        rc = find_scales(w, out, e);
    if (rc != 0)
        *out = (struct matrix){0};
    return rc;
}

int weights_slice(const struct weights *w, const char *name, uint64_t n, uint64_t rows,
                  uint64_t cols, uint64_t i, struct matrix *out, struct err *e)
{
    *out = (struct matrix){0};
    if (i >= n)
        return err_set(e, GLIM_EINVAL, "tensor \"%s\": matrix %" PRIu64 " of %" PRIu64, name, i, n);
    const struct tensor *t;
    const uint64_t want[3] = {n, rows, cols};
    int rc = find_shaped(w, name, want, 3, &t, e);
    if (rc == 0 && t->type == DT_F8_E4M3) {
        rc = err_set(e, GLIM_EUNSUPPORTED,
                     "%s: tensor \"%s\": a stack of matrices in F8_E4M3, expected one tensor a "
                     "matrix",
                     file_of(w, t), name);
    }
    if (rc == 0)
        rc = fill_matrix(w, t, rows, cols, out, e);
    if (rc != 0)
        return rc;
    if (t->bytes)
        out->data = t->data + i * (t->bytes / n); /* i < n: inside the tensor */
    return GLIM_OK;
}

int weights_vector(const struct weights *w, const struct kernels *k, const char *name, uint64_t n,
                   float *dst, struct err *e)
{
    const struct tensor *t;
    const uint64_t row[1] = {n}, column[2] = {n, 1};
    t = tensorfile_find(w->file, name);
    int rc = t && same_shape(t, column, 2) ? GLIM_OK : find_shaped(w, name, row, 1, &t, e);
    if (rc == 0)
        rc = check_decodes(w, t, e);
    if (rc == 0 && (t->type == DT_F8_E4M3 || n % dtype_info(t->type)->block_len != 0)) {
        rc = err_set(e, GLIM_EUNSUPPORTED,
                     "%s: tensor \"%s\": type %s, expected F32, F16 or BF16 for a vector",
                     file_of(w, t), name, dtype_name(t->type));
    }
    if (rc != 0)
        return rc;
    const struct io_map *const map = tensorfile_map(w->file, t->file);
    io_map_alone(map, t->data, t->bytes, true);
    k->dequant[t->type](dst, t->data, (size_t)n);
    io_map_alone(map, t->data, t->bytes, false);
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(dst[i])) {
            return err_set(e, GLIM_ENUMERIC,
                           "%s: tensor \"%s\": value %" PRIu64 " is %s, expected a finite number",
                           file_of(w, t), name, i, isnan(dst[i]) ? "NaN" : "infinite");
        }
    }
    return GLIM_OK;
}

/* ---- scales ---- */

static int check_grid(const char *file, const char *name, const float *v, uint64_t n, struct err *e)
{
    for (uint64_t i = 0; i < n; i++) {
        if (!(v[i] >= 0) || !isfinite(v[i])) {
            return err_set(e, GLIM_ENUMERIC, "%s: tensor \"%s\": value %" PRIu64
                           " is %g, expected a finite number >= 0",
                           file, name, i, (double)v[i]);
        }
    }
    return GLIM_OK;
}

int weights_check_scales(const struct weights *w, const struct matrix *m, struct err *e)
{
    if (!m->scale)
        return GLIM_OK;
    /* The grid's shape was checked when the matrix was bound. */
    const uint64_t n = matrix_scales(m);
    struct buf name;
    buf_init(&name);
    buf_adds(&name, m->name);
    buf_adds(&name, SCALE_SUFFIX);
    const struct tensor *const t = tensorfile_find(w->file, name.data);
    const int rc =
        check_grid(t ? file_of(w, t) : tensorfile_path(w->file), name.data, m->scale, n, e);
    buf_deinit(&name);
    return rc;
}

/* Is this the F32 grid of scales of a tensor? */
static bool is_grid(const struct tensor *t)
{
    const size_t n = strlen(t->name), m = strlen(SCALE_SUFFIX);
    return t->type == DT_F32 && n > m && strcmp(t->name + n - m, SCALE_SUFFIX) == 0
        && (uintptr_t)t->data % sizeof(float) == 0;
}

int weights_check_all_scales(const struct weights *w, uint64_t budget, uint64_t *checked,
                             uint64_t *total, struct err *e)
{
    uint64_t done = 0, all = 0;
    int rc = GLIM_OK;
    for (size_t i = 0; rc == 0 && i < tensorfile_count(w->file); i++) {
        const struct tensor *const t = tensorfile_at(w->file, i);
        if (!is_grid(t))
            continue;
        const uint64_t n = t->bytes / sizeof(float), now = min_u64(n, budget - done);
        all += n;
        rc = check_grid(file_of(w, t), t->name, (const float *)(const void *)t->data, now, e);
        done += now;
    }
    if (checked)
        *checked = done;
    if (total)
        *total = all;
    return rc;
}
