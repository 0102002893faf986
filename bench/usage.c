/* usage.c - which experts stay in a memory that holds some of them, and what a history brings.
 *
 *   usage [MODEL]     models/glm-nano.gguf
 *
 * Records the experts that each token of the bundled model's held-out conversations, of prose and
 * of code chooses, token by token as generation does. One half of the texts is the history, the
 * other is what memory is simulated for (usage_sim.h). Also for made-up choices of 8 of 256 experts
 * whose popularity is the one that users of GLM-5.2 report (the hottest 1 % of experts have 6.8 %
 * of the uses, 10 % 30.6 %, 25 % 53.4 %, 50 % 78 %): of tokens that know nothing of each other, and
 * with habits that change every 128 tokens.
 *
 * Rows for people go to stderr, the same as CSV to stdout. Nothing here depends on the machine.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "base/util.h"
#include "glim.h"
#include "usage_sim.h"
#include "util/rng.h"
#include "weights/experts.h"

#define HELDOUT "tests/data/nano/heldout.jsonl"

enum { CASE_TOK = 512, PIECES = 16, HALVES = 2, MADE_UP_TOK = 1500, HABIT_TOK = 128,
       SHORT_TOK = 100, USED_MAX = 64 };

static void must(int rc, const struct glim_error *e)
{
    if (rc == GLIM_OK)
        return;
    fprintf(stderr, "usage: %s\n", e->text);
    exit(1);
}

/* ---- recording ---- */

static struct trace *recording;

static void trace_add(struct trace *t, uint64_t layer, const uint32_t *expert)
{
    const size_t token = (size_t)t->layers * t->used;
    if (t->tokens == t->room) {
        t->room = t->room ? 2 * t->room : 1024;
        t->choice = realloc(t->choice, t->room * token * sizeof *t->choice);
        if (!t->choice)
            abort();
    }
    uint16_t *const to = t->choice + t->tokens * token + layer * t->used;
    for (uint32_t k = 0; k < t->used; k++)
        to[k] = (uint16_t)expert[k];
    t->tokens += layer + 1 == t->layers;
}

/* Every visit of every layer comes through here: the linker puts it before the library's. */
void __real_experts_begin(struct expert_visit *v, struct experts *x, uint64_t layer,
                          const uint32_t *expert, size_t n);
void __wrap_experts_begin(struct expert_visit *v, struct experts *x, uint64_t layer,
                          const uint32_t *expert, size_t n);

void __wrap_experts_begin(struct expert_visit *v, struct experts *x, uint64_t layer,
                          const uint32_t *expert, size_t n)
{
    struct trace *const t = recording;
    if (t && layer < t->layers && n == t->used)
        trace_add(t, layer, expert);
    __real_experts_begin(v, x, layer, expert, n);
}

struct bench {
    glim_model *model;
    glim_tokenizer *tok;
};

static struct trace trace_of(const glim_model *m)
{
    const struct glim_model_info *const i = glim_model_info(m);
    return (struct trace){.layers = (uint32_t)(i->layers - i->dense_layers),
                          .experts = (uint32_t)i->experts, .used = (uint32_t)i->experts_used};
}

static void record(const struct bench *b, const char *text, struct trace *t)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_error e;
    glim_session *s;
    int32_t *ids;
    o.context_tok = CASE_TOK;
    o.chunk_tok = 1;
    must(glim_tokenize(b->tok, text, strlen(text), GLIM_TOKENIZE_SPECIAL, &ids, &a.n, &e), &e);
    a.n = a.n < CASE_TOK ? a.n : CASE_TOK;
    a.tokens = ids;
    a.flags = GLIM_APPEND_DECODE;
    must(glim_session_new(&s, b->model, &o, &e), &e);
    recording = t;
    must(glim_session_append(s, &a, &e), &e);
    recording = NULL;
    glim_session_free(s);
    glim_free(ids);
}

