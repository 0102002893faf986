/* Streamed = resident: with any room for experts, down to one layer's choice, every bit of logits
 * and drafts is what it is with all weights mapped; too little room is refused with the least that
 * is enough; a file that shrinks fails the step that wants what is gone, by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "glim.h"
#include "util/files.h"

#define GOLDEN "tests/data/golden/"

enum { N = 40, PROMPT = 33, RAM_MAX = 1 << 27 };

static glim_model *open_model(const char *path, int threads, uint64_t ram)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    glim_model *m;
    o.threads = threads;
    o.knobs.latent_eps = 1e-6;
    o.ram_bytes = ram;
    if (glim_model_open(&m, path, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static int session_of(glim_model *m, uint64_t chunk, bool mtp, glim_session **s,
                      struct glim_error *e)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    o.context_tok = 64;
    o.chunk_tok = chunk;
    o.mtp = mtp;
    return glim_session_new(s, m, &o, e);
}

struct rows {
    float *logits, *mtp; /* [N, vocab] */
    uint64_t vocab, from;
};

static int keep_row(void *ctx, size_t i, const float *logits, const float *mtp)
{
    struct rows *const r = ctx;
    const uint64_t at = (r->from + i) * r->vocab;
    memcpy(r->logits + at, logits, r->vocab * sizeof *logits);
    if (mtp)
        memcpy(r->mtp + at, mtp, r->vocab * sizeof *mtp);
    return 0;
}

static int append(glim_session *s, struct rows *r, size_t from, size_t n, unsigned flags,
                  struct glim_error *e)
{
    int32_t token[N];
    struct glim_append a = GLIM_APPEND_INIT;
    for (size_t i = 0; i < n; i++)
        token[i] = (int32_t)(((from + i) * 37 + 11) % 90);
    a.tokens = token;
    a.n = n;
    a.flags = flags | GLIM_APPEND_ALL_LOGITS;
    a.on_logits = keep_row;
    a.ctx = r;
    r->from = from;
    return glim_session_append(s, &a, e);
}

static struct rows rows_new(const glim_model *m)
{
    const uint64_t vocab = glim_model_info(m)->vocab;
    return (struct rows){.logits = calloc(N * vocab, sizeof(float)),
                         .mtp = calloc(N * vocab, sizeof(float)), .vocab = vocab};
}

static void rows_free(struct rows *r)
{
    free(r->logits);
    free(r->mtp);
}

/* A prompt in chunks, then tokens one by one; all logits. */
static struct rows rows_of(const char *path, int threads, uint64_t ram, uint64_t chunk, bool mtp)
{
    struct glim_error e;
    glim_model *const m = open_model(path, threads, ram);
    struct rows r = rows_new(m);
    glim_session *s;
    if (session_of(m, chunk, mtp, &s, &e) != 0 || append(s, &r, 0, PROMPT, 0, &e) != 0
        || append(s, &r, PROMPT, N - PROMPT, GLIM_APPEND_DECODE, &e) != 0)
        fail_msg("%s: %s", path, e.text);
    glim_session_free(s);
    glim_model_close(m);
    return r;
}

static bool runs(const char *path, int threads, uint64_t ram, bool mtp)
{
    struct glim_error e;
    glim_session *s = NULL;
    glim_model *const m = open_model(path, threads, ram);
    const int rc = session_of(m, 16, mtp, &s, &e);
    if (rc != 0) {
        assert_int_equal(rc, GLIM_ELIMIT);
        assert_non_null(strstr(e.text, "this needs at least"));
    }
    glim_session_free(s);
    glim_model_close(m);
    return rc == 0;
}

/* The least budget that runs. */
static uint64_t least(const char *path, int threads, bool mtp)
{
    uint64_t no = 1, yes = RAM_MAX;
    assert_true(runs(path, threads, yes, mtp));
    while (yes - no > 1024) {
        const uint64_t mid = no + (yes - no) / 2;
        if (runs(path, threads, mid, mtp))
            yes = mid;
        else
            no = mid;
    }
    return yes;
}

static void same_rows(const struct rows *a, const struct rows *b)
{
    assert_memory_equal(a->logits, b->logits, N * a->vocab * sizeof(float));
    assert_memory_equal(a->mtp, b->mtp, N * a->vocab * sizeof(float));
}

static void check_model(const char *path, bool mtp)
{
    struct rows resident = rows_of(path, 2, RAM_MAX, 16, mtp);
    for (int threads = 1; threads <= 2; threads++) {
        const uint64_t from = least(path, threads, mtp);
        for (uint64_t more = 0; more <= 800 << 10; more += 200 << 10) {
            struct rows r = rows_of(path, threads, from + more, threads == 1 ? 16 : 7, mtp);
            same_rows(&resident, &r);
            rows_free(&r);
        }
    }
    rows_free(&resident);
}

static void test_same_bits(void **state)
{
    (void)state;
    check_model(GOLDEN "glm52", false);
    check_model(GOLDEN "fp8", false);
    check_model(GOLDEN "mid", false);
    check_model("models/glm-nano.gguf", false);
}

static void test_same_drafts(void **state)
{
    (void)state;
    check_model(GOLDEN "mtp-share", true);
    check_model("models/glm-nano.gguf", true);
}

static void test_shrinking_file(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    struct err err;
    struct glim_error e;
    const char *const path = path_in(scratch, "shrinks.gguf");
    assert_int_equal(io_read_file("models/glm-nano.gguf", 1 << 28, &bytes, &n, &err), 0);
    write_file(path, bytes, n);
    const uint64_t ram = least(path, 1, false);
    glim_model *const m = open_model(path, 1, ram);
    struct rows r = rows_new(m);
    glim_session *s;
    assert_int_equal(session_of(m, 16, false, &s, &e), 0);
    assert_int_equal(append(s, &r, 0, 8, 0, &e), 0);
    assert_int_equal(truncate(path, (off_t)n / 4), 0);
    assert_int_equal(append(s, &r, 8, 8, 0, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, path));
    assert_int_equal(glim_session_length(s), 8); /* what was finished stays */
    write_file(path, bytes, n);
    glim_session_free(s);
    glim_model_close(m);
    rows_free(&r);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_same_drafts),
        cmocka_unit_test(test_shrinking_file),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
