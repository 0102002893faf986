/* test_gguf.c - GGUF files and sets, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "base/util.h"
#include "formats/tensorfile.h"
#include "util/files.h"

enum { F32 = 0, Q8_0 = 8, Q4_K = 12, I8 = 24 }; /* tensor type ids */

static int open_bytes(const struct buf *b, struct tensorfile **f, struct err *e)
{
    const char *const p = path_in(scratch, "t.gguf");
    write_file(p, b->data, b->len);
    return tensorfile_open(f, p, e);
}

static void refused(const struct buf *b, const char *why)
{
    struct tensorfile *f;
    struct err e;
    const int rc = open_bytes(b, &f, &e);
    if (rc == 0)
        fail_msg("accepted, expected '%s'", why);
    if (!strstr(e.text, "t.gguf: ") || !strstr(e.text, why))
        fail_msg("message '%s', expected '%s'", e.text, why);
    assert_null(f);
}

static const uint64_t d2[] = {32, 2}, d1[] = {5};

/* One of everything: every value type, an array of numbers, one of strings, two tensors. */
static void put_good(struct buf *b, uint32_t version)
{
    put_gguf_head(b, version, 2, 15);
    for (uint32_t t = 0; t < GGUF_TYPE_COUNT; t++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%02u", t);
        put_key(b, key, t);
        if (t == GGUF_STRING) {
            put_str(b, "text");
        } else if (t == GGUF_ARRAY) {
            put_u32(b, GGUF_STRING);
            put_u64(b, 3);
            put_str(b, "one");
            put_str(b, "");
            put_str(b, "three");
        } else {
            buf_addc(b, 1);
            put_zeros(b, gguf_type_bytes(t) - 1);
        }
    }
    put_key(b, "nums", GGUF_ARRAY);
    put_u32(b, GGUF_I32);
    put_u64(b, 2);
    put_u32(b, 7);
    put_u32(b, UINT32_MAX);
    put_key(b, "general.alignment", GGUF_U32);
    put_u32(b, 64);
    put_info(b, "w", 2, d2, Q8_0, 64);
    put_info(b, "v", 1, d1, F32, 0);
    put_align(b, 64);
    put_zeros(b, 64 + 68);
    buf_adds(b, "bytes after the end");
}

static void test_reads(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct buf b;
        buf_init(&b);
        put_good(&b, version);
        struct tensorfile *f;
        struct err e;
        if (open_bytes(&b, &f, &e) != 0)
            fail_msg("%s", e.text);
        assert_int_equal(tensorfile_format(f), FORMAT_GGUF);
        assert_int_equal(tensorfile_count(f), 2);
        const struct tensor *const w = tensorfile_find(f, "w"), *const v = tensorfile_find(f, "v");
        assert_int_equal(w->type, DT_Q8_0);
        assert_int_equal(w->rank, 2);
        assert_int_equal(w->dim[0], 2); /* the file's order is reversed */
        assert_int_equal(w->dim[1], 32);
        assert_int_equal(w->bytes, 68);
        assert_int_equal(w->offset % 64, 0);
        assert_int_equal(w->offset, v->offset + 64);
        assert_int_equal(v->bytes, 20);
        const struct meta *const m = tensorfile_meta(f);
        assert_int_equal(meta_count(m), 15);
        uint64_t u = 0;
        const char *s = NULL;
        assert_int_equal(meta_get_u64(m, "k10", true, 0, 9, &u, &e), 0);
        assert_int_equal(u, 1);
        assert_int_equal(meta_get_str(m, "k08", true, &s, &e), 0);
        assert_string_equal(s, "text");
        struct meta_iter it;
        struct meta_value x;
        assert_int_equal(meta_array_len(m, "k09"), 3);
        assert_true(meta_array_begin(m, "k09", &it));
        assert_true(meta_array_next(&it, &x) && x.s.len == 3);
        assert_true(meta_array_next(&it, &x) && x.s.len == 0);
        assert_true(meta_array_next(&it, &x) && memcmp(x.s.data, "three", 5) == 0);
        assert_false(meta_array_next(&it, &x));
        assert_true(meta_array_begin(m, "nums", &it));
        assert_true(meta_array_next(&it, &x) && x.u == 7);
        assert_true(meta_array_next(&it, &x) && x.i == -1);
        tensorfile_close(f);
        buf_deinit(&b);
    }
}

