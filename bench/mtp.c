/* mtp.c - what drafts bring and cost: answers with --mtp auto beside the same without, by kind of
 * prompt, on the bundled model.
 *
 *   mtp [MODEL] [ROUNDS] [THREADS]     models/glm-nano.gguf, 7, 1
 *
 * Each answer is made twice in turn, in sessions of its own, so that what pays is found out anew
 * each time: the shorter the answers, the harder. Both are checked to be the same. Time is
 * the processor's with one thread, so that other programs do not count, else what passed; `all` is
 * from the empty timeline, `answer` without the prompt. The figures of a set are the medians over
 * the rounds of the ratios of its sums.
 *
 * Rows for people go to stderr, the same as CSV to stdout.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "base/util.h"
#include "glim.h"
#include "util/rng.h"

#define HELDOUT "tests/data/nano/heldout.jsonl"

enum { ANSWER_TOK = 220, PROMPTS_MAX = 24, ROUNDS_MAX = 99, NOISE_PROMPTS = 6, NOISE_TOK = 64 };

/* Prompts are those of a skill in HELDOUT, a text, or, with neither, random tokens. */
static const struct set {
    const char *name, *skill, *text;
    double temperature;
    bool endless; /* goes on behind the end of the answer */
} sets[] = {
    {.name = "stories", .skill = "story"},
    {.name = "stories at T = 1", .skill = "story", .temperature = 1},
    {.name = "tool calls", .skill = "tool call, known tools"},
    {.name = "tool calls at T = 1", .skill = "tool call, known tools", .temperature = 1},
    {.name = "unseen tools", .skill = "tool call, unseen tools"},
    {.name = "arithmetic", .skill = "arithmetic, thinking"},
    {.name = "JSON", .skill = "JSON"},
    {.name = "small talk", .skill = "small talk"},
    {.name = "recall in 512 tokens", .skill = "recall in 512 tokens"},
    {.name = "code",
     .text = "#include <stdio.h>\n\nstatic int largest(const int *v, int n)\n{\n"
             "    int most = v[0];\n    for (int i = 1; i < n; i++)\n"
             "        most = v[i] > most ? v[i] : most;\n",
     .temperature = 1,
     .endless = true},
    {.name = "random tokens", .endless = true},
    {.name = "random tokens at T = 1", .temperature = 1, .endless = true},
    {.name = "random tokens at T = 3", .temperature = 3, .endless = true},
};

struct prompt {
    int32_t *token;
    size_t n;
};

struct sum {
    double all, answer; /* ns */
    uint64_t tokens, hash, verifications, drafted, accepted;
};

struct bench {
    glim_model *model;
    glim_tokenizer *tok;
    int threads;
    size_t rounds, prompts;
    struct prompt prompt[PROMPTS_MAX];
};

static void must(int rc, const struct glim_error *e)
{
    if (rc == GLIM_OK)
        return;
    fprintf(stderr, "mtp: %s\n", e->text);
    exit(1);
}

/* ---- prompts ---- */

static void add_text(struct bench *b, const char *text)
{
    struct prompt *const p = &b->prompt[b->prompts++];
    struct glim_error e;
    must(glim_tokenize(b->tok, text, strlen(text), GLIM_TOKENIZE_SPECIAL, &p->token, &p->n, &e),
         &e);
}

static void add_skill(struct bench *b, const char *skill)
{
    FILE *const f = fopen(HELDOUT, "r");
    char *line = NULL;
    if (!f) {
        fprintf(stderr, "mtp: %s is not there\n", HELDOUT);
        exit(1);
    }
    for (size_t room = 0; b->prompts < PROMPTS_MAX && getline(&line, &room, f) > 0;) {
        struct json_object *const c = json_tokener_parse(line);
        if (strcmp(json_object_get_string(json_object_object_get(c, "skill")), skill) == 0)
            add_text(b, json_object_get_string(json_object_object_get(c, "prompt")));
        json_object_put(c);
    }
    free(line);
    fclose(f);
}

static void add_random(struct bench *b)
{
    struct rng r = {b->prompts + 1};
    struct prompt *const p = &b->prompt[b->prompts++];
    p->n = NOISE_TOK;
    p->token = malloc(p->n * sizeof *p->token);
    for (size_t i = 0; i < p->n; i++)
        p->token[i] = (int32_t)rng_below(&r, (size_t)glim_model_info(b->model)->vocab);
}

static void make_prompts(struct bench *b, const struct set *s)
{
    b->prompts = 0;
    if (s->skill)
        add_skill(b, s->skill);
    for (size_t i = 0; !s->skill && i < NOISE_PROMPTS; i++) {
        if (s->text)
            add_text(b, s->text);
        else
            add_random(b);
    }
}

static void free_prompts(struct bench *b)
{
    for (size_t i = 0; i < b->prompts; i++)
        glim_free(b->prompt[i].token);
}

