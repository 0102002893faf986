/* test_safetensors.c - headers byte by byte, shards, links; what the reference accepts and
 * refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/util.h"
#include "formats/tensorfile.h"
#include "util/files.h"

static int open_header(const char *header, size_t data_bytes, struct tensorfile **f, struct err *e)
{
    const char *const p = path_in(scratch, "one.safetensors");
    write_safetensors(p, header, data_bytes);
    return tensorfile_open(f, p, e);
}

static void test_reads(void **state)
{
    (void)state;
    struct tensorfile *f;
    struct err e;
    const char *const header = "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[8,32]},"
        "\"a\":{\"data_offsets\":[0,8],\"dtype\":\"I64\",\"shape\":[],\"more\":{\"x\":[1]}},"
        "\"z\":{\"dtype\":\"BF16\",\"shape\":[0,5],\"data_offsets\":[32,32]}}  \n";
    assert_int_equal(open_header(header, 32, &f, &e), 0);
    assert_int_equal(tensorfile_format(f), FORMAT_SAFETENSORS);
    assert_int_equal(tensorfile_count(f), 3);
    assert_int_equal(meta_count(tensorfile_meta(f)), 0);
    const struct tensor *const b = tensorfile_find(f, "b"), *const a = tensorfile_find(f, "a");
    assert_string_equal(tensorfile_at(f, 0)->name, "a");
    assert_int_equal(b->type, DT_F32);
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->dim[0], 2);
    assert_int_equal(b->dim[1], 3);
    assert_int_equal(b->bytes, 24);
    assert_int_equal(b->data[0], 8);
    assert_int_equal(b->offset, 8 + strlen(header) + 8);
    assert_int_equal(a->rank, 0);
    assert_int_equal(a->bytes, 8);
    assert_int_equal(a->data[0], 0);
    assert_int_equal(tensorfile_find(f, "z")->bytes, 0);
    assert_null(tensorfile_find(f, "z")->data);
    assert_null(tensorfile_find(f, "none"));
    assert_int_equal(tensorfile_check(f, &e), 0);
    tensorfile_close(f);
    tensorfile_close(NULL);
}

#define T(name, dtype, shape, begin, end)                                                          \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end \
    "]}"

static void test_loads(void **state)
{
    (void)state;
    static const struct { const char *header; size_t bytes; size_t tensors;
    } cases[] = {
        {"{}", 0, 0},
        {" \n\t{} \n", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{" T("a", "U8", "[1]", 0, 1) "}", 1, 1},
        {"{" T("a", "U8", "[0]", 0, 0) "," T("b", "U8", "[0,18446744073709551615]", 0, 0) "}", 0,
         2},
        {"{" T("a", "U8", "[18446744073709551615,18446744073709551615,0]", 0, 0) "}", 0, 1},
        {"{" T("a", "I32", "[1,1,1,1,1,1,1,1]", 0, 4) "}", 4, 1},
        {"{" T("a", "BOOL", "[2]", 0, 2) "," T("b", "F64", "[1]", 2, 10) "}", 10,
         2}, /* not aligned */
        {"{" T("\\u00e9\\n", "U8", "[1]", 0, 1) "}", 1, 1},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tensorfile *f;
        struct err e;
        if (open_header(cases[i].header, cases[i].bytes, &f, &e) != 0)
            fail_msg("%s: %s", cases[i].header, e.text);
        assert_int_equal(tensorfile_count(f), cases[i].tensors);
        tensorfile_close(f);
    }
}

