/* Answers kept to a grammar, through glim.h with the bundled model: always valid, whatever is
 * drawn; the same with drafts, and beside others in a service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/buf.h"
#include "glim.h"

#define MODEL "models/glm-nano.gguf"

struct fixture {
    glim_model *model;
    glim_tokenizer *tok;
    glim_session *plain, *drafting;
};

static int set_up(void **state)
{
    static struct fixture f;
    struct glim_error e;
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    if (glim_model_open(&f.model, MODEL, NULL, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(glim_model_tokenizer(f.model, &f.tok, &e), 0);
    assert_int_equal(glim_session_new(&f.plain, f.model, &o, &e), 0);
    o.mtp = true;
    assert_int_equal(glim_session_new(&f.drafting, f.model, &o, &e), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    glim_session_free(f->plain);
    glim_session_free(f->drafting);
    glim_model_close(f->model);
    return 0;
}

struct answer {
    struct buf content, reasoning, args;
    int calls;
    struct glim_usage usage;
};

static int collect(void *ctx, const struct glim_event *ev)
{
    struct answer *const a = ctx;
    switch (ev->kind) {
    case GLIM_EVENT_CONTENT: buf_add(&a->content, ev->text, ev->len); break;
    case GLIM_EVENT_REASONING: buf_add(&a->reasoning, ev->text, ev->len); break;
    case GLIM_EVENT_TOOL_BEGIN: a->calls++; break;
    case GLIM_EVENT_TOOL_ARGS: buf_add(&a->args, ev->text, ev->len); break;
    default: break;
    }
    return 0;
}

static void answer_init(struct answer *a)
{
    *a = (struct answer){0};
    buf_init(&a->content);
    buf_init(&a->reasoning);
    buf_init(&a->args);
}

static void answer_deinit(struct answer *a)
{
    buf_deinit(&a->content);
    buf_deinit(&a->reasoning);
    buf_deinit(&a->args);
}

static glim_grammar *grammar(struct fixture *f, enum glim_grammar_kind kind, const char *text)
{
    struct glim_grammar_options o = GLIM_GRAMMAR_OPTIONS_INIT;
    struct glim_error e;
    glim_grammar *g;
    o.kind = kind;
    o.text = text;
    o.required = true;
    if (glim_grammar_new(&g, f->tok, &o, &e) != 0)
        fail_msg("%s", e.text);
    return g;
}

static void answer_one(struct fixture *f, glim_session *s, const glim_grammar *g, uint64_t seed,
                       bool thinking, const char *tools, struct answer *a)
{
    static const char *const ask[] = {"Describe a fox.", "Give me some JSON.", "Hello!"};
    char request[1024];
    int32_t *ids;
    struct glim_append p = GLIM_APPEND_INIT;
    struct glim_generate how = GLIM_GENERATE_INIT;
    struct glim_error e;
    (void)snprintf(request, sizeof request,
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}], "
                   "\"enable_thinking\": %s, \"add_generation_prompt\": true}",
                   ask[seed % 3], thinking ? "true" : "false");
    assert_int_equal(
        glim_template(f->tok, request, strlen(request), NULL, NULL, &ids, &p.n, &e), 0);
    assert_int_equal(glim_session_rewind(s, 0, &e), 0);
    p.tokens = ids;
    assert_int_equal(glim_session_append(s, &p, &e), 0);
    glim_free(ids);
    answer_init(a);
    how.grammar = g;
    how.thinking = thinking;
    how.tools = tools;
    how.sampling.temperature = seed % 4 ? 1.5 : 0;
    how.sampling.seed = seed;
    how.max_tokens = 700;
    how.on_event = collect;
    how.ctx = a;
    if (glim_generate(s, &how, &a->usage, &e) != 0)
        fail_msg("seed %d: %s", (int)seed, e.text);
}

static const char schema[] =
    "{\"type\": \"object\", \"properties\": {"
    "\"name\": {\"type\": \"string\", \"maxLength\": 12},"
    "\"legs\": {\"type\": \"integer\", \"minimum\": 0, \"maximum\": 8},"
    "\"colour\": {\"enum\": [\"red\", \"grey\", \"white\"]},"
    "\"friends\": {\"type\": \"array\", \"items\": {\"type\": \"string\", \"maxLength\": 8},"
    " \"maxItems\": 3}},"
    "\"required\": [\"name\", \"legs\", \"colour\", \"friends\"], "
    "\"additionalProperties\": false}";

static void check_fox(const struct buf *text)
{
    struct json_object *const j = json_tokener_parse(text->data);
    struct json_object *v;
    if (!j)
        fail_msg("no JSON: %s", text->data);
    assert_int_equal(json_object_object_length(j), 4);
    assert_true(json_object_object_get_ex(j, "legs", &v));
    assert_in_range(json_object_get_int(v), 0, 8);
    assert_true(json_object_object_get_ex(j, "colour", &v));
    assert_non_null(strstr("red grey white", json_object_get_string(v)));
    assert_true(json_object_object_get_ex(j, "friends", &v));
    assert_true(json_object_array_length(v) <= 3);
    json_object_put(j);
}

/* Hot enough to say anything; with drafts the same tokens. */
static void test_schema(void **state)
{
    struct fixture *const f = *state;
    glim_grammar *const g = grammar(f, GLIM_GRAMMAR_JSON_SCHEMA, schema);
    uint64_t drafted = 0, accepted = 0;
    for (uint64_t seed = 0; seed < 16; seed++) {
        struct answer a, b;
        answer_one(f, f->plain, g, seed, false, NULL, &a);
        answer_one(f, f->drafting, g, seed, false, NULL, &b);
        assert_int_equal(a.usage.finish, GLIM_FINISH_STOP);
        check_fox(&a.content);
        assert_string_equal(a.content.data, b.content.data);
        assert_int_equal(a.usage.output_tok, b.usage.output_tok);
        drafted += b.usage.drafted_tok;
        accepted += b.usage.accepted_tok;
        answer_deinit(&a);
        answer_deinit(&b);
    }
    assert_true(drafted > 0 && accepted > 0);
    glim_grammar_free(g);
}

