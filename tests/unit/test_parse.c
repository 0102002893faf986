/* test_parse.c - output -> reasoning, content, calls: by ids and by text, however it is cut into
 * tokens.
 *
 * What the parser says is written down as R(...) C(...) T(name args): texts of one kind are joined,
 * so that two ways of cutting the same output must give the same string.
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
#include "text/parse.h"
#include "util/rng.h"
#include "util/smalltok.h"

static const char schema_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"w\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{"
    "\"city\":{\"type\":\"string\"},\"days\":{\"type\":\"integer\"},\"x\":{\"type\":\"object\"},"
    "\"any\":{},"
    "\"zip\":{\"type\":[\"string\"]},\"opt\":{\"type\":[\"string\",\"null\"]},\"mix\":{\"type\":["
    "\"string\","
    "\"number\"]},"
    "\"e\":{\"enum\":[\"1\",\"2\"]},\"alt\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":"
    "\"boolean\"}]},"
    "\"strs\":{\"oneOf\":[{\"type\":\"string\"},{\"enum\":[\"a\"]}]},\"odd\":{\"anyOf\":[{\"$ref\":"
    "\"#\"},{\"type\":"
    "\"string\"}]},"
    "\"bool\":{\"type\":\"boolean\"},\"bad\":7,\"list\":{\"type\":\"array\"}}}}},"
    "{\"name\":\"plain\",\"parameters\":{\"properties\":{\"s\":{\"type\":\"string\"}}}},"
    "{\"name\":\"odd\",\"parameters\":[]},5,null,{\"function\":3},{\"name\":[]}]";

struct log {
    struct buf text;
    int kind;      /* of the open group, -1 none */
    int stop_after; /* events; 0: never */
    int events;
    bool args_seen;
};

static int note(void *ctx, const struct parse_event *ev)
{
    struct log *const l = ctx;
    assert_int_equal(strlen(ev->text) <= ev->len, 1);
    assert_int_equal(ev->text[ev->len], 0);
    assert_true(ev->len > 0 || ev->kind == PARSE_TOOL_END);
    for (size_t i = 0, n; i < ev->len; i += n)
        assert_int_equal(utf8_classify(ev->text + i, ev->len - i, &n), UTF8_OK);
    if (ev->kind == PARSE_REASONING || ev->kind == PARSE_CONTENT) {
        assert_int_equal(ev->tool, -1);
        if (l->kind != (int)ev->kind)
            buf_adds(&l->text, l->kind < 0 ? (ev->kind == PARSE_REASONING ? "R(" : "C(")
                                           : (ev->kind == PARSE_REASONING ? ")R(" : ")C("));
        l->kind = (int)ev->kind;
        buf_add(&l->text, ev->text, ev->len);
    } else if (ev->kind == PARSE_TOOL_BEGIN) {
        buf_addf(&l->text, "%sT%d(", l->kind < 0 ? "" : ")", ev->tool);
        l->kind = -1;
        buf_add(&l->text, ev->text, ev->len);
        buf_addc(&l->text, ' ');
    } else if (ev->kind == PARSE_TOOL_ARGS) {
        buf_add(&l->text, ev->text, ev->len);
    } else {
        buf_addc(&l->text, ')');
    }
    return l->stop_after && ++l->events >= l->stop_after;
}

static void log_init(struct log *l)
{
    *l = (struct log){.kind = -1};
    buf_init(&l->text);
}

static void log_close(struct log *l)
{
    if (l->kind >= 0)
        buf_addc(&l->text, ')');
    l->kind = -1;
}

static struct json_object *schema;
static struct tok *with_tags, *without_tags, *merged;

static const char *const merges[] = {"< t", "<t o", "> <", "/ a", "a r",   "ar g", "\" ,",
                                     "i n", "Ġ Ġ",  "Ċ Ċ", "c a", "ca ll", "l l",  "t h",
                                     "Ã ©", "ð Ł",  "> {", "_ v", "Ġ d"};

