/* cmd_bench.c - glim bench: prompt and generation speed, and how near they come to the limits of
 * the machine that are measured in the same run. The rooms are in bench.h. */
#include "base/buf.h"
#include "cli/bench.h"
#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"
#include "cli/outfile.h"

static int draw(const struct bench *b, struct outfile *f, struct glim_error *e)
{
    struct buf svg;
    buf_init(&svg);
    bench_svg(b, &svg);
    const int rc = svg.failed ? glim_error_set(e, GLIM_ENOMEM, "out of memory") : GLIM_OK;
    if (rc == GLIM_OK)
        outfile_write(f, svg.data, svg.len);
    buf_deinit(&svg);
    return rc;
}

static void print(const struct bench *b)
{
    if (b->o->json)
        bench_json(b);
    else if (b->o->csv)
        bench_csv(b);
    else
        bench_text(b);
}

/* The drawing's file is opened first: a name that does not work costs no measurement. */
static int bench_all(struct bench *b, struct glim_error *e)
{
    struct outfile f;
    int rc = b->o->svg ? outfile_open(&f, b->o->svg, e) : GLIM_OK;
    if (rc != GLIM_OK)
        return rc;
    rc = bench_run(b, e);
    if (b->o->svg)
        rc = outfile_close(&f, rc == GLIM_OK ? draw(b, &f, e) : rc, e);
    if (rc == GLIM_OK)
        print(b);
    return rc;
}

static bool has_test(const struct opt_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->v[i])
            return true;
    return false;
}

int cmd_bench(const struct opts *o)
{
    struct bench b = {.o = o};
    struct glim_error e;
    if (o->json && o->csv)
        return usage_error("glim bench: --json and --csv exclude each other");
    if (!has_test(&o->prompt_tok) && !has_test(&o->decode_tok))
        return usage_error("glim bench: nothing to time, --prompt and --tokens are 0");
    const int rc = bench_all(&b, &e);
    bench_deinit(&b);
    return rc == GLIM_OK ? EXIT_OK : fail_glim(&e);
}
