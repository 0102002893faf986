/* test_grammar.c - GBNF texts, the states of an answer, and masks: what a mask allows is what the
 * bytes of each token, taken one token at a time, would be allowed to do. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "text/grammar.h"
#include "text/tokentrie.h"
#include "util/glm52.h"
#include "util/rng.h"
#include "util/smalltok.h"

static const char *const merges[] = {"a b", "ab c", "Ġ a", "1 2", "{ \"", "\" :",  "\" ,",
                                     "ä ½", "ä½ ł", "} }", "Ċ Ġ", "a a",  "aa aa", "\" ]"};

static struct tok *tok;
static struct tokentrie *trie;

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    tok = smalltok_new("glm4", merges, COUNT_OF(merges), true);
    assert_int_equal(tokentrie_new(&trie, tok, &e), GLIM_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tokentrie_free(trie);
    tok_free(tok);
    return 0;
}

static struct grammar_run *start(const char *gbnf, struct grammar **g)
{
    struct err e = {0};
    struct grammar_run *r;
    if (grammar_from_gbnf(g, tok, gbnf, strlen(gbnf), &e) != GLIM_OK)
        fail_msg("%s: %s", gbnf, e.text);
    assert_int_equal(grammar_run_new(&r, *g, trie, &e), GLIM_OK);
    return r;
}

/* 0: the text is not a beginning of an answer; 1: it is; 2: it is an answer. */
static int look(struct grammar_run *r, const char *text)
{
    grammar_state s;
    if (grammar_accept_bytes(r, grammar_start(r), text, strlen(text), &s, NULL) != GLIM_OK)
        return 0;
    const int found = grammar_may_end(r, s) ? 2 : 1;
    grammar_keep(r, grammar_start(r));
    return found;
}

struct text_case {
    const char *grammar, *whole[6], *begun[4], *wrong[6];
};

static void check_texts(const struct text_case *c)
{
    struct grammar *g;
    struct grammar_run *const r = start(c->grammar, &g);
    for (size_t i = 0; i < COUNT_OF(c->whole) && c->whole[i]; i++) {
        if (look(r, c->whole[i]) != 2)
            fail_msg("%s: \"%s\" is no answer", c->grammar, c->whole[i]);
    }
    for (size_t i = 0; i < COUNT_OF(c->begun) && c->begun[i]; i++) {
        if (look(r, c->begun[i]) != 1)
            fail_msg("%s: \"%s\" is not just a beginning", c->grammar, c->begun[i]);
    }
    for (size_t i = 0; i < COUNT_OF(c->wrong) && c->wrong[i]; i++) {
        if (look(r, c->wrong[i]) != 0)
            fail_msg("%s: \"%s\" is allowed", c->grammar, c->wrong[i]);
    }
    grammar_run_free(r);
    grammar_free(g);
}

