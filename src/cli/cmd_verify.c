/* cmd_verify.c - glim verify: are a model's files what was published? The rooms are in verify.h.
 *
 * Exit status: 0 every file was compared and is equal; 1 one is not, is missing or cannot be read;
 * 3 none of that, but for some file there was nothing to compare with.
 */
#include "base/buf.h"
#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"
#include "cli/outfile.h"
#include "cli/verify.h"

static size_t count_wrong(const struct verify *v)
{
    return verify_count(v, VERIFY_FAILED) + verify_count(v, VERIFY_MISSING)
           + verify_count(v, VERIFY_ERROR);
}

static int write_manifest(const struct verify *v, struct glim_error *e)
{
    struct outfile f;
    struct buf b;
    int rc = outfile_open(&f, v->o->write, e);
    if (rc != GLIM_OK)
        return rc;
    buf_init(&b);
    for (size_t i = 0; i < v->files; i++)
        verify_manifest_line(&b, &v->file[i]);
    if (b.failed)
        rc = glim_error_set(e, GLIM_ENOMEM, "out of memory");
    else
        (void)outfile_write(&f, b.data, b.len);
    buf_deinit(&b);
    return outfile_close(&f, rc, e);
}

static int conclude(const struct verify *v)
{
    const size_t wrong = count_wrong(v), unknown = verify_count(v, VERIFY_NO_SUM);
    char n[HUMAN_LEN];
    if (wrong)
        return fail("%s: %zu of %zu files %s not what %s should be%s%s", v->model, wrong, v->files,
                    wrong == 1 ? "is" : "are", wrong == 1 ? "it" : "they",
                    v->o->write ? ", so nothing was written to " : "",
                    v->o->write ? v->o->write : "");
    if (unknown == v->files)
        (void)fail("%s: nothing was compared: no sums are known for these files; name some with "
                   "--manifest FILE or --hub OWNER/NAME", v->model);
    else if (unknown)
        (void)fail("%s: %zu of %zu files were not compared: no sums are known for them", v->model,
                   unknown, v->files);
    if (unknown)
        return EXIT_UNCOMPARED;
    if (!v->o->json && !v->o->quiet)
        out_text("%zu file%s, %s: all as expected\n", v->files, v->files == 1 ? "" : "s",
                 human_bytes(n, v->bytes));
    return EXIT_OK;
}

static int verify(struct verify *v, struct glim_error *e)
{
    int rc = verify_list(v, e);
    if (rc == GLIM_OK)
        rc = verify_expect(v, e);
    if (rc == GLIM_OK && !v->o->fresh)
        verify_recall(v);
    if (rc == GLIM_OK)
        rc = verify_run(v, v->o->json ? NULL : verify_line, e);
    if (rc == GLIM_OK && v->o->json)
        verify_json(v);
    return rc;
}

int cmd_verify(const struct opts *o)
{
    char path[MODEL_PATH_MAX];
    struct glim_error e;
    struct verify v = {.o = o, .model = o->args ? o->arg[0] : path};
    if (o->args && o->model)
        return usage_error("glim verify: the model is named twice, \"%s\" and \"%s\"", o->arg[0],
                           o->model);
    if (o->manifest && o->hub)
        return usage_error("glim verify: --manifest and --hub exclude each other");
    if (o->endpoint && !o->hub)
        return usage_error("glim verify: --endpoint goes with --hub");
    if (!o->args && model_path(o, path, &e) != GLIM_OK)
        return fail_glim(&e);
    int code = verify(&v, &e) == GLIM_OK ? conclude(&v) : fail_glim(&e);
    /* A manifest of what is wrong would call it right for ever. */
    if (o->write && (code == EXIT_OK || code == EXIT_UNCOMPARED)
        && write_manifest(&v, &e) != GLIM_OK)
        code = fail_glim(&e);
    verify_deinit(&v);
    return code;
}
