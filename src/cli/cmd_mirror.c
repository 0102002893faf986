/* cmd_mirror.c - glim mirror: copies of a model's files on other drives, planned, made and
 * compared. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"

struct folder {
    const char *dir;        /* NULL: where the model is */
    struct glim_drive drive;
    size_t there;           /* files */
    uint64_t missing_bytes;
    bool known;             /* on a file system that was counted before */
};

static const char *name_of(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static size_t files_of(const glim_model *m) { return (size_t)glim_model_info(m)->files; }

typedef void file_fn(const struct folder *f, const struct glim_mirror_file *x);

/* Counts what a folder has; `missing` (may be NULL) is told what it lacks. */
static int count(const glim_model *m, struct folder *f, file_fn *missing, struct glim_error *e)
{
    for (size_t i = 0; i < files_of(m); i++) {
        struct glim_mirror_file x;
        if (glim_mirror_file(m, f->dir, i, &x, e) != GLIM_OK)
            return e->code;
        f->there += x.there;
        if (x.there)
            continue;
        f->missing_bytes += x.bytes - x.part_bytes;
        if (missing)
            missing(f, &x);
    }
    return GLIM_OK;
}

/* ---- plan ---- */

static void print_copy(const struct folder *f, const struct glim_mirror_file *x)
{
    char bytes[HUMAN_LEN], part[HUMAN_LEN];
    (void)f;
    out_text("  to copy: %s, %s", name_of(x->path), human_bytes(bytes, x->bytes));
    if (x->part_bytes)
        out_text(", of which %s is there", human_bytes(part, x->part_bytes));
    out_text("\n");
}

static void print_drive(const struct folder *f)
{
    char bytes[HUMAN_LEN];
    out_text("%s: ", f->dir ? f->dir : "the model's own drive");
    if (f->drive.gb_s > 0)
        out_text("reads %.2f GB/s, ", f->drive.gb_s);
    out_text("%s free%s\n", human_bytes(bytes, f->drive.free_bytes),
             f->known ? "; a file system that is counted above: nothing is gained" : "");
}

static void print_missing(const struct folder *f)
{
    char a[HUMAN_LEN], b[HUMAN_LEN];
    if (f->missing_bytes == 0)
        out_text("  has every file\n");
    else if (f->missing_bytes > f->drive.free_bytes)
        out_text("  %s to copy: %s more than is free\n", human_bytes(a, f->missing_bytes),
                 human_bytes(b, f->missing_bytes - f->drive.free_bytes));
}

static int look(const struct opts *o, const glim_model *m, struct folder *f, size_t n,
                struct glim_error *e)
{
    for (size_t i = 0; i < n; i++) {
        progress_note("measuring %s", f[i].dir ? f[i].dir : "the model's own drive");
        if (glim_mirror_drive(m, f[i].dir, true, &f[i].drive, e) != GLIM_OK)
            return e->code;
        progress_end();
        for (size_t k = 0; k < i; k++)
            f[i].known |= f[k].drive.device == f[i].drive.device;
        if (!o->json)
            print_drive(&f[i]);
        if (f[i].dir && count(m, &f[i], o->json ? NULL : print_copy, e) != GLIM_OK)
            return e->code;
        if (f[i].dir && !o->json)
            print_missing(&f[i]);
    }
    return GLIM_OK;
}

/* Of all drives, each file system once. */
static double together(const struct folder *f, size_t n)
{
    double gb_s = 0;
    for (size_t i = 0; i < n; i++)
        gb_s += f[i].known ? 0 : f[i].drive.gb_s;
    return gb_s;
}

static void plan_json(const glim_model *m, const struct folder *f, size_t n)
{
    struct json_object *const j = json_object_new_object(), *const list = json_object_new_array();
    json_add_u64(j, "files", files_of(m));
    json_add_u64(j, "file_bytes", glim_model_info(m)->file_bytes);
    for (size_t i = 0; i < n; i++) {
        struct json_object *const x = json_object_new_object();
        json_add_text(x, "folder", f[i].dir);
        json_add_u64(x, "files_there", f[i].dir ? f[i].there : files_of(m));
        json_add_u64(x, "missing_bytes", f[i].missing_bytes);
        json_add_u64(x, "free_bytes", f[i].drive.free_bytes);
        json_object_object_add(x, "gb_s", f[i].drive.gb_s > 0 ? json_real(f[i].drive.gb_s) : NULL);
        json_object_object_add(x, "counted_above", json_object_new_boolean(f[i].known));
        json_object_array_add(list, x);
    }
    json_object_object_add(j, "drives", list);
    json_add_real(j, "gb_s", together(f, n));
    json_add_real(j, "gain", f[0].drive.gb_s > 0 ? together(f, n) / f[0].drive.gb_s : 1);
    out_json(j);
}

static int plan(const struct opts *o, const glim_model *m, struct glim_error *e)
{
    struct folder f[1 + GLIM_MIRRORS_MAX] = {{0}};
    const size_t n = (size_t)o->args - 1; /* the model's own drive, and the folders */
    char bytes[HUMAN_LEN];
    for (size_t i = 1; i < n; i++)
        f[i].dir = o->arg[1 + i];
    if (!o->json)
        out_text("%s: %s in %zu file%s\n", glim_model_info(m)->name,
                 human_bytes(bytes, glim_model_info(m)->file_bytes), files_of(m),
                 files_of(m) == 1 ? "" : "s");
    if (look(o, m, f, n, e) != GLIM_OK)
        return e->code;
    if (o->json)
        plan_json(m, f, n);
    else if (f[0].drive.gb_s > 0)
        out_text("together %.2f GB/s, %.2f times the model's own drive\n", together(f, n),
                 together(f, n) / f[0].drive.gb_s);
    return GLIM_OK;
}

/* ---- stage and verify ---- */

struct work {
    const char *what, *name;
};

static int on_progress(void *ctx, uint64_t done, uint64_t total)
{
    const struct work *const w = ctx;
    char a[HUMAN_LEN], b[HUMAN_LEN];
    progress_note("%s %s: %s / %s (%d%%)", w->what, w->name, human_bytes(a, done),
                  human_bytes(b, total), (int)(100.0 * (double)done / (double)max_u64(total, 1)));
    return interrupted();
}

static void say_file(const char *dir, const struct glim_mirror_file *x, const char *what)
{
    char bytes[HUMAN_LEN];
    progress_end();
    out_text("%s/%s: %s, %s\n", dir, name_of(x->path), what, human_bytes(bytes, x->bytes));
    out_flush();
}

/* Has the drive room for all that is to be copied? */
static int check_room(const glim_model *m, const char *dir, struct glim_error *e)
{
    struct folder f = {.dir = dir};
    char a[HUMAN_LEN], b[HUMAN_LEN];
    if (count(m, &f, NULL, e) != GLIM_OK
        || glim_mirror_drive(m, dir, false, &f.drive, e) != GLIM_OK)
        return e->code;
    if (f.missing_bytes <= f.drive.free_bytes)
        return GLIM_OK;
    return glim_error_set(e, GLIM_ELIMIT, "%s: %s to copy, %s free", dir,
                          human_bytes(a, f.missing_bytes), human_bytes(b, f.drive.free_bytes));
}

static int stage(const struct opts *o, const glim_model *m, struct glim_error *e)
{
    const char *const dir = o->arg[2];
    int rc = check_room(m, dir, e);
    for (size_t i = 0; rc == GLIM_OK && i < files_of(m); i++) {
        struct glim_mirror_file x;
        rc = glim_mirror_file(m, dir, i, &x, e);
        struct work w = {"copying", x.path ? name_of(x.path) : ""};
        if (rc == GLIM_OK && !x.there)
            rc = glim_mirror_stage(m, dir, i, on_progress, &w, e);
        if (rc == GLIM_OK)
            say_file(dir, &x, x.there ? "is there" : "copied");
    }
    return rc;
}

/* All files of a folder; an exit code. One that differs is said at once, and the others are still
 * looked at. */
static int verify_folder(const glim_model *m, const char *dir)
{
    int code = EXIT_OK;
    size_t there = 0;
    for (size_t i = 0; i < files_of(m); i++) {
        struct glim_mirror_file x;
        struct glim_error e;
        struct work w = {"comparing", dir};
        const int rc = glim_mirror_verify(m, dir, i, on_progress, &w, &x, &e);
        there += x.there;
        if (rc == GLIM_OK)
            say_file(dir, &x, x.there ? "the same" : "not there");
        else
            code = fail_glim(&e);
        if (rc != GLIM_OK && rc != GLIM_EFORMAT)
            return code;
    }
    return there ? code : fail("%s: holds none of the model's files", dir);
}

static int verify(const struct opts *o, const glim_model *m)
{
    int code = EXIT_OK;
    for (int i = 2; i < o->args && !interrupted(); i++) {
        const int of_this = verify_folder(m, o->arg[i]);
        code = code == EXIT_OK ? of_this : code;
    }
    return code;
}

int cmd_mirror(const struct opts *o)
{
    static const char *const verbs[] = {"plan", "stage", "verify"};
    const char *const verb = o->args ? o->arg[0] : "";
    size_t v = 0;
    while (v < COUNT_OF(verbs) && strcmp(verb, verbs[v]) != 0)
        v++;
    if (v == COUNT_OF(verbs))
        return usage_error("glim mirror: \"%s\", expected plan, stage or verify", verb);
    if (o->args < 3 || (v == 1 && o->args > 3))
        return usage_error("glim mirror %s needs a model and %s; see glim help mirror", verb,
                           v == 1 ? "one folder" : "folders");
    if (o->json && v != 0)
        return usage_error("glim mirror %s: --json is for glim mirror plan", verb);
    struct opts open = *o;
    struct glim_error e;
    glim_model *m;
    open.model = o->arg[1];
    open.threads = 1;
    if (model_open(&open, &m, &e) != GLIM_OK)
        return fail_glim(&e);
    int code;
    if (v == 2)
        code = verify(o, m);
    else
        code = (v == 0 ? plan(o, m, &e) : stage(o, m, &e)) == GLIM_OK ? EXIT_OK : fail_glim(&e);
    glim_model_close(m);
    return code;
}