static void test_refuses(void **state)
{
    (void)state;
    static const struct { const char *header; size_t bytes; const char *why;
    } cases[] = {
        {"[]", 0, "the header is an array"},
        {"", 0, "ends before"},
        {"{}x", 0, "text after the end"},
        {"{\"a\":1}", 0, "tensor \"a\": is not a JSON object"},
        {"{\"a\":{}}", 0, "dtype is absent"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets is absent"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape is absent"},
        {"{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is an integer"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}", 1, "shape is an integer"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "two integers"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1]}}", 1, "two integers"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":{}}}", 1,
         "data_offsets is an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__"},
        {"{\"__metadata__\":[]}", 0, "__metadata__"},
        {"{" T("a", "U8", "[-1]", 0, 1) "}", 1, "shape"},
        {"{" T("a", "U8", "[1.0]", 0, 1) "}", 1, "shape"},
        {"{" T("a", "U8", "[\"1\"]", 0, 1) "}", 1, "shape"},
        {"{" T("a", "U8", "[1]", -1, 1) "}", 1, "two integers"},
        {"{" T("a", "U8", "[1]", 0, 1.0) "}", 1, "two integers"},
        {"{" T("a", "U8", "[1]", 0, 1e0) "}", 1, "two int"},
        {"{" T("a", "U8", "[1]", 1, 0) "}", 1, "the begin is after the end"},
        {"{" T("a", "U8", "[1]", 0, 18446744073709551615) "}", 1, "data_offsets: end"},
        {"{" T("a", "U8", "[1]", 18446744073709551615, 18446744073709551615) "}", 1,
         "data_offsets: end"},
        {"{" T("a", "U8", "[2]", 0, 1) "}", 1, "end within the file"},
        {"{" T("a", "U8", "[1]", 0, 2) "}", 2, "expected 1"},
        {"{" T("a", "F32", "[4294967296,4294967296]", 0, 1) "}", 1, "overflows"},
        {"{" T("a", "U8", "[2,18446744073709551614]", 0, 1) "}", 1, "overflows"},
        {"{" T("a", "F32", "[9223372036854775807,2]", 0, 1) "}", 1, "overflows"},
        {"{" T("a", "F16", "[9223372036854775808]", 0, 0) "}", 0, "overflows"},
        {"{" T("a", "U8", "[4294967296,4294967296,5]", 0, 0) "}", 0, "overflows"},  /* wraps to 0 */
        {"{" T("a", "U8", "[3,12297829382473034411,1]", 0, 1) "}", 1, "overflows"}, /* wraps to 1 */
        {"{" T("a", "F8_E4M3FN", "[1]", 0, 1) "}", 1, "F8_E4M3FN"},
        {"{" T("a", "f32", "[1]", 0, 4) "}", 4, "\"f32\""},
        {"{" T("a", "F4", "[3]", 0, 2) "}", 2, "\"F4\""},
        {"{" T("a", "U8\\u0000x", "[1]", 0, 1) "}", 1, "dtype"},
        {"{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1) "}", 1, "rank 9, expected 0 to 8"},
        {"{" T("a", "U8", "[1]", 0, 1) "}", 2, "data of 2 bytes, expected 1"},
        {"{" T("a", "U8", "[3]", 0, 3) "}", 1, "data_offsets: end 3, the data has 1"},
        {"{" T("a", "U8", "[1]", 1, 2) "}", 2, "a hole in the data"},
        {"{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[2]", 1, 3) "}", 3, "overlap"},
        {"{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[2]", 0, 2) "}", 2, "overlap"},
        {"{" T("a", "U8", "[2]", 0, 2) "," T("b", "U8", "[1]", 3, 4) "}", 4,
         "tensor \"b\": data_offsets: begin 3, expected 2"},
        {"{" T("a", "U8", "[1]", 0, 1) "," T("a", "U8", "[1]", 1, 2) "}", 2, "\"a\" appears twice"},
        {"{" T("a", "U8", "[1]", 0, 1) "," T("\\u0061", "U8", "[1]", 1, 2) "}", 2,
         "\"a\" appears twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "\"shape\" appears twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "appears twice"},
        {"{" T("\\ud800", "U8", "[1]", 0, 1) "}", 1, "surrogate"},
        {"{" T("a\\u0000", "U8", "[1]", 0, 1) "}", 1, "U+0000"},
        {"{" T("", "U8", "[1]", 0, 1) "}", 1, "name is empty"},
        {"{\"\xc0\x80\":1}", 0, "invalid UTF-8"},
        {"{\"a\":[[[[[[[[", 0, "not a JSON object"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tensorfile *f;
        struct err e;
        const int rc = open_header(cases[i].header, cases[i].bytes, &f, &e);
        if (rc == 0)
            fail_msg("accepted: %s", cases[i].header);
        if (!strstr(e.text, "one.safetensors: ") || !strstr(e.text, cases[i].why))
            fail_msg("%s: message '%s', expected '%s'", cases[i].header, e.text, cases[i].why);
        assert_null(f);
    }
}

