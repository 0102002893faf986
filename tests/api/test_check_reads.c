/* test_check_reads.c - a model whose experts are streamed and held against their checksums: the
 * answers are the same; a byte that rotted in the file fails the step that reads it, by name, and
 * the program goes on.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "glim.h"
#include "util/files.h"

#define ROTTEN "blk.2.ffn_up_exps.weight"

enum { N = 12, CONTEXT = 64 };

static const char *model_path;
static uint64_t ram; /* that streams */

struct run {
    glim_model *m;
    glim_session *s;
    const char *mirror; /* NULL: none */
    int notices;
    char notice[2048];
    int stop_after; /* calls of stop that say go on; below 0: always */
};

static int stop(void *ctx)
{
    struct run *const r = ctx;
    return r->stop_after >= 0 && r->stop_after-- == 0;
}

static void on_notice(void *ctx, const char *text)
{
    struct run *const r = ctx;
    r->notices++;
    (void)snprintf(r->notice, sizeof r->notice, "%s", text);
}

static int start(struct run *r, const char *sums, struct glim_error *e)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    o.threads = 1;
    o.ram_bytes = ram;
    o.sums_folder = sums;
    o.stop = stop;
    o.progress_ctx = r;
    o.mirror = &r->mirror;
    o.mirrors = r->mirror != NULL;
    o.notice = on_notice;
    o.notice_ctx = r;
    so.context_tok = CONTEXT;
    so.chunk_tok = 4;
    r->s = NULL;
    if (glim_model_open(&r->m, model_path, &o, e) != 0)
        fail_msg("%s", e->text);
    return glim_session_new(&r->s, r->m, &so, e);
}

static void finish(struct run *r)
{
    glim_session_free(r->s);
    glim_model_close(r->m);
}

static int append(struct run *r, struct glim_error *e)
{
    static const int32_t token[N] = {5, 17, 3, 40, 22, 9, 60, 31, 7, 55, 12, 28};
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = token;
    a.n = N;
    return glim_session_append(r->s, &a, e);
}

static struct glim_streaming streaming(const struct run *r)
{
    struct glim_streaming s;
    glim_model_streaming(r->m, &s);
    return s;
}

static void test_same_answers(void **state)
{
    (void)state;
    struct glim_error e;
    struct run plain = {.stop_after = -1}, checked = {.stop_after = -1};
    assert_int_equal(start(&plain, NULL, &e), 0);
    assert_int_equal(append(&plain, &e), 0);
    assert_true(streaming(&plain).streamed);
    assert_int_equal(streaming(&plain).checked, 0);
    for (int i = 0; i < 2; i++) { /* the sums made, and known */
        assert_int_equal(start(&checked, scratch, &e), 0);
        assert_int_equal(append(&checked, &e), 0);
        assert_memory_equal(glim_session_logits(plain.s), glim_session_logits(checked.s),
                            glim_model_info(plain.m)->vocab * sizeof(float));
        assert_true(streaming(&checked).checked > 0);
        assert_int_equal(streaming(&checked).wrong, 0);
        finish(&checked);
    }
    finish(&plain);
}

/* Flips a bit of every expert of a stack, in `path` or, if it is NULL, the model's own file, whose
 * time says nothing of it. */
