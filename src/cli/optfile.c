/* optfile.c - see optfile.h. Sections are for the reader of the file and mean nothing. */
#include "cli/optfile.h"

#if GLIM_WITH_HTTP

#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Values that options point to. */
struct kept {
    struct kept *next;
    char text[];
};
static struct kept *all_kept;

static const char *keep(const char *text)
{
    const size_t n = strlen(text) + 1;
    struct kept *const k = mem_zalloc(1, sizeof *k + n);
    if (!k)
        return NULL;
    memcpy(k->text, text, n);
    k->next = all_kept;
    all_kept = k;
    return k->text;
}

struct reading {
    struct opts *o;
    struct err *e;
};

static int on_line(void *ctx, const char *section, const char *name, const char *value)
{
    struct reading *const r = ctx;
    const char *const kept = value ? keep(value) : NULL;
    (void)section;
    if (value && !kept) {
        (void)err_nomem(r->e, "config", strlen(value));
        return 0;
    }
    return opts_set(r->o, name, kept, r->e) == GLIM_OK;
}

int optfile_read(struct opts *o, const char *path, struct err *e)
{
    struct reading r = {o, e};
    *e = (struct err){0};
    const int line = ini_parse(path, on_line, &r);
    if (line == 0)
        return GLIM_OK;
    if (line < 0)
        return err_set(e, GLIM_EIO, "--config %s: cannot read it", path);
    if (e->code == 0)
        return err_set(e, GLIM_EINVAL, "--config %s: line %d: expected name = value", path, line);
    return err_prefix(e, "--config %s: line %d", path, line);
}

#else

int optfile_read(struct opts *o, const char *path, struct err *e)
{
    (void)o;
    return err_set(e, GLIM_EUNSUPPORTED, "--config %s: this glim was built without inih", path);
}

#endif