static void test_header_length(void **state)
{
    (void)state;
    static const struct { uint64_t len; const char *why;
    } cases[] = {
        {0, "ends before"},
        {1, "ends before"},
        {3, "the file has 10"},
        {100000000, "the file has 10"},
        {100000001, "expected at most 100000000"},
        {1ull << 63, "at most"},
        {UINT64_MAX, "at most"},
    };
    const char *const p = path_in(scratch, "len.safetensors");
    struct tensorfile *f;
    struct err e;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf b;
        buf_init(&b);
        put_u64(&b, cases[i].len);
        buf_adds(&b, "{}");
        write_file(p, b.data, b.len);
        const int rc = tensorfile_open(&f, p, &e);
        assert_int_not_equal(rc, 0);
        expect_error(rc, rc, &e, p, cases[i].why, NULL);
        buf_deinit(&b);
    }
    for (size_t n = 0; n < 8; n++) {
        write_file(p, "\2\0\0\0\0\0\0", n);
        expect_error(tensorfile_open(&f, p, &e), GLIM_EFORMAT, &e, p, "at least 8", NULL);
    }
}

/* Every prefix of a good file, and every byte of its header changed, ends in an error or in a file
 * that reads. */
static void test_every_byte(void **state)
{
    (void)state;
    const char *const p = path_in(scratch, "bytes.safetensors");
    write_safetensors(p, "{" T("a", "F32", "[2,1]", 0, 8) "," T("b", "U8", "[3]", 8, 11) "}", 11);
    FILE *const in = fopen(p, "rb");
    unsigned char good[512], bad[512];
    const size_t n = fread(good, 1, sizeof good, in);
    fclose(in);
    struct tensorfile *f;
    struct err e;
    for (size_t i = 0; i < n; i++) {
        write_file(p, good, i);
        const int rc = tensorfile_open(&f, p, &e);
        assert_int_not_equal(rc, 0);
        expect_error(rc, rc, &e, p, NULL);
    }
    for (size_t i = 0; i < n; i++) {
        const unsigned char values[] = {0, 0xff, good[i] ^ 1, good[i] ^ 0x80, '"', '9', '{', ']'};
        for (size_t k = 0; k < sizeof values; k++) {
            memcpy(bad, good, n);
            bad[i] = values[k];
            write_file(p, bad, n);
            if (tensorfile_open(&f, p, &e) != 0) {
                expect_error(e.code, e.code, &e, p, NULL);
                continue;
            }
            unsigned sum = 0;
            for (size_t t = 0; t < tensorfile_count(f); t++) {
                for (uint64_t j = 0; j < tensorfile_at(f, t)->bytes; j++)
                    sum += tensorfile_at(f, t)->data[j];
            }
            (void)sum;
            tensorfile_close(f);
        }
    }
}

/* ---- folders ---- */

static const char *file_in(const char *folder, const char *name)
{
    return path_in(path_in(scratch, folder), name);
}

static void make_folder(const char *folder)
{
    assert_int_equal(mkdir(path_in(scratch, folder), 0700), 0);
    write_text(file_in(folder, "config.json"),
               "{\"hidden_size\": 64, \"rope_parameters\": {\"rope_theta\": 8000000}}");
    write_text(file_in(folder, "generation_config.json"), "{\"temperature\": 1.0}");
}

#define INDEX "model.safetensors.index.json"

/* Two shards, a and c in the first, b in the second, and this index. */
static void make_sharded(const char *folder, const char *index)
{
    make_folder(folder);
    write_safetensors(file_in(folder, "s1.safetensors"),
                      "{" T("a", "U8", "[1]", 0, 1) "," T("c", "U8", "[2]", 1, 3) "}", 3);
    write_safetensors(file_in(folder, "s2.safetensors"), "{" T("b", "U8", "[4]", 0, 4) "}", 4);
    write_text(file_in(folder, INDEX), index);
}

