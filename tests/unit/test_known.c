/* test_known.c - sums that others wrote down: manifests, the hub's list, the download tool's notes;
 * above all those that are not what they should be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/util.h"
#include "cli/known.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define B64_UPPER "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
#define C40 "cccccccccccccccccccccccccccccccccccccccc"

static int manifest(struct known *k, const char *text, struct err *e)
{
    *k = (struct known){0};
    return known_manifest(k, text, strlen(text), "SUMS", e);
}

static void expect_sum(const struct known *k, const char *name, const char *hex)
{
    const struct known_file *const f = known_find(k, name);
    assert_non_null(f);
    assert_string_equal(f->sum.hex, hex);
}

static void test_manifest(void **state)
{
    (void)state;
    struct known k;
    struct err e;
    assert_int_equal(manifest(&k,
                              A64 "  text\n" B64_UPPER " *binary\r\n\n" A64 "  ./a b/c  d\n"
                              "\\" B64 "  ./x\n" A64 "  text\n" A64 "  last",
                              &e),
                     0);
    assert_int_equal(k.n, 6);
    expect_sum(&k, "text", A64);
    expect_sum(&k, "binary", B64);
    expect_sum(&k, "a b/c  d", A64);
    expect_sum(&k, "x", B64);
    expect_sum(&k, "last", A64);
    assert_null(known_find(&k, "tex"));
    known_deinit(&k);
}

static void test_bad_manifests(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "\n\n", "text", A64, A64 "\n", A64 "  ", A64 "  \n", A64 " x\n", A64 "\tx\n",
        "  " A64 "  x\n", A64 "x  x\n", "g" A64 "  x\n", C40 "  x\n", A64 " +x\n",
        "SHA256 (x) = " A64 "\n", "\\" A64 "  a\\qb\n", "\\" A64 "  a\\", "\\" A64 "  a\\\\b\n",
        "\\" A64 "  a\\nb\n", A64 "  a\\b\n", A64 "  a\x1b[31mb\n", A64 "  /etc/passwd\n",
        A64 "  ../x\n", A64 "  a/../../x\n", A64 "  a/..\n", A64 "  ./\n", A64 "  .\n",
        A64 "  a//b\n", A64 "  a/\n", A64 "  a/./b\n", A64 "  x\n" B64 "  x\n",
        A64 "  x\n" B64 "  ./x\n",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct known k;
        struct err e;
        if (manifest(&k, bad[i], &e) != GLIM_EFORMAT)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(strncmp(e.text, "SUMS: ", 6), 0);
        known_deinit(&k);
    }
    struct known k = {0};
    struct err e;
    static const char zero[] = A64 "  a\0b\n";
    assert_int_equal(known_manifest(&k, zero, sizeof zero - 1, "SUMS", &e), GLIM_EFORMAT);
    known_deinit(&k);
}

static void test_the_line_is_named(void **state)
{
    (void)state;
    struct known k;
    struct err e;
    assert_int_equal(manifest(&k, A64 "  a\n\n" A64 "  ../b\n", &e), GLIM_EFORMAT);
    assert_string_equal(e.text, "SUMS: line 3: \"../b\" is no name of a file inside the model's "
                                "folder");
    known_deinit(&k);
}

static void test_too_many(void **state)
{
    (void)state;
    struct buf b;
    struct known k = {0};
    struct err e;
    buf_init(&b);
    for (int i = 0; i <= KNOWN_MAX; i++)
        buf_addf(&b, A64 "  %d\n", i);
    assert_int_equal(known_manifest(&k, b.data, b.len, "SUMS", &e), GLIM_ELIMIT);
    assert_string_equal(e.text, "SUMS: line 65537: more than 65536 files");
    known_deinit(&k);
    buf_deinit(&b);
}

static int hub(struct known *k, const char *json, struct err *e)
{
    *k = (struct known){0};
    return known_hub(k, json, strlen(json), "hub", e);
}

static void test_hub(void **state)
{
    (void)state;
    struct known k;
    struct err e;
    assert_int_equal(
        hub(&k,
            "[{\"type\":\"file\",\"path\":\"config.json\",\"oid\":\"" C40 "\",\"size\":7},"
            "{\"type\":\"directory\",\"path\":\"d\",\"oid\":\"x\"},"
            "{\"type\":\"file\",\"path\":\"d/m\",\"oid\":\"" C40 "\",\"size\":1,"
            "\"lfs\":{\"oid\":\"" B64 "\",\"size\":99,\"pointerSize\":1}},"
            "{\"type\":\"file\",\"path\":\"n\",\"lfs\":{\"oid\":\"sha256:" A64 "\"}}]",
            &e),
        0);
    assert_int_equal(k.n, 3);
    expect_sum(&k, "config.json", C40);
    expect_sum(&k, "d/m", B64);
    expect_sum(&k, "n", A64);
    assert_int_equal(known_find(&k, "config.json")->bytes, 7);
    assert_int_equal(known_find(&k, "d/m")->bytes, 99);
    assert_true(known_find(&k, "n")->bytes == UINT64_MAX);
    /* a second page */
    assert_int_equal(known_hub(&k, "[]", 2, "hub", &e), 0);
    assert_int_equal(k.n, 3);
    known_deinit(&k);
}