static void record_skill(const struct bench *b, const char *skill, struct trace half[HALVES])
{
    FILE *const f = fopen(HELDOUT, "r");
    char *line = NULL;
    size_t cases = 0;
    if (!f) {
        fprintf(stderr, "usage: %s is not there\n", HELDOUT);
        exit(1);
    }
    for (size_t room = 0; getline(&line, &room, f) > 0;) {
        struct json_object *const c = json_tokener_parse(line);
        const char *const of = json_object_get_string(json_object_object_get(c, "skill"));
        if (!skill || strncmp(of, skill, strlen(skill)) == 0) {
            char *text;
            if (asprintf(&text, "%s%s", json_object_get_string(json_object_object_get(c, "prompt")),
                         json_object_get_string(json_object_object_get(c, "reference")))
                < 0)
                abort();
            record(b, text, &half[cases++ % HALVES]);
            free(text);
        }
        json_object_put(c);
    }
    free(line);
    fclose(f);
}

/* Pieces of a file, in turn to each half. */
static void record_file(const struct bench *b, const char *path, struct trace half[HALVES])
{
    enum { PIECE = 1500 };
    char text[PIECE + 1];
    FILE *const f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "usage: %s is not there\n", path);
        exit(1);
    }
    size_t n;
    for (size_t i = 0; i < PIECES && (n = fread(text, 1, PIECE, f)) > 0; i++) {
        text[n] = 0;
        record(b, text, &half[i % HALVES]);
    }
    fclose(f);
}

/* ---- made-up choices ---- */

/* Share of uses of the hottest share x of all experts. */
static double popularity(double x)
{
    static const double at[] = {0.01, 0.10, 0.25, 0.50, 1.0}, share[] = {.068, .306, .534, .78, 1};
    size_t i = 1;
    while (i < COUNT_OF(at) - 1 && x > at[i])
        i++;
    const double b = log(share[i] / share[i - 1]) / log(at[i] / at[i - 1]);
    return share[i - 1] * pow(x / at[i - 1], b);
}

static double unit(struct rng *r) { return ((double)(rng_u64(r) >> 11) + 0.5) * 0x1p-53; }

/* used of experts, each as likely as its weight is. */
static void draw(struct rng *r, const double *weight, const struct trace *t, uint32_t *out)
{
    double best[USED_MAX];
    uint32_t n = 0;
    for (uint32_t x = 0; x < t->experts; x++) {
        const double v = log(unit(r)) / weight[x];
        uint32_t at = n < t->used ? n++ : n;
        if (at == t->used && v <= best[at - 1])
            continue;
        at = at == t->used ? at - 1 : at;
        for (; at > 0 && best[at - 1] < v; at--) {
            best[at] = best[at - 1];
            out[at] = out[at - 1];
        }
        best[at] = v;
        out[at] = x;
    }
}

/* Popular and unpopular experts, the same ones in every call. [layers, experts] */
static double *popular(const struct trace *t)
{
    const size_t keys = (size_t)t->layers * t->experts;
    double *const base = malloc(keys * sizeof *base), before = 0;
    struct rng r = {1};
    if (!base)
        abort();
    for (size_t i = 0; i < keys; i++) {
        const double now = popularity((double)(i + 1) / (double)keys);
        base[i] = now - before;
        before = now;
    }
    for (size_t i = keys; i-- > 1;) {
        const size_t j = rng_below(&r, i + 1);
        const double v = base[i];
        base[i] = base[j];
        base[j] = v;
    }
    return base;
}

static double normal(struct rng *r)
{
    const double a = unit(r);
    return sqrt(-2 * log(a)) * cos(6.283185307179586 * unit(r));
}

/* spread: of the logarithm of what a habit makes of a weight; 0 = there are no habits. */
static struct trace make_up(double spread, uint64_t seed)
{
    struct trace t = {.layers = 8, .experts = 256, .used = 8};
    const size_t keys = (size_t)t.layers * t.experts;
    double *const base = popular(&t), *const weight = malloc(keys * sizeof *weight);
    struct rng r = {seed};
    if (!weight)
        abort();
    for (size_t n = 0; n < MADE_UP_TOK; n++) {
        for (size_t i = 0; n % HABIT_TOK == 0 && i < keys; i++)
            weight[i] = base[i] * exp(spread * normal(&r));
        for (uint32_t l = 0; l < t.layers; l++) {
            uint32_t out[USED_MAX];
            draw(&r, weight + l * t.experts, &t, out);
            trace_add(&t, l, out);
        }
    }
    free(base);
    free(weight);
    return t;
}

