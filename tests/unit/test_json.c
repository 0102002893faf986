/* test_json.c - what passes the border, what does not, and Python's bytes on the way out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/util.h"
#include "util/files.h"

static int read_text(const char *text, struct json_object **o, struct err *e)
{
    return json_read(text, strlen(text), "t.json", o, e);
}

static void refused(const char *text, size_t len, const char *why)
{
    struct err e;
    struct json_object *o;
    const int rc = json_read(text, len, "t.json", &o, &e);
    assert_null(o);
    if (rc == 0)
        fail_msg("accepted: %.60s", text);
    if (!strstr(e.text, "t.json") || !strstr(e.text, why))
        fail_msg("%.60s: message '%s', expected '%s'", text, e.text, why);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *why;
    } cases[] = {
        {"", "ends before"},
        {"   ", "ends before"},
        {"{", "ends before"},
        {"[1,", "ends before"},
        {"{\"a\"", "expected ':'"},
        {"{\"a\":1", "ends before"},
        {"\"abc", "string without an end"},
        {"1 2", "text after the end"},
        {"{} x", "text after the end"},
        {"[1 2]", "expected ',' or ']'"},
        {"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
        {"[1,]", "expected a JSON value"},
        {"{\"a\":1,}", "expected a key"},
        {"{a:1}", "expected a key"},
        {"{'a':1}", "expected a key"},
        {"['a']", "expected a JSON value"},
        {"[NaN]", "expected a JSON value"},
        {"nan", "expected a JSON value"},
        {"[Infinity]", "expected a JSON value"},
        {"[-Infinity]", "not a JSON number"},
        {"[+1]", "expected a JSON value"},
        {"[01]", "not a JSON number"},
        {"[.5]", "expected a JSON value"},
        {"[1.]", "not a JSON number"},
        {"[1e]", "not a JSON number"},
        {"[-]", "not a JSON number"},
        {"[0x10]", "expected ',' or ']'"},
        {"[tru]", "expected a JSON value"},
        {"[nullx]", "expected ',' or ']'"},
        {"/* c */ 1", "expected a JSON value"},
        {"[18446744073709551616]", "integer beyond 64 bits"},
        {"[-9223372036854775809]", "integer beyond 64 bits"},
        {"[99999999999999999999999999999]", "integer beyond 64 bits"},
        {"[1e999]", "too large for a double"},
        {"[-1.0e309]", "too large for a double"},
        {"[1e99999999999999999999]", "too large for a double"},
        {"{\"a\":1,\"a\":2}", "key \"a\" appears twice"},
        {"{\"a\":1,\"\\u0061\":2}", "key \"a\" appears twice"},
        {"{\"x\":{\"k\":1,\"m\":0,\"k\":1}}", "key \"k\" appears twice"},
        {"{\"a\\u0000b\":1}", "U+0000"},
        {"[\"\\x41\"]", "unknown escape"},
        {"[\"\\u12g4\"]", "four hexadecimal digits"},
        {"[\"\\u12", "four hexa"},
        {"[\"a\nb\"]", "control character"},
        {"[\"\xff\"]", "invalid UTF-8"},
        {"[\"\xc0\x80\"]", "invalid UTF-8"},
        {"[\"\xed\xa0\x80\"]", "invalid UTF-8"},
        {"[\"\xf4\x90\x80\x80\"]", "invalid UTF-8"},
        {"[\"\xe2\x82\"]", "invalid UTF-8"},
        {"\xef\xbb\xbf{}", "expected a JSON value"},
        {"]", "expected a JSON value"},
        {"{]", "expected a key"},
        {"[}", "expected a JSON value"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].why);
    refused("[1]\0", 4, "text after the end");
    refused("[\"a\0b\"]", 7, "control character");
}

/* Strings are scanned in steps of eight bytes: a bad or special byte anywhere in a long one must
 * not slip through. */
static void test_every_byte_of_a_long_string(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t at = 1; at < 25; at++) {
            char text[27];
            memset(text, 'a', sizeof text - 1);
            text[0] = text[25] = '"';
            text[26] = 0;
            text[at] = (char)c;
            struct err e;
            struct json_object *o = NULL;
            const int rc = json_read(text, 26, "t.json", &o, &e);
            const bool good = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            if ((rc == 0) != good)
                fail_msg("byte %02x at %zu: %s", c, at, rc == 0 ? "accepted" : e.text);
            json_object_put(o);
        }
    }
}