static int setup(void **state)
{
    (void)state;
    struct err e = {0};
    if (json_read(schema_text, strlen(schema_text), "schema", &schema, &e) != GLIM_OK)
        fail_msg("%s", e.text);
    with_tags = smalltok_new("glm4", NULL, 0, true);
    without_tags = smalltok_new("glm4", NULL, 0, false);
    static const char *ordered[COUNT_OF(merges)];
    size_t n = 0;
    for (size_t i = 0; i < COUNT_OF(merges); i++) { /* "ca ll" needs "l l" first */
        if (strcmp(merges[i], "ca ll") != 0)
            ordered[n++] = merges[i];
    }
    ordered[n++] = "ca ll";
    merged = smalltok_new("deepseek-v3", ordered, n, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_object_put(schema);
    tok_free(with_tags);
    tok_free(without_tags);
    tok_free(merged);
    return 0;
}

static void run_ids(const struct tok *t, const int32_t *id, size_t n, bool thinking, struct log *l)
{
    struct parse *p;
    struct err e = {0};
    log_init(l);
    assert_int_equal(parse_new(&p, t, thinking, schema, note, l, &e), GLIM_OK);
    for (size_t i = 0; i < n; i++) {
        if (parse_token(p, id[i], &e) != GLIM_OK)
            fail_msg("%s", e.text);
    }
    assert_int_equal(parse_end(p, &e), GLIM_OK);
    parse_free(p);
    log_close(l);
}

static void run(const struct tok *t, const char *text, size_t len, bool thinking, struct log *l)
{
    struct tok_ids ids = {0};
    assert_int_equal(tok_encode(t, text, len, true, &ids, NULL), GLIM_OK);
    run_ids(t, ids.id, ids.n, thinking, l);
    free(ids.id);
}

struct sample {
    bool thinking;
    const char *in, *want;
};

#define W(args) "<tool_call>w" args "</tool_call>"
#define A(k, v) "<arg_key>" k "</arg_key><arg_value>" v "</arg_value>"

static const struct sample samples[] = {
    {false, "", ""},
    {false, "Hello", "C(Hello)"},
    {true, "why</think>because", "R(why)C(because)"},
    {true, "never closed", "R(never closed)"},
    {true, "</think>", ""},
    {true, "r\n</think>\n\nx\n", "R(r\n)C(\n\nx\n)"},
    {true, "<think>again</think>x", "R(again)C(x)"},
    {true, "a<think>b</think>c</think>d", "R(a<think>b)C(c</think>d)"},
    {false, "<think>own</think>x", "R(own)C(x)"},
    {false, "x<think>y</think>z", "C(x<think>y</think>z)"},
    {false, "  indented\n  code\n", "C(  indented\n  code\n)"},
    {true, "hm" W(""), "R(hm)T0(w {})"}, /* a call inside the reasoning ends it */
    {false, W(""), "T0(w {})"},
    {false, "<tool_call> w \n</tool_call>", "T0(w {})"},
    {false, W(A("city", "Paris")), "T0(w {\"city\":\"Paris\"})"},
    {false, W(A("city", "Paris") A("days", "3")), "T0(w {\"city\":\"Paris\",\"days\":3})"},
    {false,
     "<tool_call>w\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key> "
     "<arg_value>3"
     "</arg_value>\n</tool_call>",
     "T0(w {\"city\":\"Paris\",\"days\":3})"},
    {false, " \n let me see \n" W("") "\n" W("") " \n", "C( \n let me see)T0(w {})T1(w {})"},
    {false, "\n\n" W(""), "T0(w {})"},
    {false, W("") "  done \n", "T0(w {})C(done)"},
    {false, W("") " done", "T0(w {})C(done)"},
    {false, W("") " between\n" W("") "after", "T0(w {})C(between)T1(w {})C(after)"},
    /* types */
    {false, W(A("city", "01234")), "T0(w {\"city\":\"01234\"})"},
    {false, W(A("city", " two\nlines\t\"q\" \\ ")),
     "T0(w {\"city\":\" two\\nlines\\t\\\"q\\\" \\\\ \"})"},
    {false, W(A("city", "")), "T0(w {\"city\":\"\"})"},
    {false, W(A("city", "{\"a\":1}")), "T0(w {\"city\":\"{\\\"a\\\":1}\"})"},
    {false, W(A("zip", "5")), "T0(w {\"zip\":\"5\"})"},
    {false, W(A("days", "01234")), "T0(w {\"days\":\"01234\"})"},
    {false, W(A("days", " 7 ")), "T0(w {\"days\":7})"},
    {false, W(A("days", "many")), "T0(w {\"days\":\"many\"})"},
    {false, W(A("days", "")), "T0(w {\"days\":\"\"})"},
    {false, W(A("days", "NaN")), "T0(w {\"days\":\"NaN\"})"},
    {false, W(A("days", "1 2")), "T0(w {\"days\":\"1 2\"})"},
    {false, W(A("x", "{\"k\": [1, true, null, \"\xC3\xA9\"]}")),
     "T0(w {\"x\":{\"k\": [1, true, null, \"\xC3\xA9\"]}})"},
    {false, W(A("x", "{\"k\": 1, \"k\": 2}")), "T0(w {\"x\":\"{\\\"k\\\": 1, \\\"k\\\": 2}\"})"},
    {false, W(A("bool", "True")), "T0(w {\"bool\":true})"},
    {false, W(A("any", "None")), "T0(w {\"any\":null})"},
    {false, W(A("any", "False")), "T0(w {\"any\":false})"},
    {false, W(A("any", "\"s\"")), "T0(w {\"any\":\"s\"})"},
    {false, W(A("any", "word")), "T0(w {\"any\":\"word\"})"},
    {false, W(A("opt", "null")), "T0(w {\"opt\":null})"},
    {false, W(A("opt", "5")), "T0(w {\"opt\":\"5\"})"},
    {false, W(A("mix", "5.5")), "T0(w {\"mix\":5.5})"},
    {false, W(A("mix", "\"5\"")), "T0(w {\"mix\":\"\\\"5\\\"\"})"},
    {false, W(A("mix", "true")), "T0(w {\"mix\":\"true\"})"},
    {false, W(A("e", "1")), "T0(w {\"e\":\"1\"})"},
    {false, W(A("alt", "true") A("strs", "5") A("odd", "5") A("bad", "5")),
     "T0(w {\"alt\":true,\"strs\":\"5\",\"odd\":5,\"bad\":5})"},
    {false, W(A("unknown", "5")), "T0(w {\"unknown\":5})"},
    {false, "<tool_call>plain" A("s", "5") "</tool_call>", "T0(plain {\"s\":\"5\"})"},
    {false, "<tool_call>odd" A("s", "5") "</tool_call>", "T0(odd {\"s\":5})"},
    {false, "<tool_call>who" A("s", "5") "</tool_call>", "T0(who {\"s\":5})"},
    {false, W(A("city", "a\x01\x1F\x7F")), "T0(w {\"city\":\"a\\u0001\\u001f\x7F\"})"},
    {false, W(A(" city\n", "5")), "T0(w {\"city\":\"5\"})"},
    {false, W(A("a\"b", "1")), "T0(w {\"a\\\"b\":1})"},
    {false, W(A("", "1")), "T0(w {\"\":1})"},
    /* tags missing or out of place */
    {false, "<tool_call>w<arg_key>city</arg_key>Paris</arg_value></tool_call>",
     "T0(w {\"city\":\"Paris\"})"},
    {false, "<tool_call>w<arg_key>city</arg_key>\n Rome</arg_value></tool_call>",
     "T0(w {\"city\":\"Rome\"})"},
    {false, "<tool_call>w<arg_key>city<arg_value>Paris</arg_value></tool_call>",
     "T0(w {\"city\":\"Paris\"})"},
    {false, "<tool_call>w<arg_key>city</arg_key></arg_value></tool_call>", "T0(w {\"city\":\"\"})"},
    {false, "<tool_call>w<arg_key>city</arg_key></tool_call>", "T0(w {})"},
    {false, "<tool_call>w<arg_key>city</tool_call>", "T0(w {})"},
    {false, "<tool_call>w<arg_key>a<arg_key>city</arg_key><arg_value>1</arg_value></tool_call>",
     "T0(w {\"city\":\"1\"})"},
    {false, "<tool_call>w<arg_key>days</arg_key><arg_value>3</tool_call>x",
     "T0(w {\"days\":3})C(x)"},
    {false, "<tool_call>w" A("days", "3"), "T0(w {\"days\":3})"},
    {false, "<tool_call>w<arg_key>city</arg_key><arg_value>Par", "T0(w {\"city\":\"Par\"})"},
    {false, "<tool_call>w<arg_key>da", "T0(w {})"},
    {false, "<tool_call>w", "T0(w {})"},
    {false, "<tool_call>", ""},
    {false, "<tool_call></tool_call>", ""},
    {false, "a <tool_call> \n" A("days", "3") "</tool_call> b", "C(ab)"},
    {false, "<tool_call><tool_call>w</tool_call>", "T0(w {})"},
    {false, "<tool_call>w" A("days", "1") "<tool_call>plain</tool_call>",
     "T0(w {\"days\":1})T1(plain {})"},
    {false, W(A("city", "1") A("city", "2") A("days", "3")), "T0(w {\"city\":\"1\",\"days\":3})"},
    {false, W("junk" A("days", "3") "junk" A("city", "x") "junk"),
     "T0(wjunk {\"days\":3,\"city\":\"x\"})"},
    {false, W(A("city", "a<arg_key>b</arg_key><tool_call><think>c")),
     "T0(w {\"city\":\"a<arg_key>b</arg_key><tool_call><think>c\"})"},
    {false, "x</tool_call>y</arg_value>z", "C(x</tool_call>y</arg_value>z)"},
    {false, "</tool_call>", "C(</tool_call>)"},
    {true, "a</arg_key>b", "R(a</arg_key>b)"},
    {false, "1 < 2 <t <tool_cal l <tool_call", "C(1 < 2 <t <tool_cal l <tool_call)"},
    {false, "<<<tool_call>w</tool_call>", "C(<<)T0(w {})"},
};

static void check(const struct tok *t, const struct sample *s, const char *how)
{
    struct log l;
    run(t, s->in, strlen(s->in), s->thinking, &l);
    if (strcmp(l.text.data, s->want) != 0)
        fail_msg("%s: \"%s\"\n  gives    %s\n  expected %s", how, s->in, l.text.data, s->want);
    buf_deinit(&l.text);
}

static void by_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++)
        check(with_tags, &samples[i], "by id");
}