static const struct text_case text_cases[] = {
    {"root ::= \"ab\" | \"ac\" \"d\"", {"ab", "acd"}, {"", "a", "ac"}, {"b", "abc", "ad"}},
    {"root ::= x{2,3} y\nx ::= [a-c] # comment\ny ::= \"\"", {"ab", "abc"}, {"a"}, {"abca", "d"}},
    {"root ::= (\"a\" | \"b\"\n \"c\")+\n", {"a", "bca", "bcbc"}, {"b", "ab"}, {"c", "bb"}},
    {"root ::= \"(\" root \")\" | \"x\"", {"x", "((x))"}, {"(((", "((x)"}, {"()", "x)"}},
    {"root ::= list\nlist ::= \"a\" list | \"a\"", {"a", "aaaaaaaaaaaaaaaaaaaa"}, {""}, {"b"}},
    {"root ::= [^a-z\\n]* \"!\"?",
     {"", "ABC", "\xC3\xA4\xF0\x9F\x98\x80!"},
     {"\xC3"},
     {"a", "\n", "\xFF"}},
    {"root ::= . .", {"ab", "\xE4\xBD\xA0\n"}, {"a", "a\xF0\x9F"}, {"abc", "a\xC0"}},
    {"root ::= \"\\x41\\u00e4\\U0001F600\\t\\\"\"",
     {"A\xC3\xA4\xF0\x9F\x98\x80\t\""},
     {"A"},
     {"a"}},
    {"root ::= \"a\"{3} \"b\"{0} \"c\"{2,} \"d\"?",
     {"aaacc", "aaaccccd"},
     {"aa", "aaac"},
     {"aaaa", "aaab"}},
    {"root ::= (\"a\"? \"b\"?){0,3}", {"", "ababab", "bab", "aaa"}, {NULL}, {"aaaa", "abababb"}},
    {"root ::= (\"a\"*)* (\"b\"?)+", {"", "aab", "bbb"}, {NULL}, {"ba"}},
    {"root ::= \"a\"?*+ \"b\"", {"b", "aab"}, {"a"}, {"c"}},
    {"root ::= a | b\na ::= \"x\" a\nb ::= \"y\"", {"y"}, {""}, {"x"}},
    {"root ::= \"xz\" d | \"y\"\nd ::= \"a\" d", {"y"}, {""}, {"x"}},
    {"root ::= [\xC3\xA4-\xC3\xBC\xE4\xBD\xA0]{2}",
     {"\xC3\xA4\xE4\xBD\xA0"},
     {"\xC3\xA4"},
     {"a", "\xC3\xBD"}},
    {"root::=\"a\"|\r\n\"b\"\r\n", {"a", "b"}, {NULL}, {"c"}},
    {"root ::= \"\" | \"a\"", {"", "a"}, {NULL}, {"aa"}},
    {"root ::= [\\]\\[\\\\-]+", {"[]\\-"}, {NULL}, {"^"}},
    {"root ::= (\"a\" | \"aa\"){2,4}", {"aa", "aaaaaaaa"}, {"a"}, {"aaaaaaaaa"}},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(text_cases); i++)
        check_texts(&text_cases[i]);
}

/* ---- refusals ---- */

static const struct {
    const char *grammar, *message;
    int code;
} refusals[] = {
    {"", "\"root\" is used but not defined", GLIM_EINVAL},
    {"a ::= \"x\"", "\"root\" is used but not defined", GLIM_EINVAL},
    {"root ::= nothing", "rule \"nothing\" is used but not defined", GLIM_EINVAL},
    {"root ::= \"x\"\nroot ::= \"y\"", "\"root\" is defined twice", GLIM_EINVAL},
    {"root ::= root \"x\" | \"y\"", "rule \"root\" begins with itself", GLIM_EINVAL},
    {"root ::= a\na ::= \"\" b\nb ::= c? a \"x\" | \"z\"\nc ::= \"c\"", "begins with itself",
     GLIM_EINVAL},
    {"root ::= (root \"x\"){2,3} | \"y\"", "rule \"root\" begins with itself", GLIM_EINVAL},
    {"root ::= \"x\" root", "no finite text matches", GLIM_EINVAL},
    {"root ::= []", "no finite text matches", GLIM_EINVAL},
    {"root ::= \"x", "line 1, column 12: the end, expected the closing \"", GLIM_EINVAL},
    {"root ::= [x", "expected the closing ]", GLIM_EINVAL},
    {"root ::= (\"x\"", "expected the closing )", GLIM_EINVAL},
    {"root ::= \"x\"\n\nroot2 = \"x\"", "line 3, column 7: \"= \"x\"\", expected \"::=\"",
     GLIM_EINVAL},
    {"root ::= \"x\" ^", "expected the end of the line", GLIM_EINVAL},
    {"root ::= \"\\q\"", "behind a backslash", GLIM_EINVAL},
    {"root ::= \"\\ud800\"", "hexadecimal digits of a character", GLIM_EINVAL},
    {"root ::= \"\\U00110000\"", "hexadecimal digits of a character", GLIM_EINVAL},
    {"root ::= \"\\x4\"", "hexadecimal digits of a character", GLIM_EINVAL},
    {"root ::= [z-a]", "a range from a lower", GLIM_EINVAL},
    {"root ::= \"x\"{3,2}", "{3,2}", GLIM_EINVAL},
    {"root ::= \"x\"{", "expected a number", GLIM_EINVAL},
    {"root ::= \"x\"{1000000000}", "a repetition of 1000000000, expected at most 1000000",
     GLIM_ELIMIT},
    {"root ::= \"x\"{99999999999999999999}", "expected at most 1000000", GLIM_ELIMIT},
    {"root ::= (\"x\"?){0,1000}", "up to 1000 repetitions of something that may be empty",
     GLIM_ELIMIT},
    {"root ::= <nothing>", "<nothing> is no added token", GLIM_EINVAL},
    {"root ::= <[65]>", "<[65]> is no added token", GLIM_EINVAL},
    {"root ::= <[99999999999]>", "is no added token", GLIM_EINVAL},
    {"root ::= <think", "expected a token <...>", GLIM_EINVAL},
    {"root ::= !<think>", "not supported", GLIM_EUNSUPPORTED},
    {"root ::= \"\xFF\"", "byte 10 is not UTF-8", GLIM_EINVAL},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct err e = {0};
        struct grammar *g;
        const char *const text = refusals[i].grammar;
        const int rc = grammar_from_gbnf(&g, tok, text, strlen(text), &e);
        if (rc != refusals[i].code || !strstr(e.text, refusals[i].message) || g)
            fail_msg("%s: %d %s", text, rc, e.text);
    }
}

