/* test_calls.c - calls of tools that are rendered, parsed and rendered again: types by schema,
 * fragments of one byte and of up to a kilobyte. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "text/chat.h"
#include "text/parse.h"
#include "util/rng.h"
#include "util/smalltok.h"

static const char schema_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"w\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},"
    "\"x\":{\"type\":\"object\"},\"opt\":{\"type\":[\"string\",\"null\"]},"
    "\"mix\":{\"type\":[\"string\",\"number\"]},\"bool\":{\"type\":\"boolean\"},"
    "\"list\":{\"type\":\"array\"}}}}}]";

static struct json_object *schema;
static struct tok *with_bytes, *with_long;

/* Besides the bytes, tokens of 2, 4 ... 1,024 times "a". */
static struct tok *long_tokens(void)
{
    enum { TIMES = 10 };
    static char text[TIMES][2048];
    const char *merge[TIMES];
    for (int i = 0; i < TIMES; i++) {
        const size_t half = (size_t)1 << i;
        memset(text[i], 'a', 2 * half + 1);
        text[i][half] = ' ';
        merge[i] = text[i];
    }
    return smalltok_new("glm4", merge, TIMES, true);
}

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    if (json_read(schema_text, strlen(schema_text), "schema", &schema, &e) != GLIM_OK)
        fail_msg("%s", e.text);
    with_bytes = smalltok_new("glm4", NULL, 0, true);
    with_long = long_tokens();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_object_put(schema);
    tok_free(with_bytes);
    tok_free(with_long);
    return 0;
}

static struct rng numbers = {0x5EED};

static unsigned draw(unsigned n) { return (unsigned)rng_below(&numbers, n); }

static void draw_text(struct buf *b)
{
    static const char *const part[] = {"a",
                                       " ",
                                       "\n",
                                       "\"",
                                       "\\",
                                       "{",
                                       "\xC3\xA9",
                                       "\xF0\x9F\x98\x80",
                                       "</arg_value>",
                                       "</tool_call>",
                                       "5",
                                       "true",
                                       "<",
                                       "\t",
                                       "<arg_key>",
                                       "null",
                                       "\x01"};
    for (unsigned i = draw(6); i > 0; i--)
        buf_adds(b, part[draw(COUNT_OF(part))]);
    for (unsigned i = draw(4) ? 0 : draw(1500); i > 0; i--)
        buf_addc(b, 'a');
}

/* A value of the type that the property `key` has. */
static struct json_object *draw_value(const char *key, int depth)
{
    if (strcmp(key, "city") == 0) {
        struct buf b;
        buf_init(&b);
        draw_text(&b);
        struct json_object *const s = json_object_new_string_len(b.data, (int)b.len);
        buf_deinit(&b);
        return s;
    }
    if (strcmp(key, "days") == 0)
        return json_object_new_int64((int64_t)draw(1000) - 500);
    if (strcmp(key, "bool") == 0)
        return json_object_new_boolean((int)draw(2));
    if (strcmp(key, "opt") == 0) /* a string that reads null is null */
        return draw(2) ? json_object_new_string("nulls") : NULL;
    if (strcmp(key, "mix") == 0)
        return json_object_new_double((double)draw(1000) / 8 - 50);
    if (strcmp(key, "x") == 0) {
        struct json_object *const o = json_object_new_object();
        json_object_object_add(o, "days", draw_value("days", depth + 1));
        json_object_object_add(o, "list", draw_value("list", depth + 1));
        return o;
    }
    struct json_object *const list = json_object_new_array();
    for (unsigned i = draw(4); depth < 3 && i > 0; i--) {
        static const char *const kinds[] = {"city", "days", "bool", "list"};
        json_object_array_add(list, draw_value(kinds[draw(4)], depth + 1));
    }
    return list;
}

static struct json_object *draw_call(void)
{
    static const char *const keys[] = {"city", "days", "bool", "list", "opt", "mix", "x"};
    struct json_object *const args = json_object_new_object(), *const call =
                                                                   json_object_new_object();
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (draw(2))
            json_object_object_add(args, keys[i], draw_value(keys[i], 0));
    }
    json_object_object_add(call, "name", json_object_new_string("w"));
    json_object_object_add(call, "arguments", args);
    return call;
}