static void test_one_file_folder(void **state)
{
    (void)state;
    make_folder("one");
    struct tensorfile *f;
    struct err e;
    expect_error(tensorfile_open(&f, path_in(scratch, "one"), &e), GLIM_EIO, &e,
                 "one/model.safetensors", "No such", NULL);
    write_safetensors(file_in("one", "model.safetensors"), "{" T("a", "U8", "[1]", 0, 1) "}", 1);
    assert_int_equal(tensorfile_open(&f, path_in(scratch, "one/"), &e), 0);
    uint64_t u = 0;
    double t = 0;
    assert_int_equal(meta_get_u64(tensorfile_meta(f), "hidden_size", true, 1, 100, &u, &e), 0);
    assert_int_equal(u, 64);
    assert_int_equal(meta_get_f64(tensorfile_meta(f), "generation.temperature", true, 0, 2, &t, &e),
                     0);
    assert_true(t == 1.0);
    assert_true(meta_has(tensorfile_meta(f), "rope_parameters.rope_theta"));
    expect_error(meta_get_u64(tensorfile_meta(f), "hidden_size", true, 1, 10, &u, &e), GLIM_EFORMAT,
                 &e, "one/config.json: key \"hidden_size\": value 64, expected 1 to 10", NULL);
    tensorfile_close(f);
    write_text(file_in("one", "generation_config.json"), "{");
    expect_error(tensorfile_open(&f, path_in(scratch, "one"), &e), GLIM_EFORMAT, &e,
                 "generation_config.json", NULL);
    write_text(file_in("one", "generation_config.json"), "{}");
    write_text(file_in("one", "config.json"), "[]");
    expect_error(tensorfile_open(&f, path_in(scratch, "one"), &e), GLIM_EFORMAT, &e, "config.json",
                 "not a JSON object", NULL);
    unlink(file_in("one", "config.json"));
    expect_error(tensorfile_open(&f, path_in(scratch, "one"), &e), GLIM_EIO, &e,
                 "one/config.json: No such", NULL);
}

static void test_shards(void **state)
{
    (void)state;
    make_sharded("two", "{\"metadata\":{\"total_size\":7},\"weight_map\":{\"b\":\"s2.safetensors\","
                        "\"a\":\"s1.safetensors\",\"c\":\"s1.safetensors\"}}");
    struct tensorfile *f;
    struct err e;
    assert_int_equal(tensorfile_open(&f, path_in(scratch, "two"), &e), 0);
    assert_int_equal(tensorfile_count(f), 3);
    assert_int_equal(tensorfile_maps(f), 2);
    assert_int_equal(tensorfile_find(f, "b")->bytes, 4);
    assert_string_equal(strrchr(tensorfile_map(f, tensorfile_find(f, "b")->file)->path, '/'),
                        "/s2.safetensors");
    tensorfile_close(f);
}

static void test_bad_index(void **state)
{
    (void)state;
    static const struct { const char *index, *why;
    } cases[] = {
        {"{}", "weight_map is absent"},
        {"{\"weight_map\":{}}", "weight_map is empty"},
        {"[]", "the index is an array"},
        {"{\"weight_map\":[]}", "weight_map is an array"},
        {"{\"weight_map\":{\"a\":1}}", "a shard's name"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"c\":\"s1.safetensors\"}}", ""},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\"}}",
         "s1.safetensors: tensor \"c\" is not in the weight_map"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"c\":\"s1.safetensors\",\"d\":\"s1."
         "safetensors\"}}",
         "tensor \"d\" is not in shard s1.safetensors"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"c\":\"s2.safetensors\",\"b\":\"s2."
         "safetensors\"}}",
         "tensor \"c\" is not in shard s2.safetensors"},
        {"{\"weight_map\":{\"a\":\"s3.safetensors\"}}", "s3.safetensors: No such"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"a\":\"s1.safetensors\"}}",
         "\"a\" appears twice"},
        {"{\"weight_map\":{\"a\":\"../two/s1.safetensors\"}}",
         "expected the name of a file in this folder"},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "expected the name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "expected the name"},
        {"{\"weight_map\":{\"a\":\".\"}}", "expected the name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "empty"},
        {"{\"weight_map\":{\"a\":\"x\\u0000y\"}}", "0 byte"},
        {"{\"weight_map\":{\"a\":\"x\\ny\"}}", "expected the name"},
        {"{\"weight_map\":{\"a\":\"x\\\\y\"}}", "expected the name"},
        {"{\"weight_map\":{\"a\":\"x\\u001by\"}}", "expected the name"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\"}", "ends before"},
        {"{\"weight_map\":{\"a\":\"config.json\"}}", "config.json: header length"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "bad%zu", i);
        make_sharded(name, cases[i].index);
        struct tensorfile *f;
        struct err e;
        const int rc = tensorfile_open(&f, path_in(scratch, name), &e);
        if (cases[i].why[0] == 0) {
            assert_int_equal(rc, 0); /* s2 is not listed: not opened */
            tensorfile_close(f);
            continue;
        }
        if (rc == 0)
            fail_msg("accepted: %s", cases[i].index);
        expect_error(rc, rc, &e, path_in(scratch, name), cases[i].why, NULL);
    }
}