/* Every prefix is refused or reads (the file's tail is not needed); every byte changed likewise. */
static void test_every_byte(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    put_good(&b, 3);
    struct tensorfile *f;
    struct err e;
    const size_t whole = b.len, needed = whole - strlen("bytes after the end");
    for (b.len = 0; b.len < whole; b.len++) {
        const int rc = open_bytes(&b, &f, &e);
        assert_int_equal(rc == 0, b.len >= needed);
        if (rc != 0)
            expect_error(rc, rc, &e, "t.gguf: ", NULL);
        tensorfile_close(f);
    }
    for (size_t i = 0; i < whole; i++) {
        const char old = b.data[i];
        const char values[] = {
            0, (char)0xff, (char)(old ^ 1), (char)(old ^ 0x80), (char)(old + 1), (char)(old - 1)};
        for (size_t k = 0; k < sizeof values; k++) {
            b.data[i] = values[k];
            const int rc = open_bytes(&b, &f, &e);
            if (rc != 0)
                expect_error(rc, rc, &e, "t.gguf", NULL);
            tensorfile_close(f);
        }
        b.data[i] = old;
    }
    buf_deinit(&b);
}

static void test_preamble(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    refused(&b, "magic");
    buf_adds(&b, "GGU");
    refused(&b, "magic");
    buf_adds(&b, "GXX");
    refused(&b, "magic");
    static const struct { uint32_t version; const char *why;
    } versions[] = {
        {0, "version 0"},           {1, "version 1"},           {4, "version 4"},
        {0x03000000, "big-endian"}, {0x02000000, "big-endian"}, {UINT32_MAX, "version 4294967295"},
    };
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        buf_clear(&b);
        put_gguf_head(&b, versions[i].version, 0, 0);
        refused(&b, versions[i].why);
    }
    static const uint64_t counts[] = {1,          1000,       1ull << 31,         1ull << 32,
                                      1ull << 63, UINT64_MAX, UINT64_MAX / 14 + 1};
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        buf_clear(&b);
        put_gguf_head(&b, 3, counts[i], 0);
        refused(&b, "number of tensors");
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, counts[i]);
        refused(&b, "number of keys");
    }
    buf_deinit(&b);
}

static void test_keys(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    static const uint64_t lengths[] = {0,          100,        65536,      1ull << 31,
                                       1ull << 32, 1ull << 63, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_u64(&b, lengths[i]);
        put_zeros(&b, 20);
        refused(&b, "a key");
    }
    buf_clear(&b);
    put_gguf_head(&b, 3, 0, 1);
    put_u64(&b, 65536);
    for (int i = 0; i < 65536; i++)
        buf_addc(&b, 'k');
    put_zeros(&b, 8);
    refused(&b, "at most 65535");
    static const struct { const char *key; size_t n; const char *why; } keys[] = {
        {"a\0b", 3, "holds a 0 byte"}, {"\xff", 1, "is not UTF-8"}, {"\xc0\x80", 2, "is not UTF-8"},
    };
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_u64(&b, keys[i].n);
        buf_add(&b, keys[i].key, keys[i].n);
        put_u32(&b, GGUF_U8);
        put_zeros(&b, 8);
        refused(&b, keys[i].why);
    }
    buf_clear(&b);
    put_gguf_head(&b, 3, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_key(&b, "same.key", GGUF_U8);
        buf_addc(&b, 1);
    }
    refused(&b, "\"same.key\" appears twice");
    buf_deinit(&b);
}

