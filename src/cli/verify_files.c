/* verify_files.c - which files a model consists of. Opens none of them: they may be damaged. */
#include "cli/verify.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/links.h"
#include "base/util.h"
#include "cli/load.h"

enum { PARTS_MAX = 9999 };

void verify_deinit(struct verify *v)
{
    for (size_t i = 0; i < v->files; i++) {
        free(v->file[i].name);
        free(v->file[i].path);
    }
    free(v->file);
    free(v->folder);
}

int file_identify(const char *path, struct file_id *out)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno;
    *out = (struct file_id){
        .bytes = (uint64_t)st.st_size,
        .dev = (uint64_t)st.st_dev,
        .ino = (uint64_t)st.st_ino,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
    return 0;
}

static int no_memory(struct glim_error *e)
{
    return glim_error_set(e, GLIM_ENOMEM, "out of memory for the list of files");
}

/* Links of a folder stay in it, as they must when the model is opened. */
static void look_at(const struct verify *v, struct verify_file *f)
{
    struct stat target;
    struct err e;
    const int error = file_identify(f->path, &f->id);
    if (error == ENOENT || error == ENOTDIR) {
        f->status = VERIFY_MISSING;
    } else if (error) {
        f->status = VERIFY_ERROR;
        (void)glim_error_set(&f->error, GLIM_EIO, "%s: %s", f->path, strerror(error));
    } else if (v->is_folder && link_check(v->folder, f->path, &target, &e) != 0) {
        f->status = VERIFY_ERROR;
        (void)glim_error_set(&f->error, e.code, "%s", e.text);
    }
}

int verify_add(struct verify *v, const char *name, struct glim_error *e)
{
    for (size_t i = 0; i < v->files; i++)
        if (strcmp(v->file[i].name, name) == 0)
            return GLIM_OK;
    if (v->files == KNOWN_MAX)
        return glim_error_set(e, GLIM_ELIMIT, "%s: more than %d files", v->model, KNOWN_MAX);
    if (mem_grow(&v->file, &v->cap, v->files + 1, sizeof *v->file) != 0)
        return no_memory(e);
    struct verify_file f = {.name = strdup(name), .expected_bytes = UINT64_MAX};
    if (asprintf(&f.path, "%s/%s", v->folder, name) < 0)
        f.path = NULL;
    if (!f.name || !f.path) {
        free(f.name);
        free(f.path);
        return no_memory(e);
    }
    look_at(v, &f);
    v->file[v->files++] = f;
    return GLIM_OK;
}

static bool ends_with(const char *s, const char *tail)
{
    const size_t n = strlen(s), m = strlen(tail);
    return n > m && strcmp(s + n - m, tail) == 0;
}

bool verify_is_part(const char *name)
{
    static const char *const tail[] = {".safetensors", ".gguf", ".json", ".jinja"};
    bool part = false;
    for (size_t i = 0; i < COUNT_OF(tail); i++)
        part |= ends_with(name, tail[i]);
    return part && name[0] != '.' && !strchr(name, '/');
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct verify_file *)a)->name, ((const struct verify_file *)b)->name);
}

void verify_sort(struct verify *v)
{
    if (v->files > 1)
        qsort(v->file, v->files, sizeof *v->file, by_name);
}

static int list_folder(struct verify *v, struct glim_error *e)
{
    DIR *const d = opendir(v->folder);
    if (!d)
        return glim_error_set(e, GLIM_EIO, "%s: %s", v->folder, strerror(errno));
    int rc = GLIM_OK;
    for (struct dirent *x; rc == GLIM_OK && (x = readdir(d)) != NULL;)
        if (verify_is_part(x->d_name))
            rc = verify_add(v, x->d_name, e);
    closedir(d);
    if (rc == GLIM_OK && v->files == 0)
        rc = glim_error_set(e, GLIM_EFORMAT,
                            "%s: holds no files of a model (.safetensors, .gguf, .json, .jinja)",
                            v->folder);
    return rc;
}

/* "x-00002-of-00010.gguf": where "-00002" begins and how many parts there are; 0: no part of a
 * set. */
static unsigned parts_of(const char *name, size_t *stem)
{
    static const char form[] = "-00000-of-00000.gguf";
    unsigned no, count;
    const size_t n = strlen(name), m = sizeof form - 1;
    if (n < m || sscanf(name + n - m, "-%5u-of-%5u", &no, &count) != 2)
        return 0;
    char same[sizeof form];
    (void)snprintf(same, sizeof same, "-%05u-of-%05u.gguf", no % 100000, count % 100000);
    *stem = n - m;
    return strcmp(same, name + n - m) == 0 && count <= PARTS_MAX ? count : 0;
}

static int list_set(struct verify *v, const char *name, struct glim_error *e)
{
    size_t stem;
    const unsigned parts = parts_of(name, &stem);
    int rc = parts ? GLIM_OK : verify_add(v, name, e);
    for (unsigned i = 1; rc == GLIM_OK && i <= parts; i++) {
        struct buf b;
        buf_init(&b);
        buf_add(&b, name, stem);
        buf_addf(&b, "-%05u-of-%05u.gguf", i, parts);
        rc = b.failed ? no_memory(e) : verify_add(v, b.data, e);
        buf_deinit(&b);
    }
    return rc;
}

int verify_list(struct verify *v, struct glim_error *e)
{
    struct stat st;
    if (stat(v->model, &st) != 0)
        return glim_error_set(e, GLIM_EIO, "%s: %s", v->model, strerror(errno));
    v->is_folder = S_ISDIR(st.st_mode);
    const char *const slash = strrchr(v->model, '/');
    v->folder = v->is_folder ? strdup(v->model)
                : slash      ? strndup(v->model, (size_t)max_u64((uint64_t)(slash - v->model), 1))
                             : strdup(".");
    if (!v->folder)
        return no_memory(e);
    return v->is_folder ? list_folder(v, e) : list_set(v, slash ? slash + 1 : v->model, e);
}
