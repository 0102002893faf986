/* opts.h - the verbs and options of the program: one table that parses, validates and prints
 * --help.
 *
 * The manual page and the shell completion are written by hand; tests/cli compares them with
 * --help, and so with this table. An option belongs to verbs: the same name may mean another thing
 * elsewhere (run --ids LIST, template
 * --ids).
 */
#ifndef GLIM_CLI_OPTS_H
#define GLIM_CLI_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum verb {
    VERB_RUN,
    VERB_CHAT,
    VERB_SERVE,
    VERB_LAUNCH,
    VERB_SHOW,
    VERB_PLAN,
    VERB_TOKENIZE,
    VERB_DETOKENIZE,
    VERB_TEMPLATE,
    VERB_LOGITS,
    VERB_PPL,
    VERB_BENCH,
    VERB_DOCTOR,
    VERB_VERIFY,
    VERB_MIRROR,
    VERB_VERSION,
    VERB_HELP,
    VERB_COUNT
};

struct verb_info {
    const char *name, *args; /* args: what may follow the options, "" if nothing */
    const char *summary;     /* one line */
    const char *text;        /* paragraphs */
    const char *examples;    /* whole lines */
    int max_args;
};
const struct verb_info *verb_info(enum verb v);
/* False if there is none of that name. */
bool verb_find(const char *name, enum verb *out);

enum effort { EFFORT_DEFAULT, EFFORT_HIGH, EFFORT_MAX, EFFORT_OFF };

/* --mtp of run, chat and bench: the choices from DRAFTS_ONE on are numbers of drafts. */
enum drafts { DRAFTS_AUTO, DRAFTS_OFF, DRAFTS_ONE };

/* Reals that were not given are NaN, integers OPT_UNSET: the model or the verb then decides. */
#define OPT_UNSET UINT64_MAX

/* Whole numbers in the order given; n = 0: the option was not given and has no default. */
enum { OPT_LIST_MAX = 32 };
struct opt_list {
    size_t n;
    uint64_t v[OPT_LIST_MAX];
};

/* The values of an option that may be given several times. */
enum { OPT_TEXTS_MAX = 7 };
struct opt_texts {
    size_t n;
    const char *v[OPT_TEXTS_MAX];
};

/* GB/S[,US[,DEPTH]]; all 0: not given. */
struct opt_drive {
    double gb_s, latency_us;
    uint64_t depth;
};

struct opts {
    enum verb verb;
    /* all verbs */
    bool help, quiet, json;
    const char *model;
    uint64_t threads;
    const char *isa;
    bool unpinned, check_reads;
    uint64_t ctx, chunk;
    const char *usage, *workload;
    int kv, kv_index; /* enum glim_kv, enum glim_kv_index */
    int drafts; /* enum drafts; off for verbs without the option */
    /* where public implementations of the family disagree (struct glim_knobs) */
    double latent_eps, index_norm_eps;
    int index_rope, expand;
    bool index_hadamard, index_always, mtp_prenorm, moe_by_expert;
    /* what to say to the model */
    const char *system, *tools, *messages, *ids;
    int effort; /* enum effort */
    bool no_think, no_reasoning, raw, print_ids;
    /* sampling */
    double temp, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    uint64_t top_k, seed, max_tokens;
    bool ignore_eos;
    const char *stop;
    /* single verbs */
    bool special, skip_special, want_ids, tensors, last, mtp, decode;
    const char *out, *file, *save_logits, *against;
    double ram_gb_s, hit_rate;
    struct opt_drive drive;
    int use; /* enum glim_use */
    uint64_t ram_bytes, sessions, reps;
    struct opt_list prompt_tok, decode_tok, depth_tok, thread_list;
    struct opt_texts mirror;
    bool csv;
    const char *svg;
    const char *manifest, *hub, *endpoint, *write;
    bool fresh;
    /* serve */
    const char *host, *api_key_file, *tls_cert, *tls_key, *alias, *config, *kv_dir, *limits;
    const char *slot_save_path;
    struct opt_texts api_key, allowed_host, cors_origin;
    uint64_t port, parallel, queue, queue_per_key, timeout_s, cache_tok, kv_dir_bytes;
    double prompt_share;
    bool any_model, kv_encrypt;
    int reasoning_field; /* as the choices of the option */
    int log;
    /* launch */
    const char *url;
    bool print;
    /* what follows the options; borrowed from argv */
    const char *const *arg;
    int args;
};

/* argv: what follows the verb; reordered so that plain arguments stand together. GLIM_EINVAL with
 * one line. */
int opts_parse(struct opts *o, enum verb v, int argc, const char **argv, struct err *e);

/* One option as a file says it: value NULL or "" for a flag, or "true", "false" and the like. A
 * text is borrowed. */
int opts_set(struct opts *o, const char *name, const char *value, struct err *e);

/* `glim help VERB` and `glim help` on standard output. */
void help_verb(enum verb v);
void help_all(void);

/* For help, and among the files of opts: the table itself. */
enum opt_kind { OPT_FLAG, OPT_INT, OPT_LIST, OPT_REAL, OPT_SIZE, OPT_TEXT, OPT_TEXTS,
                OPT_CHOICE, OPT_DRIVE };
enum opt_group {
    GROUP_VERB,
    GROUP_SAMPLING,
    GROUP_MODEL,
    GROUP_ADVANCED,
    GROUP_GENERAL,
    GROUP_COUNT
};
struct opt {
    const char *name;
    char letter; /* 0 = none */
    enum opt_kind kind;
    enum opt_group group;
    unsigned verbs;     /* bit VERB_x */
    const char *arg;    /* what the value is called; for OPT_CHOICE the choices "a|b|c" */
    double low, high;   /* of numbers, inclusive; exact for the integers used here */
    size_t offset;      /* in struct opts */
    const char *help;   /* with the default in brackets */
};
const struct opt *opt_table(size_t *n);
/* The verb's option of this name [len] or letter, or NULL. */
const struct opt *opt_named(enum verb v, const char *name, size_t len);
const struct opt *opt_lettered(enum verb v, char letter);
/* What holds where no option was given. */
void opts_defaults(struct opts *o, enum verb v);
/* Checks a value (NULL for a flag) and keeps it in its field. */
int opt_set(struct opts *o, const struct opt *p, const char *value, struct err *e);
/* GLIM_EINVAL for an argument that begins with "-" and is no option of the verb; names the nearest
 * one. */
int opt_unknown(enum verb v, const char *arg, struct err *e);
/* How far `a` is from `b` in edits (insert, delete, change, swap); for suggestions. */
unsigned edit_distance(const char *a, const char *b);

#endif