/* It holds from the end of the reasoning on. */
static void test_after_thinking(void **state)
{
    struct fixture *const f = *state;
    glim_grammar *const g = grammar(f, GLIM_GRAMMAR_JSON_SCHEMA, schema);
    int ended = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct answer a;
        answer_one(f, f->plain, g, seed, true, NULL, &a);
        assert_int_equal(a.calls, 0);
        if (a.usage.finish == GLIM_FINISH_STOP && a.content.len) {
            check_fox(&a.content);
            ended += a.reasoning.len > 0;
        }
        answer_deinit(&a);
    }
    assert_true(ended > 0);
    glim_grammar_free(g);
}

static void test_gbnf(void **state)
{
    struct fixture *const f = *state;
    glim_grammar *const g = grammar(f, GLIM_GRAMMAR_GBNF, "root ::= (\"yes\" | \"no\") \"!\"");
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct answer a;
        answer_one(f, f->plain, g, seed, false, NULL, &a);
        assert_true(strcmp(a.content.data, "yes!") == 0 || strcmp(a.content.data, "no!") == 0);
        answer_deinit(&a);
    }
    glim_grammar_free(g);
}

static void test_json_object(void **state)
{
    struct fixture *const f = *state;
    glim_grammar *const g = grammar(f, GLIM_GRAMMAR_JSON_OBJECT, NULL);
    int ended = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct answer a;
        answer_one(f, f->plain, g, seed, false, NULL, &a);
        assert_int_equal(a.content.data[0], '{');
        if (a.usage.finish == GLIM_FINISH_STOP) {
            struct json_object *const j = json_tokener_parse(a.content.data);
            assert_true(json_object_is_type(j, json_type_object));
            json_object_put(j);
            ended++;
        }
        answer_deinit(&a);
    }
    assert_true(ended > 0);
    glim_grammar_free(g);
}

static const char tools[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"weather\", \"strict\": true, "
    "\"parameters\": {\"type\": \"object\", \"properties\": {"
    "\"days\": {\"type\": \"integer\", \"minimum\": 1, \"maximum\": 9}, "
    "\"unit\": {\"enum\": [\"C\", \"F\"]}}, \"required\": [\"days\", \"unit\"], "
    "\"additionalProperties\": false}}}]";

static void test_tools(void **state)
{
    struct fixture *const f = *state;
    glim_grammar *const g = grammar(f, GLIM_GRAMMAR_TOOLS, tools);
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct answer a;
        answer_one(f, f->plain, g, seed, seed % 2, tools, &a);
        if (a.usage.finish != GLIM_FINISH_LENGTH) { /* a long thought */
            struct json_object *const j = json_tokener_parse(a.args.data);
            assert_int_equal(a.usage.finish, GLIM_FINISH_TOOL_CALLS);
            assert_int_equal(a.calls, 1);
            assert_in_range(json_object_get_int(json_object_object_get(j, "days")), 1, 9);
            assert_true(strspn(json_object_get_string(json_object_object_get(j, "unit")), "CF"));
            json_object_put(j);
        }
        answer_deinit(&a);
    }
    glim_grammar_free(g);
}

static void test_refused(void **state)
{
    struct fixture *const f = *state;
    struct glim_grammar_options o = GLIM_GRAMMAR_OPTIONS_INIT;
    struct glim_error e;
    glim_grammar *g;
    o.kind = GLIM_GRAMMAR_JSON_SCHEMA;
    o.text = "{\"type\": \"object\", \"unevaluatedProperties\": false}";
    assert_int_equal(glim_grammar_new(&g, f->tok, &o, &e), GLIM_EUNSUPPORTED);
    assert_non_null(strstr(e.text, "unevaluatedProperties"));
    o.text = NULL;
    assert_int_equal(glim_grammar_new(&g, f->tok, &o, &e), GLIM_EINVAL);
    o.text = "{\"type\": ";
    assert_true(glim_grammar_new(&g, f->tok, &o, &e) != 0);
    o.kind = GLIM_GRAMMAR_GBNF;
    o.text = "root ::= other";
    assert_int_equal(glim_grammar_new(&g, f->tok, &o, &e), GLIM_EINVAL);
    assert_null(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema),      cmocka_unit_test(test_after_thinking),
        cmocka_unit_test(test_gbnf),        cmocka_unit_test(test_json_object),
        cmocka_unit_test(test_tools),       cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
