/* hf_folder.c - a Hugging Face model folder: configuration, and one file of weights or shards with
 * an index.
 *
 * config.json [+ generation_config.json] and either model.safetensors or the shards that
 * model.safetensors.index.json lists. Map and shards must agree in both directions. The index's own
 * total_size is not checked: published indexes of the family carry wrong totals.
 *
 * Names of shards come from a file and are single path components; links must stay in the folder or
 * lead to the hub cache's ../../blobs. Not responsible for: what a file holds (safetensors.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/jsonscan.h"
#include "base/links.h"
#include "base/util.h"
#include "formats/safetensors.h"

#define INDEX_MAX 200000000u /* FP8 GLM-5.2's is some 12 MB */
#define CONFIG_MAX 16000000u

/* ---- files of a folder ---- */

static int join(struct buf *b, const char *folder, const char *name, struct err *e)
{
    buf_clear(b);
    buf_adds(b, folder);
    if (b->len == 0 || b->data[b->len - 1] != '/')
        buf_addc(b, '/');
    buf_adds(b, name);
    return b->failed ? err_nomem(e, name, b->len) : GLIM_OK;
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Maps folder/name and adds its tensors. */
static int add_shard(struct tensorfile *f, const char *folder, const char *name, uint32_t *file,
                     struct err *e)
{
    struct buf path;
    buf_init(&path);
    struct stat st, target;
    bool link = false;
    int rc = join(&path, folder, name, e);
    if (rc == 0 && lstat(path.data, &st) != 0)
        rc = err_set(e, GLIM_EIO, "%s: %s", path.data, strerror(errno));
    if (rc == 0 && S_ISLNK(st.st_mode)) {
        link = true;
        rc = link_check(folder, path.data, &target, e);
    }
    if (rc == 0)
        rc = tensorfile_add_map(f, path.data, file, e);
    const struct io_map *const m = rc == 0 ? tensorfile_map(f, *file) : NULL;
    if (m && link && (m->dev != (uint64_t)target.st_dev || m->ino != (uint64_t)target.st_ino))
        rc = err_set(e, GLIM_EIO, "%s: the link changed while it was opened", path.data);
    if (rc == 0)
        rc = safetensors_read(f, *file, e);
    buf_deinit(&path);
    return rc;
}

/* Reads folder/name into the metadata; absent is an error only if `required`. */
static int add_config(struct tensorfile *f, const char *folder, const char *name,
                      const char *prefix, bool required, struct err *e)
{
    struct buf path;
    buf_init(&path);
    struct json_object *o = NULL;
    int rc = join(&path, folder, name, e);
    if (rc == 0 && (required || exists(path.data))) {
        rc = json_read_file(path.data, CONFIG_MAX, &o, e);
        if (rc == 0)
            rc = meta_source(tensorfile_meta_mut(f), path.data, e);
        if (rc == 0) {
            rc = meta_add_json(tensorfile_meta_mut(f), prefix, o, e);
            if (rc != 0)
                err_prefix(e, "%s", path.data);
        }
    }
    json_object_put(o);
    buf_deinit(&path);
    return rc;
}

/* ---- shards ---- */

/* One pair of weight_map; the strings lie in index.strings. */
struct placed {
    size_t name, shard; /* offsets of 0-terminated strings */
    uint32_t file;
};

struct index {
    const char *path;
    struct json_scan scan;
    struct buf strings;
    struct placed *placed;
    size_t count, cap;
};

static int keep_string(struct index *x, const struct json_token *t, size_t *at, struct err *e)
{
    *at = x->strings.len;
    json_token_decode(t, &x->strings);
    const size_t n = x->strings.len - *at;
    if (!x->strings.failed && (n == 0 || t->lone || memchr(x->strings.data + *at, 0, n))) {
        return err_set(e, GLIM_EFORMAT,
                       "%s: byte %zu: weight_map: a string is empty, holds a 0 byte or half a "
                       "surrogate pair",
                       x->path, t->at);
    }
    buf_addc(&x->strings, 0);
    return x->strings.failed ? err_nomem(e, x->path, n) : GLIM_OK;
}

/* A shard's name comes from the file: one path component, nothing else. */
static int check_shard_name(const struct index *x, size_t at, struct err *e)
{
    const char *const s = x->strings.data + at;
    const size_t n = strlen(s);
    bool good = n <= NAME_MAX && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
    for (size_t i = 0; i < n; i++)
        good &= s[i] != '/' && s[i] != '\\' && (unsigned char)s[i] >= 0x20 && s[i] != 0x7f;
    if (good)
        return GLIM_OK;
    return err_set(e, GLIM_EFORMAT,
                   "%s: weight_map: shard \"%.200s\", expected the name of a file in this folder",
                   x->path, s);
}

static int read_weight_map(struct index *x, struct err *e)
{
    struct json_token t;
    int rc = json_scan_expect(&x->scan, JSON_OBJECT, "weight_map", &t, e);
    while (rc == 0) {
        rc = json_scan_next(&x->scan, &t, e);
        if (rc != 0 || t.kind == JSON_OBJECT_END)
            break;
        struct placed p = {0};
        rc = keep_string(x, &t, &p.name, e);
        if (rc == 0)
            rc = json_scan_expect(&x->scan, JSON_STRING, "a shard's name in weight_map", &t, e);
        if (rc == 0)
            rc = keep_string(x, &t, &p.shard, e);
        if (rc == 0)
            rc = check_shard_name(x, p.shard, e);
        if (rc == 0 && mem_grow(&x->placed, &x->cap, x->count + 1, sizeof p) != 0)
            rc = err_nomem(e, x->path, (x->count + 1) * sizeof p);
        if (rc == 0)
            x->placed[x->count++] = p;
    }
    return rc;
}

static int read_index(struct index *x, struct err *e)
{
    struct json_token t;
    bool seen = false;
    int rc = json_scan_expect(&x->scan, JSON_OBJECT, "the index", &t, e);
    while (rc == 0) {
        rc = json_scan_next(&x->scan, &t, e);
        if (rc != 0 || t.kind == JSON_OBJECT_END)
            break;
        if (json_token_is(&t, "weight_map")) {
            seen = true;
            rc = read_weight_map(x, e);
        } else if ((rc = json_scan_next(&x->scan, &t, e)) == 0) {
            rc = json_scan_skip(&x->scan, &t, e);
        }
    }
    if (rc == 0)
        rc = json_scan_next(&x->scan, &t, e);
    if (rc == 0 && (!seen || x->count == 0))
        rc =
            err_set(e, GLIM_EFORMAT, "%s: weight_map %s", x->path, seen ? "is empty" : "is absent");
    return rc;
}

static int by_shard(const void *a, const void *b, void *strings)
{
    const struct placed *const x = a, *const y = b;
    return strcmp((const char *)strings + x->shard, (const char *)strings + y->shard);
}

static int by_name(const void *a, const void *b, void *strings)
{
    const struct placed *const x = a, *const y = b;
    return strcmp((const char *)strings + x->name, (const char *)strings + y->name);
}

/* Maps every shard that is named, once, in the order of their names. */
static int open_shards(struct tensorfile *f, const char *folder, struct index *x, struct err *e)
{
    qsort_r(x->placed, x->count, sizeof *x->placed, by_shard, x->strings.data);
    for (size_t i = 0; i < x->count; i++) {
        struct placed *const p = &x->placed[i];
        if (i > 0 && by_shard(p, p - 1, x->strings.data) == 0) {
            p->file = p[-1].file;
            continue;
        }
        const int rc = add_shard(f, folder, x->strings.data + p->shard, &p->file, e);
        if (rc != 0)
            return rc;
    }
    return GLIM_OK;
}

/* Both lists are sorted by name and without duplicates: walk them side by side. */
static int compare_index(const struct tensorfile *f, struct index *x, struct err *e)
{
    qsort_r(x->placed, x->count, sizeof *x->placed, by_name, x->strings.data);
    const size_t n = tensorfile_count(f);
    size_t i = 0;
    for (size_t j = 0; j < x->count || i < n;) {
        const struct placed *const p = j < x->count ? &x->placed[j] : NULL;
        const struct tensor *const t = i < n ? tensorfile_at(f, i) : NULL;
        const int c = !p ? -1 : !t ? 1 : strcmp(t->name, x->strings.data + p->name);
        if (c < 0)
            return err_set(e, GLIM_EFORMAT, "%s: tensor \"%.200s\" is not in the weight_map of %s",
                           tensorfile_map(f, t->file)->path, t->name, x->path);
        if (c > 0 || t->file != p->file)
            return err_set(e, GLIM_EFORMAT, "%s: weight_map: tensor \"%.200s\" is not in shard %s",
                           x->path, x->strings.data + p->name, x->strings.data + p->shard);
        i++;
        j++;
    }
    return GLIM_OK;
}

static int read_sharded(struct tensorfile *f, const char *folder, const char *index_path,
                        struct err *e)
{
    char *text;
    size_t len;
    int rc = io_read_file(index_path, INDEX_MAX, &text, &len, e);
    if (rc != 0)
        return rc;
    struct index x = {.path = index_path};
    buf_init(&x.strings);
    json_scan_init(&x.scan, text, len, index_path, 0);
    rc = read_index(&x, e);
    json_scan_deinit(&x.scan);
    free(text);
    if (rc == 0)
        rc = open_shards(f, folder, &x, e);
    if (rc == 0)
        rc = tensorfile_seal(f, e);
    if (rc == 0)
        rc = compare_index(f, &x, e);
    free(x.placed);
    buf_deinit(&x.strings);
    return rc;
}

int hf_folder_read(struct tensorfile *f, const char *folder, struct err *e)
{
    int rc = add_config(f, folder, "config.json", "", true, e);
    if (rc == 0)
        rc = add_config(f, folder, "generation_config.json", "generation.", false, e);
    if (rc != 0)
        return rc;
    struct buf single, index;
    buf_init(&single);
    buf_init(&index);
    rc = join(&single, folder, "model.safetensors", e);
    if (rc == 0)
        rc = join(&index, folder, "model.safetensors.index.json", e);
    if (rc == 0 && !exists(single.data) && exists(index.data)) {
        rc = read_sharded(f, folder, index.data, e);
    } else if (rc == 0) {
        uint32_t file;
        rc = add_shard(f, folder, "model.safetensors", &file, e);
        if (rc == 0)
            rc = tensorfile_seal(f, e);
    }
    buf_deinit(&index);
    buf_deinit(&single);
    return rc;
}