/* ---- the table ---- */

static void row(const char *name, const struct trace *history, const struct trace *t, double share)
{
    const uint32_t keys = t->layers * t->experts;
    const uint32_t slots = (uint32_t)(share * keys + 0.5);
    const double clock = 100 * sim_clock(t, slots), scores = 100 * sim_scores(t, slots, NULL, 0),
                 with = 100 * sim_scores(t, slots, history, 0),
                 pinned = 100 * sim_scores(t, slots, history, slots / 2),
                 best = 100 * sim_best(t, slots);
    fprintf(stderr, "%-34s %7zu %6zu %5.0f%% %7.1f %7.1f %7.1f %7.1f %7.1f\n", name,
            history->tokens, t->tokens, 100 * share, clock, scores, with, pinned, best);
    printf("%s,%zu,%zu,%.0f,%.1f,%.1f,%.1f,%.1f,%.1f\n", name, history->tokens, t->tokens,
           100 * share, clock, scores, with, pinned, best);
}

static void rows(const char *name, const struct trace *history, const struct trace *t)
{
    static const double shares[] = {0.10, 0.25, 0.50, 0.75};
    for (size_t i = 0; i < COUNT_OF(shares); i++)
        row(name, history, t, shares[i]);
}

static void made_up_rows(const char *name, double spread)
{
    char text[128];
    struct trace history = make_up(spread, 5), t = make_up(spread, 6);
    rows(name, &history, &t);
    t.tokens = SHORT_TOK;
    (void)snprintf(text, sizeof text, "%s; %d tokens", name, SHORT_TOK);
    rows(text, &history, &t);
    free(history.choice);
    free(t.choice);
}

enum { STORIES, TOOLS, RECALL, ALL, CODE, PROSE, SETS };

static void record_all(const struct bench *b, struct trace set[SETS][HALVES])
{
    for (size_t i = 0; i < SETS; i++)
        set[i][0] = set[i][1] = trace_of(b->model);
    record_skill(b, "story", set[STORIES]);
    record_skill(b, "tool call", set[TOOLS]);
    record_skill(b, "recall", set[RECALL]);
    record_skill(b, NULL, set[ALL]);
    record_file(b, "src/model/moe.c", set[CODE]);
    record_file(b, "src/engine/session.c", set[CODE]);
    record_file(b, "docs/model.md", set[PROSE]);
    record_file(b, "README.md", set[PROSE]);
}

int main(int argc, char **argv)
{
    struct bench b;
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    struct trace set[SETS][HALVES];
    o.threads = 1;
    must(glim_model_open(&b.model, argc > 1 ? argv[1] : "models/glm-nano.gguf", &o, &e), &e);
    must(glim_model_tokenizer(b.model, &b.tok, &e), &e);
    record_all(&b, set);
    glim_model_close(b.model);
    fprintf(stderr, "%-34s %7s %6s %6s %7s %7s %7s %7s %7s\n", "choices", "history", "tokens",
            "memory", "clock", "scores", "history", "pinned", "best");
    puts("choices,history_tokens,tokens,memory_percent,clock,scores,scores_history,half_pinned,"
         "best");
    rows("all conversations", &set[ALL][0], &set[ALL][1]);
    rows("stories", &set[STORIES][0], &set[STORIES][1]);
    rows("tool calls", &set[TOOLS][0], &set[TOOLS][1]);
    rows("recall", &set[RECALL][0], &set[RECALL][1]);
    rows("code", &set[CODE][0], &set[CODE][1]);
    rows("prose", &set[PROSE][0], &set[PROSE][1]);
    rows("code; history of conversations", &set[ALL][0], &set[CODE][1]);
    rows("stories; history of code", &set[CODE][0], &set[STORIES][1]);
    rows("recall; history of code", &set[CODE][0], &set[RECALL][1]);
    made_up_rows("made up", 0);
    made_up_rows("made up; habits", 1);
    made_up_rows("made up; strong habits", 2);
    for (size_t i = 0; i < SETS; i++)
        for (size_t h = 0; h < HALVES; h++)
            free(set[i][h].choice);
    return 0;
}