static void by_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++)
        check(without_tags, &samples[i], "by text, bytes");
}

static void by_text_cut_otherwise(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++)
        check(merged, &samples[i], "by text, larger tokens");
}

/* By id, the words of a tag are just text, and nothing of them is held back. */
static void words_of_tags(void **state)
{
    (void)state;
    static const char text[] = "</think> <tool_call>w</tool_call>";
    struct log l;
    struct parse *p;
    log_init(&l);
    assert_int_equal(parse_new(&p, with_tags, false, NULL, note, &l, NULL), GLIM_OK);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        assert_int_equal(parse_token(p, (unsigned char)text[i], NULL), GLIM_OK);
        assert_true(l.text.len == i + 3 || text[i] == ' ' );
    }
    assert_int_equal(parse_end(p, NULL), GLIM_OK);
    assert_int_equal(parse_tool_calls(p), 0);
    parse_free(p);
    log_close(&l);
    assert_string_equal(l.text.data, "C(</think> <tool_call>w</tool_call>)");
    buf_deinit(&l.text);
}

/* Bytes that are no UTF-8, cut at every place; a character does not go on across a tag. */
static void broken_characters(void **state)
{
    (void)state;
    const int32_t end_think = tok_find(with_tags, "</think>", 8),
                  role = tok_find(with_tags, "<|user|>", 8);
    const int32_t ids[] = {0xF0, 0x9F, role, 0x98, 0x80,    0xE4, end_think, 0xB8,
                           0xAD, 'x',  0xC3, -1,   1 << 30, 0xA9, 0xC3};
    struct log l;
    run_ids(with_tags, ids, COUNT_OF(ids), true, &l);
    assert_string_equal(l.text.data,
                        "R(\xF0\x9F\x98\x80" UTF8_REPLACEMENT
                        ")C(" UTF8_REPLACEMENT UTF8_REPLACEMENT "x\xC3\xA9" UTF8_REPLACEMENT ")");
    buf_deinit(&l.text);
}