static void test_values(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    static const uint32_t types[] = {13, 14, 255, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_key(&b, "k", types[i]);
        put_zeros(&b, 32);
        refused(&b, "key \"k\": value type");
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_key(&b, "k", GGUF_ARRAY);
        put_u32(&b, types[i]);
        put_zeros(&b, 32);
        refused(&b, "key \"k\": array of value type");
    }
    static const struct { uint32_t type; uint64_t n; const char *why;
    } arrays[] = {
        {GGUF_ARRAY, 1, "array of arrays"},
        {GGUF_U64, 1ull << 61, "more values"},
        {GGUF_U8, 41, "more values"},
        {GGUF_F64, UINT64_MAX, "more values"},
        {GGUF_STRING, 1ull << 61, "more strings"},
        {GGUF_STRING, 6, "more strings"},
        {GGUF_I16, 1ull << 63, "more values"},
        {GGUF_BOOL, 40, "neither 0 nor 1"},
    };
    for (size_t i = 0; i < COUNT_OF(arrays); i++) {
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_key(&b, "k", GGUF_ARRAY);
        put_u32(&b, arrays[i].type);
        put_u64(&b, arrays[i].n);
        for (int k = 0; k < 40; k++)
            buf_addc(&b, 2);
        refused(&b, arrays[i].why);
    }
    static const uint64_t lengths[] = {9, 1ull << 31, 1ull << 63, UINT64_MAX, UINT64_MAX - 8};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_key(&b, "k", GGUF_STRING);
        put_u64(&b, lengths[i]);
        put_zeros(&b, 8);
        refused(&b, "a string value needs");
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_key(&b, "k", GGUF_ARRAY);
        put_u32(&b, GGUF_STRING);
        put_u64(&b, 2);
        put_str(&b, "x");
        put_u64(&b, lengths[i]);
        put_zeros(&b, 8);
        refused(&b, "string 1 of 2 runs past the end");
    }
    buf_clear(&b);
    put_gguf_head(&b, 3, 0, 1);
    put_key(&b, "k", GGUF_BOOL);
    buf_addc(&b, 2);
    put_zeros(&b, 8);
    refused(&b, "neither 0 nor 1");
    buf_deinit(&b);
}

