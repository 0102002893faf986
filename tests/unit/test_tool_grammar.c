/* test_tool_grammar.c - grammars of tool calls: what they allow, and that the parser reads any of
 * their answers back as arguments that the schema allows. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "text/grammar.h"
#include "text/parse.h"
#include "text/tokentrie.h"
#include "util/rng.h"
#include "util/smalltok.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"strict\":true,\"parameters\":{"
    "\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"maxLength\":9},"
    "\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":14},"
    "\"unit\":{\"enum\":[\"C\",\"F\"]},\"where\":{\"$ref\":\"#/$defs/p\"},"
    "\"note\":{\"type\":[\"string\",\"null\"]},\"mix\":{\"anyOf\":[{\"type\":\"string\"},"
    "{\"type\":\"array\",\"items\":{\"type\":\"boolean\"}}]},"
    "\"level\":{\"type\":[\"string\",\"integer\"],\"minimum\":5}},"
    "\"$defs\":{\"p\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"number\"}},"
    "\"required\":[\"x\"],\"additionalProperties\":false}},"
    "\"required\":[\"city\",\"days\"],\"additionalProperties\":false}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{}}}},"
    "{\"name\":\"plain\"}]";

static struct tok *tok;
static struct tokentrie *trie;
static struct json_object *tools;

static int setup(void **state)
{
    (void)state;
    tok = smalltok_new("glm4", NULL, 0, true);
    assert_int_equal(tokentrie_new(&trie, tok, NULL), GLIM_OK);
    return json_read(tools_text, strlen(tools_text), "tools", &tools, NULL);
}

static int teardown(void **state)
{
    (void)state;
    json_object_put(tools);
    tokentrie_free(trie);
    tok_free(tok);
    return 0;
}

/* 0: not allowed, 1: a beginning, 2: whole. Tags in the text are their tokens. */
static int look(const struct grammar_tools *o, const char *text)
{
    struct err e = {0};
    struct grammar *g;
    struct grammar_run *r;
    struct tok_ids ids = {0};
    if (grammar_from_tools(&g, tok, o, &e) != GLIM_OK)
        fail_msg("%s", e.text);
    assert_int_equal(grammar_run_new(&r, g, trie, &e), GLIM_OK);
    assert_int_equal(tok_encode(tok, text, strlen(text), true, &ids, &e), GLIM_OK);
    grammar_state s = grammar_start(r);
    int found = 1;
    for (size_t i = 0; i < ids.n && found; i++)
        found = grammar_accept(r, s, ids.id[i], &s, NULL) == GLIM_OK;
    if (found && grammar_may_end(r, s))
        found = 2;
    free(ids.id);
    grammar_run_free(r);
    grammar_free(g);
    return found;
}

#define ARG(k, v)  "<arg_key>" k "</arg_key><arg_value>" v "</arg_value>"
#define PARIS      ARG("city", "Paris") ARG("days", "3")
#define CALL(body) "<tool_call>" body "</tool_call>"

