/* What the clock of the stages promises: its parts are the time that passed, the weights of a token
 * are each in one stage, and no bit of a result depends on it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "glim.h"
#include "util/files.h"

enum { N = 40 };

static glim_model *open_model(const char *name, int threads)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    glim_model *m;
    char path[128];
    snprintf(path, sizeof path, "tests/data/golden/%s", name);
    o.threads = threads;
    o.knobs.index_always = true;
    if (glim_model_open(&m, path, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

/* A prompt and tokens after it, on a session of its own; *last = the logits' first value's bits. */
static void work(glim_model *m, uint32_t *last)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_append a = GLIM_APPEND_INIT;
    glim_session *s;
    int32_t token[N];
    for (int i = 0; i < N; i++)
        token[i] = (i * 37 + 11) % 90;
    o.context_tok = N;
    assert_int_equal(glim_session_new(&s, m, &o, NULL), 0);
    a.tokens = token;
    a.n = N - 3;
    assert_int_equal(glim_session_append(s, &a, NULL), 0);
    a.flags = GLIM_APPEND_DECODE;
    a.tokens = token + N - 3;
    a.n = 3;
    assert_int_equal(glim_session_append(s, &a, NULL), 0);
    memcpy(last, glim_session_logits(s), sizeof *last);
    glim_session_free(s);
}

static uint64_t total_ns(const struct glim_stages *t)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < t->stages; i++)
        sum += t->stage[i].work_ns + t->stage[i].wait_ns;
    return sum;
}

static const struct glim_stage *stage_of(const struct glim_stages *t, const char *name)
{
    for (size_t i = 0; i < t->stages; i++)
        if (strcmp(t->stage[i].name, name) == 0)
            return &t->stage[i];
    fail_msg("no stage %s", name);
    return NULL;
}

static void test_stages_are_the_time_that_passed(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        glim_model *const m = open_model("glm52", threads);
        struct glim_stages t;
        uint32_t off, on;
        work(m, &off);
        glim_model_stages(m, &t);
        assert_int_equal(total_ns(&t), 0);
        const uint64_t before = now_ns();
        glim_model_clock(m, true);
        const uint64_t begin = now_ns();
        work(m, &on);
        const uint64_t end = now_ns();
        glim_model_stages(m, &t);
        assert_in_range(total_ns(&t), end - begin, now_ns() - before);
        assert_int_equal(on, off);
        static const char *const busy[] = {"attention", "indexer", "router", "experts",
                                           "dense",     "head",    "rest",   "outside"};
        for (size_t i = 0; i < COUNT_OF(busy); i++)
            assert_true(stage_of(&t, busy[i])->work_ns > 0);
        for (size_t i = 0; i < t.stages && threads == 1; i++)
            assert_int_equal(t.stage[i].wait_ns, 0);
        glim_model_clock(m, false);
        glim_model_stages(m, &t);
        assert_int_equal(total_ns(&t), 0);
        glim_model_close(m);
    }
}

static void test_weights_are_in_one_stage_each(void **state)
{
    (void)state;
    static const char *const name[] = {"glm52", "tied-mixed", "mtp-own", "fp8"};
    for (size_t k = 0; k < COUNT_OF(name); k++) {
        glim_model *const m = open_model(name[k], 1);
        struct glim_stages t;
        uint64_t bytes = 0, parameters = 0;
        glim_model_stages(m, &t);
        for (size_t i = 0; i < t.stages; i++) {
            bytes += t.stage[i].bytes_per_token;
            parameters += t.stage[i].parameters;
        }
        assert_int_equal(bytes, glim_model_info(m)->bytes_per_token);
        assert_int_equal(parameters, glim_model_info(m)->active_parameters);
        assert_true(stage_of(&t, "experts")->bytes_per_token > 0);
        assert_true(stage_of(&t, "head")->parameters
                    == glim_model_info(m)->vocab * glim_model_info(m)->hidden);
        glim_model_close(m);
    }
}

static void test_peak(void **state)
{
    (void)state;
    glim_model *const m = open_model("glm52", 2);
    const double peak = glim_model_peak_flop_s(m);
    assert_true(peak > 1e7 && peak < 1e15);
    glim_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stages_are_the_time_that_passed),
        cmocka_unit_test(test_weights_are_in_one_stage_each),
        cmocka_unit_test(test_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
