/* An answer is the same with drafts and without: events, timeline, usage, logits, and what the
 * session does afterwards; for every number of drafts, greedy and sampled, wherever the answer
 * ends, on random models (drafts are mostly wrong; with a bias on two tokens, often right). The
 * bundled one: test_speculate_nano; that draws follow the logits: test_speculate_draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "util/files.h"
#include "util/tiny.h"

static const char *const tinies[] = {"mtp-share", "mtp-own"};
/* Two tokens far above the rest: then half of a random model's drafts are right. */
static const struct glim_logit_bias two_tokens[] = {{40, 30}, {61, 30.5F}};

static struct glim_generate how(size_t kind, uint64_t seed)
{
    struct glim_generate g = GLIM_GENERATE_INIT;
    g.sampling.seed = seed;
    g.max_tokens = 24;
    g.raw = kind % 2;
    g.ignore_eos = kind != 2;
    switch (kind) {
    case 0: g.sampling.temperature = 0; break;
    case 1: g.sampling.temperature = 0.7; g.sampling.top_k = 5; break;
    case 2: g.sampling.temperature = 1; g.sampling.top_p = 0.9; break;
    case 3:
        g.sampling.temperature = 1.5;
        g.sampling.repetition_penalty = 1.3;
        g.sampling.presence_penalty = 0.4;
        g.sampling.frequency_penalty = 0.2;
        g.sampling.penalty_window = 9;
        break;
    default:
        g.sampling.temperature = kind == 4 ? 0 : 1;
        g.sampling.frequency_penalty = kind == 4 ? 0.3 : 0;
        g.sampling.bias = two_tokens;
        g.sampling.biases = 2;
    }
    return g;
}

enum { KINDS = 6 };

static void test_every_number_of_drafts(void **state)
{
    (void)state;
    for (size_t m = 0; m < COUNT_OF(tinies); m++) {
        struct tiny t;
        tiny_open(&t, tinies[m], CONTEXT);
        for (size_t kind = 0; kind < KINDS; kind++) {
            for (int drafts = GLIM_DRAFTS_AUTO; drafts <= GLIM_DRAFTS_MAX; drafts++) {
                const struct glim_generate g = how(kind, 100 * kind + (uint64_t)drafts);
                tiny_check(&t, &g, drafts, 0);
            }
        }
        tiny_close(&t);
    }
    drafts_both();
}

/* Every place in a run of accepted drafts where an answer can end: length, caller, stop token, stop
 * string, full context. */
static void test_every_end(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-share", CONTEXT);
    static const char *const strings[] = {"IIII", "^I^"};
    static const int32_t token = 61;
    for (uint64_t n = 1; n <= 9; n++) {
        struct glim_generate g = how(5, n);
        g.max_tokens = n;
        tiny_check(&t, &g, 4, 0);
        g.max_tokens = 30;
        tiny_check(&t, &g, 3, (size_t)n);
        g.stop = strings;
        g.stops = 2;
        tiny_check(&t, &g, 5, 0);
        g.stops = 0;
        g.stop_token = &token;
        g.stop_tokens = 1;
        tiny_check(&t, &g, 2, 0);
    }
    tiny_close(&t);
    drafts_both();
    for (uint64_t room = 1; room <= 7; room++) {
        tiny_open(&t, "mtp-own", TINY_PROMPT + room);
        struct glim_generate g = how(5, room);
        g.max_tokens = 0;
        tiny_check(&t, &g, 5, 0);
        tiny_close(&t);
    }
    drafts_both();
}

/* Long enough for pairs to be late and to be caught up with, in the middle of verifications too. */
static void test_long_answers(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-share", 240);
    struct glim_generate g = how(5, 3);
    g.max_tokens = 200;
    tiny_check(&t, &g, GLIM_DRAFTS_AUTO, 0);
    tiny_check(&t, &g, 3, 0);
    tiny_check(&t, &g, GLIM_DRAFTS_OFF, 0);
    tiny_close(&t);
    drafts_both();
}

/* How a timeline came to be changes no draft: the counts of two sessions are the same. */
static void test_drafts_do_not_depend_on_history(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-own", CONTEXT);
    for (int drafts = 1; drafts <= GLIM_DRAFTS_MAX; drafts++) {
        const struct glim_generate g = how(5, 40 + (uint64_t)drafts);
        struct answer a, b;
        tiny_prompt(t.calm, false);
        tiny_prompt(t.drafting, true);
        answer_make(&a, t.calm, &g, drafts, 0, t.vocab);
        answer_make(&b, t.drafting, &g, drafts, 0, t.vocab);
        answer_same(&a, &b, t.vocab);
        assert_int_equal(a.usage.verifications, b.usage.verifications);
        assert_int_equal(a.usage.drafted_tok, b.usage.drafted_tok);
        assert_int_equal(a.usage.accepted_tok, b.usage.accepted_tok);
        answer_deinit(&a);
        answer_deinit(&b);
    }
    tiny_close(&t);
}

/* Tokens taken from a verification keep the role of decoded ones: at low positions the roles differ
 * in their last bits, and a rewind computes the last token that is left again. */