/* before, n times `again`, after: compiled; returns the code, which must come quickly. */
static int compile_many(const char *before, const char *again, size_t n, const char *after)
{
    struct buf text;
    struct grammar *g = NULL;
    const uint64_t begun = now_ns();
    buf_init(&text);
    buf_adds(&text, before);
    for (size_t i = 0; i < n; i++)
        buf_adds(&text, again);
    buf_adds(&text, after);
    const int rc = grammar_from_gbnf(&g, tok, text.data, text.len, NULL);
    grammar_free(g);
    buf_deinit(&text);
    assert_true(now_ns() - begun < UINT64_C(20000000000)); /* sanitizers and busy machines */
    return rc;
}

static void test_hostile(void **state)
{
    (void)state;
    assert_int_equal(compile_many("root ::= ", "(", 60000, ""), GLIM_ELIMIT);
    assert_int_equal(compile_many("root ::= ", "(", 63, "\"x\""), GLIM_EINVAL);
    assert_int_equal(compile_many("root ::= \"", "x", 300000, "\""), GLIM_ELIMIT);
    assert_int_equal(compile_many("root ::= ", "[^x]", 50000, ""), GLIM_ELIMIT);
    assert_int_equal(compile_many("root ::= \"x\"", "?", 100000, ""), GLIM_OK);
    assert_int_equal(compile_many("root ::= ", "\"\"|", 60000, "\"x\""), GLIM_OK);

    struct buf chain; /* a rule that calls the next, 20,000 times, and the last one the first */
    struct grammar *g = NULL;
    struct err e = {0};
    buf_init(&chain);
    buf_adds(&chain, "root ::= a0\n");
    for (int i = 0; i < 12000; i++)
        buf_addf(&chain, "a%d ::= a%d\n", i, i + 1);
    const size_t open = chain.len;
    buf_adds(&chain, "a12000 ::= \"x\" a0 | \"y\"\n");
    assert_int_equal(grammar_from_gbnf(&g, tok, chain.data, chain.len, &e), GLIM_OK);
    grammar_free(g);
    chain.len = open;
    buf_adds(&chain, "a12000 ::= a0 | \"y\"\n");
    assert_int_equal(grammar_from_gbnf(&g, tok, chain.data, chain.len, &e), GLIM_EINVAL);
    assert_non_null(strstr(e.text, "begins with itself"));
    buf_deinit(&chain);
}

/* Grammars with more ways to read a text than anyone can follow end in an error, not in a hang. */
static void test_ambiguous(void **state)
{
    (void)state;
    static const char *const grammars[] = {
        "root ::= ((\"a\"?){0,64} \"a\"?){0,64}",
        "root ::= (\"a\" | \"aa\" | \"aaa\"){1000000} \"b\"",
        "root ::= ((\"a\"{1,500}){1,500}){1,500}",
        "root ::= x\nx ::= \"a\" x x | \"a\"",
    };
    for (size_t k = 0; k < COUNT_OF(grammars); k++) {
        struct err e = {0};
        struct grammar *g;
        struct grammar_run *r;
        const uint64_t begun = now_ns();
        uint32_t *const mask = malloc(trie->words * sizeof *mask);
        assert_int_equal(grammar_from_gbnf(&g, tok, grammars[k], strlen(grammars[k]), &e), GLIM_OK);
        int rc = grammar_run_new(&r, g, trie, &e);
        grammar_state s = rc == GLIM_OK ? grammar_start(r) : 0;
        for (int i = 0; i < 100000 && rc == GLIM_OK && now_ns() - begun < UINT64_C(3000000000);
             i++) {
            rc = grammar_mask(r, s, mask, &e);
            if (rc == GLIM_OK)
                rc = grammar_accept(r, s, 'a', &s, &e);
            if (rc == GLIM_OK)
                grammar_keep(r, s);
            assert_true(!r || grammar_run_size(r) < (size_t)100 << 20);
        }
        assert_true(rc == GLIM_OK || rc == GLIM_ELIMIT || rc == GLIM_EINVAL);
        assert_true(now_ns() - begun < UINT64_C(60000000000));
        grammar_run_free(r);
        grammar_free(g);
        free(mask);
    }
}

