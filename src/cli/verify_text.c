/* verify_text.c - what glim verify prints: a line a file, or one JSON document. */
#include <string.h>

#include "base/buf.h"
#include "cli/out.h"
#include "cli/verify.h"

size_t verify_count(const struct verify *v, enum verify_status s)
{
    size_t n = 0;
    for (size_t i = 0; i < v->files; i++)
        n += v->file[i].status == s;
    return n;
}

void verify_manifest_line(struct buf *b, const struct verify_file *f)
{
    const bool escaped = strpbrk(f->name, "\\\n\r") != NULL;
    buf_addf(b, "%s%s  ", escaped ? "\\" : "", f->sha256.hex);
    for (const char *c = f->name; *c; c++) {
        if (*c == '\\' || *c == '\n' || *c == '\r')
            buf_addc(b, '\\');
        buf_addc(b, *c == '\n' ? 'n' : *c == '\r' ? 'r' : *c);
    }
    buf_addc(b, '\n');
}

static void failed_line(const struct verify_file *f)
{
    if (f->sha256.kind == SUM_NONE) {
        out_text("%s: FAILED: %llu bytes, expected %llu (%s); download this file again\n", f->name,
                 (unsigned long long)f->id.bytes, (unsigned long long)f->expected_bytes,
                 f->source);
        return;
    }
    const bool git = f->expected.kind == SUM_GIT;
    out_text("%s: FAILED: %s %s, expected %s (%s); download this file again\n", f->name,
             git ? "git's SHA-1" : "SHA-256", git ? f->git.hex : f->sha256.hex, f->expected.hex,
             f->source);
}

static void no_sum_line(const struct verify *v, const struct verify_file *f)
{
    struct buf b;
    if (v->compared) {
        out_text("%s: no sum known, SHA-256 %s\n", f->name, f->sha256.hex);
        return;
    }
    buf_init(&b);
    verify_manifest_line(&b, f);
    out_text("%s", b.data);
    buf_deinit(&b);
}

void verify_line(const struct verify *v, const struct verify_file *f)
{
    static const char earlier[] = " (hashed by an earlier run, unchanged since)";
    progress_end();
    switch (f->status) {
    case VERIFY_OK: out_text("%s: OK%s\n", f->name, f->earlier ? earlier : ""); break;
    case VERIFY_FAILED: failed_line(f); break;
    case VERIFY_MISSING:
        out_text("%s: MISSING%s%s%s; download it\n", f->name, f->source ? " (" : "",
                 f->source ? f->source : "", f->source ? ")" : "");
        break;
    case VERIFY_ERROR: out_text("%s: ERROR: %s\n", f->name, f->error.text); break;
    case VERIFY_NO_SUM: no_sum_line(v, f); break;
    case VERIFY_WAITING: break;
    }
    out_flush();
}

static const char *hex_or_null(const struct sum *s) { return s->kind == SUM_NONE ? NULL : s->hex; }

static struct json_object *file_json(const struct verify_file *f)
{
    static const char *const name[] = {"waiting", "ok", "failed", "missing", "no sum", "error"};
    struct json_object *const j = json_object_new_object();
    json_add_text(j, "name", f->name);
    json_add_text(j, "status", name[f->status]);
    json_add_u64(j, "bytes", f->id.bytes);
    json_add_text(j, "sha256", hex_or_null(&f->sha256));
    json_add_text(j, "git_sha1", hex_or_null(&f->git));
    json_add_text(j, "expected", hex_or_null(&f->expected));
    json_add_text(j, "source", f->source);
    json_object_object_add(j, "earlier", json_object_new_boolean(f->earlier));
    json_add_text(j, "error", f->status == VERIFY_ERROR ? f->error.text : NULL);
    return j;
}

void verify_json(const struct verify *v)
{
    struct json_object *const j = json_object_new_object(), *const list = json_object_new_array();
    json_add_text(j, "model", v->model);
    json_add_u64(j, "bytes", v->bytes);
    json_add_u64(j, "read_bytes", v->read_bytes);
    json_add_real(j, "read_gb_s", v->ns ? (double)v->read_bytes / (double)v->ns : 0);
    json_add_u64(j, "ok", verify_count(v, VERIFY_OK));
    json_add_u64(j, "failed", verify_count(v, VERIFY_FAILED));
    json_add_u64(j, "missing", verify_count(v, VERIFY_MISSING));
    json_add_u64(j, "no_sum", verify_count(v, VERIFY_NO_SUM));
    json_add_u64(j, "errors", verify_count(v, VERIFY_ERROR));
    for (size_t i = 0; i < v->files; i++)
        json_object_array_add(list, file_json(&v->file[i]));
    json_object_object_add(j, "files", list);
    out_json(j);
}