static void test_rewind_into_an_answer(void **state)
{
    (void)state;
    struct tiny t;
    tiny_open(&t, "mtp-own", CONTEXT);
    const int32_t token[] = {3, 14, 15, 9};
    struct glim_generate g = how(5, 2);
    struct answer a;
    g.max_tokens = 7;
    answer_append(t.drafting, token, 4, 0);
    answer_make(&a, t.drafting, &g, 3, 0, t.vocab);
    for (uint64_t n = 10; n >= 5; n--) {
        assert_int_equal(glim_session_rewind(t.calm, 0, NULL), 0);
        answer_append(t.calm, token, 4, 0);
        answer_append(t.calm, a.timeline + 4, n - 4, GLIM_APPEND_DECODE);
        assert_int_equal(glim_session_rewind(t.drafting, n, NULL), 0);
        answer_future(t.calm, t.drafting, true, t.vocab);
    }
    answer_deinit(&a);
    tiny_close(&t);
}

/* ---- a token that cannot be computed ---- */

/* The first token of an answer after its third that came neither before nor in the prompt. */
static int32_t new_token(const struct answer *a)
{
    for (uint64_t i = TINY_PROMPT + 3; i < a->length; i++) {
        uint64_t k = 0;
        while (k < i && a->timeline[k] != a->timeline[i])
            k++;
        if (k == i)
            return a->timeline[i];
    }
    fail_msg("no new token in the answer");
    return -1;
}

/* An answer that comes to a token whose row is not a number ends there, with the same error and the
 * same timeline, also where that token was drafted before it was drawn. */
static void test_errors(void **state)
{
    (void)state;
    struct answer a;
    struct tiny t;
    for (size_t m = 0; m < COUNT_OF(tinies); m++) {
        struct glim_generate g = GLIM_GENERATE_INIT;
        g.sampling.temperature = 0.8;
        g.max_tokens = 40;
        g.raw = g.ignore_eos = true;
        tiny_open(&t, tinies[m], CONTEXT);
        tiny_prompt(t.plain, false);
        answer_make(&a, t.plain, &g, GLIM_DRAFTS_OFF, 0, t.vocab);
        const int32_t bad = new_token(&a);
        answer_deinit(&a);
        tiny_close(&t);
        /* a bias makes the draft layer like it too */
        const struct glim_logit_bias bias = {bad, 3};
        for (int biased = 0; biased < 2; biased++) {
            char *const folder = tiny_folder(tinies[m]);
            tiny_poison(path_in(folder, "model.safetensors"), bad, t.vocab);
            tiny_open_folder(&t, folder, CONTEXT);
            g.sampling.bias = &bias;
            g.sampling.biases = (size_t)biased;
            tiny_prompt(t.plain, false);
            answer_make(&a, t.plain, &g, GLIM_DRAFTS_OFF, 0, t.vocab);
            assert_int_equal(a.rc, GLIM_ENUMERIC);
            answer_deinit(&a);
            for (int drafts = GLIM_DRAFTS_AUTO; drafts <= GLIM_DRAFTS_MAX; drafts++)
                tiny_check(&t, &g, drafts, 0);
            tiny_close(&t);
        }
    }
}

/* ---- the call ---- */

static void test_bad_calls(void **state)
{
    (void)state;
    struct tiny t;
    struct glim_generate g = GLIM_GENERATE_INIT;
    struct glim_error e;
    tiny_open(&t, "mtp-share", CONTEXT);
    tiny_prompt(t.plain, false);
    g.drafts = 3;
    assert_int_equal(glim_generate(t.plain, &g, NULL, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "drafts: 3, but the session was made without mtp");
    g.drafts = 6;
    assert_int_equal(glim_generate(t.drafting, &g, NULL, &e), GLIM_EINVAL);
    assert_string_equal(e.text, "drafts: 6, expected -1 to 5");
    g.drafts = -2;
    assert_int_equal(glim_generate(t.drafting, &g, NULL, &e), GLIM_EINVAL);
    tiny_close(&t);
}

/* A program from before there were drafts passes shorter structures. */
static void test_older_programs(void **state)
{
    (void)state;
    struct tiny t;
    struct answer a = {0};
    struct {
        struct glim_usage usage;
        uint64_t guard;
    } u;
    struct glim_generate g = how(0, 1);
    const size_t old = offsetof(struct glim_usage, verifications);
    memset(&u, 0xa5, sizeof u);
    tiny_open(&t, "mtp-share", CONTEXT);
    tiny_prompt(t.drafting, false);
    buf_init(&a.events);
    g.size = offsetof(struct glim_generate, drafts);
    g.drafts = 77;
    g.max_tokens = 6;
    g.on_event = answer_event;
    g.ctx = &a;
    assert_int_equal(glim_generate(t.drafting, &g, &u.usage, NULL), 0);
    assert_int_equal(u.usage.output_tok, 6);
    for (size_t i = old; i < sizeof u; i++)
        assert_int_equal(((unsigned char *)&u)[i], 0xa5);
    answer_deinit(&a);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_number_of_drafts),
        cmocka_unit_test(test_every_end),
        cmocka_unit_test(test_long_answers),
        cmocka_unit_test(test_drafts_do_not_depend_on_history),
        cmocka_unit_test(test_rewind_into_an_answer),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_bad_calls),
        cmocka_unit_test(test_older_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