/* Strings go out as they come; other values when they are complete. */
static void strings_stream(void **state)
{
    (void)state;
    struct log l;
    struct parse *p;
    struct tok_ids ids = {0};
    static const char head[] = "<tool_call>w<arg_key>city</arg_key><arg_value>Par";
    static const char more[] = "</arg_value><arg_key>days</arg_key><arg_value>12";
    log_init(&l);
    assert_int_equal(parse_new(&p, with_tags, false, schema, note, &l, NULL), GLIM_OK);
    assert_int_equal(tok_encode(with_tags, head, sizeof head - 1, true, &ids, NULL), GLIM_OK);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(parse_token(p, ids.id[i], NULL), GLIM_OK);
    assert_string_equal(l.text.data, "T0(w {\"city\":\"Par");
    ids.n = 0;
    assert_int_equal(tok_encode(with_tags, more, sizeof more - 1, true, &ids, NULL), GLIM_OK);
    for (size_t i = 0; i < ids.n; i++)
        assert_int_equal(parse_token(p, ids.id[i], NULL), GLIM_OK);
    assert_string_equal(l.text.data, "T0(w {\"city\":\"Par\",\"days\":");
    assert_int_equal(parse_tool_calls(p), 0);
    assert_int_equal(parse_end(p, NULL), GLIM_OK);
    assert_string_equal(l.text.data, "T0(w {\"city\":\"Par\",\"days\":12})");
    assert_int_equal(parse_tool_calls(p), 1);
    parse_free(p);
    free(ids.id);
    buf_deinit(&l.text);
}

