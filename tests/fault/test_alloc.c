/* Every allocation fails once, then from the n-th on for ever, n = 1, 2, ... until the scenario
 * passes: each time the answer is an error that says memory, nothing crashes, nothing leaks (ASan
 * watches), and the next run works. And in the token loop there is no allocation at all.
 *
 * Linked with --wrap for malloc, calloc, realloc and mmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "fault/failing.h"
#include "glim.h"
#include "util/files.h"
#include "util/smalltok.h"

/* Runs the scenario with the n-th allocation failing for n = 1, 2, ...; returns how many there
 * are. */
static unsigned long torture(int (*scenario)(struct glim_error *), bool sticky)
{
    for (unsigned long n = 1;; n++) {
        struct glim_error e = {0};
        plan.calls = 0;
        plan.fail_at = n;
        plan.sticky = sticky;
        const int rc = scenario(&e);
        plan.fail_at = 0;
        if (rc == 0) {
            if (plan.calls >= n)
                fail_msg("allocation %lu failed and nobody noticed", n);
            return n - 1;
        }
        if (rc != GLIM_ENOMEM && rc != GLIM_EIO)
            fail_msg("allocation %lu failed: code %d \"%s\", expected out of memory", n, rc,
                     e.text);
        assert_true(strlen(e.text) > 0);
    }
}

static const int32_t prompt[] = {1, 5, 9, 2, 7, 3, 8, 4, 6, 1, 5, 9, 2, 7, 3, 8, 4, 6, 20, 30};

static int append(glim_session *s, const int32_t *token, size_t n, unsigned flags,
                  struct glim_error *e)
{
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = token;
    a.n = n;
    a.flags = flags;
    return glim_session_append(s, &a, e);
}

static int run_session(glim_model *m, struct glim_error *e)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    glim_session *s;
    int32_t draft[2];
    o.context_tok = 64;
    o.chunk_tok = 8;
    o.mtp = true;
    int rc = glim_session_new(&s, m, &o, e);
    if (rc == 0)
        rc = append(s, prompt, 20, 0, e);
    if (rc == 0)
        rc = glim_session_rewind(s, 10, e);
    if (rc == 0)
        rc = append(s, prompt, 4, GLIM_APPEND_DECODE, e);
    if (rc == 0)
        rc = glim_session_draft(s, 3, 2, draft, NULL, e);
    struct glim_sampling p = GLIM_SAMPLING_INIT;
    int32_t token;
    p.temperature = 1;
    if (rc == 0)
        rc = glim_session_sample(s, &p, &token, e);
    glim_session_free(s);
    return rc;
}

static int model_scenario(struct glim_error *e)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    glim_model *m;
    o.threads = 2;
    const int rc = glim_model_open(&m, "tests/data/golden/mtp-share", &o, e);
    if (rc != 0)
        return rc;
    const int rc2 = run_session(m, e);
    glim_model_close(m);
    return rc2;
}

/* Streamed. Reads by threads, where io_uring is usual, are how a failed allocation is noticed too.
 * A session that failed leaves the model as it was: the next one works. */
static const char *reads;

static int streamed_session(glim_model *m, struct glim_error *e)
{
    struct glim_streaming now;
    const int rc = run_session(m, e);
    glim_model_streaming(m, &now);
    if (rc != 0)
        return rc;
    assert_true(now.streamed && now.read_bytes > 0);
    if (!reads)
        reads = now.reads;
    if (strcmp(reads, now.reads) == 0)
        return 0;
    strcpy(e->text, "reads by threads");
    return GLIM_ENOMEM;
}

static int streamed_scenario(struct glim_error *e)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    glim_model *m;
    o.threads = 2;
    o.ram_bytes = 1 << 26;
    o.knobs.stream_always = true;
    int rc = glim_model_open(&m, "tests/data/golden/mtp-share", &o, e);
    if (rc != 0)
        return rc;
    rc = streamed_session(m, e);
    if (rc != 0) {
        struct glim_error again;
        plan.fail_at = 0;
        if (run_session(m, &again) != 0)
            fail_msg("after \"%s\": %s", e->text, again.text);
    }
    glim_model_close(m);
    return rc;
}