static void test_offsets_are_named(void **state)
{
    (void)state;
    struct err e;
    struct json_object *o;
    expect_error(read_text("{\"a\": nope}", &o, &e), GLIM_EFORMAT, &e, "t.json: byte 6: ", NULL);
    expect_error(read_text("[\"ok\", \"\xff\"]", &o, &e), GLIM_EFORMAT, &e, "byte 8", NULL);
}

/* n times `open`, then `close`. */
static char *nested(size_t n, char open, char close)
{
    char *const s = malloc(2 * n + 1);
    memset(s, open, n);
    memset(s + n, close, n);
    s[2 * n] = 0;
    return s;
}

static void test_depth(void **state)
{
    (void)state;
    struct err e;
    struct json_object *o;
    char *s = nested(JSON_DEPTH, '[', ']');
    assert_int_equal(read_text(s, &o, &e), 0);
    json_object_put(o);
    free(s);
    s = nested(JSON_DEPTH + 1, '[', ']');
    expect_error(read_text(s, &o, &e), GLIM_EFORMAT, &e, "deeper than 64", NULL);
    free(s);
    s = nested(1000000, '[', ']');
    expect_error(read_text(s, &o, &e), GLIM_EFORMAT, &e, "deeper than 64", NULL);
    free(s);
}

static void test_long_numbers(void **state)
{
    (void)state;
    struct err e;
    struct json_object *o;
    char *const s = malloc(1000003);
    memset(s, '1', 1000002);
    s[1000002] = 0;
    expect_error(read_text(s, &o, &e), GLIM_EFORMAT, &e, "integer beyond", NULL);
    s[1] = '.';
    expect_error(read_text(s, &o, &e), GLIM_EFORMAT, &e, "1000 characters", NULL);
    s[1000] = 0;
    assert_int_equal(read_text(s, &o, &e), 0);
    json_object_put(o);
    free(s);
}

static void test_many_values(void **state)
{
    (void)state;
    const size_t n = JSON_MAX_NODES;
    char *const s = malloc(2 * n + 3);
    s[0] = '[';
    for (size_t i = 0; i < n; i++)
        memcpy(s + 1 + 2 * i, "1,", 2);
    s[2 * n] = ']';
    s[2 * n + 1] = 0;
    struct err e;
    struct json_object *o;
    expect_error(read_text(s, &o, &e), GLIM_ELIMIT, &e, "more than 4000000 values", NULL);
    free(s);
}

static void test_many_keys_are_quick(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    buf_addc(&b, '{');
    for (int i = 0; i < 200000; i++)
        buf_addf(&b, "%s\"model.layers.%d.weight\":%d", i ? "," : "", i, i);
    buf_addc(&b, '}');
    struct err e;
    struct json_object *o;
    assert_int_equal(json_read(b.data, b.len, "t.json", &o, &e), 0);
    assert_int_equal(json_object_object_length(o), 200000);
    json_object_put(o);
    b.len--;
    buf_adds(&b, ",\"model.layers.77777.weight\":0}");
    expect_error(json_read(b.data, b.len, "t.json", &o, &e), GLIM_EFORMAT, &e,
                 "\"model.layers.77777.weight\"", NULL);
    buf_deinit(&b);
}

static void test_same_key_in_different_objects(void **state)
{
    (void)state;
    struct err e;
    struct json_object *o;
    assert_int_equal(
        read_text("{\"a\":{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]},\"b\":0,\"\\u0062c\":1}",
                  &o, &e),
        0);
    json_object_put(o);
}

/* Reads `text` and writes it as Python does. */
static void python(const char *text, const char *expected)
{
    struct err e;
    struct json_object *o;
    if (read_text(text, &o, &e) != 0)
        fail_msg("%s: %s", text, e.text);
    struct buf b;
    buf_init(&b);
    json_write_python(&b, o);
    assert_string_equal(b.data, expected);
    buf_deinit(&b);
    json_object_put(o);
}

/* The expected strings are what python3 -c 'print(json.dumps(json.loads(text),
 * ensure_ascii=False))' prints. */