static void test_calls(void **state)
{
    (void)state;
    const struct grammar_tools any = {.tools = tools, .text = true, .parallel = true};
    assert_int_equal(look(&any, ""), 2);
    assert_int_equal(look(&any, "Let me see. {<tool"), 2);
    assert_int_equal(look(&any, "Hm\n" CALL("weather" PARIS)), 2);
    assert_int_equal(look(&any, CALL("now") CALL("weather" PARIS) CALL("plain")), 2);
    assert_int_equal(look(&any, CALL("now") "text"), 0);
    assert_int_equal(look(&any, CALL("weather" ARG("city", "Paris"))), 0);
    assert_int_equal(look(&any, CALL("weather" ARG("days", "3") ARG("city", "Paris"))), 0);
    assert_int_equal(look(&any, "<tool_call>weath"), 1);
    assert_int_equal(look(&any, "<tool_call>other"), 0);
    assert_int_equal(look(&any, "</think>"), 0);

    const struct grammar_tools one = {.tools = tools, .only = "weather", .required = true};
    assert_int_equal(look(&one, ""), 1);
    assert_int_equal(look(&one, "a"), 0);
    assert_int_equal(look(&one, CALL("now")), 0);
    assert_int_equal(look(&one, CALL("weather" PARIS)), 2);
    assert_int_equal(look(&one, CALL("weather" PARIS) "<tool_call>"), 0);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int found;
    } cases[] = {
        {CALL("weather" ARG("city", "\"<b>\n") ARG("days", "14")), 2},
        {CALL("weather" ARG("city", "0123456789") ARG("days", "14")), 0},
        {CALL("weather" ARG("city", "") ARG("days", "15")), 0},
        {CALL("weather" PARIS ARG("unit", "C")), 2},
        {CALL("weather" PARIS ARG("unit", "\"C\"")), 0},
        {CALL("weather" PARIS ARG("where", "{\"x\": 1.5}")), 2},
        {CALL("weather" PARIS ARG("where", "{}")), 0},
        {CALL("weather" PARIS ARG("note", "null")), 2},
        {CALL("weather" PARIS ARG("note", "{not json")), 2},
        {CALL("weather" PARIS ARG("mix", "[true, false]")), 2},
        {CALL("weather" PARIS ARG("mix", "text")), 2},
        {CALL("weather" PARIS ARG("mix", "[1]")), 0},
        {CALL("weather" PARIS ARG("mix", " [1]")), 0},
        {CALL("weather" PARIS ARG("level", "high")), 2},
        {CALL("weather" PARIS ARG("level", "7")), 2},
        {CALL("weather" PARIS ARG("level", "3")), 0},
    };
    const struct grammar_tools o = {.tools = tools, .required = true, .parallel = true};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (look(&o, cases[i].text) != cases[i].found)
            fail_msg("%s: %d", cases[i].text, look(&o, cases[i].text));
    }
    const struct grammar_tools lenient = {.tools = tools, .required = true, .lenient = true};
    assert_int_equal(look(&lenient, CALL("now" ARG("x", "[1") ARG("y", ""))), 2);
    assert_int_equal(look(&lenient, CALL("weather" ARG("x", "1"))), 0); /* it is strict */
}

/* ---- the parser reads them back ---- */

struct calls {
    struct buf args;
    int ended;
};

static int note(void *ctx, const struct parse_event *ev)
{
    struct calls *const c = ctx;
    if (ev->kind == PARSE_TOOL_BEGIN)
        assert_string_equal(ev->text, "weather");
    if (ev->kind == PARSE_TOOL_ARGS)
        buf_add(&c->args, ev->text, ev->len);
    c->ended += ev->kind == PARSE_TOOL_END;
    return 0;
}

static bool is(struct json_object *o, const char *key, json_type type)
{
    struct json_object *v;
    return !json_object_object_get_ex(o, key, &v) || json_object_is_type(v, type);
}

static void check_arguments(const struct buf *text)
{
    struct json_object *o, *v;
    if (json_read(text->data, text->len, "arguments", &o, NULL) != GLIM_OK)
        fail_msg("%s", text->data);
    assert_true(json_object_object_get_ex(o, "city", NULL) && is(o, "city", json_type_string));
    v = json_object_object_get(o, "days");
    assert_true(json_object_is_type(v, json_type_int) && json_object_get_int(v) >= 1
                && json_object_get_int(v) <= 14);
    assert_true(is(o, "where", json_type_object) && is(o, "unit", json_type_string));
    assert_true(is(o, "note", json_type_string) || is(o, "note", json_type_null));
    if (json_object_object_get_ex(o, "mix", &v) && json_object_is_type(v, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(v); i++)
            assert_true(json_object_is_type(json_object_array_get_idx(v, i), json_type_boolean));
    } else {
        assert_true(is(o, "mix", json_type_string));
    }
    if (json_object_object_get_ex(o, "level", &v))
        assert_true(json_object_is_type(v, json_type_int)
                        ? json_object_get_int64(v) >= 5
                        : json_object_is_type(v, json_type_string));
    json_object_put(o);
}

/* A token that the mask allows; those that go on with the call are drawn as often as all others. */
static int32_t draw(const uint32_t *mask, struct rng *rng)
{
    int32_t allowed[512];
    size_t n = 0, first_tag = 0;
    for (int32_t t = 0; t < (int32_t)trie->tokens; t++) {
        if (mask[t / 32] >> t % 32 & 1) {
            first_tag += t < SMALLTOK_BYTES;
            allowed[n++] = t;
        }
    }
    assert_true(n > 0 && n <= 512);
    if (first_tag < n && rng_below(rng, 4) == 0)
        return allowed[first_tag + rng_below(rng, n - first_tag)];
    return allowed[rng_below(rng, n)];
}