static int gguf_scenario(struct glim_error *e)
{
    glim_model *m;
    const int rc = glim_model_open(&m, "tests/data/golden/no-norm-topk/model-f32.gguf", NULL, e);
    glim_model_close(m);
    return rc;
}

static void test_model(void **state)
{
    (void)state;
    printf("  safetensors: %lu once", torture(model_scenario, false));
    printf(", %lu for ever; gguf: %lu", torture(model_scenario, true),
           torture(gguf_scenario, false));
    printf(", %lu for ever\n", torture(gguf_scenario, true));
}

static void test_streamed(void **state)
{
    (void)state;
    struct glim_error e;
    assert_int_equal(streamed_scenario(&e), 0);
    printf("  streamed: %lu once", torture(streamed_scenario, false));
    printf(", %lu for ever\n", torture(streamed_scenario, true));
}

static int ignore(void *ctx, const struct glim_event *ev)
{
    (void)ctx;
    (void)ev;
    return 0;
}

static void test_no_allocation_in_the_token_loop(void **state)
{
    (void)state;
    glim_model *m;
    glim_session *s;
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    o.context_tok = 192;
    o.mtp = true;
    assert_int_equal(glim_model_open(&m, "tests/data/golden/mtp-share", NULL, NULL), 0);
    assert_int_equal(glim_session_new(&s, m, &o, NULL), 0);
    assert_int_equal(append(s, prompt, 20, 0, NULL), 0);
    struct glim_sampling p = GLIM_SAMPLING_INIT;
    p.temperature = 0.8;
    p.top_p = 0.9;
    p.repetition_penalty = 1.1;
    plan.calls = 0;
    for (int i = 0; i < 100; i++) {
        int32_t token, draft[2];
        assert_int_equal(glim_session_sample(s, &p, &token, NULL), 0);
        assert_int_equal(glim_session_draft(s, token, 2, draft, NULL, NULL), 0);
        assert_int_equal(append(s, &token, 1, GLIM_APPEND_DECODE, NULL), 0);
    }
    assert_int_equal(plan.calls, 0);
    glim_session_free(s);
    glim_model_close(m);
}

static unsigned long allocations_of_answer(glim_session *s, int drafts)
{
    struct glim_generate g = GLIM_GENERATE_INIT;
    struct glim_usage u;
    g.max_tokens = 24;
    g.raw = g.ignore_eos = true;
    g.drafts = drafts;
    g.on_event = ignore;
    assert_int_equal(glim_session_rewind(s, 0, NULL), 0);
    assert_int_equal(append(s, prompt, 20, 0, NULL), 0);
    plan.calls = 0;
    assert_int_equal(glim_generate(s, &g, &u, NULL), 0);
    assert_int_equal(u.verifications > 0, drafts > 0);
    return plan.calls;
}

/* What an answer allocates is its text: drafts add nothing. */
static void test_drafts_allocate_nothing(void **state)
{
    (void)state;
    glim_model *m;
    glim_session *s;
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    o.context_tok = 64;
    o.mtp = true;
    assert_int_equal(glim_model_open(&m, "models/glm-nano.gguf", NULL, NULL), 0);
    assert_int_equal(glim_session_new(&s, m, &o, NULL), 0);
    (void)allocations_of_answer(s, GLIM_DRAFTS_OFF); /* builds the tokenizer */
    const unsigned long plain = allocations_of_answer(s, GLIM_DRAFTS_OFF);
    assert_int_equal(allocations_of_answer(s, 3), plain);
    glim_session_free(s);
    glim_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_streamed),
        cmocka_unit_test(test_no_allocation_in_the_token_loop),
        cmocka_unit_test(test_drafts_allocate_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