static void test_python_bytes(void **state)
{
    (void)state;
    python("null", "null");
    python(" true ", "true");
    python("[]", "[]");
    python("{}", "{}");
    python("{\"b\":1,\"a\":[1,2,{\"c\":null}],\"d\":{}}",
           "{\"b\": 1, \"a\": [1, 2, {\"c\": null}], \"d\": {}}");
    python("[0,-0,-1,9223372036854775807,-9223372036854775808,9223372036854775808,"
           "18446744073709551615]",
           "[0, 0, -1, 9223372036854775807, -9223372036854775808, 9223372036854775808, "
           "18446744073709551615]");
    python(
        "[1.0,1e5,1e15,1e16,1.5e16,123456789012345680,1e22,1e-4,1e-5,0.00012,1e-7,0.1,-0.0,5e-324]",
        "[1.0, 100000.0, 1000000000000000.0, 1e+16, 1.5e+16, 123456789012345680, 1e+22, 0.0001, "
        "1e-05, 0.00012, "
        "1e-07, 0.1, -0.0, 5e-324]");
    python("[1.7976931348623157e308,0.30000000000000004,2.5,123456.789,3.141592653589793,1E+2,100."
           "0e-2,1e100]",
           "[1.7976931348623157e+308, 0.30000000000000004, 2.5, 123456.789, 3.141592653589793, "
           "100.0, 1.0, 1e+100]");
    python(
        "[9007199254740993.0,4.35,0.000123456789,1234567890123456.7,12345678901234567.0]",
        "[9007199254740992.0, 4.35, 0.000123456789, 1234567890123456.8, 1.2345678901234568e+16]");
    python(
        "\"a\\u001f\\n\\r\\t\\b\\f\\\\\\\"\\/\\u007f\\u00e9\\u4e2d\\ud83d\\ude00\\u2028\"",
        "\"a\\u001f\\n\\r\\t\\b\\f\\\\\\\"/\x7f\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\xe2\x80\xa8\"");
    python("\"x\\u0000y\"", "\"x\\u0000y\"");
    python("{\"k\\n\":\"\\ud800\"}", "{\"k\\n\": \"\xef\xbf\xbd\"}");
}

/* Values are made as they were written, and written as they were read. */
static void test_read_and_written(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":[1.50,-0.0,1e5,0,-0,18446744073709551615,-9223372036854775808,2.5E-3],"
        "\"\\u0041\\n\":{\"\":\"x\\u0000\\ud83d\\ude00/\"},\"c\":[null,true,false,[],{}]}";
    static const char written[] =
        "{\"a\":[1.50,-0.0,1e5,0,0,18446744073709551615,-9223372036854775808,2.5E-3],"
        "\"A\\n\":{\"\":\"x\\u0000\xf0\x9f\x98\x80/\"},\"c\":[null,true,false,[],{}]}";
    struct json_object *o;
    struct buf b;
    assert_int_equal(read_text(text, &o, NULL), 0);
    buf_init(&b);
    json_write(&b, o);
    assert_string_equal(b.data, written);
    buf_deinit(&b);
    struct json_object *const a = json_object_object_get(o, "a");
    assert_true(json_object_get_double(json_object_array_get_idx(a, 0)) == 1.5);
    assert_true(signbit(json_object_get_double(json_object_array_get_idx(a, 1))));
    assert_true(json_object_get_uint64(json_object_array_get_idx(a, 5)) == UINT64_MAX);
    assert_true(json_object_get_int64(json_object_array_get_idx(a, 6)) == INT64_MIN);
    struct json_object *const inner = json_object_object_get(o, "A\n");
    assert_int_equal(json_object_get_string_len(json_object_object_get(inner, "")), 7);
    json_object_put(o);
}

static void test_file(void **state)
{
    (void)state;
    char *const dir = scratch_new();
    const char *const p = path_in(dir, "c.json");
    write_text(p, "{\"a\": [1, 2]}\n");
    struct err e;
    struct json_object *o;
    assert_int_equal(json_read_file(p, 100, &o, &e), 0);
    json_object_put(o);
    expect_error(json_read_file(p, 5, &o, &e), GLIM_ELIMIT, &e, "c.json", NULL);
    write_text(p, "{\"a\": [1, 2}\n");
    expect_error(json_read_file(p, 100, &o, &e), GLIM_EFORMAT, &e, p, "byte 11", NULL);
    expect_error(json_read_file(path_in(dir, "none"), 100, &o, &e), GLIM_EIO, &e, "none", NULL);
    scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_every_byte_of_a_long_string),
        cmocka_unit_test(test_offsets_are_named),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_long_numbers),
        cmocka_unit_test(test_many_values),
        cmocka_unit_test(test_many_keys_are_quick),
        cmocka_unit_test(test_same_key_in_different_objects),
        cmocka_unit_test(test_python_bytes),
        cmocka_unit_test(test_read_and_written),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
