/* cmd_logits.c - glim logits: the raw scores that follow each token, for comparing with other
 * implementations. */
#include <string.h>

#include "cli/cmd.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/out.h"
#include "cli/outfile.h"

struct logits {
    const struct opts *o;
    struct outfile file;
    uint64_t vocab, rows;
};

static int on_logits(void *ctx, size_t index, const float *logits, const float *mtp)
{
    (void)index;
    struct logits *const l = ctx;
    const float *const row = l->o->mtp ? mtp : logits;
    if (row && !outfile_write(&l->file, row, l->vocab * sizeof *row))
        return 1;
    l->rows += row != NULL;
    return interrupted();
}

static int on_progress(void *ctx, size_t done, size_t n)
{
    (void)ctx;
    progress_show("tokens:", done, n);
    return interrupted();
}

static int compute(struct logits *l, glim_session *s, const struct ids *ids, struct glim_error *e)
{
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = ids->id;
    a.n = ids->n;
    a.flags = (l->o->decode ? GLIM_APPEND_DECODE : 0) | (l->o->last ? 0 : GLIM_APPEND_ALL_LOGITS);
    a.on_logits = on_logits;
    a.progress = on_progress;
    a.ctx = l;
    const int rc = glim_session_append(s, &a, e);
    progress_end();
    return rc;
}

static int with_model(struct logits *l, const struct ids *ids, struct glim_error *e)
{
    glim_model *m;
    glim_session *s = NULL;
    int rc = model_open(l->o, &m, e);
    if (rc == GLIM_OK && l->o->mtp && glim_model_info(m)->mtp_layers == 0)
        rc = glim_error_set(e, GLIM_EUNSUPPORTED, "--mtp: the model has no draft layer");
    if (rc == GLIM_OK) {
        l->vocab = glim_model_info(m)->vocab;
        rc = model_session(l->o, m, ids->n, &s, e);
    }
    if (rc == GLIM_OK)
        rc = compute(l, s, ids, e);
    if (rc == GLIM_OK)
        rc = glim_model_check(m, e);
    glim_session_free(s);
    glim_model_close(m);
    return rc;
}

static int write_logits(struct logits *l, const struct ids *ids, struct glim_error *e)
{
    const int rc = outfile_open(&l->file, l->o->out, e);
    return rc == GLIM_OK ? outfile_close(&l->file, with_model(l, ids, e), e) : rc;
}

int cmd_logits(const struct opts *o)
{
    struct err e;
    struct glim_error ge;
    struct ids ids = {0};
    struct logits l = {.o = o};
    if (!o->ids || !o->out)
        return usage_error("glim logits: --ids and --out are needed");
    if (strcmp(o->out, "-") == 0 && out_is_terminal())
        return usage_error("glim logits: --out -: binary data is not for a terminal");
    int code = EXIT_OK;
    if (ids_option(&ids, o->ids, &e) != GLIM_OK)
        code = fail_err(&e);
    else if (write_logits(&l, &ids, &ge) != GLIM_OK)
        code = fail_glim(&ge);
    else if (!o->quiet && err_is_terminal())
        fprintf(stderr, "%llu rows of %llu\n", (unsigned long long)l.rows,
                (unsigned long long)l.vocab);
    ids_deinit(&ids);
    return code;
}
