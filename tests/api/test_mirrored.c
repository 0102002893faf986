/* Streamed from several folders = streamed from one = resident, bit for bit; a copy that fails
 * while it is used is left out with one notice and the same bits; what is no copy is refused, with
 * the place. And copies made and compared. All folders lie on one drive here: that two drives are
 * faster is shown by tests/unit/test_copies, on simulated ones.
 */
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

#define NANO "models/glm-nano.gguf"

enum { N = 24, FIRST = 9, RAM_MAX = 1 << 27, TEXT = 1024 };

struct notices {
    int n;
    char last[TEXT];
};

static void on_notice(void *ctx, const char *text)
{
    struct notices *const x = ctx;
    x->n++;
    snprintf(x->last, sizeof x->last, "%s", text);
}

struct run {
    glim_model *model;
    glim_session *session;
    struct notices notices;
    float *logits; /* [N, vocab] */
    uint64_t vocab;
    size_t done;
};

static int run_open(struct run *r, const char *path, uint64_t ram, const char *const *mirror,
                    size_t mirrors, struct glim_error *e)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    *r = (struct run){0};
    o.threads = 2;
    o.ram_bytes = ram;
    o.mirror = mirror;
    o.mirrors = mirrors;
    o.notice = on_notice;
    o.notice_ctx = &r->notices;
    so.context_tok = 64;
    so.chunk_tok = 5;
    if (glim_model_open(&r->model, path, &o, e) != 0)
        return e->code;
    r->vocab = glim_model_info(r->model)->vocab;
    r->logits = calloc(N * r->vocab, sizeof *r->logits);
    return glim_session_new(&r->session, r->model, &so, e);
}

static void run_close(struct run *r)
{
    glim_session_free(r->session);
    glim_model_close(r->model);
    free(r->logits);
}

static int keep_row(void *ctx, size_t i, const float *logits, const float *mtp)
{
    struct run *const r = ctx;
    (void)mtp;
    memcpy(r->logits + (r->done + i) * r->vocab, logits, r->vocab * sizeof *logits);
    return 0;
}

/* Goes on to n tokens in all. */
static void go_on(struct run *r, size_t n)
{
    int32_t token[N];
    struct glim_error e;
    struct glim_append a = GLIM_APPEND_INIT;
    for (size_t i = 0; i < N; i++)
        token[i] = (int32_t)((i * 37 + 11) % 90);
    a.tokens = token + r->done;
    a.n = n - r->done;
    a.flags = GLIM_APPEND_ALL_LOGITS | (r->done ? GLIM_APPEND_DECODE : 0);
    a.on_logits = keep_row;
    a.ctx = r;
    if (glim_session_append(r->session, &a, &e) != 0)
        fail_msg("%s", e.text);
    r->done = n;
}

/* The least budget that runs. */
static uint64_t least(void)
{
    uint64_t no = 1, yes = RAM_MAX;
    while (yes - no > 4096) {
        struct run r;
        struct glim_error e;
        const uint64_t mid = no + (yes - no) / 2;
        if (run_open(&r, NANO, mid, NULL, 0, &e) == 0)
            yes = mid;
        else
            no = mid;
        run_close(&r);
    }
    return yes;
}

/* ---- folders of copies ---- */

static void copy_file(const char *from, const char *to)
{
    char *bytes;
    size_t n;
    struct err e;
    assert_int_equal(io_read_file(from, 1 << 28, &bytes, &n, &e), 0);
    write_file(to, bytes, n);
    free(bytes);
}

/* scratch/name with a copy of the bundled model; the path of the copy goes to *file. */
static const char *mirror_of_nano(const char *name, const char **file)
{
    const char *const dir = path_in(scratch, name);
    (void)mkdir(dir, 0755);
    *file = path_in(dir, "glm-nano.gguf");
    copy_file(NANO, *file);
    return dir;
}

