/* drive.c - grammars beside oracles: random answers of schemas, verdicts on documents, times of
 * masks. Called by tests/structured/run and bench/grammar.
 *
 *   drive walk FILE N SEED   N random answers of every schema, drawn from the masks of GLM-5.2's
 *                            vocabulary: {"name": ..., "output": ...} a line
 *   drive check FILE         {"name": ..., "accepts": [...]} a line; or "error"
 *   drive time FILE N SEED   walks, each with a new run, and all with one; prints microseconds, see
 *                            bench/grammar
 *
 * FILE: a JSON array of {"name", "schema" or "grammar", "docs": [...]}.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "base/util.h"
#include "text/grammar.h"
#include "text/tokentrie.h"
#include "util/glm52.h"
#include "util/rng.h"
#include "util/smalltok.h"

enum { WALK_TOKENS = 120, WALK_MAX = 3000, HIT_NS = 1500 };

static struct tok *tok;
static struct tokentrie *trie;
static uint32_t *mask;
static struct rng rng;

/* Microseconds, in the order they were measured. */
struct times {
    double *us;
    size_t n, cap;
};
static struct times masks, made, compiled;

/* GLM-5.2's vocabulary with made tokens in the place of the third that is not public: Chinese words
 * of two to four characters, and pairs of words, so that its size is the true one. */
static struct tok *full_vocabulary(struct tok *t, struct err *e)
{
    struct tok_builder *b;
    struct tok *full;
    const uint32_t n = tok_count(t);
    if (tok_builder_new(&b, e) != GLIM_OK)
        exit(2);
    for (uint32_t id = 0; id < n; id++) {
        enum tok_attr attr = tok_attr(t, (int32_t)id);
        char text[2048], word[64];
        size_t len, used = 0, made_len = 0;
        const char *bytes = tok_bytes(t, (int32_t)id, &len);
        if (attr == TOK_UNUSED) {
            for (size_t k = 0; k < 2 + id % 3; k++)
                made_len += utf8_encode(0x4E00 + (uint32_t)rng_below(&rng, 6000), word + made_len);
            if (id % 2)
                made_len =
                    (size_t)snprintf(word, sizeof word, "%.*s", 40, id % 4 == 1 ? " word" : "word")
                    + utf8_encode('a' + id % 26, word + (id % 4 == 1 ? 5 : 4));
            for (uint32_t rest = id % 2 ? id : 0; rest; rest /= 26)
                word[made_len++] = (char)('a' + rest % 26);
            bytes = word;
            len = made_len;
            attr = TOK_NORMAL;
        }
        for (size_t i = 0; attr == TOK_NORMAL && i < len && used + 2 < sizeof text; i++)
            used += smalltok_char((uint8_t)bytes[i], text + used);
        if (tok_builder_token(b, attr == TOK_NORMAL ? text : bytes, attr == TOK_NORMAL ? used : len,
                              attr, e)
            != GLIM_OK)
            exit(2);
    }
    if (tok_builder_finish(b, "glm4", &full, e) != GLIM_OK) {
        fprintf(stderr, "drive: %s\n", e->text);
        exit(2);
    }
    tok_free(t);
    return full;
}

static int compile(struct json_object *one, struct grammar **g, struct err *e)
{
    struct json_object *const schema = json_object_object_get(one, "schema");
    struct json_object *const text = json_object_object_get(one, "grammar");
    if (text)
        return grammar_from_gbnf(g, tok, json_object_get_string(text),
                                 (size_t)json_object_get_string_len(text), e);
    return grammar_from_schema(g, tok, schema, e);
}