/* ---- answers ---- */

static double clock_ns(const struct bench *b)
{
    struct timespec t;
    clock_gettime(b->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void answer(const struct bench *b, const struct set *set, size_t i, bool drafts,
                   struct sum *to)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_generate g = GLIM_GENERATE_INIT;
    struct glim_usage u = {0};
    struct glim_error e;
    glim_session *s;
    o.context_tok = 1024;
    o.mtp = drafts;
    a.tokens = b->prompt[i].token;
    a.n = b->prompt[i].n;
    g.raw = true;
    g.ignore_eos = set->endless;
    g.max_tokens = ANSWER_TOK;
    g.sampling.temperature = set->temperature;
    g.sampling.seed = i;
    g.drafts = drafts ? GLIM_DRAFTS_AUTO : GLIM_DRAFTS_OFF;
    must(glim_session_new(&s, b->model, &o, &e), &e);
    const double begin = clock_ns(b);
    must(glim_session_append(s, &a, &e), &e);
    const double prompt = clock_ns(b);
    must(glim_generate(s, &g, &u, &e), &e);
    const double end = clock_ns(b);
    to->all += end - begin;
    to->answer += end - prompt;
    to->tokens += u.output_tok;
    to->verifications += u.verifications;
    to->drafted += u.drafted_tok;
    to->accepted += u.accepted_tok;
    for (uint64_t k = 0; k < glim_session_length(s); k++)
        to->hash = (to->hash ^ (uint64_t)glim_session_tokens(s)[k]) * 0x100000001b3u;
    glim_session_free(s);
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, rising);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void print(const struct bench *b, const struct set *set, const struct sum *off,
                  const struct sum *on)
{
    double all[ROUNDS_MAX], part[ROUNDS_MAX], plain[ROUNDS_MAX], steps = 0, drafted = 0, right = 0;
    const size_t n = b->rounds;
    for (size_t r = 0; r < n; r++) {
        all[r] = off[r].all / on[r].all;
        part[r] = off[r].answer / on[r].answer;
        plain[r] = (double)off[r].tokens * 1e9 / off[r].answer;
        steps += (double)on[r].verifications;
        drafted += (double)on[r].drafted;
        right += (double)on[r].accepted;
    }
    const double tok_s = median(plain, n), a = median(part, n), l = median(all, n),
                 per = steps > 0 ? steps : 1;
    const unsigned long long tokens = off->tokens;
    fprintf(stderr, "%-29s %5llu %7.0f %7.0f %6.2f %6.2f %6.0f %7.2f %7.2f\n", set->name, tokens,
            tok_s, tok_s * a, a, l, steps / (double)n, drafted / per, right / per);
    printf("%d,%s,%zu,%llu,%.1f,%.3f,%.3f,%.1f,%.3f,%.3f,%zu\n", b->threads, set->name,
           b->prompts, tokens, tok_s, a, l, steps / (double)n, drafted / per, right / per, n);
}

static void measure(struct bench *b, const struct set *set)
{
    static struct sum off[ROUNDS_MAX], on[ROUNDS_MAX];
    memset(off, 0, sizeof off);
    memset(on, 0, sizeof on);
    make_prompts(b, set);
    for (size_t r = 0; r < b->rounds; r++) {
        for (size_t i = 0; i < 2 * b->prompts; i++) {
            const bool drafts = (i + i / 2 + r) % 2; /* neither is always the first */
            answer(b, set, i / 2, drafts, drafts ? &on[r] : &off[r]);
        }
        if (on[r].hash != off[r].hash) {
            fprintf(stderr, "mtp: %s: other tokens with drafts than without\n", set->name);
            exit(1);
        }
    }
    print(b, set, off, on);
    fflush(stdout);
    free_prompts(b);
}

int main(int argc, char **argv)
{
    struct bench b = {.rounds = 7, .threads = 1};
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    if (argc > 2)
        b.rounds = min_u64(max_u64(strtoul(argv[2], NULL, 10), 1), ROUNDS_MAX);
    if (argc > 3)
        b.threads = (int)strtol(argv[3], NULL, 10);
    o.threads = b.threads;
    must(glim_model_open(&b.model, argc > 1 ? argv[1] : "models/glm-nano.gguf", &o, &e), &e);
    must(glim_model_tokenizer(b.model, &b.tok, &e), &e);
    fprintf(stderr, "%-29s %5s %7s %7s %6s %6s %6s %7s %7s\n", "set", "tok", "off t/s", "auto",
            "answer", "all", "verif.", "drafts", "right");
    puts("threads,set,prompts,tokens,off_tok_s,answer_ratio,all_ratio,verifications,"
         "drafts_per_verification,accepted_per_verification,n");
    for (size_t i = 0; i < COUNT_OF(sets); i++)
        measure(&b, &sets[i]);
    glim_model_close(b.model);
    return 0;
}
