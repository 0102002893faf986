/* mirrors.c - see mirrors.h. */
#include "weights/mirrors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/drive.h"
#include "base/util.h"

char *mirror_path(const struct weights *w, uint32_t i, const char *dir)
{
    char *path;
    const char *const file = weights_file(w, i), *const slash = strrchr(file, '/');
    return asprintf(&path, "%s/%s", dir, slash ? slash + 1 : file) < 0 ? NULL : path;
}

/* Everything before the first tensor. */
static uint64_t header_bytes(const struct weights *w, uint32_t i)
{
    uint64_t bytes = tensorfile_map(w->file, i)->size;
    for (size_t t = 0; t < tensorfile_count(w->file); t++) {
        const struct tensor *const x = tensorfile_at(w->file, t);
        if (x->file == i)
            bytes = min_u64(bytes, x->offset);
    }
    return bytes;
}

static int open_copy(struct reader *r, const char *file, const char *path, struct mirror_copy *c,
                     struct err *e)
{
    struct stat of_file, of_copy;
    if (stat(path, &of_copy) != 0 && errno == ENOENT)
        return GLIM_OK;
    c->there = true;
    if (reader_file(r, path, &c->copy, e) != 0)
        return e->code;
    if (stat(file, &of_file) == 0 && of_file.st_dev == of_copy.st_dev
        && of_file.st_ino == of_copy.st_ino)
        return err_set(e, GLIM_EINVAL, "%s: is the model's own file, expected a copy on another "
                       "drive", path);
    const uint64_t bytes = reader_bytes(r, c->copy), expected = reader_bytes(r, c->file);
    if (bytes == expected)
        return GLIM_OK;
    return err_set(e, GLIM_EFORMAT, "%s: %" PRIu64 " bytes, expected %" PRIu64
                   " as in %s; remove it and run glim mirror stage", path, bytes, expected, file);
}

int mirror_open(const struct weights *w, struct reader *r, uint32_t i, const char *dir,
                struct mirror_copy *out, struct err *e)
{
    const char *const file = weights_file(w, i);
    *out = (struct mirror_copy){0};
    if (reader_file(r, file, &out->file, e) != 0)
        return e->code;
    char *const path = mirror_path(w, i, dir);
    const int rc = path ? open_copy(r, file, path, out, e) : err_nomem(e, dir, strlen(dir));
    free(path);
    return rc;
}

int mirror_compare(const struct weights *w, struct reader *r, uint32_t i, const char *dir,
                   const struct mirror_copy *c, bool whole, scan_progress_fn *progress, void *ctx,
                   struct err *e)
{
    const uint64_t bytes = reader_bytes(r, c->file);
    struct range range[SCAN_SAMPLES] = {{0, bytes}};
    const size_t n = whole ? 1 : scan_samples(bytes, header_bytes(w, i), READ_ALIGN, range);
    uint64_t at;
    if (scan_compare(r, c->file, c->copy, range, n, progress, ctx, &at, e) != 0)
        return e->code;
    if (at == SCAN_SAME)
        return GLIM_OK;
    char *const path = mirror_path(w, i, dir);
    (void)err_set(e, GLIM_EFORMAT, "%s: differs from %s at offset %" PRIu64
                  "; if that is the good one, remove the copy and run glim mirror stage",
                  path ? path : dir, weights_file(w, i), at);
    free(path);
    return e->code;
}

/* ---- all of them ---- */

/* What a folder has, each file looked at: copy[weights_files]. */
static int find(const struct weights *w, struct reader *r, const char *dir,
                struct mirror_copy *copy, struct mirror_found *out, struct err *e)
{
    for (uint32_t i = 0; i < weights_files(w); i++) {
        if (mirror_open(w, r, i, dir, &copy[i], e) != 0)
            return e->code;
        if (!copy[i].there)
            continue;
        if (mirror_compare(w, r, i, dir, &copy[i], false, NULL, NULL, e) != 0)
            return e->code;
        out->files++;
    }
    if (out->files)
        return GLIM_OK;
    char *const path = mirror_path(w, 0, dir);
    (void)err_set(e, GLIM_EIO, weights_files(w) == 1 ? "%s: No such file"
                  : "%s: No such file, and none of the model's others", path ? path : dir);
    free(path);
    return e->code;
}

/* By its largest file; the best so far, since other work only slows a drive down. */
static int measure(struct reader *r, const struct mirror_copy *copy, uint32_t n,
                   struct mirror_found *out, struct err *e)
{
    const struct mirror_copy *most = NULL;
    for (uint32_t i = 0; i < n; i++)
        if (copy[i].there
            && (!most || reader_bytes(r, copy[i].copy) > reader_bytes(r, most->copy)))
            most = &copy[i];
    double bytes_per_s;
    const int rc = drive_measure(r, most->copy, MEASURE_NS / MEASURE_ROUNDS,
                                 MEASURE_BYTES / MEASURE_ROUNDS, &bytes_per_s, e);
    out->bytes_per_s = bytes_per_s > out->bytes_per_s ? bytes_per_s : out->bytes_per_s;
    return rc;
}

static int attach(struct reader *r, const struct mirror_copy *copy, uint32_t n, unsigned drive,
                  const struct mirror_found *found, struct err *e)
{
    for (uint32_t i = 0; i < n; i++)
        if (copy[i].there && reader_mirror(r, copy[i].file, copy[i].copy, drive, e) != 0)
            return e->code;
    if (found->bytes_per_s > 0)
        reader_share(r, drive, found->bytes_per_s);
    return GLIM_OK;
}

int mirrors_add(const struct weights *w, struct reader *r, const char *const *dir, size_t n,
                struct mirror_found *out, struct err *e)
{
    const uint32_t files = weights_files(w);
    struct mirror_copy *const copy = mem_zalloc((n + 1) * files, sizeof *copy);
    if (!copy)
        return err_nomem(e, "list of copies", (n + 1) * files * sizeof *copy);
    int rc = GLIM_OK;
    out[0] = (struct mirror_found){.files = files};
    for (uint32_t i = 0; i < files; i++)
        copy[i] = (struct mirror_copy){.file = i, .copy = i, .there = true};
    /* Compared and measured while each file is still read from one drive. */
    for (size_t d = 1; rc == 0 && d <= n; d++) {
        out[d] = (struct mirror_found){0};
        rc = find(w, r, dir[d - 1], copy + d * files, &out[d], e);
    }
    for (size_t i = 0; rc == 0 && i < MEASURE_ROUNDS * (n + 1); i++) /* in turn */
        rc = measure(r, copy + i % (n + 1) * files, files, &out[i % (n + 1)], e);
    if (rc == 0 && out[0].bytes_per_s > 0)
        reader_share(r, 0, out[0].bytes_per_s);
    for (size_t d = 1; rc == 0 && d <= n; d++)
        rc = attach(r, copy + d * files, files, (unsigned)d, &out[d], e);
    free(copy);
    return rc;
}
