/* opts_parse.c - see opts.h: the command line, and one option of a file. */
#include <stddef.h>
#include <string.h>

#include "base/cpu.h"
#include "base/util.h"
#include "cli/optfile.h"
#include "cli/opts.h"

struct words { /* argv as it is consumed */
    int argc, next, kept;
    const char **argv;
};

/* The value: `attached` if there is one, else the next word. */
static int take_value(struct words *w, struct opts *o, const struct opt *p, const char *attached,
                      struct err *e)
{
    if (p->kind == OPT_FLAG)
        return attached ? err_set(e, GLIM_EINVAL, "--%s takes no value", p->name)
                        : opt_set(o, p, NULL, e);
    if (attached)
        return opt_set(o, p, attached, e);
    if (w->next == w->argc)
        return err_set(e, GLIM_EINVAL, "--%s needs a value: %s", p->name, p->arg);
    return opt_set(o, p, w->argv[w->next++], e);
}

static int parse_long(struct words *w, struct opts *o, const char *arg, struct err *e)
{
    const size_t len = strcspn(arg + 2, "=");
    const struct opt *const p = opt_named(o->verb, arg + 2, len);
    if (!p)
        return opt_unknown(o->verb, arg, e);
    return take_value(w, o, p, arg[2 + len] ? arg + 2 + len + 1 : NULL, e);
}

/* -q, -n5, -n 5, -qn5 */
static int parse_letters(struct words *w, struct opts *o, const char *arg, struct err *e)
{
    for (const char *c = arg + 1; *c; c++) {
        const struct opt *const p = opt_lettered(o->verb, *c);
        if (!p)
            return opt_unknown(o->verb, arg, e);
        if (p->kind != OPT_FLAG)
            return take_value(w, o, p, c[1] ? c + 1 : NULL, e);
        const int rc = opt_set(o, p, NULL, e);
        if (rc != GLIM_OK)
            return rc;
    }
    return GLIM_OK;
}

static int parse_words(struct words *w, struct opts *o, struct err *e)
{
    bool plain = false; /* after "--" */
    while (w->next < w->argc) {
        const char *const arg = w->argv[w->next++];
        int rc = GLIM_OK;
        if (plain || arg[0] != '-' || !arg[1])
            w->argv[w->kept++] = arg;
        else if (strcmp(arg, "--") == 0)
            plain = true;
        else
            rc = arg[1] == '-' ? parse_long(w, o, arg, e) : parse_letters(w, o, arg, e);
        if (rc != GLIM_OK)
            return rc;
    }
    return GLIM_OK;
}

static bool is_word(const char *value, const char *const word[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(value, word[i]) == 0)
            return true;
    return false;
}

int opts_set(struct opts *o, const char *name, const char *value, struct err *e)
{
    static const char *const yes[] = {"", "true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    const struct opt *const p = opt_named(o->verb, name, strlen(name));
    if (!p || p->offset == offsetof(struct opts, config)
        || p->offset == offsetof(struct opts, help))
        return err_set(e, GLIM_EINVAL, "\"%.40s\" is no option of glim %s", name,
                       verb_info(o->verb)->name);
    if (p->kind != OPT_FLAG)
        return value ? opt_set(o, p, value, e)
                     : err_set(e, GLIM_EINVAL, "--%s needs a value: %s", p->name, p->arg);
    if (value && is_word(value, no, COUNT_OF(no)))
        return GLIM_OK;
    if (value && !is_word(value, yes, COUNT_OF(yes)))
        return err_set(e, GLIM_EINVAL, "--%s: \"%s\", expected true or false", p->name, value);
    return opt_set(o, p, NULL, e);
}

int opts_parse(struct opts *o, enum verb v, int argc, const char **argv, struct err *e)
{
    opts_defaults(o, v);
    struct words w = {.argc = argc, .argv = argv};
    int rc = parse_words(&w, o, e);
    if (rc == GLIM_OK && o->config && !o->help && w.kept == 0) {
        /* What the file says first, then the command line over it. */
        const char *const path = o->config;
        w = (struct words){.argc = argc, .argv = argv};
        opts_defaults(o, v);
        rc = optfile_read(o, path, e);
        if (rc == GLIM_OK)
            rc = parse_words(&w, o, e);
    }
    if (rc != GLIM_OK || o->help)
        return rc;
    o->arg = argv;
    o->args = w.kept;
    if (w.kept > verb_info(v)->max_args)
        return err_set(e, GLIM_EINVAL, "glim %s: unexpected \"%s\"%s", verb_info(v)->name,
                       argv[verb_info(v)->max_args],
                       opt_lettered(v, 'm') ? "; a model is named with -m" : "");
    if (o->no_think)
        o->effort = EFFORT_OFF;
    enum cpu_level level;
    return o->isa && cpu_level_parse(o->isa, &level, e) != GLIM_OK ? err_prefix(e, "--isa")
                                                                   : GLIM_OK;
}