/* ---- tokens ---- */

static bool bit(const uint32_t *mask, int32_t t)
{
    return mask[t / 32] >> t % 32 & 1;
}

/* The mask of s, compared with a trial of every token. */
static size_t check_mask(struct grammar_run *r, grammar_state s, const struct tok *t,
                         uint32_t *mask)
{
    struct err e = {0};
    size_t allowed = 0;
    if (grammar_mask(r, s, mask, &e) != GLIM_OK)
        fail_msg("%s", e.text);
    for (uint32_t id = 0; id < tok_count(t); id++) {
        grammar_state to;
        const int rc = grammar_accept(r, s, (int32_t)id, &to, &e);
        if (rc == GLIM_OK && to != s)
            grammar_keep(r, s);
        if ((rc == GLIM_OK) != bit(mask, (int32_t)id))
            fail_msg("token %u: mask %d, accept %d", id, bit(mask, (int32_t)id), rc);
        allowed += rc == GLIM_OK;
    }
    return allowed;
}

static void test_special_tokens(void **state)
{
    (void)state;
    struct grammar *g;
    char text[128];
    const int32_t think = tok_find(tok, "<think>", 7), end = tok_find(tok, "</think>", 8);
    (void)snprintf(text, sizeof text, "root ::= <think> [a-z]{0,3} <[%d]> \"<think>\"?", (int)end);
    struct grammar_run *const r = start(text, &g);
    uint32_t *const mask = malloc(trie->words * sizeof *mask);
    grammar_state s = grammar_start(r);
    assert_int_equal(check_mask(r, s, tok, mask), 1);
    assert_true(bit(mask, think));
    assert_int_equal(grammar_accept(r, s, think, &s, NULL), GLIM_OK);
    assert_int_equal(grammar_accept(r, s, think, &s, NULL), GLIM_EINVAL);
    assert_int_equal(grammar_accept(r, s, 'a', &s, NULL), GLIM_OK);
    check_mask(r, s, tok, mask);
    assert_true(bit(mask, end) && bit(mask, 'z') && !bit(mask, think) && !bit(mask, '<'));
    assert_false(grammar_may_end(r, s));
    assert_int_equal(grammar_accept(r, s, end, &s, NULL), GLIM_OK);
    assert_true(grammar_may_end(r, s));
    assert_int_equal(check_mask(r, s, tok, mask), 1); /* the spelling is no token */
    assert_true(bit(mask, '<') && !bit(mask, think));
    assert_int_equal(grammar_accept(r, s, -1, &s, NULL), GLIM_EINVAL);
    assert_int_equal(grammar_accept(r, s, 1 << 30, &s, NULL), GLIM_EINVAL);
    free(mask);
    grammar_run_free(r);
    grammar_free(g);
}

static const char *const walked[] = {
    "root ::= \"\\\"\" [^\"\\\\\\x00-\\x1f]* \"\\\"\"",
    "root ::= ([a-z]+ \" \"){1,3} \"12\"",
    "root ::= [A-Za-z]{2,9} | [\\x80-\\U0010FFFF]{1,4}",
    "root ::= ([^a] | \"aa\")*",
    "root ::= v\nv ::= \"[\" (v (\", \" v)*)? \"]\" | \"{\" s \":\" v \"}\" | s\n"
    "s ::= \"\\\"\" c{0,40} \"\\\"\"\nc ::= [^\"\\\\\\x00-\\x1f] | \"\\\\\" [n\"]",
    "root ::= <tool_call> [a-c]+ (<arg_key> [^<]* </arg_key>)* </tool_call>",
    "root ::= \"a\"{3,7} \"12\"* .",
};

/* Random answers: at every state the mask is what single tokens may do, and following the mask ends
 * or goes on, but never gets stuck. */
