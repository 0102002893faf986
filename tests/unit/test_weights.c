/* test_weights.c - names to matrices: shapes, types, scales in other shards. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "util/files.h"
#include "weights/weights.h"

static struct kernels kernels;

static void copy_f32(float *y, const void *x, size_t n) { memcpy(y, x, n * sizeof *y); }

static int setup(void **state)
{
    kernels.dequant[DT_F32] = copy_f32;
    return scratch_setup(state);
}

/* A shard: this header, then these floats and zeros up to data_bytes. */
static void write_shard(const char *path, const char *header, const float *v, size_t n,
                        size_t data_bytes)
{
    struct buf b;
    buf_init(&b);
    char padded[2048];
    (void)snprintf(padded, sizeof padded, "%s", header);
    size_t len = strlen(padded);
    while (len % 8 != 0)
        padded[len++] = ' ';
    put_u64(&b, len);
    buf_add(&b, padded, len);
    for (size_t i = 0; i < n; i++)
        put_f32(&b, v[i]);
    put_zeros(&b, data_bytes - 4 * n);
    write_file(path, b.data, b.len);
    buf_deinit(&b);
}

/* w [130,256] in F8 with its 2x2 grid in the other shard; m, v, s in F32. */
static void make_model(const char *folder, const float *scale)
{
    mkdir(path_in(scratch, folder), 0700);
    const char *const p = path_in(scratch, folder);
    write_text(path_in(p, "config.json"), "{}");
    write_text(path_in(p, "model.safetensors.index.json"),
               "{\"weight_map\":{\"w\":\"1.st\",\"m\":\"1.st\",\"v\":\"1.st\",\"i\":\"1.st\",\"w_"
               "scale_inv\":\"2.st\","
               "\"stack\":\"2.st\",\"n\":\"1.st\",\"col\":\"1.st\",\"lost\":\"1.st\","
               "\"f8s\":\"2.st\",\"e\":\"2.st\"}}");
    const float v[] = {1, 2, 3, 4, 5, 6, NAN};
    write_shard(path_in(p, "1.st"),
                "{\"m\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                "\"n\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[24,28]},"
                "\"v\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[28,40]},"
                "\"i\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[40,56]},"
                "\"col\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[56,64]},"
                "\"lost\":{\"dtype\":\"F8_E4M3\",\"shape\":[4,4],\"data_offsets\":[64,80]},"
                "\"w\":{\"dtype\":\"F8_E4M3\",\"shape\":[130,256],\"data_offsets\":[80,33360]}}",
                v, 7, 33360);
    write_shard(path_in(p, "2.st"),
                "{\"w_scale_inv\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                "\"stack\":{\"dtype\":\"F32\",\"shape\":[3,2,4],\"data_offsets\":[16,112]},"
                "\"f8s\":{\"dtype\":\"F8_E4M3\",\"shape\":[2,2,2],\"data_offsets\":[112,120]},"
                "\"e\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[120,120]}}",
                scale, 4, 120);
}

static const float good_scale[4] = {1, 0.5f, 2, 1e-30f};

static void test_matrices(void **state)
{
    (void)state;
    make_model("good", good_scale);
    struct weights w;
    struct err e;
    struct matrix m;
    if (weights_open(&w, path_in(scratch, "good"), &e) != 0)
        fail_msg("%s", e.text);
    assert_false(weights_is_gguf(&w));
    assert_true(weights_has(&w, "m"));
    assert_false(weights_has(&w, "none"));
    assert_int_equal(weights_matrix(&w, "m", 2, 3, &m, &e), 0);
    assert_int_equal(m.rows, 2);
    assert_int_equal(m.cols, 3);
    assert_int_equal(m.row_bytes, 12);
    assert_null(m.scale);
    assert_string_equal(m.name, "m");
    assert_int_equal(weights_matrix(&w, "v", 1, 3, &m, &e), 0);
    assert_int_equal(weights_matrix(&w, "n", 1, 1, &m, &e), 0);
    assert_int_equal(weights_matrix(&w, "e", 0, 4, &m, &e), 0);
    assert_int_equal(weights_matrix(&w, "w", 130, 256, &m, &e), 0);
    assert_true(m.scale && m.scale[2] == 2.0f);
    assert_int_equal(weights_check_scales(&w, &m, &e), 0);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(weights_slice(&w, "stack", 3, 2, 4, i, &m, &e), 0);
        assert_ptr_equal(m.data, tensorfile_find(w.file, "stack")->data + 32 * i);
    }
    assert_int_equal(weights_slice(&w, "m", 1, 2, 3, 0, &m, &e), 0);
    weights_close(&w);
    weights_close(NULL);
}