/* A bit of the mask: any, or, once the answer is long, one that closes something. */
static int32_t draw(bool close)
{
    static const char closers[] = "\"}]0/a.yz@-5";
    size_t allowed = 0;
    for (uint32_t i = 0; i < trie->words; i++)
        allowed += (size_t)__builtin_popcount(mask[i]);
    const size_t many = sizeof closers - 1, begin = rng_below(&rng, 3) ? 0 : rng_below(&rng, many);
    for (size_t k = 0; close && k < many; k++) {
        const char closer = closers[(begin + k) % many];
        for (int32_t id = 0; id < 256; id++) { /* the single bytes come first */
            size_t len;
            const char *const bytes = tok_bytes(tok, id, &len);
            if (len == 1 && bytes[0] == closer && (mask[id / 32] >> id % 32 & 1))
                return id;
        }
    }
    if (allowed == 0)
        return -1;
    size_t skip = rng_below(&rng, allowed);
    uint32_t word = 0;
    for (; skip >= (size_t)__builtin_popcount(mask[word]); word++)
        skip -= (size_t)__builtin_popcount(mask[word]);
    uint32_t bits = mask[word];
    for (; skip > 0; skip--)
        bits &= bits - 1;
    return (int32_t)(32 * word) + __builtin_ctz(bits);
}

static void note_time(struct times *t, uint64_t ns)
{
    if (mem_grow(&t->us, &t->cap, t->n + 1, sizeof *t->us) != 0)
        exit(2);
    t->us[t->n++] = (double)ns / 1000.0;
}

/* One answer; false: it did not end, or something failed. */
static bool walk(struct grammar_run *r, struct buf *text)
{
    struct err e = {0};
    grammar_state s = grammar_start(r);
    buf_clear(text);
    for (int i = 0; i < WALK_MAX; i++) {
        const bool close = i > WALK_TOKENS || rng_below(&rng, 3) == 0;
        if (grammar_may_end(r, s) && (close || rng_below(&rng, 2)))
            return true;
        const size_t size = grammar_run_size(r);
        const uint64_t begun = now_ns();
        if (grammar_mask(r, s, mask, &e) != GLIM_OK) {
            fprintf(stderr, "drive: %s\n", e.text);
            return false;
        }
        const uint64_t took = now_ns() - begun;
        note_time(&masks, took);
        if (took > HIT_NS || grammar_run_size(r) != size)
            note_time(&made, took);
        const int32_t id = draw(close);
        if (id < 0)
            return grammar_may_end(r, s);
        size_t len;
        const char *const bytes = tok_bytes(tok, id, &len);
        buf_add(text, bytes, len);
        if (grammar_accept(r, s, id, &s, &e) != GLIM_OK) {
            fprintf(stderr, "drive: %s\n", e.text);
            exit(1);
        }
        grammar_keep(r, s);
    }
    return false;
}

