/* main.c - glim VERB [OPTION...]: finds the verb, parses its options, runs it, turns the result
 * into an exit code.
 *
 * 0 all went well, 1 something failed (one line on standard error says what), 2 the command line is
 * wrong, 3 verify had nothing to compare some file with, 130 the user pressed Ctrl-C.
 */
#include <locale.h>
#include <string.h>

#include "base/util.h"
#include "cli/cmd.h"
#include "cli/out.h"

static int (*const command[VERB_COUNT])(const struct opts *o) = {
    [VERB_RUN] = cmd_run,           [VERB_CHAT] = cmd_chat,
    [VERB_SERVE] = cmd_serve,       [VERB_LAUNCH] = cmd_launch,
    [VERB_SHOW] = cmd_show,         [VERB_PLAN] = cmd_plan,
    [VERB_TOKENIZE] = cmd_tokenize, [VERB_DETOKENIZE] = cmd_detokenize,
    [VERB_TEMPLATE] = cmd_template, [VERB_LOGITS] = cmd_logits,
    [VERB_PPL] = cmd_ppl,           [VERB_BENCH] = cmd_bench,
    [VERB_DOCTOR] = cmd_doctor,     [VERB_VERIFY] = cmd_verify,
    [VERB_MIRROR] = cmd_mirror,     [VERB_VERSION] = cmd_version,
    [VERB_HELP] = cmd_help,
};

static int unknown_verb(const char *name)
{
    const char *best = NULL;
    unsigned least = 3;
    for (int v = 0; v < VERB_COUNT; v++) {
        const unsigned d = edit_distance(name, verb_info((enum verb)v)->name);
        if (d < least && d < strlen(name)) {
            least = d;
            best = verb_info((enum verb)v)->name;
        }
    }
    if (best)
        return usage_error("unknown verb \"%s\", did you mean %s? See glim help", name, best);
    return usage_error("unknown verb \"%s\"; see glim help", name);
}

int cmd_help(const struct opts *o)
{
    enum verb v;
    if (o->args == 0)
        help_all();
    else if (verb_find(o->arg[0], &v))
        help_verb(v);
    else
        return unknown_verb(o->arg[0]);
    return EXIT_OK;
}

static int run_verb(enum verb v, int argc, const char **argv)
{
    struct opts o;
    struct err e;
    if (opts_parse(&o, v, argc, argv, &e) != GLIM_OK)
        return usage_error("%s", e.text);
    if (o.help) {
        help_verb(v);
        return EXIT_OK;
    }
    progress_enable(!o.quiet);
    const int code = command[v](&o);
    return code == EXIT_OK && interrupted() ? EXIT_INTERRUPTED : code;
}

static int dispatch(int argc, const char **argv)
{
    if (argc < 2)
        return usage_error("no verb given; see glim help");
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    enum verb v;
    if (name[0] == '-')
        return usage_error("the verb comes first: glim VERB [OPTION...]; see glim help");
    if (!verb_find(name, &v))
        return unknown_verb(name);
    return run_verb(v, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    out_init();
    interrupt_init();
    /* Line editing needs to know that text is UTF-8, whatever the environment says. Numbers keep
     * their dot. */
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    return out_finish(dispatch(argc, (const char **)argv));
}