static void test_wrong_matrices(void **state)
{
    (void)state;
    struct weights w;
    struct err e;
    struct matrix m;
    assert_int_equal(weights_open(&w, path_in(scratch, "good"), &e), 0);
    expect_error(weights_matrix(&w, "none", 2, 3, &m, &e), GLIM_EFORMAT, &e,
                 "good: tensor \"none\" is absent", "[2,3]", NULL);
    expect_error(weights_matrix(&w, "m", 3, 2, &m, &e), GLIM_EFORMAT, &e,
                 "good/1.st: tensor \"m\": shape [2,3], expected [3,2]", NULL);
    expect_error(weights_matrix(&w, "n", 2, 3, &m, &e), GLIM_EFORMAT, &e,
                 "shape [1], expected [2,3]", NULL);
    expect_error(weights_matrix(&w, "stack", 2, 4, &m, &e), GLIM_EFORMAT, &e,
                 "shape [3,2,4], expected [2,4]", NULL);
    expect_error(weights_slice(&w, "stack", 4, 2, 4, 0, &m, &e), GLIM_EFORMAT, &e,
                 "expected [4,2,4]", NULL);
    expect_error(weights_slice(&w, "stack", 3, 2, 4, 3, &m, &e), GLIM_EINVAL, &e, "matrix 3 of 3",
                 NULL);
    expect_error(weights_slice(&w, "f8s", 2, 2, 2, 0, &m, &e), GLIM_EUNSUPPORTED, &e, "F8_E4M3",
                 NULL);
    expect_error(weights_matrix(&w, "i", 2, 2, &m, &e), GLIM_EUNSUPPORTED, &e, "type I32", NULL);
    assert_null(m.data);
    expect_error(weights_matrix(&w, "lost", 4, 4, &m, &e), GLIM_EFORMAT, &e,
                 "\"lost_scale_inv\" is absent, expected "
                 "shape [1,1]",
                 NULL);
    assert_null(m.data);
    weights_close(&w);
}

static void test_vectors(void **state)
{
    (void)state;
    struct weights w;
    struct err e;
    float v[4] = {0};
    assert_int_equal(weights_open(&w, path_in(scratch, "good"), &e), 0);
    expect_error(weights_vector(&w, &kernels, "n", 1, v, &e), GLIM_ENUMERIC, &e,
                 "good/1.st: tensor \"n\": value 0 is NaN", NULL);
    assert_int_equal(weights_vector(&w, &kernels, "v", 3, v, &e), 0);
    assert_int_equal(weights_vector(&w, &kernels, "col", 2, v, &e), 0);
    expect_error(weights_vector(&w, &kernels, "v", 4, v, &e), GLIM_EFORMAT, &e,
                 "shape [1,3], expected [4]", NULL);
    expect_error(weights_vector(&w, &kernels, "m", 6, v, &e), GLIM_EFORMAT, &e,
                 "shape [2,3], expected [6]", NULL);
    expect_error(weights_vector(&w, &kernels, "none", 6, v, &e), GLIM_EFORMAT, &e, "is absent",
                 NULL);
    expect_error(weights_vector(&w, &kernels, "i", 4, v, &e), GLIM_EFORMAT, &e, "shape [2,2]",
                 NULL);
    weights_close(&w);
}

static void test_scales(void **state)
{
    (void)state;
    static const struct { float v; int rc; } cases[] = {
        {NAN, GLIM_ENUMERIC}, {INFINITY, GLIM_ENUMERIC}, {-INFINITY, GLIM_ENUMERIC}, {0, 0},
        {-0.0f, 0}, {-1, GLIM_ENUMERIC}, {1e-40f, 0}, {3e38f, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "scale%zu", i);
        const float scale[4] = {1, 1, 1, cases[i].v};
        make_model(name, scale);
        struct weights w;
        struct matrix m;
        struct err e;
        uint64_t checked = 0, total = 0;
        assert_int_equal(weights_open(&w, path_in(scratch, name), &e), 0);
        assert_int_equal(weights_matrix(&w, "w", 130, 256, &m, &e), 0); /* binding does not look */
        const int rc = weights_check_scales(&w, &m, &e);
        assert_int_equal(rc, cases[i].rc);
        if (rc != 0)
            expect_error(rc, rc, &e, "2.st: tensor \"w_scale_inv\": value 3 is", NULL);
        assert_int_equal(weights_check_all_scales(&w, 100, &checked, &total, &e), cases[i].rc);
        assert_int_equal(checked, 4);
        assert_int_equal(total, 4);
        assert_int_equal(weights_check_all_scales(&w, 3, &checked, &total, &e), 0);
        assert_int_equal(checked, 3);
        assert_int_equal(total, 4);
        weights_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_wrong_matrices),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_scales),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