static void test_alignment(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    static const struct { uint32_t type; uint64_t v; const char *why;
    } cases[] = {
        {GGUF_U32, 0, "value 0, expected 8 to"},
        {GGUF_U32, 1, "value 1, expected"},
        {GGUF_U32, 13, "power of two"},
        {GGUF_U32, 1u << 31, "value 2147483648"},
        {GGUF_U64, 1ull << 63, "value 9223372036854775808"},
        {GGUF_F32, 0x42000000, "value 32, expected an integer"},
        {GGUF_I32, UINT32_MAX, "value -1"},
        {GGUF_STRING, 0, "value \"\", expected an integer"},
        {GGUF_BOOL, 1, "value true"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buf_clear(&b);
        put_gguf_head(&b, 3, 0, 1);
        put_key(&b, "general.alignment", cases[i].type);
        put_u64(&b, cases[i].v);
        refused(&b, cases[i].why);
    }
    buf_deinit(&b);
}

/* A file with one tensor of this info and `data` bytes. */
static void put_one(struct buf *b, const char *name, int rank, const uint64_t *dim, uint32_t type,
                    uint64_t offset, size_t data)
{
    buf_clear(b);
    put_gguf_head(b, 3, 1, 0);
    put_info(b, name, rank, dim, type, offset);
    put_align(b, 32);
    put_zeros(b, data);
}

static void test_tensors(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    static const struct {
        int rank;
        uint64_t dim[5];
        uint32_t type;
        uint64_t offset;
        const char *why;
    } cases[] = {
        {0, {0}, F32, 0, "rank 0, expected 1 to 4"},
        {5, {1, 1, 1, 1, 1}, F32, 0, "rank 5"},
        {1, {0}, F32, 0, "dimension 0 is 0"},
        {2, {4, 0}, F32, 0, "dimension 1 is 0"},
        {1, {1ull << 63}, F32, 0, "dimension 0 is 9223372036854775808"},
        {1, {UINT64_MAX}, F32, 0, "dimension 0"},
        {2, {1ull << 32, 1ull << 32}, F32, 0, "overflows"},
        {4, {65536, 65536, 65536, 65536}, I8, 0, "overflows"},
        {1, {INT64_MAX}, F32, 0, "overflows"},
        {1, {INT64_MAX}, I8, 0, "end within the file"},
        {2, {2147483648, 2}, Q4_K, 0, "end within"},
        {1, {33}, F32, 0, "end within the file's"},
        {1, {31}, Q8_0, 0, "rows of 31 values, expected a multiple of 32"},
        {2, {128, 2}, Q4_K, 0, "multiple of 256"},
        {1, {1}, 4, 0, "tensor \"t\": type id 4"},
        {1, {1}, 31, 0, "type id 31"},
        {1, {1}, 100, 0, "type id 100"},
        {1, {1}, UINT32_MAX, 0, "type id 4294967295"},
        {1, {1}, 1u << 31, 0, "type id 2147483648"},
        {1, {1}, F32, 1, "offset 1, expected a multiple"},
        {1, {1}, F32, 160, "end within"},
        {1, {1}, F32, UINT64_MAX - 31, "offset 18446744073709551584, expected"},
        {1, {1}, F32, 1ull << 63, "end within"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        put_one(&b, "t", cases[i].rank, cases[i].dim, cases[i].type, cases[i].offset, 128);
        refused(&b, cases[i].why);
    }
    put_one(&b, "", 1, d1, F32, 0, 128);
    refused(&b, "a tensor's name is empty");
    put_one(&b, "a\xff", 1, d1, F32, 0, 128);
    refused(&b, "is not UTF-8");
    put_one(&b, "0123456789012345678901234567890123456789012345678901234567890123x", 1, d1, F32, 0,
            128);
    refused(&b, "at most 64");
    put_one(&b, "t", 1, d1, F32, 0, 0);
    b.len -= 4; /* not even the padding is there */
    refused(&b, "data should begin at byte");
    struct tensorfile *f;
    struct err e;
    put_one(&b, "0123456789012345678901234567890123456789012345678901234567890123", 1, d1, F32, 96,
            116);
    assert_int_equal(open_bytes(&b, &f, &e), 0); /* a hole in front is fine */
    tensorfile_close(f);
    buf_deinit(&b);
}

static void put_two(struct buf *b, const char *second, uint64_t n, uint64_t offset)
{
    buf_clear(b);
    put_gguf_head(b, 3, 2, 0);
    const uint64_t dim[] = {n};
    put_info(b, "one", 1, dim, I8, 0);
    put_info(b, second, 1, dim, I8, offset);
    put_align(b, 32);
    put_zeros(b, 256);
}

static void test_pairs_of_tensors(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    put_two(&b, "one", 32, 32);
    refused(&b, "tensor \"one\" appears twice");
    put_two(&b, "two", 33, 32);
    refused(&b, "overlaps tensor \"one\"");
    put_two(&b, "two", 32, 0);
    refused(&b, "overlaps");
    put_two(&b, "two", 0x7fffffffffffffc0, 32); /* ggml's own regression: the padded sum wraps */
    refused(&b, "end within");
    struct tensorfile *f;
    struct err e;
    put_two(&b, "two", 32, 32);
    assert_int_equal(open_bytes(&b, &f, &e), 0);
    tensorfile_close(f);
    buf_deinit(&b);
}

/* ---- sets ---- */

static void put_part(struct buf *b, unsigned no, unsigned count, unsigned total, const char *name)
{
    buf_clear(b);
    put_gguf_head(b, 3, 1, 3);
    put_key(b, "split.no", GGUF_U16);
    buf_addc(b, (char)no);
    buf_addc(b, 0);
    put_key(b, "split.count", GGUF_U16);
    buf_addc(b, (char)count);
    buf_addc(b, 0);
    put_key(b, "split.tensors.count", GGUF_I32);
    put_u32(b, total);
    put_info(b, name, 1, d1, F32, 0);
    put_align(b, 32);
    put_zeros(b, 20);
}

static void write_part(const char *set, unsigned file, unsigned no, unsigned count, unsigned total,
                       const char *name)
{
    struct buf b, p;
    buf_init(&b);
    buf_init(&p);
    put_part(&b, no, count, total, name);
    buf_addf(&p, "%s-%05u-of-00003.gguf", set, file);
    write_file(path_in(scratch, p.data), b.data, b.len);
    buf_deinit(&p);
    buf_deinit(&b);
}

static void write_set(const char *set)
{
    write_part(set, 1, 0, 3, 3, "a");
    write_part(set, 2, 1, 3, 3, "b");
    write_part(set, 3, 2, 3, 3, "c");
}

static void test_sets(void **state)
{
    (void)state;
    struct tensorfile *f;
    struct err e;
    write_set("m");
    assert_int_equal(tensorfile_open(&f, path_in(scratch, "m-00001-of-00003.gguf"), &e), 0);
    assert_int_equal(tensorfile_count(f), 3);
    assert_int_equal(tensorfile_maps(f), 3);
    assert_int_equal(tensorfile_find(f, "c")->file, 2);
    tensorfile_close(f);
    expect_error(tensorfile_open(&f, path_in(scratch, "m-00002-of-00003.gguf"), &e), GLIM_EINVAL,
                 &e, "is part 2 of a set of 3: open the first", "m-00001-of-00003.gguf", NULL);

    const char *const first = path_in(scratch, "m-00001-of-00003.gguf");
    const char *const third = path_in(scratch, "m-00003-of-00003.gguf");
    assert_int_equal(remove(third), 0);
    expect_error(tensorfile_open(&f, first, &e), GLIM_EIO, &e, third, "No such file", NULL);
    write_part("m", 3, 1, 3, 3, "c");
    expect_error(tensorfile_open(&f, first, &e), GLIM_EFORMAT, &e, third,
                 "\"split.no\": value 1, expected 2", NULL);
    write_part("m", 3, 2, 4, 3, "c");
    expect_error(tensorfile_open(&f, first, &e), GLIM_EFORMAT, &e, third,
                 "\"split.count\": value 4, expected 3", NULL);
    write_part("m", 3, 2, 3, 3, "a");
    expect_error(tensorfile_open(&f, first, &e), GLIM_EFORMAT, &e, "tensor \"a\" is also in", NULL);
    write_set("m");
    write_part("m", 1, 0, 3, 4, "a");
    expect_error(tensorfile_open(&f, first, &e), GLIM_EFORMAT, &e, first,
                 "\"split.tensors.count\": value 4", "hold 3", NULL);
    write_part("m", 1, 1, 3, 3, "a");
    expect_error(tensorfile_open(&f, first, &e), GLIM_EFORMAT, &e, first,
                 "\"split.no\": value 1, expected 0", NULL);

    struct buf b;
    buf_init(&b);
    put_part(&b, 0, 3, 3, "a");
    refused(&b, "\"split.count\": value 3, expected a file name that ends in -00001-of-00003.gguf");
    put_one(&b, "a", 1, d1, F32, 0, 20);
    write_file(first, b.data, b.len);
    expect_error(tensorfile_open(&f, first, &e), GLIM_EFORMAT, &e, "\"split.no\" is absent", NULL);
    write_file(path_in(scratch, "x-00001-of-00001.gguf"), b.data, b.len);
    assert_int_equal(tensorfile_open(&f, path_in(scratch, "x-00001-of-00001.gguf"), &e), 0);
    tensorfile_close(f);
    write_file(path_in(scratch, "x-00000-of-00001.gguf"), b.data, b.len);
    expect_error(tensorfile_open(&f, path_in(scratch, "x-00000-of-00001.gguf"), &e), GLIM_EINVAL,
                 &e, "part 0", NULL);
    buf_deinit(&b);
}

/* 60,000 tensors and a vocabulary of real size open in well under a second. */
static void test_large_header(void **state)
{
    (void)state;
    enum { TENSORS = 60000, WORDS = 155000 };
    struct buf b;
    buf_init(&b);
    put_gguf_head(&b, 3, TENSORS, 1);
    put_key(&b, "tokenizer.ggml.tokens", GGUF_ARRAY);
    put_u32(&b, GGUF_STRING);
    put_u64(&b, WORDS);
    for (int i = 0; i < WORDS; i++) {
        char word[32];
        (void)snprintf(word, sizeof word, "word%d", i);
        put_str(&b, word);
    }
    const uint64_t dim[] = {8};
    for (int i = 0; i < TENSORS; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "blk.%d.ffn_gate.%d.weight", i % 79, i / 79);
        put_info(&b, name, 1, dim, F32, 32 * (uint64_t)i);
    }
    put_align(&b, 32);
    put_zeros(&b, 32 * TENSORS);
    struct timespec t0, t1;
    struct tensorfile *f;
    struct err e;
    const char *const p = path_in(scratch, "large.gguf");
    write_file(p, b.data, b.len);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    assert_int_equal(tensorfile_open(&f, p, &e), 0);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    const double ms =
        (double)(t1.tv_sec - t0.tv_sec) * 1e3 + (double)(t1.tv_nsec - t0.tv_nsec) / 1e6;
    print_message("opened in %.1f ms\n", ms);
    assert_true(ms < 1000);
    assert_int_equal(tensorfile_count(f), TENSORS);
    assert_non_null(tensorfile_find(f, "blk.78.ffn_gate.1.weight"));
    tensorfile_close(f);
    buf_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),    cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_preamble), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_values),   cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_tensors),  cmocka_unit_test(test_pairs_of_tensors),
        cmocka_unit_test(test_sets),     cmocka_unit_test(test_large_header),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