static void test_masks(void **state)
{
    (void)state;
    struct rng rng = {7};
    uint32_t *const mask = malloc(trie->words * sizeof *mask);
    for (size_t k = 0; k < COUNT_OF(walked) * 6; k++) {
        struct grammar *g;
        struct grammar_run *const r = start(walked[k / 6], &g);
        grammar_state s = grammar_start(r);
        struct buf text;
        buf_init(&text);
        for (int i = 0; i < 30; i++) {
            const size_t allowed = check_mask(r, s, tok, mask);
            if (allowed == 0) {
                assert_true(grammar_may_end(r, s));
                break;
            }
            uint32_t id = 0;
            for (size_t skip = rng_below(&rng, allowed) + 1; skip > 0; id++)
                skip -= bit(mask, (int32_t)id);
            size_t len;
            const char *const bytes = tok_bytes(tok, (int32_t)id - 1, &len);
            buf_add(&text, bytes, len);
            assert_int_equal(grammar_accept(r, s, (int32_t)id - 1, &s, NULL), GLIM_OK);
            grammar_keep(r, s);
            assert_true(!grammar_may_end(r, s) || utf8_valid_len(text.data, text.len) == text.len);
        }
        buf_deinit(&text);
        grammar_run_free(r);
        grammar_free(g);
    }
    free(mask);
}

/* The same in GLM-5.2's vocabulary, where the classes of tokens matter. */
static void test_masks_glm52(void **state)
{
    (void)state;
    static const char *const texts[][3] = {
        {"", "\"", "\"the"},         {"a", "abc de", "abc def 12"}, {"", "ab", "\xE4\xBD"},
        {"", "aa!", "\xE4"},         {"[", "{\"a\": \"", "[\"\\"},  {"", "", ""},
        {"aaa", "aaa12", "aaaaaaa"},
    };
    struct err e = {0};
    struct tok *const t = glm52_tokenizer();
    struct tokentrie *v;
    assert_int_equal(tokentrie_new(&v, t, &e), GLIM_OK);
    uint32_t *const mask = malloc(v->words * sizeof *mask);
    for (size_t k = 0; k < COUNT_OF(walked); k++) {
        struct grammar *g;
        struct grammar_run *r;
        assert_int_equal(grammar_from_gbnf(&g, t, walked[k], strlen(walked[k]), &e), GLIM_OK);
        assert_int_equal(grammar_run_new(&r, g, v, &e), GLIM_OK);
        for (size_t i = 0; i < COUNT_OF(texts[k]); i++) {
            grammar_state s;
            if (grammar_accept_bytes(r, 0, texts[k][i], strlen(texts[k][i]), &s, NULL) == GLIM_OK)
                check_mask(r, s, t, mask);
            grammar_keep(r, 0);
        }
        grammar_run_free(r);
        grammar_free(g);
    }
    free(mask);
    tokentrie_free(v);
    tok_free(t);
}

/* ---- places ---- */

static void test_drafts(void **state)
{
    (void)state;
    struct grammar *g;
    struct grammar_run *const r = start("root ::= [a-z]{1,600} \"!\"", &g);
    struct err e = {0};
    grammar_state s = grammar_start(r), draft[4];
    assert_int_equal(grammar_accept(r, s, 'x', &s, &e), GLIM_OK);
    draft[0] = s;
    for (int i = 1; i < 4; i++)
        assert_int_equal(grammar_accept(r, draft[i - 1], 'a', &draft[i], &e), GLIM_OK);
    assert_int_equal(grammar_accept(r, draft[1], '!', &s, &e), GLIM_OK); /* the third was wrong */
    assert_true(grammar_may_end(r, s) && !grammar_may_end(r, draft[3]));
    grammar_keep(r, s);
    assert_true(grammar_may_end(r, s));
    int rc = GLIM_OK;
    s = grammar_start(r);
    for (int i = 0; i < 2 * GRAMMAR_LIVE_MAX && rc == GLIM_OK; i++)
        rc = grammar_accept(r, s, 'b', &s, &e);
    assert_int_equal(rc, GLIM_ELIMIT);
    assert_non_null(strstr(e.text, "257 states are held, expected at most 256"));
    grammar_run_free(r);
    grammar_free(g);
}

