/* test_schema.c - JSON schemas: what is refused, by which name, hostile ones, and the few documents
 * that the oracles' cases (tests/structured) do not have. */
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
#include "text/regex.h"
#include "text/tokentrie.h"
#include "util/smalltok.h"

static struct tok *tok;
static struct tokentrie *trie;

static int setup(void **state)
{
    (void)state;
    tok = smalltok_new("glm4", NULL, 0, true);
    assert_int_equal(tokentrie_new(&trie, tok, NULL), GLIM_OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tokentrie_free(trie);
    tok_free(tok);
    return 0;
}

static int compile(const char *text, struct grammar **g, struct err *e)
{
    struct json_object *s;
    *g = NULL;
    if (json_read(text, strlen(text), "test", &s, e) != GLIM_OK)
        fail_msg("%s", e->text);
    const int rc = grammar_from_schema(g, tok, s, e);
    json_object_put(s);
    return rc;
}

static bool fits(const struct grammar *g, const char *doc)
{
    struct grammar_run *r;
    grammar_state s;
    assert_int_equal(grammar_run_new(&r, g, trie, NULL), GLIM_OK);
    const bool ok =
        grammar_accept_bytes(r, 0, doc, strlen(doc), &s, NULL) == GLIM_OK && grammar_may_end(r, s);
    grammar_run_free(r);
    return ok;
}

/* ---- documents ---- */

static const struct {
    const char *schema, *right[5], *wrong[6];
} documents[] = {
    {"{}",
     {"{\"a\": [1, 2.5e3, -0.1E-2]}", "\"\\ud83d\\ude00\\u00e4/\\/\"", "[ ]", "{\n\t\"a\":1\n}"},
     {"\"\\ud800\"", "01", "[1,]", " 1", "{\"a\":  1}", "1e400"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"additionalProperties\":false}",
     {"{}", "{ }", "{\"a\":1,\"b\":2}", "{\"b\":2}"},
     {"{\"b\":2,\"a\":1}", "{\"a\":1,}", "{,}"}},
    {"{\"type\":\"object\",\"properties\":{\"ab\":{\"type\":\"null\"}}}",
     {"{\"ab\":null}", "{\"a\":1,\"abc\":2,\"\":3}", "{\"ab\":null,\"\\n\":1}"},
     {"{\"ab\":1}", "{\"a\\u0062\":1}", "{\"x\":1,\"ab\":null}"}},
    {"{\"type\":\"integer\"}",
     {"0", "-1", "999999999999999999"},
     {"-0", "1000000000000000000", "1.0", "1e2", "+1"}},
    {"{\"type\":\"number\",\"minimum\":0.12,\"maximum\":0.1345}",
     {"0.12", "0.120", "0.1345", "0.13450", "0.125"},
     {"0.1", "0.119", "0.13451", "0.135", "0", "1"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":-1.5,\"maximum\":-0.5}",
     {"-1.49", "-0.5", "-1", "-0.50", "-1.0"},
     {"-1.5", "-1.50", "-0.49", "0", "-0", "-2"}},
    {"{\"type\":\"number\",\"minimum\":7,\"maximum\":1205}",
     {"7", "7.0", "9.99", "1205.0", "88"},
     {"6.9", "1205.01", "1206", "07", "1e1", "-8"}},
    {"{\"minimum\":1e-3,\"type\":\"number\"}",
     {"0.001", "0.0010", "2", "1.5"},
     {"0.0009", "0", "-1"}},
    {"{\"type\":\"string\",\"pattern\":\"\\\"\"}",
     {"\"\\\"\"", "\"a\\\"b\""},
     {"\"\"", "\"\\u0022\""}},
    {"{\"type\":\"string\",\"minLength\":1,\"maxLength\":2}",
     {"\"\\ud83d\\ude00\"", "\"\xC3\xA4\xF0\x9F\x98\x80\""},
     {"\"\"", "\"abc\"", "\"\\u0041bc\""}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"allOf\":[{\"minLength\":1},{\"type\":\"integer\"}]},"
     "false]}",
     {"1"},
     {"\"a\""}},
    {"{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{}],\"minItems\":1,\"maxItems\":"
     "2}",
     {"[1]", "[1,2]", "[ 1, [] ]"},
     {"[]", "[1,2,3]", "[\"a\"]"}},
    {"{\"properties\":{\"a\":{\"const\":null}},\"required\":[\"a\",\"a\"]}",
     {"{\"a\":null}"},
     {"{}", "3"}},
    {"{\"const\":null}", {"null"}, {"0"}},
    {"{\"enum\":[{\"k\":[1,{}]}]}", {"{\"k\":[1,{}]}", "{ \"k\": [ 1, {} ] }"}, {"{\"k\":[1]}"}},
};

static void test_documents(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(documents); i++) {
        struct err e = {0};
        struct grammar *g;
        if (compile(documents[i].schema, &g, &e) != GLIM_OK)
            fail_msg("%s: %s", documents[i].schema, e.text);
        for (size_t k = 0; k < COUNT_OF(documents[i].right) && documents[i].right[k]; k++) {
            if (!fits(g, documents[i].right[k]))
                fail_msg("%s: %s is refused", documents[i].schema, documents[i].right[k]);
        }
        for (size_t k = 0; k < COUNT_OF(documents[i].wrong) && documents[i].wrong[k]; k++) {
            if (fits(g, documents[i].wrong[k]))
                fail_msg("%s: %s is accepted", documents[i].schema, documents[i].wrong[k]);
        }
        grammar_free(g);
    }
}

/* ---- refusals ---- */

static const struct {
    const char *schema, *message;
    int code;
} refusals[] = {
    {"{\"not\":{}}", "schema at #: keyword \"not\" is not supported", GLIM_EUNSUPPORTED},
    {"{\"properties\":{\"a/b\":{\"if\":{}}}}", "schema at #/properties/a~1b: keyword \"if\"",
     GLIM_EUNSUPPORTED},
    {"{\"type\":\"array\",\"items\":{\"multipleOf\":2}}", "#/items: keyword \"multipleOf\"",
     GLIM_EUNSUPPORTED},
    {"{\"uniqueItems\":true}", "\"uniqueItems\"", GLIM_EUNSUPPORTED},
    {"{\"nullable\":true,\"type\":\"string\"}", "\"nullable\"", GLIM_EUNSUPPORTED},
    {"{\"type\":\"str\"}", "keyword \"type\": \"str\", expected the name of a type", GLIM_EINVAL},
    {"{\"minLength\":-1}", "keyword \"minLength\": -1, expected an integer of at least 0",
     GLIM_EINVAL},
    {"{\"required\":\"a\"}", "keyword \"required\"", GLIM_EINVAL},
    {"{\"properties\":{\"a\":1}}", "#/properties/a: expected a schema", GLIM_EINVAL},
    {"{\"items\":[{}]}", "keyword \"items\"", GLIM_EINVAL},
    {"{\"$ref\":\"other.json\"}", "\"$ref\": \"other.json\" is not supported", GLIM_EUNSUPPORTED},
    {"{\"$ref\":\"#/$defs/x\"}", "\"$ref\": \"#/$defs/x\" leads to no schema", GLIM_EINVAL},
    {"{\"$ref\":\"#\"}", "no finite text", GLIM_EINVAL},
    {"{\"$ref\":\"#\",\"minLength\":1}", "levels", GLIM_ELIMIT},
    {"{\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/a\"},{}]}},\"$ref\":\"#/$defs/a\"}",
     "begins with itself", GLIM_EINVAL},
    {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "no finite text",
     GLIM_EINVAL},
    {"false", "no finite text", GLIM_EINVAL},
    {"{\"enum\":[]}", "no finite text", GLIM_EINVAL},
    {"{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", "no finite text", GLIM_EINVAL},
    {"{\"allOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "no finite text", GLIM_EINVAL},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "\"oneOf\": branches 0 and 1",
     GLIM_EUNSUPPORTED},
    {"{\"oneOf\":[{\"properties\":{\"a\":{}}},{\"type\":\"string\"}]}", "\"oneOf\"",
     GLIM_EUNSUPPORTED},
    {"{\"type\":\"string\",\"format\":\"regex\"}", "\"format\": \"regex\" is not supported",
     GLIM_EUNSUPPORTED},
    {"{\"type\":\"string\",\"format\":\"date\",\"pattern\":\"a\"}", "at once", GLIM_EUNSUPPORTED},
    {"{\"allOf\":[{\"pattern\":\"a\"},{\"pattern\":\"b\"}]}", "two different \"pattern\"",
     GLIM_EUNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "look-ahead", GLIM_EUNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"(?<!x)\"}", "look-ahead", GLIM_EUNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", "back reference", GLIM_EUNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"^+\"}", "nothing to repeat", GLIM_EINVAL},
    {"{\"type\":\"string\",\"pattern\":\"{2}\"}", "nothing to repeat", GLIM_EINVAL},
    {"{\"type\":\"string\",\"pattern\":\"(a\"}", "closing )", GLIM_EINVAL},
    {"{\"type\":\"string\",\"pattern\":\"a)\"}", "no group to close", GLIM_EINVAL},
    {"{\"type\":\"string\",\"pattern\":\"[z-a]\"}", "range", GLIM_EINVAL},
    {"{\"type\":\"string\",\"pattern\":\"a$b\"}", "$", GLIM_EUNSUPPORTED},
    {"{\"type\":\"string\",\"pattern\":\"(((a{99}){99}){99}){99}\"}", "more than 20000 states",
     GLIM_ELIMIT},
    {"{\"type\":\"string\",\"pattern\":\"^a*$\",\"maxLength\":100000}", "product", GLIM_ELIMIT},
    {"{\"type\":\"string\",\"maxLength\":10000000}",
     "keyword \"maxLength\": 10000000, expected at most 1000000", GLIM_ELIMIT},
    {"{\"type\":\"object\",\"properties\":{\"ab\":{}},\"patternProperties\":{\"^a\":{}}}",
     "also matches the property \"ab\"", GLIM_EUNSUPPORTED},
    {"{\"patternProperties\":{\"a\":{},\"b\":{}}}", "2 patterns", GLIM_EUNSUPPORTED},
    {"{\"properties\":{\"a\":{},\"b\":{}},\"minProperties\":1}", "\"minProperties\"",
     GLIM_EUNSUPPORTED},
    {"{\"propertyNames\":{}}", "keyword \"propertyNames\"", GLIM_EUNSUPPORTED},
    {"3", "expected a schema", GLIM_EINVAL},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        struct err e = {0};
        struct grammar *g;
        const int rc = compile(refusals[i].schema, &g, &e);
        if (rc != refusals[i].code || !strstr(e.text, refusals[i].message) || g)
            fail_msg("%s: %d %s", refusals[i].schema, rc, e.text);
    }
}

/* ---- hostile ---- */

/* before, n times `again` with its number, after. */
static int compile_many(const char *before, const char *again, int n, const char *after)
{
    struct buf text;
    struct grammar *g;
    struct err e = {0};
    const uint64_t begun = now_ns();
    buf_init(&text);
    buf_adds(&text, before);
    for (int i = 0; i < n; i++) {
        const char *const hole = strchr(again, '@');
        if (hole)
            buf_addf(&text, "%.*s%d%s", (int)(hole - again), again, i, hole + 1);
        else
            buf_adds(&text, again);
    }
    buf_adds(&text, after);
    const int rc = compile(text.data, &g, &e);
    grammar_free(g);
    buf_deinit(&text);
    assert_true(now_ns() - begun < UINT64_C(20000000000));
    return rc;
}

static void test_hostile(void **state)
{
    (void)state;
    assert_int_equal(compile_many("{\"enum\":[", "\"value number @\",", 20000, "1]}"), GLIM_ELIMIT);
    assert_int_equal(compile_many("{\"enum\":[", "@,", 5000, "1]}"), GLIM_OK);
    assert_int_equal(compile_many("{\"properties\":{", "\"p@\":{},", 3000, "\"q\":{}}}"),
                     GLIM_ELIMIT);
    assert_int_equal(compile_many("{\"properties\":{", "\"p@\":{},", 1500, "\"q\":{}}}"), GLIM_OK);
    assert_int_equal(compile_many("{\"$defs\":{", "\"a@\":{\"$ref\":\"#/$defs/a0\"},", 2000,
                                  "\"z\":{}},\"$ref\":\"#/$defs/a1\"}"),
                     GLIM_EINVAL);
    assert_int_equal(compile_many("{\"anyOf\":[", "{\"type\":\"string\",\"maxLength\":@},", 3000,
                                  "{}]}"),
                     GLIM_OK);
    assert_int_equal(compile_many("{\"oneOf\":[", "{\"const\":@},", 2000, "{\"const\":\"x\"}]}"),
                     GLIM_ELIMIT);
    assert_int_equal(compile_many("{\"allOf\":[", "{\"minLength\":@},", 3000,
                                  "{\"type\":\"string\"}]}"),
                     GLIM_OK);
    assert_int_equal(compile_many("{\"description\":\"", "xxxxxxxxxxxxxxxx", 20000, "\"}"),
                     GLIM_ELIMIT);
    /* Every part of an allOf doubles what is below it. */
    assert_int_equal(
        compile_many("{\"$defs\":{\"a\":{\"anyOf\":[{\"allOf\":[{\"$ref\":\"#/$defs/b\"},{\"$ref\":"
                     "\"#/$defs/b\"}]},{\"allOf\":[{\"$ref\":\"#/$defs/b\"}]}]},\"b\":{\"allOf\":[",
                     "{\"$ref\":\"#/$defs/a\"},", 3,
                     "{}]}},\"$ref\":\"#/$defs/b\",\"minLength\":1}"),
        GLIM_ELIMIT);
    assert_int_equal(compile_many("{\"type\":\"string\",\"pattern\":\"(a*)*(b|b)*", "(x+x+)+", 40,
                                  "y\"}"),
                     GLIM_OK);
}

/* A pattern that backtracking engines need years for. */
static void test_catastrophic(void **state)
{
    (void)state;
    struct regex x;
    struct err e = {0};
    char text[512];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_int_equal(regex_parse(&x, "^(x+x+)+y$", 10, &e), GLIM_OK);
    assert_false(regex_matches(&x, text, sizeof text - 1));
    text[sizeof text - 2] = 'y';
    assert_true(regex_matches(&x, text, sizeof text - 1));
    regex_free(&x);
}

static void test_json_object(void **state)
{
    (void)state;
    struct grammar *g;
    assert_int_equal(grammar_from_json(&g, tok, NULL), GLIM_OK);
    assert_true(fits(g, "{}") && fits(g, "{\"a\":{\"b\":[null,true,\"\\n\"]},\"c\":-1.5e+10}"));
    assert_false(fits(g, "[]") || fits(g, "1") || fits(g, "{\"a\"}") || fits(g, "{} "));
    assert_true(grammar_size(g) > 1000 && grammar_size(g) < 100000);
    grammar_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_hostile),     cmocka_unit_test(test_catastrophic),
        cmocka_unit_test(test_json_object),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