static void test_bad_hubs(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "[", "{}", "null", "7", "\"x\"", "[7]", "[null]", "[[]]", "[{}]",
        "{\"error\":\"Repository not found\"}",
        "[{\"type\":\"file\",\"path\":\"x\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"oid\":7}]",
        "[{\"type\":\"file\",\"path\":7,\"oid\":\"" C40 "\"}]",
        "[{\"type\":7,\"path\":\"x\",\"oid\":\"" C40 "\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"oid\":\"" A64 "\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"oid\":\"c\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"lfs\":{\"oid\":\"" C40 "\"}}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"lfs\":{}}]",
        "[{\"type\":\"file\",\"path\":\"../x\",\"oid\":\"" C40 "\"}]",
        "[{\"type\":\"file\",\"path\":\"/x\",\"oid\":\"" C40 "\"}]",
        "[{\"type\":\"directory\",\"path\":\"..\",\"oid\":\"" C40 "\"}]",
        "[{\"type\":\"file\",\"path\":\"x\\u0000y\",\"oid\":\"" C40 "\"}]",
        "[{\"type\":\"file\",\"path\":\"x\\u001by\",\"oid\":\"" C40 "\"}]",
        "[{\"type\":\"file\",\"path\":\"\",\"oid\":\"" C40 "\"}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"oid\":\"" C40 "\"},"
        "{\"type\":\"file\",\"path\":\"x\",\"lfs\":{\"oid\":\"" A64 "\"}}]",
        "[{\"type\":\"file\",\"path\":\"x\",\"oid\":\"" C40 "\"}",
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct known k;
        struct err e;
        if (hub(&k, bad[i], &e) != GLIM_EFORMAT)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(strncmp(e.text, "hub: ", 5), 0);
        known_deinit(&k);
    }
}

static void test_find_end(void **state)
{
    (void)state;
    struct known k;
    struct err e;
    assert_int_equal(manifest(&k, A64 "  q4/m.gguf\n" B64 "  q8/m.gguf\n" B64 "  q8/only.gguf\n"
                              A64 "  top.gguf\n", &e), 0);
    assert_string_equal(known_find_end(&k, "/models/x/q8/m.gguf")->name, "q8/m.gguf");
    assert_string_equal(known_find_end(&k, "/q4/m.gguf")->name, "q4/m.gguf");
    assert_string_equal(known_find_end(&k, "q4/m.gguf")->name, "q4/m.gguf");
    assert_null(known_find_end(&k, "/models/m.gguf")); /* which? */
    assert_null(known_find_end(&k, "/models/xq4/m.gguf"));
    assert_string_equal(known_find_end(&k, "/elsewhere/only.gguf")->name, "q8/only.gguf");
    assert_string_equal(known_find_end(&k, "/q4/top.gguf")->name, "top.gguf");
    assert_null(known_find_end(&k, "/q4/other.gguf"));
    known_deinit(&k);
}

static void test_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sum_kind kind;
    } is[] = {
        {C40 "\n" A64 "\n1726498370.84\n", SUM_SHA256},
        {C40 "\n" C40 "\n1726498370.84\n", SUM_GIT},
        {C40 "\r\n" B64_UPPER "\r\n17\r\n", SUM_SHA256},
        {C40 "\n" A64, SUM_SHA256},
        {C40 "\n\"" A64 "\"\n", SUM_NONE},
        {C40 "\n" A64 "0\n", SUM_NONE},
        {C40 "\n\n" A64 "\n", SUM_NONE},
        {A64, SUM_NONE},
        {A64 "\n", SUM_NONE},
        {"", SUM_NONE},
        {"\n", SUM_NONE},
    };
    for (size_t i = 0; i < COUNT_OF(is); i++)
        assert_int_equal(sum_of_metadata(is[i].text, strlen(is[i].text)).kind, is[i].kind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_bad_manifests),
        cmocka_unit_test(test_the_line_is_named),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_hub),
        cmocka_unit_test(test_bad_hubs),
        cmocka_unit_test(test_find_end),
        cmocka_unit_test(test_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
