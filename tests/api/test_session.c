/* What sessions promise, through glim.h only: appending in any pieces, rewinding and drafting
 * change no bit; threads do not matter; bad calls are errors; a model file that shrinks is an
 * error, not a signal. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "glim.h"
#include "util/files.h"

#define GOLDEN "tests/data/golden/"

enum { N = 60 };

static int32_t prompt_token(size_t i) { return (int32_t)((i * 37 + 11) % 90); }

static glim_model *open_model(const char *path, int threads)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    glim_model *m;
    o.threads = threads;
    o.knobs.latent_eps = 1e-6;
    if (glim_model_open(&m, path, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static glim_session *open_session(glim_model *m, uint64_t chunk, bool mtp)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_error e;
    glim_session *s;
    o.context_tok = 128;
    o.chunk_tok = chunk;
    o.mtp = mtp;
    if (glim_session_new(&s, m, &o, &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

static void append(glim_session *s, size_t from, size_t n, unsigned flags)
{
    int32_t token[N];
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_error e;
    for (size_t i = 0; i < n; i++)
        token[i] = prompt_token(from + i);
    a.tokens = token;
    a.n = n;
    a.flags = flags;
    if (glim_session_append(s, &a, &e) != 0)
        fail_msg("%s", e.text);
}

static uint64_t vocab(const glim_model *m) { return glim_model_info(m)->vocab; }

static void same_logits(const glim_session *a, const glim_session *b, const glim_model *m)
{
    assert_non_null(glim_session_logits(a));
    assert_non_null(glim_session_logits(b));
    assert_memory_equal(glim_session_logits(a), glim_session_logits(b), vocab(m) * sizeof(float));
}

static void test_pieces_and_threads(void **state)
{
    (void)state;
    glim_model *const m1 = open_model(GOLDEN "glm52", 1), *const m2 = open_model(GOLDEN "glm52", 2);
    glim_session *const whole = open_session(m1, 64, false);
    append(whole, 0, N, 0);
    static const size_t pieces[] = {1, 7, 13};
    for (size_t p = 0; p < 3; p++) {
        glim_session *const s = open_session(p % 2 ? m1 : m2, 5, false);
        for (size_t i = 0; i < N; i += pieces[p])
            append(s, i, i + pieces[p] < N ? pieces[p] : N - i, 0);
        assert_int_equal(glim_session_length(s), N);
        same_logits(whole, s, m1);
        glim_session_free(s);
    }
    glim_session_free(whole);
    glim_model_close(m1);
    glim_model_close(m2);
}

static void test_rewind(void **state)
{
    (void)state;
    glim_model *const m = open_model(GOLDEN "pattern", 2);
    glim_session *const fresh = open_session(m, 16, false), *const s = open_session(m, 16, false);
    append(fresh, 0, 40, 0);
    append(fresh, 40, 10, GLIM_APPEND_DECODE);
    append(s, 0, 40, 0);
    for (size_t keep = 40; keep > 0; keep -= 8) {
        append(s, 3, 12, GLIM_APPEND_DECODE);
        assert_int_equal(glim_session_rewind(s, keep, NULL), 0);
        assert_null(glim_session_logits(s));
        if (keep < 40)
            append(s, keep, 40 - keep, 0);
        append(s, 40, 10, GLIM_APPEND_DECODE);
        same_logits(fresh, s, m);
        assert_int_equal(glim_session_rewind(s, 40, NULL), 0);
    }
    struct glim_error e;
    assert_int_equal(glim_session_rewind(s, 41, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "rewind to 41 tokens: the timeline has 40");
    glim_session_free(fresh);
    glim_session_free(s);
    glim_model_close(m);
}

struct rows {
    size_t n, drafts;
    float *logits, *mtp; /* [N, vocab] */
    uint64_t vocab;
};

static int keep_row(void *ctx, size_t i, const float *logits, const float *mtp)
{
    struct rows *const r = ctx;
    memcpy(r->logits + i * r->vocab, logits, r->vocab * sizeof *logits);
    if (mtp)
        memcpy(r->mtp + i * r->vocab, mtp, r->vocab * sizeof *mtp);
    r->n++;
    r->drafts += mtp != NULL;
    return 0;
}

/* The rows that a session with drafts reports of its first n tokens. */
static struct rows rows_of(glim_model *m, uint64_t chunk, size_t n, unsigned flags)
{
    struct rows r = {.vocab = vocab(m)};
    r.logits = calloc(N * r.vocab, sizeof(float));
    r.mtp = calloc(N * r.vocab, sizeof(float));
    glim_session *const s = open_session(m, chunk, true);
    int32_t token[N];
    for (size_t i = 0; i < n; i++)
        token[i] = prompt_token(i);
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = token;
    a.n = n;
    a.flags = flags;
    a.on_logits = keep_row;
    a.ctx = &r;
    assert_int_equal(glim_session_append(s, &a, NULL), 0);
    assert_memory_equal(glim_session_logits(s), r.logits + (n - 1) * r.vocab,
                        r.vocab * sizeof(float));
    glim_session_free(s);
    return r;
}

