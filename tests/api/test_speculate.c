/* An answer is the same with drafts and without: events, timeline, usage, logits, and what the
 * session does afterwards; for every number of drafts, greedy and sampled, wherever the answer
 * ends, on random models (drafts are mostly wrong; with a bias on two tokens, often right) and on
 * the bundled one. And the tokens drawn follow the distribution that the logits say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/util.h"
#include "glim.h"
#include "util/files.h"

#define GOLDEN "tests/data/golden/"
#define NANO "models/glm-nano.gguf"

enum { PROMPT = 20, CONTEXT = 96, TIMELINE = 256 };

/* ---- an answer, and all that can be seen of it ---- */

struct answer {
    struct buf events;
    size_t tokens, stop_after; /* stop_after: 0 = never */
    int rc;
    char error[1024];
    struct glim_usage usage;
    uint64_t length;
    int32_t timeline[TIMELINE];
    float *logits; /* NULL if the session has none */
};

static int on_event(void *ctx, const struct glim_event *ev)
{
    struct answer *const a = ctx;
    buf_addf(&a->events, "%d %d %d %zu:", (int)ev->kind, ev->token, ev->tool, ev->len);
    buf_add(&a->events, ev->text, ev->len);
    a->tokens += ev->kind == GLIM_EVENT_TOKEN;
    return a->stop_after && a->tokens >= a->stop_after;
}

static void answer_deinit(struct answer *a)
{
    buf_deinit(&a->events);
    free(a->logits);
}

static void generate(struct answer *a, glim_session *s, const struct glim_generate *how, int drafts,
                     size_t stop_after, uint64_t vocab)
{
    struct glim_generate g = *how;
    struct glim_error e = {0};
    *a = (struct answer){.stop_after = stop_after};
    buf_init(&a->events);
    g.on_event = on_event;
    g.ctx = a;
    g.drafts = drafts;
    a->rc = glim_generate(s, &g, &a->usage, &e);
    memcpy(a->error, e.text, sizeof a->error);
    a->length = glim_session_length(s);
    assert_true(a->length <= TIMELINE);
    memcpy(a->timeline, glim_session_tokens(s), a->length * sizeof *a->timeline);
    if (glim_session_logits(s)) {
        a->logits = malloc(vocab * sizeof *a->logits);
        memcpy(a->logits, glim_session_logits(s), vocab * sizeof *a->logits);
    }
}

static void same_answer(const struct answer *a, const struct answer *b, uint64_t vocab)
{
    assert_int_equal(a->rc, b->rc);
    assert_string_equal(a->error, b->error);
    assert_string_equal(a->events.data, b->events.data);
    assert_int_equal(a->usage.prompt_tok, b->usage.prompt_tok);
    assert_int_equal(a->usage.output_tok, b->usage.output_tok);
    assert_int_equal(a->usage.reasoning_tok, b->usage.reasoning_tok);
    assert_int_equal(a->usage.finish, b->usage.finish);
    assert_int_equal(a->usage.last_token, b->usage.last_token);
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->timeline, b->timeline, a->length * sizeof *a->timeline);
    assert_int_equal(a->logits != NULL, b->logits != NULL);
    if (a->logits)
        assert_memory_equal(a->logits, b->logits, vocab * sizeof *a->logits);
}

static void append(glim_session *s, const int32_t *token, size_t n, unsigned flags)
{
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_error e;
    a.tokens = token;
    a.n = n;
    a.flags = flags;
    if (glim_session_append(s, &a, &e) != 0)
        fail_msg("%s", e.text);
}

/* What comes next is the same too: logits of two more tokens and, in sessions with mtp, drafts. */
static void same_future(glim_session *a, glim_session *b, bool mtp, uint64_t vocab)
{
    static const int32_t more[] = {7, 50};
    float *const la = calloc(2 * vocab, sizeof *la), *const lb = calloc(2 * vocab, sizeof *lb);
    int32_t da[2], db[2];
    if (glim_session_length(a) + 2 <= glim_session_context(a)) {
        if (mtp) {
            assert_int_equal(glim_session_draft(a, more[0], 2, da, la, NULL), 0);
            assert_int_equal(glim_session_draft(b, more[0], 2, db, lb, NULL), 0);
            assert_memory_equal(da, db, sizeof da);
            assert_memory_equal(la, lb, 2 * vocab * sizeof *la);
        }
        append(a, more, 2, GLIM_APPEND_DECODE);
        append(b, more, 2, GLIM_APPEND_DECODE);
        assert_memory_equal(glim_session_logits(a), glim_session_logits(b), vocab * sizeof *la);
    }
    free(la);
    free(lb);
}

