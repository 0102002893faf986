/* The bundled model: an answer is the same with drafts and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "util/answer.h"

#define NANO "models/glm-nano.gguf"

static void nano_prompt(glim_session *s, glim_tokenizer *tok, const char *text, bool think)
{
    char request[512];
    int32_t *ids;
    size_t n;
    struct glim_error e;
    (void)snprintf(request, sizeof request,
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}], "
                   "\"enable_thinking\": %s, \"add_generation_prompt\": true}",
                   text, think ? "true" : "false");
    assert_int_equal(glim_session_rewind(s, 0, NULL), 0);
    if (glim_template(tok, request, strlen(request), NULL, NULL, &ids, &n, &e) != 0)
        fail_msg("%s", e.text);
    answer_append(s, ids, n, 0);
    glim_free(ids);
}

static void test_bundled_model(void **state)
{
    (void)state;
    static const char story[] = "Tell me a short story about a fox and a lantern.";
    static const struct {
        double temperature;
        int drafts;
    } run[] = {{0, 1}, {0, 3}, {0, 5}, {0, GLIM_DRAFTS_AUTO}, {0.7, 4}, {1.5, 2}};
    glim_model *const m = answer_model(NANO);
    const uint64_t vocab = glim_model_info(m)->vocab;
    glim_session *const plain = answer_session(m, 128, 0, false);
    glim_session *const drafting = answer_session(m, 128, 0, true);
    glim_tokenizer *tok;
    struct answer a = {0}, b;
    assert_int_equal(glim_model_tokenizer(m, &tok, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(run); i++) {
        struct glim_generate g = GLIM_GENERATE_INIT;
        g.sampling.temperature = run[i].temperature;
        g.max_tokens = 32;
        if (i == 0 || run[i].temperature > 0) {
            answer_deinit(&a);
            nano_prompt(plain, tok, story, false);
            answer_make(&a, plain, &g, GLIM_DRAFTS_OFF, 0, vocab);
        }
        nano_prompt(drafting, tok, story, false);
        answer_make(&b, drafting, &g, run[i].drafts, 0, vocab);
        answer_same(&a, &b, vocab);
        if (run[i].drafts == 5)
            assert_true(b.usage.accepted_tok >= b.usage.verifications);
        drafts_count(&b);
        answer_deinit(&b);
    }
    drafts_both();
    answer_deinit(&a);
    glim_session_free(plain);
    glim_session_free(drafting);
    glim_model_close(m);
}

/* Reasoning that is cut short: the same with drafts, which may reach beyond its end. */
static void test_reasoning_ends(void **state)
{
    (void)state;
    glim_model *const m = answer_model(NANO);
    const uint64_t vocab = glim_model_info(m)->vocab;
    glim_session *const plain = answer_session(m, 128, 0, false);
    glim_session *const drafting = answer_session(m, 128, 0, true);
    glim_tokenizer *tok;
    assert_int_equal(glim_model_tokenizer(m, &tok, NULL), 0);
    const int32_t end = glim_token_id(tok, "</think>");
    for (uint64_t most = 0; most <= 9; most++) {
        struct glim_generate g = GLIM_GENERATE_INIT;
        struct answer a, b;
        g.max_tokens = 24;
        g.thinking = true;
        g.max_reasoning_tok = most;
        nano_prompt(plain, tok, "What is 12 plus 30?", true);
        const uint64_t begin = glim_session_length(plain);
        answer_make(&a, plain, &g, GLIM_DRAFTS_OFF, 0, vocab);
        for (int drafts = 1; drafts <= GLIM_DRAFTS_MAX; drafts += 2) {
            nano_prompt(drafting, tok, "What is 12 plus 30?", true);
            answer_make(&b, drafting, &g, drafts, 0, vocab);
            answer_same(&a, &b, vocab);
            answer_deinit(&b);
        }
        const int32_t *const answer = glim_session_tokens(plain) + begin;
        for (uint64_t i = 0; i + 1 < most; i++)
            assert_int_not_equal(answer[i], end);
        if (most > 0) {
            assert_int_equal(answer[most - 1], end);
            assert_int_equal(a.usage.reasoning_tok, most);
        } else {
            assert_true(a.usage.reasoning_tok > 9);
        }
        answer_deinit(&a);
    }
    glim_session_free(plain);
    glim_session_free(drafting);
    glim_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bundled_model),
        cmocka_unit_test(test_reasoning_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
