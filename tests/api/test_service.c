/* A service through glim.h with the bundled model: turns, log-probabilities, a long prompt beside
 * others. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/pending.h"

/* p goes on from the answer of `first`, which has the same prompt, as it was sampled. */
static void go_on(struct pending *p, const struct pending *first, int32_t last)
{
    struct glim_request *const r = &p->request;
    const size_t n = r->prompts + first->tokens;
    p->prompt = realloc(p->prompt, (n + 1) * sizeof *p->prompt);
    p->sampled = calloc(n + 1, 1);
    memcpy(p->prompt + r->prompts, first->token, first->tokens * sizeof *p->prompt);
    memset(p->sampled + r->prompts, 1, first->tokens);
    p->prompt[n] = last;
    r->prompt = p->prompt;
    r->sampled = p->sampled;
    r->prompts = n + 1;
}

/* A conversation's second turn, whose prompt holds the first answer as it was sampled: found in the
 * cache, or computed again by a service that has never seen it. */
static void test_second_turn(void **state)
{
    struct fixture *const f = *state;
    struct pending *second[2];
    for (int again = 0; again < 2; again++) {
        struct pending *const first = pending_new(f, 2);
        service_begin(f, NULL);
        pending_submit(f, first, NULL);
        pending_wait(first);
        if (again) {
            service_end(f);
            service_begin(f, NULL);
        }
        second[again] = pending_new(f, 2);
        go_on(second[again], first, glim_token_id(f->tok, "<|user|>"));
        const uint64_t n = second[again]->request.prompts - 1;
        pending_submit(f, second[again], NULL);
        pending_wait(second[again]);
        assert_in_range(second[again]->cached_tok, again ? 0 : n - 1, again ? 0 : n);
        service_end(f);
    }
    pending_same(second[0], second[1]);
}

/* ---- log-probabilities ---- */

enum { TOPS = 3 };

struct scores {
    struct pending *p;
    float prompt[512], answer[64];
    int32_t prompt_token[512], answer_token[64], best[64];
    size_t prompts, answers;
    size_t wrong; /* events whose most probable tokens are not as asked for */
};

static int on_scored(void *ctx, const struct glim_event *ev)
{
    struct scores *const x = ctx;
    if (ev->kind == GLIM_EVENT_PROMPT_TOKEN && x->prompts < 512) {
        x->wrong += ev->tops != (x->prompts > 0 ? TOPS : 0);
        x->prompt_token[x->prompts] = ev->token;
        x->prompt[x->prompts++] = ev->logprob;
    }
    if (ev->kind == GLIM_EVENT_TOKEN && x->answers < 64) {
        const bool three = ev->tops == TOPS && ev->top[0].logprob >= ev->top[1].logprob
                           && ev->top[1].logprob >= ev->top[2].logprob;
        x->wrong += !three;
        x->best[x->answers] = three ? ev->top[0].token : -1;
        x->answer_token[x->answers] = ev->token;
        x->answer[x->answers++] = ev->logprob;
    }
    return 0;
}

static void scores_done(void *ctx, const struct glim_result *r)
{
    pending_done(((struct scores *)ctx)->p, r);
}

struct expected {
    const int32_t *token;
    const float *logprob;
    size_t n;
    uint64_t vocab;
    double furthest;
};

/* Logits after token `index` of a session, against what the service said of the next one. */
static int compare_scores(void *ctx, size_t index, const float *logits, const float *mtp)
{
    struct expected *const x = ctx;
    double sum = 0;
    (void)mtp;
    if (index + 1 >= x->n)
        return 0;
    for (uint64_t i = 0; i < x->vocab; i++)
        sum += exp((double)logits[i]);
    const double want = (double)logits[x->token[index + 1]] - log(sum);
    x->furthest = fmax(x->furthest, fabs(want - (double)x->logprob[index + 1]));
    return 0;
}

/* How far the log-probabilities of a prompt are from a session's own. */
static double furthest(struct fixture *f, const struct glim_request *r, const float *logprob)
{
    glim_session *s;
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_error e;
    struct expected want = {r->prompt, logprob, r->prompts, glim_model_info(f->model)->vocab, 0};
    assert_int_equal(glim_session_new(&s, f->model, NULL, &e), 0);
    a.tokens = r->prompt;
    a.n = r->prompts;
    a.flags = GLIM_APPEND_ALL_LOGITS;
    a.on_logits = compare_scores;
    a.ctx = &want;
    const int rc = glim_session_append(s, &a, &e);
    glim_session_free(s);
    assert_int_equal(rc, 0);
    return want.furthest;
}

static void test_logprobs(void **state)
{
    struct fixture *const f = *state;
    static struct scores x;
    struct pending *const p = pending_new(f, 2);
    struct glim_request *const r = &p->request;
    x = (struct scores){.p = p};
    r->logprobs = r->prompt_logprobs = true;
    r->top_logprobs = TOPS;
    r->generate.max_tokens = 12;
    r->on_event = on_scored;
    r->on_done = scores_done;
    r->ctx = &x;
    service_begin(f, NULL);
    pending_submit(f, p, NULL);
    pending_wait(p);
    service_end(f);
    assert_int_equal(p->code, 0);
    assert_int_equal(x.wrong, 0);
    assert_int_equal(x.prompts, r->prompts);
    assert_memory_equal(x.prompt_token, r->prompt, r->prompts * sizeof *r->prompt);
    assert_int_equal(x.answers, 12);
    for (size_t i = 0; i < x.answers; i++)
        assert_int_equal(x.best[i], x.answer_token[i]); /* temperature 0 */
    assert_true(furthest(f, r, x.prompt) < 1e-4);
}

/* A long prompt while others generate: they go on, and no bit changes. */
static void test_long_prompt_beside(void **state)
{
    enum { LONG = 3000 };
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct pending *const undisturbed = answer_alone(f, 4), *p[3];
    o.context_tok = 4096;
    service_begin(f, &o);
    for (unsigned i = 0; i < 3; i++) {
        p[i] = pending_new(f, 4);
        if (i == 1) {
            const size_t n = p[i]->request.prompts;
            p[i]->prompt = realloc(p[i]->prompt, LONG * sizeof *p[i]->prompt);
            for (size_t k = n; k < LONG; k++)
                p[i]->prompt[k] = p[i]->prompt[k - n];
            p[i]->request.prompt = p[i]->prompt;
            p[i]->request.prompts = LONG;
        }
        pending_submit(f, p[i], NULL);
    }
    for (unsigned i = 0; i < 3; i++)
        pending_wait(p[i]);
    pending_same(p[0], undisturbed);
    pending_same(p[2], undisturbed);
    assert_int_equal(p[1]->code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_second_turn, fixture_clear),
        cmocka_unit_test_teardown(test_logprobs, fixture_clear),
        cmocka_unit_test_teardown(test_long_prompt_beside, fixture_clear),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