/* ---- a random model with a tokenizer ---- */

struct tiny {
    char *folder;
    glim_model *model;
    glim_session *plain, *calm, *drafting; /* without mtp; with, but never drafting; with */
    uint64_t vocab;
};

static void copy_file(const char *from, const char *to)
{
    struct buf b;
    FILE *const in = fopen(from, "rb");
    assert_non_null(in);
    buf_init(&b);
    for (int c; (c = getc(in)) != EOF;)
        buf_addc(&b, (char)c);
    fclose(in);
    write_file(to, b.data, b.len);
    buf_deinit(&b);
}

/* Ids 0 to 93 are the characters from '!' to '~'; the model's other ids have no text. */
static void write_tokenizer(const char *path)
{
    struct buf b;
    buf_init(&b);
    buf_adds(&b, "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, "
                 "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
                 "\"Split\", \"pattern\": {\"Regex\": \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
                 "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
                 "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, \"behavior\": "
                 "\"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", "
                 "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}]}, "
                 "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\", "
                 "\"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true}, "
                 "\"model\": {\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
                 "\"continuing_subword_prefix\": \"\", \"end_of_word_suffix\": \"\", "
                 "\"fuse_unk\": false, \"byte_fallback\": false, \"ignore_merges\": true, "
                 "\"vocab\": {");
    for (int c = '!'; c <= '~'; c++)
        buf_addf(&b, "%s\"%s%c\": %d", c == '!' ? "" : ", ", c == '"' || c == '\\' ? "\\" : "", c,
                 c - '!');
    buf_adds(&b, "}, \"merges\": []}}");
    write_text(path, b.data);
    buf_deinit(&b);
}

static char *tiny_folder(const char *name)
{
    char *const folder = scratch_new();
    char from[256];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        (void)snprintf(from, sizeof from, GOLDEN "%s/%s", name, files[i]);
        copy_file(from, path_in(folder, files[i]));
    }
    write_tokenizer(path_in(folder, "tokenizer.json"));
    return folder;
}