/* What a parser says, as a request has it. */
struct calls {
    struct json_object *list;
    struct buf name, args;
};

static int collect(void *ctx, const struct parse_event *ev)
{
    struct calls *const c = ctx;
    if (ev->kind == PARSE_TOOL_BEGIN) {
        buf_clear(&c->name);
        buf_add(&c->name, ev->text, ev->len);
    }
    if (ev->kind == PARSE_TOOL_ARGS)
        buf_add(&c->args, ev->text, ev->len);
    if (ev->kind == PARSE_TOOL_END) {
        struct json_object *o;
        struct err e = {0};
        if (json_read(c->args.data, c->args.len, "arguments", &o, &e) != GLIM_OK)
            fail_msg("%s in %s", e.text, c->args.data);
        struct json_object *const call = json_object_new_object();
        json_object_object_add(call, "name", json_object_new_string(c->name.data));
        json_object_object_add(call, "arguments", o);
        json_object_array_add(c->list, call);
        buf_clear(&c->args);
    }
    return 0;
}

/* An assistant's message with these calls, as the prompt has it. calls stay the caller's. */
static void render_calls(struct json_object *calls, struct chat_prompt *out)
{
    struct json_object *const request = json_object_new_object(), *const messages =
                                                                      json_object_new_array();
    struct json_object *const m = json_object_new_object();
    json_object_object_add(m, "role", json_object_new_string("assistant"));
    json_object_object_add(m, "content", json_object_new_string("text"));
    json_object_object_add(m, "tool_calls", json_object_get(calls));
    json_object_array_add(messages, m);
    json_object_object_add(request, "messages", messages);
    json_object_object_add(request, "enable_thinking", json_object_new_boolean(0));
    chat_prompt_init(out);
    assert_int_equal(chat_render(CHAT_GLM_5_2, request, out, NULL), GLIM_OK);
    json_object_put(request);
}

/* The calls in it, in tokens of t. */
static struct json_object *parse_calls(const struct chat_prompt *prompt, const struct tok *t)
{
    struct tok_ids ids = {0};
    struct calls got = {.list = json_object_new_array()};
    struct parse *p;
    buf_init(&got.args);
    buf_init(&got.name);
    assert_int_equal(chat_tokens(prompt, t, &ids, NULL), GLIM_OK);
    assert_int_equal(parse_new(&p, t, false, schema, collect, &got, NULL), GLIM_OK);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(parse_token(p, ids.id[i], NULL), GLIM_OK);
    assert_int_equal(parse_end(p, NULL), GLIM_OK);
    assert_int_equal(parse_tool_calls(p), json_object_array_length(got.list));
    parse_free(p);
    buf_deinit(&got.args);
    buf_deinit(&got.name);
    free(ids.id);
    return got.list;
}

static void same_calls(struct json_object *want, struct json_object *have)
{
    assert_int_equal(json_object_array_length(want), json_object_array_length(have));
    for (size_t i = 0; i < json_object_array_length(want); i++) {
        if (!json_object_equal(json_object_array_get_idx(want, i),
                               json_object_array_get_idx(have, i)))
            fail_msg("%s came back as %s", json_object_to_json_string(want),
                     json_object_to_json_string(have));
    }
}

/* By tokens of one byte and of up to 1,024; what was parsed renders to the same bytes again. */
static void round_trip(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct json_object *const calls = json_object_new_array();
        struct chat_prompt prompt, again;
        for (unsigned i = 1 + draw(3); i > 0; i--)
            json_object_array_add(calls, draw_call());
        render_calls(calls, &prompt);
        struct json_object *const by_bytes = parse_calls(&prompt, with_bytes);
        struct json_object *const by_long = parse_calls(&prompt, with_long);
        same_calls(calls, by_bytes);
        same_calls(calls, by_long);
        render_calls(by_bytes, &again);
        assert_string_equal(prompt.text.data, again.text.data);
        json_object_put(by_bytes);
        json_object_put(by_long);
        json_object_put(calls);
        chat_prompt_deinit(&prompt);
        chat_prompt_deinit(&again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