static void rows_free(const struct rows *r)
{
    free(r->logits);
    free(r->mtp);
}

static void test_all_logits_in_any_chunks(void **state)
{
    (void)state;
    glim_model *const m = open_model(GOLDEN "mtp-share", 2);
    const struct rows whole = rows_of(m, 64, N, GLIM_APPEND_ALL_LOGITS);
    static const uint64_t chunks[] = {1, 7, 9};
    assert_int_equal(whole.n, N);
    assert_int_equal(whole.drafts, N - 1);
    for (size_t i = 0; i < 3; i++) {
        const struct rows r = rows_of(m, chunks[i], N, GLIM_APPEND_ALL_LOGITS);
        assert_memory_equal(r.logits, whole.logits, N * r.vocab * sizeof(float));
        assert_memory_equal(r.mtp, whole.mtp, N * r.vocab * sizeof(float));
        rows_free(&r);
    }
    rows_free(&whole);
    glim_model_close(m);
}

/* Without GLIM_APPEND_ALL_LOGITS the last token's rows come alone, with the same bits. */
static void test_last_rows_alone(void **state)
{
    (void)state;
    static const uint64_t chunks[] = {64, 7, 1}; /* n ends inside one and at its end */
    glim_model *const m = open_model(GOLDEN "mtp-share", 2);
    const struct rows all = rows_of(m, 64, N, GLIM_APPEND_ALL_LOGITS);
    for (size_t i = 0; i < 3; i++) {
        for (size_t n = N; n >= N - 4; n--) {
            const struct rows last = rows_of(m, chunks[i], n, 0);
            const size_t at = (n - 1) * last.vocab, bytes = last.vocab * sizeof(float);
            assert_int_equal(last.n, 1);
            assert_int_equal(last.drafts, 1);
            assert_memory_equal(last.logits + at, all.logits + at, bytes);
            assert_memory_equal(last.mtp + at, all.mtp + at, bytes);
            rows_free(&last);
        }
    }
    const struct rows first = rows_of(m, 64, 1, 0);
    assert_int_equal(first.n, 1);
    assert_int_equal(first.drafts, 0); /* nothing was there to foretell it */
    rows_free(&first);
    rows_free(&all);
    glim_model_close(m);
}

/* Drafts leave no trace, and do not depend on how the timeline came to be. */
static void test_drafts(void **state)
{
    (void)state;
    glim_model *const m = open_model(GOLDEN "mtp-own", 2);
    glim_session *const a = open_session(m, 16, true), *const b = open_session(m, 7, true);
    int32_t da[4], db[4];
    float *const la = calloc(4 * vocab(m), sizeof *la), *const lb =
                                                            calloc(4 * vocab(m), sizeof *lb);
    append(a, 0, 30, 0);
    append(a, 30, 5, GLIM_APPEND_DECODE);
    append(b, 0, 30, 0);
    append(b, 30, 5, GLIM_APPEND_DECODE);
    append(b, 0, 9, GLIM_APPEND_DECODE);
    assert_int_equal(glim_session_draft(b, 1, 3, db, NULL, NULL), 0);
    assert_int_equal(glim_session_rewind(b, 35, NULL), 0);
    assert_int_equal(glim_session_draft(a, 7, 4, da, la, NULL), 0);
    assert_int_equal(glim_session_draft(b, 7, 4, db, lb, NULL), 0);
    assert_memory_equal(da, db, sizeof da);
    assert_memory_equal(la, lb, 4 * vocab(m) * sizeof *la);
    append(a, 35, 4, GLIM_APPEND_DECODE);
    append(b, 35, 4, GLIM_APPEND_DECODE);
    same_logits(a, b, m);
    free(la);
    free(lb);
    glim_session_free(a);
    glim_session_free(b);
    glim_model_close(m);
}

/* A token that was decoded is run again as decoded: at low positions the two roles differ in their
 * last bits. */
static void test_rewind_keeps_roles(void **state)
{
    (void)state;
    glim_model *const m = open_model(GOLDEN "mtp-own", 1);
    glim_session *const a = open_session(m, 16, true), *const b = open_session(m, 16, true);
    int32_t da, db;
    float *const la = calloc(vocab(m), sizeof *la), *const lb = calloc(vocab(m), sizeof *lb);
    append(a, 0, 8, GLIM_APPEND_DECODE);
    append(b, 0, 12, GLIM_APPEND_DECODE);
    assert_int_equal(glim_session_rewind(b, 8, NULL), 0);
    assert_int_equal(glim_session_draft(a, 7, 1, &da, la, NULL), 0);
    assert_int_equal(glim_session_draft(b, 7, 1, &db, lb, NULL), 0);
    assert_memory_equal(la, lb, vocab(m) * sizeof *la);
    free(la);
    free(lb);
    glim_session_free(a);
    glim_session_free(b);
    glim_model_close(m);
}