static void print(struct json_object *one, const char *key, struct json_object *value)
{
    struct json_object *const line = json_object_new_object();
    json_object_object_add(line, "name", json_object_get(json_object_object_get(one, "name")));
    json_object_object_add(line, key, value);
    puts(json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
    json_object_put(line);
}

static void walk_all(struct json_object *one, const struct grammar *g, int n)
{
    struct grammar_run *r;
    struct buf text;
    buf_init(&text);
    if (grammar_run_new(&r, g, trie, NULL) != GLIM_OK)
        exit(1);
    for (int i = 0; i < n; i++) {
        const bool ended = walk(r, &text);
        print(one, ended ? "output" : "endless",
              json_object_new_string_len(text.data, (int)text.len));
        grammar_keep(r, grammar_start(r));
    }
    grammar_run_free(r);
    buf_deinit(&text);
}

static void check_all(struct json_object *one, const struct grammar *g)
{
    struct json_object *const docs = json_object_object_get(one, "docs");
    struct json_object *const accepts = json_object_new_array();
    struct grammar_run *r;
    if (grammar_run_new(&r, g, trie, NULL) != GLIM_OK)
        exit(1);
    for (size_t i = 0; i < json_object_array_length(docs); i++) {
        struct json_object *const doc = json_object_array_get_idx(docs, i);
        grammar_state s;
        const bool fits = grammar_accept_bytes(r, grammar_start(r), json_object_get_string(doc),
                                               (size_t)json_object_get_string_len(doc), &s, NULL)
                              == GLIM_OK
                          && grammar_may_end(r, s);
        json_object_array_add(accepts, json_object_new_boolean(fits));
        grammar_keep(r, grammar_start(r));
    }
    grammar_run_free(r);
    print(one, "accepts", accepts);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void show_times(const char *what, struct times *t)
{
    double sum = 0;
    qsort(t->us, t->n, sizeof *t->us, by_value);
    for (size_t i = 0; i < t->n; i++)
        sum += t->us[i];
    printf("%s,%zu,%.2f,%.2f,%.1f,%.1f,%.1f,%.1f\n", what, t->n, sum / (double)t->n,
           t->us[t->n / 2], t->us[t->n * 9 / 10], t->us[t->n * 99 / 100], t->us[t->n * 999 / 1000],
           t->us[t->n - 1]);
    t->n = 0;
}

/* n answers of one schema; each with a run of its own, or all with one, the first not counted. */
static void time_one(const struct grammar *g, int n, bool warm)
{
    struct grammar_run *r = NULL;
    struct buf text;
    buf_init(&text);
    for (int k = 0; k < n; k++) {
        const size_t masks_before = masks.n, made_before = made.n;
        if (!r && grammar_run_new(&r, g, trie, NULL) != GLIM_OK)
            exit(1);
        walk(r, &text);
        grammar_keep(r, grammar_start(r));
        if (warm && k == 0) {
            masks.n = masks_before;
            made.n = made_before;
        }
        if (!warm) {
            grammar_run_free(r);
            r = NULL;
        }
    }
    grammar_run_free(r);
    buf_deinit(&text);
}

static void time_all(struct json_object *file, int n)
{
    static const char *const what[] = {"cold", "warm"};
    for (int warm = 0; warm < 2; warm++) {
        for (size_t i = 0; i < json_object_array_length(file); i++) {
            struct grammar *g;
            const uint64_t begun = now_ns();
            if (compile(json_object_array_get_idx(file, i), &g, NULL) != GLIM_OK)
                continue;
            note_time(&compiled, now_ns() - begun);
            time_one(g, n, warm);
            grammar_free(g);
        }
        show_times(what[warm], &masks);
    }
    show_times("made", &made);
    show_times("compile", &compiled);
    free(masks.us);
    free(made.us);
    free(compiled.us);
}

static void one_by_one(struct json_object *file, const char *verb, int n)
{
    for (size_t i = 0; i < json_object_array_length(file); i++) {
        struct json_object *const one = json_object_array_get_idx(file, i);
        struct err e = {0};
        struct grammar *g;
        if (compile(one, &g, &e) != GLIM_OK)
            print(one, "error", json_object_new_string(e.text));
        else if (strcmp(verb, "walk") == 0)
            walk_all(one, g, n);
        else
            check_all(one, g);
        grammar_free(g);
    }
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct json_object *file;
    if (argc < 3 || json_read_file(argv[2], 64 << 20, &file, &e) != GLIM_OK) {
        fprintf(stderr, "drive walk|check|time FILE [N SEED]: %s\n", e.text);
        return 2;
    }
    const int n = argc > 3 ? atoi(argv[3]) : 1;
    rng.state = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
    tok = glm52_tokenizer();
    if (strcmp(argv[1], "time") == 0)
        tok = full_vocabulary(tok, &e);
    const uint64_t begun = now_ns();
    if (tokentrie_new(&trie, tok, &e) != GLIM_OK)
        return 2;
    mask = malloc(trie->words * sizeof *mask);
    if (strcmp(argv[1], "time") == 0) {
        puts("what,n,mean_us,median_us,p90_us,p99_us,p999_us,max_us");
        note_time(&compiled, now_ns() - begun);
        show_times("trie", &compiled);
        fprintf(stderr, "trie: %u tokens, %.1f MB\n", trie->tokens, (double)trie->bytes / 1e6);
        time_all(file, n);
    } else {
        one_by_one(file, argv[1], n);
    }
    free(mask);
    json_object_put(file);
    tokentrie_free(trie);
    tok_free(tok);
    return 0;
}
