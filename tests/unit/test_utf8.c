/* test_utf8.c - invalid UTF-8 -> U+FFFD, whole and in a stream. Expected texts are Python's
 * decode("utf-8", "replace"). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "text/tokenizer.h"

#define R UTF8_REPLACEMENT

struct pair {
    const char *in, *out;
    size_t len; /* of in; 0: strlen */
};

static const struct pair cases[] = {
    {"plain \xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80", "plain \xC3\xA9 \xE4\xB8\xAD \xF0\x9F\x98\x80",
     0},
    {"\x80", R, 0},
    {"\xBF\x80", R R, 0},
    {"\xC0\xAF", R R, 0}, /* overlong */
    {"\xE0\x80\xAF", R R R, 0},
    {"\xF0\x80\x80\xAF", R R R R, 0},
    {"\xED\xA0\x80", R R R, 0}, /* surrogates */
    {"\xED\xA0\x80\xED\xB0\x80", R R R R R R, 0},
    {"\xF4\x90\x80\x80", R R R R, 0}, /* beyond U+10FFFF */
    {"\xF8\x88\x80\x80\x80", R R R R R, 0},
    {"\xE4\xB8", R, 0}, /* incomplete end */
    {"\xF0\x9F\x98", R, 0},
    {"\xE4\xB8x", R "x", 0}, /* maximal subpart, then the next character */
    {"\xF0\x9F\x98\xE4\xB8\xAD", R "\xE4\xB8\xAD", 0},
    {"\xC3(", R "(", 0},
    {"a\xFF\xFE z", "a" R R " z", 0},
    {"\xEF\xBB\xBF"
     "bom",
     "\xEF\xBB\xBF"
     "bom",
     0}, /* a byte order mark is a character */
    {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF", 0},
    {"nul\0inside\x80", "nul\0inside" R, 11},
};

static size_t in_len(const struct pair *p) { return p->len ? p->len : strlen(p->in); }

static size_t out_len(const struct pair *p)
{
    return p->len ? p->len - 1 + strlen(R) : strlen(p->out);
}

static void whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf b;
        buf_init(&b);
        utf8_append_valid(&b, cases[i].in, in_len(&cases[i]));
        assert_int_equal(b.len, out_len(&cases[i]));
        assert_memory_equal(b.data, cases[i].out, b.len);
        buf_deinit(&b);
    }
}

/* Feeds in[0..len) in steps of `step` bytes and checks that nothing broken is ever shown. */
static void stream_in_steps(const char *in, size_t len, size_t step, struct buf *b)
{
    struct tok_stream s = {0};
    for (size_t at = 0; at < len; at += step) {
        const size_t n = len - at < step ? len - at : step;
        tok_stream_add(&s, in + at, n, false, b);
        size_t used;
        for (size_t i = 0; i < b->len; i += used)
            assert_int_equal(utf8_classify(b->data + i, b->len - i, &used), UTF8_OK);
    }
    tok_stream_add(&s, NULL, 0, true, b);
}

static void streamed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t step = 1; step <= 6; step++) {
            struct buf b;
            buf_init(&b);
            stream_in_steps(cases[i].in, in_len(&cases[i]), step, &b);
            assert_int_equal(b.len, out_len(&cases[i]));
            assert_memory_equal(b.data, cases[i].out, b.len);
            buf_deinit(&b);
        }
    }
}

/* A character is shown with the byte that completes it, not later. */
static void nothing_is_held_back(void **state)
{
    (void)state;
    struct tok_stream s = {0};
    struct buf b;
    buf_init(&b);
    tok_stream_add(&s, "\xF0\x9F", 2, false, &b);
    assert_int_equal(b.len, 0);
    tok_stream_add(&s, "\x98\x80z", 3, false, &b);
    assert_string_equal(b.data, "\xF0\x9F\x98\x80z");
    tok_stream_add(&s, "\xE4", 1, false, &b);
    tok_stream_add(&s, "a", 1, false, &b);
    assert_string_equal(b.data, "\xF0\x9F\x98\x80z" R "a");
    buf_deinit(&b);
}

static void cut_at_a_character(void **state)
{
    (void)state;
    static const char text[] = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80";
    static const size_t whole_len[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10};
    for (size_t n = 0; n < sizeof text; n++)
        assert_int_equal(utf8_whole_len(text, n), whole_len[n]);
    assert_int_equal(utf8_whole_len("a\x80\x80\x80", 4), 4); /* no end of anything */
    assert_int_equal(utf8_whole_len("a\xF8\x80", 3), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(streamed),
        cmocka_unit_test(nothing_is_held_back),
        cmocka_unit_test(cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