static void test_parser_reads_back(void **state)
{
    (void)state;
    const struct grammar_tools o = {.tools = tools, .only = "weather", .required = true};
    struct rng rng = {11};
    struct grammar *g;
    struct err e = {0};
    uint32_t *const mask = malloc(trie->words * sizeof *mask);
    assert_int_equal(grammar_from_tools(&g, tok, &o, &e), GLIM_OK);
    for (int i = 0; i < 400; i++) {
        struct grammar_run *r;
        struct parse *p;
        struct calls calls = {.ended = 0};
        buf_init(&calls.args);
        assert_int_equal(grammar_run_new(&r, g, trie, &e), GLIM_OK);
        assert_int_equal(parse_new(&p, tok, false, tools, note, &calls, &e), GLIM_OK);
        grammar_state s = grammar_start(r);
        while (!grammar_may_end(r, s)) {
            assert_int_equal(grammar_mask(r, s, mask, &e), GLIM_OK);
            const int32_t t = draw(mask, &rng);
            assert_int_equal(grammar_accept(r, s, t, &s, &e), GLIM_OK);
            assert_int_equal(parse_token(p, t, &e), GLIM_OK);
            grammar_keep(r, s);
        }
        assert_int_equal(parse_end(p, &e), GLIM_OK);
        assert_int_equal(calls.ended, 1);
        check_arguments(&calls.args);
        buf_deinit(&calls.args);
        parse_free(p);
        grammar_run_free(r);
    }
    free(mask);
    grammar_free(g);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *tools, *only, *message;
        int code;
    } cases[] = {
        {"[]", NULL, "tools: none", GLIM_EINVAL},
        {"{}", NULL, "tools: none", GLIM_EINVAL},
        {"[{\"name\":\"a\"}]", "b", "there is no \"b\"", GLIM_EINVAL},
        {"[{\"name\":3}]", NULL, "tools[0].function.name: expected a string", GLIM_EINVAL},
        {"[{\"name\":\" a\"}]", NULL, "name \" a\"", GLIM_EINVAL},
        {"[{\"name\":\"\"}]", NULL, "name \"\"", GLIM_EINVAL},
        {"[{\"name\":\"a\",\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{\"not\":{}}}}"
         "}]",
         NULL, "tools[0].function.parameters at #/properties/x: keyword \"not\"",
         GLIM_EUNSUPPORTED},
        {"[{\"name\":\"a\",\"parameters\":{\"type\":\"array\"}}]", NULL, "a schema of an object",
         GLIM_EINVAL},
        {"[{\"name\":\"a\",\"parameters\":3}]", NULL, "expected a schema", GLIM_EINVAL},
        {"[{\"name\":\"a\",\"parameters\":{\"anyOf\":[{}]}}]", NULL, "\"anyOf\" of all arguments",
         GLIM_EUNSUPPORTED},
        {"[{\"name\":\"a\",\"parameters\":{\"properties\":{\"x\":{}},\"required\":[\"y\"]}}]", NULL,
         "\"y\" is not among the properties", GLIM_EINVAL},
        {"[{\"name\":\"a\",\"parameters\":{\"properties\":{\" x\":{}}}}]", NULL, "argument \" x\"",
         GLIM_EINVAL},
    };
    struct tok *const bare = smalltok_new("glm4", NULL, 0, false);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct json_object *list;
        struct grammar *g;
        struct err e = {0};
        assert_int_equal(json_read(cases[i].tools, strlen(cases[i].tools), "t", &list, &e),
                         GLIM_OK);
        const struct grammar_tools o = {.tools = list, .only = cases[i].only};
        const int rc = grammar_from_tools(&g, tok, &o, &e);
        if (rc != cases[i].code || !strstr(e.text, cases[i].message) || g)
            fail_msg("%s: %d %s", cases[i].tools, rc, e.text);
        json_object_put(list);
    }
    struct grammar *g;
    struct err e = {0};
    const struct grammar_tools o = {.tools = tools};
    assert_int_equal(grammar_from_tools(&g, bare, &o, &e), GLIM_EUNSUPPORTED);
    assert_non_null(strstr(e.text, "no token <tool_call>"));
    tok_free(bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_parser_reads_back),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
