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

static void nano_prompt(glim_session *s, glim_tokenizer *tok, const char *text)
{
    char request[512];
    int32_t *ids;
    size_t n;
    struct glim_error e;
    (void)snprintf(request, sizeof request,
                   "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"}], "
                   "\"enable_thinking\": false, \"add_generation_prompt\": true}",
                   text);
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
            nano_prompt(plain, tok, story);
            answer_make(&a, plain, &g, GLIM_DRAFTS_OFF, 0, vocab);
        }
        nano_prompt(drafting, tok, story);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bundled_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