/* A run whose tables are full builds them anew, and its states mean the same. */
static void test_forgets(void **state)
{
    (void)state;
    struct grammar *g;
    struct grammar_run *const r = start("root ::= (\"(\" root \")\" | [a-z]{1,50}){0,9}", &g);
    struct err e = {0};
    grammar_state s = grammar_start(r);
    size_t most = 0;
    int rc = GLIM_OK;
    uint32_t *const mask = malloc(trie->words * sizeof *mask);
    for (int i = 0; i < 60000 && rc == GLIM_OK; i++) {
        rc = grammar_accept(r, s, '(', &s, &e);
        grammar_keep(r, s);
        if (i % 64 == 0 && rc == GLIM_OK)
            rc = grammar_mask(r, s, mask, &e);
        const size_t now = grammar_run_size(r);
        most = now > most ? now : most;
    }
    assert_int_equal(rc, GLIM_OK);
    assert_true(most < (size_t)100 << 20);
    for (int i = 0; i < 60000 && rc == GLIM_OK; i++) {
        rc = grammar_accept(r, s, ')', &s, &e);
        grammar_keep(r, s);
    }
    assert_int_equal(rc, GLIM_OK);
    assert_true(grammar_may_end(r, s));
    assert_int_equal(grammar_accept(r, s, ')', &s, &e), GLIM_EINVAL);
    free(mask);
    grammar_run_free(r);
    grammar_free(g);
}

/* ---- threads ---- */

struct follower {
    const struct grammar *g;
    uint64_t sum; /* of all masks */
};

static void *follow(void *arg)
{
    struct follower *const f = arg;
    struct rng rng = {3};
    uint32_t *const mask = calloc(trie->words, sizeof *mask);
    for (int k = 0; mask && k < 30; k++) {
        struct grammar_run *r;
        if (grammar_run_new(&r, f->g, trie, NULL) != GLIM_OK)
            break;
        grammar_state s = grammar_start(r);
        for (int i = 0; i < 40 && grammar_mask(r, s, mask, NULL) == GLIM_OK; i++) {
            int32_t id = (int32_t)rng_below(&rng, trie->tokens);
            for (uint32_t n = 0; n < trie->tokens && !bit(mask, id); n++)
                id = (id + 1) % (int32_t)trie->tokens;
            for (uint32_t w = 0; w < trie->words; w++)
                f->sum = f->sum * 31 + mask[w];
            if (grammar_accept(r, s, id, &s, NULL) != GLIM_OK)
                break;
            grammar_keep(r, s);
        }
        grammar_run_free(r);
    }
    free(mask);
    return NULL;
}

/* Runs of one grammar in two threads see what one alone sees (and ThreadSanitizer nothing). */
static void test_threads(void **state)
{
    (void)state;
    struct grammar *g;
    struct err e = {0};
    struct follower f[3];
    pthread_t thread[2];
    assert_int_equal(grammar_from_gbnf(&g, tok, walked[4], strlen(walked[4]), &e), GLIM_OK);
    for (int i = 0; i < 3; i++)
        f[i] = (struct follower){.g = g};
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, follow, &f[i]), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    follow(&f[2]);
    assert_true(f[2].sum != 0 && f[0].sum == f[2].sum && f[1].sum == f[2].sum);
    grammar_free(g);
}

static void test_forced(void **state)
{
    (void)state;
    struct grammar *g;
    struct grammar_run *const r = start("root ::= \"{\\\"name\\\": \" ([0-9] | \"x\") \"}\"?", &g);
    struct buf out;
    grammar_state s;
    buf_init(&out);
    assert_int_equal(grammar_forced(r, grammar_start(r), 100, &out, NULL), GLIM_OK);
    assert_string_equal(out.data, "{\"name\": ");
    assert_int_equal(grammar_forced(r, grammar_start(r), 3, &out, NULL), GLIM_OK);
    assert_string_equal(out.data, "{\"n");
    assert_int_equal(grammar_accept_bytes(r, 0, "{\"name\": 1", 10, &s, NULL), GLIM_OK);
    assert_int_equal(grammar_forced(r, s, 100, &out, NULL), GLIM_OK);
    assert_string_equal(out.data, ""); /* may end */
    buf_deinit(&out);
    grammar_run_free(r);
    grammar_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_hostile),        cmocka_unit_test(test_ambiguous),
        cmocka_unit_test(test_special_tokens), cmocka_unit_test(test_masks),
        cmocka_unit_test(test_masks_glm52),    cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_forgets),        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_forced),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
