/* streamed.c - see streamed.h. */
#include "util/streamed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

glim_model *open_model(const char *path, int threads, uint64_t ram)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    glim_model *m;
    o.threads = threads;
    o.knobs.latent_eps = 1e-6;
    o.ram_bytes = ram;
    o.knobs.stream_always = ram != RAM_MAX;
    if (glim_model_open(&m, path, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

int session_of(glim_model *m, uint64_t chunk, bool mtp, glim_session **s, struct glim_error *e)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    o.context_tok = 64;
    o.chunk_tok = chunk;
    o.mtp = mtp;
    return glim_session_new(s, m, &o, e);
}

static int keep_row(void *ctx, size_t i, const float *logits, const float *mtp)
{
    struct rows *const r = ctx;
    const uint64_t at = (r->from + i) * r->vocab;
    memcpy(r->logits + at, logits, r->vocab * sizeof *logits);
    if (mtp)
        memcpy(r->mtp + at, mtp, r->vocab * sizeof *mtp);
    return 0;
}

int append_rows(glim_session *s, struct rows *r, size_t from, size_t n, unsigned flags,
                struct glim_error *e)
{
    int32_t token[ROWS];
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

struct rows rows_new(const glim_model *m)
{
    const uint64_t vocab = glim_model_info(m)->vocab;
    return (struct rows){.logits = calloc(ROWS * vocab, sizeof(float)),
                         .mtp = calloc(ROWS * vocab, sizeof(float)), .vocab = vocab};
}

void rows_free(struct rows *r)
{
    free(r->logits);
    free(r->mtp);
}

struct rows rows_of(const char *path, int threads, uint64_t ram, uint64_t chunk, bool mtp)
{
    struct glim_error e;
    glim_model *const m = open_model(path, threads, ram);
    struct rows r = rows_new(m);
    glim_session *s;
    if (session_of(m, chunk, mtp, &s, &e) != 0 || append_rows(s, &r, 0, PROMPT, 0, &e) != 0
        || append_rows(s, &r, PROMPT, ROWS - PROMPT, GLIM_APPEND_DECODE, &e) != 0)
        fail_msg("%s: %s", path, e.text);
    struct glim_streaming now;
    glim_model_streaming(m, &now);
    assert_int_equal(now.streamed, ram != RAM_MAX);
    assert_int_equal(now.read_bytes > 0, ram != RAM_MAX);
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

uint64_t least_ram(const char *path, int threads, bool mtp)
{
    uint64_t no = 1, yes = RAM_MAX - 1;
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

void same_rows(const struct rows *a, const struct rows *b)
{
    assert_memory_equal(a->logits, b->logits, ROWS * a->vocab * sizeof(float));
    assert_memory_equal(a->mtp, b->mtp, ROWS * a->vocab * sizeof(float));
}
