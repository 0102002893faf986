/* test_err.c - the error value: codes, prefixes, cuts, and control characters from input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/utf8.h"
#include "base/util.h"

static void test_set(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, GLIM_EIO, "%s: %d", "file", 7), GLIM_EIO);
    assert_int_equal(e.code, GLIM_EIO);
    assert_string_equal(e.text, "file: 7");
    assert_int_equal(err_set(NULL, GLIM_EFORMAT, "nobody reads this"), GLIM_EFORMAT);
    assert_int_equal(err_nomem(&e, "cache", 123), GLIM_ENOMEM);
    assert_string_equal(e.text, "out of memory: cache needs 123 bytes");
}

static void test_prefix(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, GLIM_EFORMAT, "bad magic");
    assert_int_equal(err_prefix(&e, "%s", "a.gguf"), GLIM_EFORMAT);
    assert_string_equal(e.text, "a.gguf: bad magic");
    assert_int_equal(err_prefix(&e, "open"), GLIM_EFORMAT);
    assert_string_equal(e.text, "open: a.gguf: bad magic");
    assert_true(err_prefix(NULL, "x") < 0);
}

/* Too long is cut, never overrun; the terminator stays. */
static void test_cut(void **state)
{
    (void)state;
    struct err e;
    char text[3000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = 0;
    (void)err_set(&e, GLIM_EINVAL, "%s", text);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    (void)err_prefix(&e, "front");
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_int_equal(strncmp(e.text, "front: yyy", 10), 0);
    (void)err_prefix(&e, "%s", text);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

/* A cut never leaves half a character, wherever it falls. */
static void test_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < COUNT_OF(characters); i++) {
        const size_t bytes = strlen(characters[i]);
        char text[3000] = "";
        for (size_t at = 0; at + bytes < sizeof text; at += bytes)
            memcpy(text + at, characters[i], bytes + 1);
        for (int shift = 0; shift < 4; shift++) {
            struct err e;
            (void)err_set(&e, GLIM_EIO, "%.*s%s", shift, "abc", text);
            assert_int_equal(utf8_valid_len(e.text, strlen(e.text)), strlen(e.text));
            assert_true(strlen(e.text) + bytes >= sizeof e.text);
            (void)err_prefix(&e, "%.*s", shift, "abc");
            assert_int_equal(utf8_valid_len(e.text, strlen(e.text)), strlen(e.text));
            assert_true(strlen(e.text) + bytes >= sizeof e.text);
            (void)err_prefix(&e, "%s", text);
            assert_int_equal(utf8_valid_len(e.text, strlen(e.text)), strlen(e.text));
        }
    }
}

/* A name from a file may not fake a second line or drive the terminal. */
static void test_controls(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, GLIM_EFORMAT, "tensor \"%s\"", "a\nerror: b\x1b[2J\x7f\t\r");
    assert_string_equal(e.text, "tensor \"a?error: b?[2J???\"");
    (void)err_prefix(&e, "%s", "p\n");
    assert_string_equal(e.text, "p?: tensor \"a?error: b?[2J???\"");
    static const char other[] = "\xc3\xa9t\xc3\xa9 \xc2\xa0 \xe2\x82\xac";
    (void)err_set(&e, GLIM_EFORMAT, "%s", other);
    assert_string_equal(e.text, other);
    (void)err_set(&e, GLIM_EFORMAT, "%s", "\xc2\x9b" "2J \xc2\x80 \xc2\x9f"); /* C1 */
    assert_string_equal(e.text, "??2J ?? ??");
}

/* Half characters come from names that "%.200s" cut, and from paths in other encodings. */
static void test_always_utf8(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, GLIM_EFORMAT, "tensor \"%.3s\", caf\xe9", "a\xe4\xb8\xad");
    assert_string_equal(e.text, "tensor \"a??\", caf?");
    (void)err_prefix(&e, "%s", "\xff\xc3");
    assert_string_equal(e.text, "??: tensor \"a??\", caf?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_set), cmocka_unit_test(test_prefix),
                                       cmocka_unit_test(test_cut),
                                       cmocka_unit_test(test_cut_between_characters),
                                       cmocka_unit_test(test_controls),
                                       cmocka_unit_test(test_always_utf8)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