static void flip(const char *path, long at)
{
    FILE *const f = fopen(path, "r+b");
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    const int c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_true(fputc(c ^ 4, f) != EOF);
    assert_int_equal(fclose(f), 0);
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static struct run resident_run(void)
{
    struct run r;
    struct glim_error e;
    assert_int_equal(run_open(&r, NANO, RAM_MAX, NULL, 0, &e), 0);
    go_on(&r, FIRST);
    go_on(&r, N);
    return r;
}

static void same_logits(const struct run *a, const struct run *b)
{
    assert_memory_equal(a->logits, b->logits, N * a->vocab * sizeof *a->logits);
}

/* ---- used ---- */

static void test_same_bits(void **state)
{
    (void)state;
    const char *file;
    const char *const dir[] = {mirror_of_nano("b", &file), mirror_of_nano("c", &file)};
    const uint64_t ram = least() + (300 << 10);
    struct run all = resident_run();
    for (size_t mirrors = 0; mirrors <= 2; mirrors++) {
        struct run r;
        struct glim_error e;
        struct glim_streaming s;
        assert_int_equal(run_open(&r, NANO, ram, dir, mirrors, &e), 0);
        go_on(&r, FIRST);
        go_on(&r, N);
        same_logits(&all, &r);
        glim_model_streaming(r.model, &s);
        for (size_t d = 0; d <= GLIM_MIRRORS_MAX; d++)
            assert_true((s.drive_bytes[d] > 0) == (d <= mirrors));
        assert_int_equal(r.notices.n, 0);
        run_close(&r);
    }
    run_close(&all);
}

/* Cut short or removed while it is used. An open file outlives its name. */
static void test_fails_while_streaming(void **state)
{
    (void)state;
    struct run all = resident_run();
    const uint64_t ram = least() + (300 << 10);
    for (int removed = 0; removed < 2; removed++) {
        struct run r;
        struct glim_error e;
        const char *file;
        const char *const dir = mirror_of_nano("b", &file);
        assert_int_equal(run_open(&r, NANO, ram, &dir, 1, &e), 0);
        go_on(&r, FIRST);
        assert_int_equal(removed ? unlink(file) : truncate(file, 1 << 20), 0);
        go_on(&r, N);
        same_logits(&all, &r);
        assert_int_equal(r.notices.n, !removed);
        if (!removed) {
            assert_non_null(strstr(r.notices.last, file));
            assert_non_null(strstr(r.notices.last, "shorter than it was"));
        }
        run_close(&r);
    }
    run_close(&all);
}

static void refused(const char *dir, int code, const char *a, const char *b)
{
    struct run r;
    struct glim_error e;
    assert_int_equal(run_open(&r, NANO, least(), &dir, 1, &e), code);
    if (!strstr(e.text, a) || !strstr(e.text, b))
        fail_msg("%s", e.text);
    run_close(&r);
}

static void test_refused(void **state)
{
    (void)state;
    const char *file;
    const char *const dir = mirror_of_nano("bad", &file);
    const off_t size = size_of(NANO);
    flip(file, 1000); /* in the header */
    refused(dir, GLIM_EFORMAT, file, "at offset 1000;");
    flip(file, 1000);
    flip(file, (long)size - 1);
    refused(dir, GLIM_EFORMAT, file, "at offset 27352447;");
    assert_int_equal(truncate(file, size - 1), 0);
    refused(dir, GLIM_EFORMAT, "27352447 bytes, expected 27352448", NANO);
    assert_int_equal(unlink(file), 0);
    refused(dir, GLIM_EIO, file, "No such file");
    assert_int_equal(symlink(realpath(NANO, (char[4096]){0}), file), 0);
    refused(dir, GLIM_EINVAL, file, "the model's own file");
    refused("models", GLIM_EINVAL, "models/glm-nano.gguf", "the model's own file");
    refused(NANO, GLIM_EIO, NANO, "Not a directory");
}

static void test_too_many_and_not_needed(void **state)
{
    (void)state;
    struct run r;
    struct glim_error e;
    const char *file;
    const char *const dir = mirror_of_nano("b", &file);
    const char *const many[] = {dir, dir, dir, dir, dir, dir, dir, dir};
    assert_int_equal(run_open(&r, NANO, RAM_MAX, many, 8, &e), GLIM_EINVAL);
    assert_non_null(strstr(e.text, "8, expected at most 7"));
    run_close(&r);
    assert_int_equal(run_open(&r, NANO, RAM_MAX, &dir, 1, &e), 0);
    assert_int_equal(r.notices.n, 1);
    assert_non_null(strstr(r.notices.last, "not used"));
    run_close(&r);
}

/* ---- made and compared ---- */

static int stop_half_way(void *ctx, uint64_t done, uint64_t total)
{
    *(int *)ctx += 1;
    return done > total / 2;
}

static int all_along(void *ctx, uint64_t done, uint64_t total)
{
    uint64_t *const last = ctx;
    assert_true(done >= *last && done <= total);
    *last = done;
    return 0;
}

static void test_stage_and_verify(void **state)
{
    (void)state;
    struct run r;
    struct glim_error e;
    struct glim_mirror_file x;
    const char *const dir = path_in(scratch, "staged"), *const file = path_in(dir, "glm-nano.gguf");
    const long middle = (long)size_of(NANO) / 2 + 777;
    int calls = 0;
    uint64_t last = 0;
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(run_open(&r, NANO, 0, NULL, 0, &e), 0);
    assert_int_equal(glim_mirror_file(r.model, dir, 0, &x, &e), 0);
    assert_true(!x.there && x.part_bytes == 0 && (off_t)x.bytes == size_of(NANO));
    assert_int_equal(glim_mirror_stage(r.model, dir, 0, stop_half_way, &calls, &e), GLIM_ESTOPPED);
    assert_int_equal(glim_mirror_file(r.model, dir, 0, &x, &e), 0);
    assert_true(calls > 1 && !x.there && x.part_bytes > x.bytes / 2 && x.part_bytes < x.bytes);
    assert_int_equal(glim_mirror_stage(r.model, dir, 0, all_along, &last, &e), 0);
    assert_int_equal(last, x.bytes);
    assert_int_equal(glim_mirror_file(r.model, dir, 0, &x, &e), 0);
    assert_true(x.there && x.part_bytes == 0);
    last = 0;
    assert_int_equal(glim_mirror_verify(r.model, dir, 0, all_along, &last, &x, &e), 0);
    assert_true(x.there && last == x.bytes);
    flip(file, middle); /* where nobody looks who does not look at all */
    assert_int_equal(glim_mirror_file(r.model, dir, 0, &x, &e), 0);
    assert_int_equal(glim_mirror_verify(r.model, dir, 0, NULL, NULL, &x, &e), GLIM_EFORMAT);
    char offset[64];
    snprintf(offset, sizeof offset, "at offset %ld;", middle);
    assert_non_null(strstr(e.text, offset));
    assert_int_equal(glim_mirror_verify(r.model, dir, 0, stop_half_way, &calls, &x, &e),
                     GLIM_EFORMAT);
    assert_int_equal(glim_mirror_verify(r.model, scratch, 0, NULL, NULL, &x, &e), 0);
    assert_false(x.there);
    assert_int_equal(glim_mirror_stage(r.model, dir, 1, NULL, NULL, &e), GLIM_EINVAL);
    run_close(&r);
}

static void test_drives(void **state)
{
    (void)state;
    struct run r;
    struct glim_error e;
    struct glim_drive own, empty;
    const char *const dir = path_in(scratch, "empty");
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(run_open(&r, NANO, 0, NULL, 0, &e), 0);
    assert_int_equal(glim_mirror_drive(r.model, NULL, true, &own, &e), 0);
    assert_true(own.gb_s > 0);
    assert_int_equal(glim_mirror_drive(r.model, dir, true, &empty, &e), 0);
    assert_true(empty.gb_s > 0 && empty.free_bytes > 0);
    assert_int_equal(rmdir(dir), 0); /* nothing is left in it */
    assert_int_equal(glim_mirror_drive(r.model, dir, false, &empty, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, dir));
    run_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_fails_while_streaming),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_many_and_not_needed),
        cmocka_unit_test(test_stage_and_verify),
        cmocka_unit_test(test_drives),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
