/* mirror_api.c - copies of a model's files on other drives: used, made and compared. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/copyfile.h"
#include "base/drive.h"
#include "base/util.h"
#include "weights/mirrors.h"

_Static_assert((int)GLIM_MIRRORS_MAX < (int)READ_DRIVES, "the model's own drive is one more");

enum { READS = 32 };

static void say_what_lacks(struct glim_model *m, const char *dir, const struct mirror_found *found)
{
    struct err e;
    const uint32_t files = weights_files(&m->weights);
    if (found->files == files)
        return;
    (void)err_set(&e, GLIM_OK, "mirror %s: has %u of the model's %u files; the rest is read from "
                  "elsewhere", dir, found->files, files);
    model_notice(m, e.text);
}

int mirrors_attach(struct glim_model *m, struct reader *r, struct err *e)
{
    struct mirror_found found[1 + GLIM_MIRRORS_MAX];
    if (m->mirrors == 0)
        return GLIM_OK;
    reader_on_notice(r, model_notice, m);
    if (mirrors_add(&m->weights, r, (const char *const *)m->mirror, m->mirrors, found, e) != 0)
        return err_prefix(e, "mirror");
    for (size_t i = 0; i < m->mirrors; i++)
        say_what_lacks(m, m->mirror[i], &found[1 + i]);
    return GLIM_OK;
}

/* ---- one file of a folder ---- */

static const char *name_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct watched { /* the caller's progress, which knows the total */
    glim_mirror_progress_fn *fn;
    void *ctx;
    uint64_t total;
};

static int on_progress(void *ctx, uint64_t done)
{
    const struct watched *const w = ctx;
    return w->fn ? w->fn(w->ctx, done, w->total) : 0;
}

static int check_index(const glim_model *m, size_t i, struct err *e)
{
    const uint32_t files = weights_files(&m->weights);
    return i < files ? GLIM_OK
                     : err_set(e, GLIM_EINVAL, "file %zu: the model has %u", i, files);
}

static int compare(const glim_model *m, const char *dir, uint32_t i, bool whole, struct watched *w,
                   struct glim_mirror_file *out, struct reader *r, struct err *e)
{
    struct mirror_copy c;
    if (mirror_open(&m->weights, r, i, dir, &c, e) != 0)
        return e->code;
    out->path = weights_file(&m->weights, i);
    out->bytes = w->total = reader_bytes(r, c.file);
    out->there = c.there;
    if (c.there)
        return mirror_compare(&m->weights, r, i, dir, &c, whole, on_progress, w, e);
    return copyfile_left(dir, name_of(out->path), &out->part_bytes, e);
}

static int look(const glim_model *m, const char *dir, size_t i, bool whole, struct watched *w,
                struct glim_mirror_file *out, struct err *e)
{
    struct reader *r;
    *out = (struct glim_mirror_file){0};
    if (check_index(m, i, e) != 0 || reader_open(&r, READS, e) != 0)
        return e->code;
    const int rc = compare(m, dir, (uint32_t)i, whole, w, out, r, e);
    reader_close(r);
    out->part_bytes = min_u64(out->part_bytes, out->bytes);
    return rc;
}

int glim_mirror_file(const glim_model *m, const char *dir, size_t i, struct glim_mirror_file *out,
                     struct glim_error *err)
{
    struct err e = {0};
    struct watched w = {0};
    return give(err, &e, look(m, dir, i, false, &w, out, &e));
}

int glim_mirror_verify(const glim_model *m, const char *dir, size_t i,
                       glim_mirror_progress_fn *progress, void *ctx, struct glim_mirror_file *out,
                       struct glim_error *err)
{
    struct err e = {0};
    struct watched w = {.fn = progress, .ctx = ctx};
    return give(err, &e, look(m, dir, i, true, &w, out, &e));
}

int glim_mirror_stage(const glim_model *m, const char *dir, size_t i,
                      glim_mirror_progress_fn *progress, void *ctx, struct glim_error *err)
{
    struct err e = {0};
    struct watched w = {.fn = progress, .ctx = ctx};
    int rc = check_index(m, i, &e);
    if (rc == 0) {
        const struct io_map *const file = tensorfile_map(m->weights.file, (uint32_t)i);
        w.total = file->size;
        rc = copyfile(file->path, dir, name_of(file->path), on_progress, &w, &e);
    }
    return give(err, &e, rc);
}

/* ---- a drive ---- */

enum { DRIVE_NS = 500000000, FOLDER_BYTES = 64 << 20 };
static const uint64_t DRIVE_BYTES = (uint64_t)8 << 30;

/* The largest file of the model, or of what `dir` has of it; NULL: none. The caller frees it. */
static char *largest(const glim_model *m, const char *dir)
{
    char *best = NULL;
    uint64_t most = 0;
    for (uint32_t i = 0; i < weights_files(&m->weights); i++) {
        const uint64_t bytes = tensorfile_map(m->weights.file, i)->size;
        char *const path =
            dir ? mirror_path(&m->weights, i, dir) : strdup(weights_file(&m->weights, i));
        if (!path || bytes <= most || access(path, R_OK) != 0) {
            free(path);
            continue;
        }
        free(best);
        best = path;
        most = bytes;
    }
    return best;
}

static int measure(const char *path, double *bytes_per_s, struct err *e)
{
    struct reader *r;
    uint32_t file;
    int rc = reader_open(&r, READS, e);
    if (rc == 0)
        rc = reader_file(r, path, &file, e);
    if (rc == 0)
        rc = drive_measure(r, file, DRIVE_NS, DRIVE_BYTES, bytes_per_s, e);
    reader_close(r);
    return rc;
}

static int measure_drive(const glim_model *m, const char *dir, uint64_t room, double *gb_s,
                         struct err *e)
{
    double bytes_per_s = 0;
    char *const path = largest(m, dir);
    const int rc = path ? measure(path, &bytes_per_s, e) : GLIM_OK;
    /* Where nothing can be written nothing is known. */
    if (!path && room > 2 * (uint64_t)FOLDER_BYTES)
        (void)drive_measure_folder(dir, DRIVE_NS, FOLDER_BYTES, &bytes_per_s, e);
    free(path);
    *gb_s = bytes_per_s / 1e9;
    return rc;
}

int glim_mirror_drive(const glim_model *m, const char *dir, bool measured, struct glim_drive *out,
                      struct glim_error *err)
{
    struct err e = {0};
    struct drive_room room;
    *out = (struct glim_drive){0};
    int rc = drive_room(dir ? dir : weights_file(&m->weights, 0), &room, &e);
    if (rc == 0 && measured)
        rc = measure_drive(m, dir, room.free_bytes, &out->gb_s, &e);
    if (rc == 0) {
        out->free_bytes = room.free_bytes;
        out->device = room.device;
    }
    return give(err, &e, rc);
}