static void test_same_name_in_two_shards(void **state)
{
    (void)state;
    make_sharded("dup", "{\"weight_map\":{\"a\":\"s1.safetensors\",\"c\":\"s1.safetensors\",\"b\":"
                        "\"s2.safetensors\"}}");
    write_safetensors(file_in("dup", "s2.safetensors"),
                      "{" T("b", "U8", "[4]", 0, 4) "," T("a", "U8", "[1]", 4, 5) "}", 5);
    struct tensorfile *f;
    struct err e;
    expect_error(tensorfile_open(&f, path_in(scratch, "dup"), &e), GLIM_EFORMAT, &e,
                 "tensor \"a\" is also in", "s1.saf", "s2.saf", NULL);
}

static void test_links(void **state)
{
    (void)state;
    /* As in the Hugging Face cache: hub/blobs and hub/snapshots/rev. */
    assert_int_equal(mkdir(path_in(scratch, "hub"), 0700), 0);
    assert_int_equal(mkdir(path_in(scratch, "hub/blobs"), 0700), 0);
    assert_int_equal(mkdir(path_in(scratch, "hub/snapshots"), 0700), 0);
    make_folder("hub/snapshots/rev");
    const char *const header = "{" T("a", "U8", "[1]", 0, 1) "}";
    write_safetensors(path_in(scratch, "hub/blobs/0123"), header, 1);
    write_safetensors(path_in(scratch, "hub/blobsX"), header, 1);
    write_safetensors(path_in(scratch, "outside"), header, 1);
    write_safetensors(file_in("hub/snapshots/rev", "real"), header, 1);
    static const struct { const char *to; bool good;
    } cases[] = {
        {"../../blobs/0123", true}, {"real", true},
        {"../../blobsX", false},    {"../../../outside", false},
        {"/etc/passwd", false},     {"../../blobs/../../outside", false},
        {"nowhere", false},         {"model.safetensors", false},
    };
    const char *const folder = path_in(scratch, "hub/snapshots/rev");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *const link = path_in(folder, "model.safetensors");
        (void)unlink(link);
        assert_int_equal(symlink(cases[i].to, link), 0);
        struct tensorfile *f;
        struct err e;
        const int rc = tensorfile_open(&f, folder, &e);
        if ((rc == 0) != cases[i].good)
            fail_msg("link to %s: %s", cases[i].to, rc == 0 ? "accepted" : e.text);
        if (rc != 0)
            expect_error(rc, rc, &e, link, NULL);
        tensorfile_close(f);
    }
}

static void test_odd_files(void **state)
{
    (void)state;
    make_sharded("odd", "{\"weight_map\":{\"a\":\"fifo\"}}");
    assert_int_equal(mkfifo(file_in("odd", "fifo"), 0600), 0);
    struct tensorfile *f;
    struct err e;
    alarm(5);
    expect_error(tensorfile_open(&f, path_in(scratch, "odd"), &e), GLIM_EIO, &e, "odd/fifo",
                 "a FIFO", NULL);
    expect_error(tensorfile_open(&f, file_in("odd", "fifo"), &e), GLIM_EIO, &e, "odd/fifo", NULL);
    alarm(0);
    expect_error(tensorfile_open(&f, "/proc/self/mem", &e), GLIM_EFORMAT, &e, "/proc/self/mem",
                 NULL);
    expect_error(tensorfile_open(&f, "/dev/zero", &e), GLIM_EIO, &e, "/dev/zero", NULL);
    expect_error(tensorfile_open(&f, path_in(scratch, "nothing"), &e), GLIM_EIO, &e, "nothing",
                 NULL);
    write_text(path_in(scratch, "notes.txt"), "hello");
    expect_error(tensorfile_open(&f, path_in(scratch, "notes.txt"), &e), GLIM_EFORMAT, &e,
                 "notes.txt: expected a model", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_one_file_folder),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_bad_index),
        cmocka_unit_test(test_same_name_in_two_shards),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_odd_files),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