static glim_session *session(glim_model *m, uint64_t context, uint64_t chunk, bool mtp)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_error e;
    glim_session *s;
    o.context_tok = context;
    o.chunk_tok = chunk;
    o.mtp = mtp;
    if (glim_session_new(&s, m, &o, &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

static glim_model *open_model(const char *path)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    glim_model *m;
    o.threads = 1;
    if (glim_model_open(&m, path, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static void tiny_open_folder(struct tiny *t, char *folder, uint64_t context)
{
    t->folder = folder;
    t->model = open_model(folder);
    t->vocab = glim_model_info(t->model)->vocab;
    t->plain = session(t->model, context, 16, false);
    t->calm = session(t->model, context, 16, true);
    t->drafting = session(t->model, context, 3, true); /* chunks shorter than a verification */
}

static void tiny_open(struct tiny *t, const char *name, uint64_t context)
{
    tiny_open_folder(t, tiny_folder(name), context);
}

static void tiny_close(struct tiny *t)
{
    glim_session_free(t->plain);
    glim_session_free(t->calm);
    glim_session_free(t->drafting);
    glim_model_close(t->model);
    scratch_remove(t->folder);
}

static int32_t prompt_token(size_t i) { return (int32_t)((i * 37 + 11) % 90); }

/* The prompt on the timeline, at once; or in pieces, with something else rewound in between. */
static void prompt(glim_session *s, bool in_pieces)
{
    int32_t token[PROMPT];
    for (size_t i = 0; i < PROMPT; i++)
        token[i] = prompt_token(i);
    assert_int_equal(glim_session_rewind(s, 0, NULL), 0);
    if (!in_pieces) {
        append(s, token, PROMPT, 0);
        return;
    }
    append(s, token, 7, 0);
    append(s, token, 9, GLIM_APPEND_DECODE);
    assert_int_equal(glim_session_rewind(s, 7, NULL), 0);
    append(s, token + 7, 12, 0);
    append(s, token + 3, 1, 0);
    append(s, token + 3, 1, GLIM_APPEND_DECODE);
    assert_int_equal(glim_session_rewind(s, 18, NULL), 0);
    append(s, token + 18, 2, 0);
}

/* ---- counts, so that no test passes for lack of drafts ---- */

static struct {
    uint64_t verifications, drafted, accepted;
} seen;

static void forget_counts(void) { memset(&seen, 0, sizeof seen); }

static void count(const struct answer *a)
{
    seen.verifications += a->usage.verifications;
    seen.drafted += a->usage.drafted_tok;
    seen.accepted += a->usage.accepted_tok;
}

static void some_right_some_wrong(void)
{
    printf("  %llu verifications, %llu of %llu drafts accepted\n",
           (unsigned long long)seen.verifications, (unsigned long long)seen.accepted,
           (unsigned long long)seen.drafted);
    assert_true(seen.accepted > 0);
    assert_true(seen.drafted > seen.accepted);
    forget_counts();
}

/* One answer without mtp, one with it but no drafts, and one with drafts, on like timelines. */
static void check(struct tiny *t, const struct glim_generate *g, int drafts, size_t stop_after)
{
    struct answer plain, calm, drafted;
    prompt(t->plain, false);
    prompt(t->calm, false);
    prompt(t->drafting, true);
    generate(&plain, t->plain, g, GLIM_DRAFTS_AUTO, stop_after, t->vocab);
    generate(&calm, t->calm, g, GLIM_DRAFTS_OFF, stop_after, t->vocab);
    generate(&drafted, t->drafting, g, drafts, stop_after, t->vocab);
    same_answer(&plain, &calm, t->vocab);
    same_answer(&plain, &drafted, t->vocab);
    assert_int_equal(plain.usage.verifications + calm.usage.verifications, 0);
    same_future(t->calm, t->drafting, true, t->vocab);
    count(&drafted);
    answer_deinit(&plain);
    answer_deinit(&calm);
    answer_deinit(&drafted);
}

/* ---- random models ---- */

static const char *const tinies[] = {"mtp-share", "mtp-own"};
/* Two tokens far above the rest: then half of a random model's drafts are right. */
static const struct glim_logit_bias two_tokens[] = {{40, 30}, {61, 30.5F}};

static struct glim_generate how(size_t kind, uint64_t seed)
{
    struct glim_generate g = GLIM_GENERATE_INIT;
    g.sampling.seed = seed;
    g.max_tokens = 24;
    g.raw = kind % 2;
    g.ignore_eos = kind != 2;
    switch (kind) {
    case 0: g.sampling.temperature = 0; break;
    case 1: g.sampling.temperature = 0.7; g.sampling.top_k = 5; break;
    case 2: g.sampling.temperature = 1; g.sampling.top_p = 0.9; break;
    case 3:
        g.sampling.temperature = 1.5;
        g.sampling.repetition_penalty = 1.3;
        g.sampling.presence_penalty = 0.4;
        g.sampling.frequency_penalty = 0.2;
        g.sampling.penalty_window = 9;
        break;
    default:
        g.sampling.temperature = kind == 4 ? 0 : 1;
        g.sampling.frequency_penalty = kind == 4 ? 0.3 : 0;
        g.sampling.bias = two_tokens;
        g.sampling.biases = 2;
    }
    return g;
}

enum { KINDS = 6 };

static void test_every_number_of_drafts(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(tinies); m++) {
        struct tiny t;
        tiny_open(&t, tinies[m], CONTEXT);
        for (size_t kind = 0; kind < KINDS; kind++) {
            for (int drafts = GLIM_DRAFTS_AUTO; drafts <= GLIM_DRAFTS_MAX; drafts++) {
                const struct glim_generate g = how(kind, 100 * kind + (uint64_t)drafts);
                check(&t, &g, drafts, 0);
            }
        }
        tiny_close(&t);
    }
    some_right_some_wrong();
}

/* Every place in a run of accepted drafts where an answer can end: length, caller, stop token, stop
 * string, full context. */
static void test_every_end(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-share", CONTEXT);
    static const char *const strings[] = {"IIII", "^I^"};
    static const int32_t token = 61;
    for (uint64_t n = 1; n <= 9; n++) {
        struct glim_generate g = how(5, n);
        g.max_tokens = n;
        check(&t, &g, 4, 0);
        g.max_tokens = 30;
        check(&t, &g, 3, (size_t)n);
        g.stop = strings;
        g.stops = 2;
        check(&t, &g, 5, 0);
        g.stops = 0;
        g.stop_token = &token;
        g.stop_tokens = 1;
        check(&t, &g, 2, 0);
    }
    tiny_close(&t);
    some_right_some_wrong();
    for (uint64_t room = 1; room <= 7; room++) {
        tiny_open(&t, "mtp-own", PROMPT + room);
        struct glim_generate g = how(5, room);
        g.max_tokens = 0;
        check(&t, &g, 5, 0);
        tiny_close(&t);
    }
    some_right_some_wrong();
}

/* Long enough for pairs to be late and to be caught up with, in the middle of verifications too. */
static void test_long_answers(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-share", 240);
    struct glim_generate g = how(5, 3);
    g.max_tokens = 200;
    check(&t, &g, GLIM_DRAFTS_AUTO, 0);
    check(&t, &g, 3, 0);
    check(&t, &g, GLIM_DRAFTS_OFF, 0);
    tiny_close(&t);
    some_right_some_wrong();
}

/* How a timeline came to be changes no draft: the counts of two sessions are the same. */
static void test_drafts_do_not_depend_on_history(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-own", CONTEXT);
    for (int drafts = 1; drafts <= GLIM_DRAFTS_MAX; drafts++) {
        const struct glim_generate g = how(5, 40 + (uint64_t)drafts);
        struct answer a, b;
        prompt(t.calm, false);
        prompt(t.drafting, true);
        generate(&a, t.calm, &g, drafts, 0, t.vocab);
        generate(&b, t.drafting, &g, drafts, 0, t.vocab);
        same_answer(&a, &b, t.vocab);
        assert_int_equal(a.usage.verifications, b.usage.verifications);
        assert_int_equal(a.usage.drafted_tok, b.usage.drafted_tok);
        assert_int_equal(a.usage.accepted_tok, b.usage.accepted_tok);
        answer_deinit(&a);
        answer_deinit(&b);
    }
    tiny_close(&t);
}

/* Tokens taken from a verification keep the role of decoded ones: at low positions the roles differ
 * in their last bits, and a rewind computes the last token that is left again. */
static void test_rewind_into_an_answer(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-own", CONTEXT);
    const int32_t token[] = {3, 14, 15, 9};
    struct glim_generate g = how(5, 2);
    struct answer a;
    g.max_tokens = 7;
    append(t.drafting, token, 4, 0);
    generate(&a, t.drafting, &g, 3, 0, t.vocab);
    for (uint64_t n = 10; n >= 5; n--) {
        assert_int_equal(glim_session_rewind(t.calm, 0, NULL), 0);
        append(t.calm, token, 4, 0);
        append(t.calm, a.timeline + 4, n - 4, GLIM_APPEND_DECODE);
        assert_int_equal(glim_session_rewind(t.drafting, n, NULL), 0);
        same_future(t.calm, t.drafting, true, t.vocab);
    }
    answer_deinit(&a);
    tiny_close(&t);
}

/* ---- a token that cannot be computed ---- */

/* Makes the embedding of one token NaN in a model file. */
static void poison(const char *path, int32_t token, uint64_t vocab)
{
    struct buf b;
    FILE *const in = fopen(path, "rb");
    unsigned long long from, to;
    assert_non_null(in);
    buf_init(&b);
    for (int c; (c = getc(in)) != EOF;)
        buf_addc(&b, (char)c);
    fclose(in);
    uint64_t header;
    memcpy(&header, b.data, sizeof header);
    const char *at = strstr(b.data + 8, "\"model.embed_tokens.weight\"");
    assert_non_null(at);
    at = strstr(at, "data_offsets");
    assert_non_null(at);
    assert_int_equal(sscanf(strchr(at, '['), "[%llu,%llu]", &from, &to), 2);
    const uint64_t row = (to - from) / vocab;
    memset(b.data + 8 + header + from + (uint64_t)token * row, 0xff, row);
    write_file(path, b.data, b.len);
    buf_deinit(&b);
}

/* The first token of an answer after its third that came neither before nor in the prompt. */
static int32_t new_token(const struct answer *a)
{
    for (uint64_t i = PROMPT + 3; i < a->length; i++) {
        uint64_t k = 0;
        while (k < i && a->timeline[k] != a->timeline[i])
            k++;
        if (k == i)
            return a->timeline[i];
    }
    fail_msg("no new token in the answer");
    return -1;
}

/* An answer that comes to a token whose row is not a number ends there, with the same error and the
 * same timeline, also where that token was drafted before it was drawn. */
static void test_errors(void **state)
{
    (void)state;
    struct answer a;
    struct tiny t;
    for (size_t m = 0; m < COUNT_OF(tinies); m++) {
        struct glim_generate g = GLIM_GENERATE_INIT;
        g.sampling.temperature = 0.8;
        g.max_tokens = 40;
        g.raw = g.ignore_eos = true;
        tiny_open(&t, tinies[m], CONTEXT);
        prompt(t.plain, false);
        generate(&a, t.plain, &g, GLIM_DRAFTS_OFF, 0, t.vocab);
        const int32_t bad = new_token(&a);
        answer_deinit(&a);
        tiny_close(&t);
        /* a bias makes the draft layer like it too */
        const struct glim_logit_bias bias = {bad, 3};
        for (int biased = 0; biased < 2; biased++) {
            char *const folder = tiny_folder(tinies[m]);
            poison(path_in(folder, "model.safetensors"), bad, t.vocab);
            tiny_open_folder(&t, folder, CONTEXT);
            g.sampling.bias = &bias;
            g.sampling.biases = (size_t)biased;
            prompt(t.plain, false);
            generate(&a, t.plain, &g, GLIM_DRAFTS_OFF, 0, t.vocab);
            assert_int_equal(a.rc, GLIM_ENUMERIC);
            answer_deinit(&a);
            for (int drafts = GLIM_DRAFTS_AUTO; drafts <= GLIM_DRAFTS_MAX; drafts++)
                check(&t, &g, drafts, 0);
            tiny_close(&t);
        }
    }
}

/* ---- the distribution ---- */

enum { DEPTHS = 3, RANKS = 5, SEEDS = 600 };

/* Five tokens share the probability, rather evenly, so that drafts are right and wrong. */
static const struct glim_logit_bias five_tokens[RANKS] = {
    {5, 400}, {23, 400}, {40, 400}, {61, 400}, {77, 400}};
static const double WARM = 6;

static int falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Adds the probabilities of the five tokens, largest first, to expect [RANKS]; returns the rank of
 * the token that was drawn. */
static size_t rank_of(const float *logits, int32_t token, double *expect)
{
    double p[RANKS], own = 0, sum = 0;
    size_t rank = 0;
    for (size_t i = 0; i < RANKS; i++) {
        p[i] = exp((double)logits[five_tokens[i].token] / WARM);
        sum += p[i];
        own = five_tokens[i].token == token ? p[i] : own;
    }
    assert_true(own > 0);
    qsort(p, RANKS, sizeof *p, falling);
    for (size_t i = 0; i < RANKS; i++) {
        expect[i] += p[i] / sum;
        rank += p[i] > own;
    }
    return rank;
}

/* Tokens that verifications yield follow the softmax of the logits that a session without drafts
 * computes for their place: at each depth, how often the token of rank r is drawn over many seeds
 * against the sum of its probabilities. Chi-square with 4 degrees of freedom: above 23.5 by chance
 * once in 10,000. The seeds are fixed, so the outcome is. */
static void test_distribution(void **state)
{
    (void)state;
    struct tiny t;
    double expect[DEPTHS][RANKS] = {{0}}, drawn[DEPTHS][RANKS] = {{0}};
    struct glim_generate g = GLIM_GENERATE_INIT;
    tiny_open(&t, "mtp-share", CONTEXT);
    g.sampling.temperature = WARM;
    g.sampling.bias = five_tokens;
    g.sampling.biases = RANKS;
    g.max_tokens = DEPTHS + 1;
    g.raw = g.ignore_eos = true;
    prompt(t.plain, false);
    prompt(t.drafting, false);
    const int32_t last = prompt_token(PROMPT - 1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct answer a;
        g.sampling.seed = seed;
        assert_int_equal(glim_session_rewind(t.drafting, PROMPT - 1, NULL), 0);
        append(t.drafting, &last, 1, 0);
        generate(&a, t.drafting, &g, DEPTHS, 0, t.vocab);
        assert_int_equal(a.usage.output_tok, DEPTHS + 1);
        assert_int_equal(glim_session_rewind(t.plain, PROMPT, NULL), 0);
        for (size_t d = 0; d < DEPTHS; d++) {
            append(t.plain, &a.timeline[PROMPT + d], 1, GLIM_APPEND_DECODE);
            drawn[d][rank_of(glim_session_logits(t.plain), a.timeline[PROMPT + d + 1],
                             expect[d])]++;
        }
        count(&a);
        answer_deinit(&a);
    }
    some_right_some_wrong();
    for (size_t d = 0; d < DEPTHS; d++) {
        double chi2 = 0;
        for (size_t r = 0; r < RANKS; r++) {
            assert_true(expect[d][r] > 5);
            chi2 += pow(drawn[d][r] - expect[d][r], 2) / expect[d][r];
        }
        printf("  depth %zu: chi-square %.1f, likeliest %.0f of %d\n", d + 1, chi2, drawn[d][0],
               (int)SEEDS);
        assert_true(chi2 < 23.5);
    }
    tiny_close(&t);
}

/* ---- the bundled model ---- */

static void nano_prompt(glim_session *s, glim_tokenizer *tok, const char *text)
{
    char request[512];
    int32_t *ids;
    size_t n;
    struct glim_error e;
    (void)snprintf(request, sizeof request,
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}], "
                   "\"enable_thinking\": false, \"add_generation_prompt\": true}",
                   text);
    assert_int_equal(glim_session_rewind(s, 0, NULL), 0);
    if (glim_template(tok, request, strlen(request), NULL, NULL, &ids, &n, &e) != 0)
        fail_msg("%s", e.text);
    append(s, ids, n, 0);
    glim_free(ids);
}

static void test_bundled_model(void **state)
{
    (void)state;
    static const char story[] = "Tell me a short story about a fox and a lantern.";
    static const struct {
        double temperature;
        int drafts;
    } run[] = {{0, 1}, {0, 3}, {0, 5}, {0, GLIM_DRAFTS_AUTO}, {0.7, 4}, {1.5, 2}};
    glim_model *const m = open_model(NANO);
    const uint64_t vocab = glim_model_info(m)->vocab;
    glim_session *const plain = session(m, 128, 0, false);
    glim_session *const drafting = session(m, 128, 0, true);
    glim_tokenizer *tok;
    struct answer a = {0}, b;
    assert_int_equal(glim_model_tokenizer(m, &tok, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(run); i++) {
        struct glim_generate g = GLIM_GENERATE_INIT;
        g.sampling.temperature = run[i].temperature;
        g.max_tokens = 32;
        if (i == 0 || run[i].temperature > 0) {
            answer_deinit(&a);
            nano_prompt(plain, tok, story);
            generate(&a, plain, &g, GLIM_DRAFTS_OFF, 0, vocab);
        }
        nano_prompt(drafting, tok, story);
        generate(&b, drafting, &g, run[i].drafts, 0, vocab);
        same_answer(&a, &b, vocab);
        if (run[i].drafts == 5)
            assert_true(b.usage.accepted_tok >= b.usage.verifications);
        count(&b);
        answer_deinit(&b);
    }
    some_right_some_wrong();
    answer_deinit(&a);
    glim_session_free(plain);
    glim_session_free(drafting);
    glim_model_close(m);
}

/* ---- the call ---- */

static void test_bad_calls(void **state)
{
    (void)state;
    struct tiny t;
    struct glim_generate g = GLIM_GENERATE_INIT;
    struct glim_error e;
    tiny_open(&t, "mtp-share", CONTEXT);
    prompt(t.plain, false);
    g.drafts = 3;
    assert_int_equal(glim_generate(t.plain, &g, NULL, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "drafts: 3, but the session was made without mtp");
    g.drafts = 6;
    assert_int_equal(glim_generate(t.drafting, &g, NULL, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "drafts: 6, expected -1 to 5");
    g.drafts = -2;
    assert_int_equal(glim_generate(t.drafting, &g, NULL, &e), GLIM_EINVAL);
    tiny_close(&t);
}

/* A program from before there were drafts passes shorter structures. */
static void test_older_programs(void **state)
{
    (void)state;
    struct tiny t;
    struct answer a = {0};
    struct {
        struct glim_usage usage;
        uint64_t guard;
    } u;
    struct glim_generate g = how(0, 1);
    const size_t old = offsetof(struct glim_usage, verifications);
    memset(&u, 0xa5, sizeof u);
    tiny_open(&t, "mtp-share", CONTEXT);
    prompt(t.drafting, false);
    buf_init(&a.events);
    g.size = offsetof(struct glim_generate, drafts);
    g.drafts = 77;
    g.max_tokens = 6;
    g.on_event = on_event;
    g.ctx = &a;
    assert_int_equal(glim_generate(t.drafting, &g, &u.usage, NULL), 0);
    assert_int_equal(u.usage.output_tok, 6);
    for (size_t i = old; i < sizeof u; i++)
        assert_int_equal(((unsigned char *)&u)[i], 0xa5);
    answer_deinit(&a);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number_of_drafts),
        cmocka_unit_test(test_every_end),
        cmocka_unit_test(test_long_answers),
        cmocka_unit_test(test_drafts_do_not_depend_on_history),
        cmocka_unit_test(test_rewind_into_an_answer),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_bundled_model),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_older_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