static void rot(const struct run *r, const char *tensor, const char *path)
{
    struct glim_tensor t;
    struct stat st;
    size_t i = 0;
    while (glim_model_tensor(r->m, i, &t) == 0 && strcmp(t.name, tensor) != 0)
        i++;
    assert_string_equal(t.name, tensor);
    const int fd = open(path ? path : t.file, O_RDWR);
    assert_int_equal(fstat(fd, &st), 0);
    for (uint64_t x = 0; x < t.dim[0]; x++) {
        uint8_t byte;
        const off_t at = (off_t)(t.offset + t.bytes / t.dim[0] * x + 100);
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
}

/* The same in every layer, so that some of it is read from each drive, whatever their shares. */
static void rot_layers(const struct run *r, const char *path)
{
    const struct glim_model_info *const info = glim_model_info(r->m);
    for (int l = info->dense_layers; l < info->layers; l++) {
        char name[64];
        (void)snprintf(name, sizeof name, "blk.%d.ffn_up_exps.weight", l);
        rot(r, name, path);
    }
}

static void test_rotten_file(void **state)
{
    (void)state;
    struct glim_error e;
    struct run r = {.stop_after = -1};
    assert_int_equal(start(&r, scratch, &e), 0);
    rot(&r, ROTTEN, NULL);
    assert_int_equal(append(&r, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, "expert "));
    assert_non_null(strstr(e.text, " of tensor \"" ROTTEN "\": "));
    assert_non_null(strstr(e.text, model_path));
    assert_true(streaming(&r).wrong >= 2); /* it was read again */
    assert_int_equal(glim_session_length(r.s), 0);
    rot(&r, ROTTEN, NULL); /* and back */
    assert_int_equal(append(&r, &e), 0);
    finish(&r);
}

/* Two drives: what rotted on one is read from the other, and said once; what rotted on both fails
 * the step. */
static void test_rotten_copy(void **state)
{
    (void)state;
    struct glim_error e;
    struct run plain = {.stop_after = -1};
    const char *const folder = path_in(scratch, "mirror"), *const copy = path_in(folder, "m.gguf");
    char *bytes;
    size_t n;
    struct err inner;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(io_read_file(model_path, 1 << 28, &bytes, &n, &inner), 0);
    write_file(copy, bytes, n);
    free(bytes);
    assert_int_equal(start(&plain, NULL, &e), 0);
    assert_int_equal(append(&plain, &e), 0);
    for (int own = 0; own < 2; own++) {
        struct run r = {.stop_after = -1, .mirror = folder};
        const char *const bad = own ? model_path : copy;
        assert_int_equal(start(&r, scratch, &e), 0);
        rot_layers(&r, bad);
        assert_int_equal(append(&r, &e), 0);
        assert_memory_equal(glim_session_logits(plain.s), glim_session_logits(r.s),
                            glim_model_info(plain.m)->vocab * sizeof(float));
        assert_int_equal(r.notices, 1);
        assert_memory_equal(r.notice, bad, strlen(bad));
        assert_non_null(strstr(r.notice, " bytes at "));
        assert_non_null(strstr(r.notice, own ? copy : model_path));
        assert_non_null(strstr(r.notice, ".ffn_up_exps.weight"));
        assert_true(streaming(&r).wrong > 0);
        rot_layers(&r, own ? copy : model_path);
        assert_int_equal(append(&r, &e), GLIM_EIO);
        rot_layers(&r, model_path);
        rot_layers(&r, copy);
        assert_int_equal(append(&r, &e), 0);
        finish(&r);
    }
    finish(&plain);
}

/* Stopped while the sums are made: no session, no unchecked one either; then it goes on. */
static void test_stopped(void **state)
{
    (void)state;
    struct glim_error e;
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    struct run r = {.stop_after = 2};
    const char *const folder = path_in(scratch, "stopped");
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(start(&r, folder, &e), GLIM_ESTOPPED);
    assert_null(r.s);
    so.context_tok = CONTEXT;
    so.chunk_tok = 4;
    r.stop_after = -1;
    assert_int_equal(glim_session_new(&r.s, r.m, &so, &e), 0);
    assert_int_equal(append(&r, &e), 0);
    assert_true(streaming(&r).checked > 0);
    finish(&r);
    assert_int_equal(start(&r, path_in(scratch, "nowhere"), &e), GLIM_EIO);
    assert_non_null(strstr(e.text, "nowhere/sums-"));
    finish(&r);
}

static int setup(void **state)
{
    char *bytes;
    size_t n;
    struct err e;
    if (scratch_setup(state) != 0 || io_read_file("models/glm-nano.gguf", 1 << 28, &bytes, &n, &e))
        return 1;
    static char path[4096];
    (void)snprintf(path, sizeof path, "%s/m.gguf", scratch);
    model_path = path;
    write_file(path, bytes, n);
    free(bytes);
    for (ram = 8 << 20; ram < 200u << 20; ram += 1 << 18) {
        struct glim_error err;
        struct run r = {.stop_after = -1};
        const int rc = start(&r, NULL, &err);
        finish(&r);
        if (rc == 0)
            return 0;
    }
    return 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_answers),
        cmocka_unit_test(test_rotten_file),
        cmocka_unit_test(test_rotten_copy),
        cmocka_unit_test(test_stopped),
    };
    return cmocka_run_group_tests(tests, setup, scratch_teardown);
}