static void test_bad_calls(void **state)
{
    (void)state;
    glim_model *const m = open_model(GOLDEN "glm52", 1);
    glim_session *const s = open_session(m, 0, false);
    struct glim_error e;
    struct glim_append a = GLIM_APPEND_INIT;
    int32_t token = -1, draft;
    assert_int_equal(glim_session_append(s, &a, &e), GLIM_EINVAL);
    a.tokens = &token;
    a.n = 1;
    assert_int_equal(glim_session_append(s, &a, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "token 0 is -1, expected 0 to 111");
    token = (int32_t)vocab(m);
    assert_int_equal(glim_session_append(s, &a, &e), GLIM_EINVAL);
    assert_int_equal(glim_session_draft(s, 0, 1, &draft, NULL, &e), GLIM_EINVAL);
    struct glim_sampling p = GLIM_SAMPLING_INIT;
    assert_int_equal(glim_session_sample(s, &p, &token, &e), GLIM_EINVAL);
    append(s, 0, 60, 0);
    append(s, 0, 60, 0);
    p.temperature = (double)NAN;
    assert_int_equal(glim_session_sample(s, &p, &token, &e), GLIM_EINVAL);
    int32_t many[9] = {0};
    a.tokens = many;
    a.n = 9;
    assert_int_equal(glim_session_append(s, &a, &e), GLIM_ELIMIT);
    assert_int_equal(glim_session_length(s), 120);
    glim_session_free(s);
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    glim_session *none;
    o.mtp = true;
    assert_int_equal(glim_session_new(&none, m, &o, &e), GLIM_EUNSUPPORTED);
    o.mtp = false;
    o.context_tok = UINT64_MAX;
    assert_int_equal(glim_session_new(&none, m, &o, &e), GLIM_EINVAL);
    glim_model_close(m);
    glim_model *no_model;
    struct glim_model_options mo = GLIM_MODEL_OPTIONS_INIT;
    mo.isa = "quantum";
    assert_int_equal(glim_model_open(&no_model, GOLDEN "glm52", &mo, &e), GLIM_EINVAL);
#if defined(__x86_64__)
    mo.isa = "neon";
#else
    mo.isa = "amx";
#endif
    assert_int_equal(glim_model_open(&no_model, GOLDEN "glm52", &mo, &e), GLIM_EUNSUPPORTED);
    assert_non_null(strstr(e.text, "this machine has"));
    assert_int_equal(glim_model_open(&no_model, GOLDEN "nowhere", NULL, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, "nowhere"));
}

static int stop_after(void *ctx, size_t done, size_t n)
{
    (void)n;
    return done >= *(size_t *)ctx;
}

static void test_stop_keeps_whole_chunks(void **state)
{
    (void)state;
    glim_model *const m = open_model(GOLDEN "glm52", 1);
    glim_session *const s = open_session(m, 8, false), *const t = open_session(m, 8, false);
    int32_t token[N];
    size_t limit = 20;
    for (size_t i = 0; i < N; i++)
        token[i] = prompt_token(i);
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = token;
    a.n = N;
    a.progress = stop_after;
    a.ctx = &limit;
    struct glim_error e;
    assert_int_equal(glim_session_append(s, &a, &e), GLIM_ESTOPPED);
    assert_int_equal(glim_session_length(s), 24);
    append(s, 24, N - 24, 0);
    append(t, 0, N, 0);
    same_logits(s, t, m);
    glim_session_free(s);
    glim_session_free(t);
    glim_model_close(m);
}

static void copy_file(const char *from, const char *to)
{
    FILE *const in = fopen(from, "rb"), *const out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    int c;
    while ((c = getc(in)) != EOF)
        putc(c, out);
    fclose(in);
    fclose(out);
}

static void test_model_file_shrinks(void **state)
{
    (void)state;
    char *const dir = scratch_new();
    char path[512];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        char from[512];
        (void)snprintf(from, sizeof from, GOLDEN "glm52/%s", files[i]);
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        copy_file(from, path);
    }
    glim_model *const m = open_model(dir, 2);
    glim_session *const s = open_session(m, 16, false);
    append(s, 0, 20, 0);
    assert_int_equal(truncate(path, 40000), 0);
    int32_t token = 5;
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_error e;
    a.tokens = &token;
    a.n = 1;
    assert_int_equal(glim_session_append(s, &a, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, "model.safetensors"));
    assert_int_equal(glim_session_length(s), 20);
    assert_int_equal(glim_model_check(m, &e), GLIM_EIO);
    glim_session_free(s);
    glim_model_close(m);
    scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_and_threads), cmocka_unit_test(test_rewind),
        cmocka_unit_test(test_all_logits_in_any_chunks),
        cmocka_unit_test(test_last_rows_alone), cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_rewind_keeps_roles), cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_stop_keeps_whole_chunks),
        cmocka_unit_test(test_model_file_shrinks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