static void stops_when_told(void **state)
{
    (void)state;
    struct log l;
    struct parse *p;
    struct err e;
    log_init(&l);
    l.stop_after = 2;
    assert_int_equal(parse_new(&p, with_tags, true, NULL, note, &l, NULL), GLIM_OK);
    assert_true(parse_in_reasoning(p));
    assert_int_equal(parse_token(p, 'a', &e), GLIM_OK);
    assert_int_equal(parse_token(p, 'b', &e), GLIM_ESTOPPED);
    assert_int_equal(parse_token(p, 'c', &e), GLIM_ESTOPPED);
    assert_int_equal(parse_end(p, &e), GLIM_ESTOPPED);
    assert_int_equal(l.events, 2);
    parse_free(p);
    parse_free(NULL);
    buf_deinit(&l.text);
}

/* T22: 10 MB in one argument, and a million empty calls, in linear time. */
static void large_outputs(void **state)
{
    (void)state;
    enum { SIZE = 10 << 20, CALLS = 200000 };
    const int32_t call = tok_find(with_tags, "<tool_call>", 11),
                  key = tok_find(with_tags, "<arg_key>", 9);
    const int32_t value = tok_find(with_tags, "<arg_value>", 11);
    for (int streamed = 0; streamed < 2; streamed++) {
        struct log l;
        struct parse *p;
        log_init(&l);
        assert_int_equal(parse_new(&p, with_tags, false, schema, note, &l, NULL), GLIM_OK);
        const int32_t head[] = {call, 'w', key, streamed ? 'c' : 'q', value};
        for (size_t i = 0; i < COUNT_OF(head); i++)
            assert_int_equal(parse_token(p, head[i], NULL), GLIM_OK);
        for (int i = 0; i < SIZE; i++)
            assert_int_equal(parse_token(p, 'x', NULL), GLIM_OK);
        assert_int_equal(parse_end(p, NULL), GLIM_OK);
        assert_true(l.text.len > SIZE);
        parse_free(p);
        buf_deinit(&l.text);
    }
    struct log l;
    struct parse *p;
    log_init(&l);
    assert_int_equal(parse_new(&p, with_tags, false, schema, note, &l, NULL), GLIM_OK);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(parse_token(p, call, NULL), GLIM_OK);
        assert_int_equal(parse_token(p, 'w', NULL), GLIM_OK);
    }
    assert_int_equal(parse_end(p, NULL), GLIM_OK);
    assert_int_equal(parse_tool_calls(p), CALLS);
    parse_free(p);
    buf_deinit(&l.text);
}

static struct rng numbers = {0x5EED};

static unsigned draw(unsigned n) { return (unsigned)rng_below(&numbers, n); }

/* Any output, cut into single bytes or into larger tokens, says the same; by text. */
static void cutting_does_not_matter(void **state)
{
    (void)state;
    static const char *const part[] = {"<tool_call>", "</tool_call>",
                                       "<arg_key>",   "</arg_key>",
                                       "<arg_value>", "</arg_value>",
                                       "<think>",     "</think>",
                                       "w",           "city",
                                       "days",        " ",
                                       "\n",          "<",
                                       ">",           "</",
                                       "\xC3\xA9",    "\xF0\x9F\x98\x80",
                                       "5",           "\"",
                                       "tool_call>",  "call",
                                       "in"};
    for (int round = 0; round < 20000; round++) {
        struct buf text;
        struct log one, two;
        buf_init(&text);
        for (unsigned i = draw(12); i > 0; i--)
            buf_adds(&text, part[draw(COUNT_OF(part))]);
        const bool thinking = draw(2);
        run(without_tags, text.data, text.len, thinking, &one);
        run(merged, text.data, text.len, thinking, &two);
        if (strcmp(one.text.data, two.text.data) != 0)
            fail_msg("%s\n%s\n%s", text.data, one.text.data, two.text.data);
        buf_deinit(&text);
        buf_deinit(&one.text);
        buf_deinit(&two.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_id),
        cmocka_unit_test(by_text),
        cmocka_unit_test(by_text_cut_otherwise),
        cmocka_unit_test(words_of_tags),
        cmocka_unit_test(broken_characters),
        cmocka_unit_test(strings_stream),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(large_outputs),
        cmocka_unit_test(cutting_does_not_matter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
