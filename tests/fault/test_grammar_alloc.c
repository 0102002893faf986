/* test_grammar_alloc.c - every allocation of compiling grammars and of following an answer fails
 * once, n = 1, 2, ... until it passes: each time the answer is an error that says memory, nothing
 * crashes or leaks (ASan watches), and the next run works.
 *
 * Linked with --wrap for malloc, calloc, realloc and mmap; json-c's own are not among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/json.h"
#include "fault/failing.h"
#include "text/grammar.h"
#include "text/tokentrie.h"
#include "util/smalltok.h"

static struct tok *tok;
static struct tokentrie *trie;
static struct json_object *schema, *tools;

static const char schema_text[] =
    "{\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"number\",\"minimum\":"
    "-1.5},\"k\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/n\"},\"minItems\":2}},"
    "\"required\":[\"v\"]}},\"allOf\":[{\"$ref\":\"#/$defs/n\"},{\"properties\":{\"s\":{\"type\":"
    "\"string\",\"pattern\":\"^[a-z]+(x|y)$\",\"maxLength\":9},\"e\":{\"enum\":[\"a\",1,{\"b\":[]}]"
    "},"
    "\"o\":{\"oneOf\":[{\"const\":1},{\"type\":\"string\",\"format\":\"date\"}]}}}],"
    "\"additionalProperties\":{\"type\":\"integer\"}}";
static const char tools_text[] =
    "[{\"name\":\"f\",\"parameters\":{\"properties\":{\"a\":{\"type\":[\"string\",\"array\"]},"
    "\"b\":{\"type\":\"integer\"}}}}]";

static int compile_gbnf(struct grammar **g, struct err *e)
{
    static const char text[] = "root ::= (\"a\" | [b-dä] | n){2,5} <think>?\nn ::= \"(\" n? \")\"";
    return grammar_from_gbnf(g, tok, text, strlen(text), e);
}

static int compile_schema(struct grammar **g, struct err *e)
{
    return grammar_from_schema(g, tok, schema, e);
}

static int compile_tools(struct grammar **g, struct err *e)
{
    const struct grammar_tools o = {.tools = tools, .text = true, .parallel = true};
    return grammar_from_tools(g, tok, &o, e);
}

static int (*compile)(struct grammar **g, struct err *e);

/* Compiles, and follows the first tokens that masks allow. */
static int scenario(struct err *e)
{
    struct grammar *g = NULL;
    struct grammar_run *r = NULL;
    uint32_t mask[64];
    int rc = compile(&g, e);
    assert_true((rc == GLIM_OK) == (g != NULL));
    if (rc == GLIM_OK)
        rc = grammar_run_new(&r, g, trie, e);
    grammar_state s = rc == GLIM_OK ? grammar_start(r) : 0;
    for (int i = 0; i < 30 && rc == GLIM_OK; i++) {
        int32_t id = 0;
        rc = grammar_mask(r, s, mask, e);
        while (rc == GLIM_OK && id < (int32_t)trie->tokens && !(mask[id / 32] >> id % 32 & 1))
            id++;
        if (rc == GLIM_OK && id == (int32_t)trie->tokens)
            break;
        if (rc == GLIM_OK)
            rc = grammar_accept(r, s, id, &s, e);
        if (rc == GLIM_OK)
            grammar_keep(r, s);
    }
    grammar_run_free(r);
    grammar_free(g);
    return rc;
}

static void torture(int (*fn)(struct err *), unsigned long at_least)
{
    for (unsigned long n = 1;; n++) {
        struct err e = {0};
        plan.calls = 0;
        plan.fail_at = n;
        const int rc = fn(&e);
        plan.fail_at = 0;
        if (rc == GLIM_OK) {
            if (plan.calls >= n)
                fail_msg("allocation %lu failed and nobody noticed", n);
            assert_true(n > at_least);
            return;
        }
        if (rc != GLIM_ENOMEM)
            fail_msg("allocation %lu failed: code %d \"%s\", expected out of memory", n, rc,
                     e.text);
        assert_non_null(strstr(e.text, "memory"));
    }
}

static void test_grammars(void **state)
{
    (void)state;
    static int (*const all[])(struct grammar **, struct err *) = {compile_gbnf, compile_schema,
                                                                  compile_tools};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        compile = all[i];
        torture(scenario, 30);
    }
}

static int make_trie(struct err *e)
{
    struct tokentrie *v;
    const int rc = tokentrie_new(&v, tok, e);
    assert_true((rc == GLIM_OK) == (v != NULL));
    tokentrie_free(v);
    return rc;
}

static void test_trie(void **state)
{
    (void)state;
    torture(make_trie, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammars),
        cmocka_unit_test(test_trie),
    };
    tok = smalltok_new("glm4", NULL, 0, true);
    if (tokentrie_new(&trie, tok, NULL) != GLIM_OK
        || json_read(schema_text, strlen(schema_text), "schema", &schema, NULL) != GLIM_OK
        || json_read(tools_text, strlen(tools_text), "tools", &tools, NULL) != GLIM_OK)
        return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    json_object_put(schema);
    json_object_put(tools);
    tokentrie_free(trie);
    tok_free(tok);
    return rc;
}
