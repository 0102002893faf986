/* verify_expect.c - what the sums of a model's files should be: as --manifest or --hub says; else,
 * without any network, as the hub's own download tool left it on this disk:
 *
 *     FOLDER/.cache/huggingface/download/NAME.metadata   beside files that it put into a folder
 *     ../../blobs/SUM                                    what the links of its cache lead to
 */
#include "cli/verify.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "cli/load.h"

enum { METADATA_MAX = 4096, FOLDERS_UP = 8 };

static int give(const struct err *e, struct glim_error *out)
{
    return glim_error_set(out, e->code, "%s", e->text);
}

/* ---- lists ---- */

/* What the list names and the disk does not have is missing: of a manifest all, of the hub's list,
 * which has whatever else is in the repository, what belongs to a model. */
static int add_missing(struct verify *v, const struct known *k, bool all, struct glim_error *e)
{
    for (size_t i = 0; v->is_folder && i < k->n; i++)
        if ((all || verify_is_part(k->file[i].name)) && verify_add(v, k->file[i].name, e) != 0)
            return e->code;
    return GLIM_OK;
}

static const struct known_file *find(const struct verify *v, const struct known *k,
                                     const char *folder, const char *name)
{
    struct buf path;
    if (v->is_folder)
        return known_find(k, name);
    buf_init(&path);
    buf_addf(&path, "%s/%s", folder, name);
    const struct known_file *const x = path.failed ? NULL : known_find_end(k, path.data);
    buf_deinit(&path);
    return x;
}

static void expect_list(struct verify *v, const struct known *k, const char *source)
{
    char *const real = realpath(v->folder, NULL);
    for (size_t i = 0; i < v->files; i++) {
        struct verify_file *const f = &v->file[i];
        const struct known_file *const x = find(v, k, real ? real : v->folder, f->name);
        if (!x)
            continue;
        f->expected = x->sum;
        f->expected_bytes = x->bytes;
        f->source = source;
    }
    free(real);
}

static int expect_manifest(struct verify *v, struct glim_error *e)
{
    struct known k = {0};
    struct err err;
    char *text;
    size_t len;
    if (io_read_file(v->o->manifest, KNOWN_TEXT_MAX, &text, &len, &err) != 0)
        return give(&err, e);
    int rc = known_manifest(&k, text, len, v->o->manifest, &err) != 0 ? give(&err, e) : GLIM_OK;
    if (rc == GLIM_OK)
        rc = add_missing(v, &k, true, e);
    if (rc == GLIM_OK)
        expect_list(v, &k, "manifest");
    known_deinit(&k);
    free(text);
    return rc;
}

static int expect_hub(struct verify *v, struct glim_error *e)
{
    struct known k = {0};
    int rc = hub_list(v->o, &k, e);
    if (rc == GLIM_OK)
        rc = add_missing(v, &k, false, e);
    if (rc == GLIM_OK)
        expect_list(v, &k, "hub");
    known_deinit(&k);
    return rc;
}

/* ---- what the download tool left ---- */

/* ROOT/.cache/huggingface/download/NAME.metadata, for the folder and those around it. */
static struct sum from_metadata(const char *folder, const char *name)
{
    struct sum s = {.kind = SUM_NONE};
    struct err e;
    char *const root = realpath(folder, NULL);
    size_t at = root ? strlen(root) : 0;
    for (int up = 0; root && s.kind == SUM_NONE && up < FOLDERS_UP; up++) {
        struct buf b;
        buf_init(&b);
        buf_add(&b, root, at);
        buf_adds(&b, "/.cache/huggingface/download/");
        if (root[at])
            buf_addf(&b, "%s/", root + at + 1);
        buf_addf(&b, "%s.metadata", name);
        char *text = NULL;
        size_t len;
        if (!b.failed && io_read_file(b.data, METADATA_MAX, &text, &len, &e) == 0)
            s = sum_of_metadata(text, len);
        free(text);
        buf_deinit(&b);
        while (at > 0 && root[at - 1] != '/')
            at--;
        if (at == 0)
            break;
        at--;
    }
    free(root);
    return s;
}

/* In the cache a file is a link to blobs/SUM. */
static struct sum from_blob(const char *path)
{
    static const char folder[] = "/blobs/";
    struct sum s = {.kind = SUM_NONE};
    char *const real = realpath(path, NULL);
    const char *const slash = real ? strrchr(real, '/') : NULL;
    if (slash && (size_t)(slash - real) >= sizeof folder - 2
        && strncmp(slash - (sizeof folder - 2), folder, sizeof folder - 1) == 0)
        s = sum_parse(slash + 1, strlen(slash + 1));
    free(real);
    return s;
}

static void expect_beside(struct verify *v)
{
    for (size_t i = 0; i < v->files; i++) {
        struct verify_file *const f = &v->file[i];
        f->expected = from_blob(f->path);
        f->source = "name in the hub's cache";
        if (f->expected.kind == SUM_NONE) {
            f->expected = from_metadata(v->folder, f->name);
            f->source = "download metadata";
        }
        if (f->expected.kind == SUM_NONE)
            f->source = NULL;
    }
}

int verify_expect(struct verify *v, struct glim_error *e)
{
    int rc = GLIM_OK;
    if (v->o->manifest)
        rc = expect_manifest(v, e);
    else if (v->o->hub)
        rc = expect_hub(v, e);
    else
        expect_beside(v);
    verify_sort(v);
    return rc;
}
