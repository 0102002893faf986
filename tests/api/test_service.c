/* A service through glim.h with the bundled model: many requests at once, each as if it were alone;
 * turns, limits, cancelling, stopping. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "glim.h"

#define MODEL "models/glm-nano.gguf"

/* ---- requests ---- */

struct pending {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
    int code;
    char error[256];
    struct glim_usage usage;
    uint64_t cached_tok;
    struct buf events; /* a line each */
    int32_t *token;    /* [tokens] */
    size_t tokens;
    size_t stop_after; /* tokens; 0 = never */
    size_t seen;
};

static int on_event(void *ctx, const struct glim_event *ev)
{
    struct pending *const p = ctx;
    char line[64];
    if (ev->kind == GLIM_EVENT_PROMPT)
        return 0;
    (void)snprintf(line, sizeof line, "%d %d %d ", (int)ev->kind, (int)ev->token, ev->tool);
    buf_adds(&p->events, line);
    buf_add(&p->events, ev->text, ev->len);
    buf_addc(&p->events, '\n');
    p->seen += ev->kind == GLIM_EVENT_TOKEN;
    return p->stop_after && p->seen >= p->stop_after;
}

static void on_done(void *ctx, const struct glim_result *r)
{
    struct pending *const p = ctx;
    (void)pthread_mutex_lock(&p->lock);
    assert_false(p->done);
    p->done = true;
    p->code = r->code;
    (void)snprintf(p->error, sizeof p->error, "%s", r->error);
    p->usage = r->usage;
    p->cached_tok = r->cached_tok;
    p->tokens = r->tokens;
    p->token = malloc((r->tokens + 1) * sizeof *p->token);
    memcpy(p->token, r->token, r->tokens * sizeof *p->token);
    (void)pthread_cond_signal(&p->wake);
    (void)pthread_mutex_unlock(&p->lock);
}

static void pending_init(struct pending *p)
{
    *p = (struct pending){0};
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->wake, NULL);
    buf_init(&p->events);
}

static void pending_wait(struct pending *p)
{
    (void)pthread_mutex_lock(&p->lock);
    while (!p->done)
        (void)pthread_cond_wait(&p->wake, &p->lock);
    (void)pthread_mutex_unlock(&p->lock);
}

static void pending_deinit(struct pending *p)
{
    free(p->token);
    buf_deinit(&p->events);
    (void)pthread_cond_destroy(&p->wake);
    (void)pthread_mutex_destroy(&p->lock);
}

static void pending_same(const struct pending *a, const struct pending *b)
{
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->tokens, b->tokens);
    assert_memory_equal(a->token, b->token, a->tokens * sizeof *a->token);
    assert_int_equal(a->usage.finish, b->usage.finish);
    assert_int_equal(a->events.len, b->events.len);
    assert_memory_equal(a->events.data, b->events.data, a->events.len);
}

/* ---- a service ---- */

struct fixture {
    glim_model *model;
    glim_tokenizer *tok;
    glim_service *service;
};

static void begin(struct fixture *f, const struct glim_service_options *o)
{
    struct glim_error e;
    if (glim_service_start(&f->service, f->model, o, &e) != 0)
        fail_msg("%s", e.text);
}

static void end(struct fixture *f)
{
    glim_service_stop(f->service);
    f->service = NULL;
}

static int set_up(void **state)
{
    static struct fixture f;
    struct glim_error e;
    f = (struct fixture){0};
    if (glim_model_open(&f.model, MODEL, NULL, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(glim_model_tokenizer(f.model, &f.tok, &e), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *const f = *state;
    glim_service_stop(f->service);
    glim_model_close(f->model);
    return 0;
}

static const char *const question[] = {
    "Tell me a short story about a fox and a lantern.",
    "What is the capital of France?",
    "Tell me a short story about a dog.",
    "Count from one to ten.",
};

/* A request that begins with a preamble which some share; the caller frees r->prompt. */
static void ask(struct fixture *f, struct glim_request *r, struct pending *p, unsigned i)
{
    char text[1024];
    int32_t *ids;
    struct glim_error e;
    *r = (struct glim_request)GLIM_REQUEST_INIT;
    (void)snprintf(text, sizeof text,
                   "{\"messages\": [{\"role\": \"system\", \"content\": \"%s\"}, {\"role\": "
                   "\"user\", \"content\": \"%s\"}], \"enable_thinking\": %s, "
                   "\"add_generation_prompt\": true}",
                   i % 3 ? "You are a careful assistant who answers in one or two plain sentences, "
                           "and who never makes anything up, whatever happens to be asked."
                         : "Be brief.",
                   question[i % 4], i % 5 == 4 ? "true" : "false");
    if (glim_template(f->tok, text, strlen(text), NULL, NULL, &ids, &r->prompts, &e) != 0)
        fail_msg("%s", e.text);
    r->prompt = ids;
    r->generate.max_tokens = i % 4 ? 8 + i * 7 % 25 : 130;
    r->generate.ignore_eos = i % 4 == 0;
    r->generate.thinking = i % 5 == 4;
    r->generate.sampling.temperature = i % 2 ? 0.8 : 0;
    r->generate.sampling.seed = i;
    r->on_event = on_event;
    r->on_done = on_done;
    r->ctx = p;
}

static void submit(struct fixture *f, const struct glim_request *r, uint64_t *id)
{
    struct glim_error e;
    if (glim_service_submit(f->service, r, id, &e) != 0)
        fail_msg("%s", e.text);
}

/* A service that has seen nothing yet answers this one alone. */
static void answer_alone(struct fixture *f, unsigned i, struct pending *p)
{
    struct glim_request r;
    pending_init(p);
    ask(f, &r, p, i);
    begin(f, NULL);
    submit(f, &r, NULL);
    pending_wait(p);
    end(f);
    free((void *)(uintptr_t)r.prompt);
}

enum { MANY = 40, KINDS = 20 };

/* Answers of fresh services, one each. */
static struct pending alone[KINDS];

static int set_up_alone(void **state)
{
    if (set_up(state) != 0)
        return -1;
    for (unsigned i = 0; i < KINDS; i++)
        answer_alone(*state, i, &alone[i]);
    return 0;
}

static int tear_down_alone(void **state)
{
    for (unsigned i = 0; i < KINDS; i++)
        pending_deinit(&alone[i]);
    return tear_down(state);
}

/* All kinds twice at once. */
static struct glim_service_state many(struct fixture *f, const struct glim_service_options *o)
{
    static struct pending together[MANY];
    struct glim_request r;
    begin(f, o);
    for (unsigned i = 0; i < MANY; i++) {
        pending_init(&together[i]);
        ask(f, &r, &together[i], i % KINDS);
        submit(f, &r, NULL);
        free((void *)(uintptr_t)r.prompt);
    }
    for (unsigned i = 0; i < MANY; i++) {
        pending_wait(&together[i]);
        pending_same(&together[i], &alone[i % KINDS]);
        assert_true(together[i].tokens > 0);
    }
    struct glim_service_state s;
    glim_service_state(f->service, &s);
    assert_int_equal(s.done, MANY);
    assert_int_equal(s.running + s.waiting, 0);
    end(f);
    for (unsigned i = 0; i < MANY; i++)
        pending_deinit(&together[i]);
    return s;
}

static void test_many_as_alone(void **state)
{
    const struct glim_service_state s = many(*state, NULL);
    assert_true(s.step_rows > s.steps);
    assert_true(s.cached_tok > 0);
}

/* Again until requests were set back, or drafts made: how they fall together is up to the clock. */
static void many_until(struct fixture *f, const struct glim_service_options *o, bool drafts)
{
    for (int tries = 0; tries < 8; tries++) {
        const struct glim_service_state s = many(f, o);
        if ((drafts ? s.drafted_tok : s.set_back) > 0)
            return;
    }
    fail_msg("8 times without %s", drafts ? "drafts" : "setting back");
}

/* Room for a few of them: prefixes go, and younger ones are set back and computed again. */
static void test_many_in_little_room(void **state)
{
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    o.context_tok = 256;
    o.cache_tok = 1;
    o.parallel = 24;
    many_until(*state, &o, false);
}

static void test_many_in_small_chunks(void **state)
{
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    o.chunk_tok = 7;
    o.parallel = 5;
    (void)many(*state, &o);
}

/* With the MTP layer's cache, and drafts where one answer alone goes on. */
static void test_many_with_drafts(void **state)
{
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    o.mtp = true;
    (void)many(*state, &o);
    o.context_tok = 256;
    o.cache_tok = 1;
    many_until(*state, &o, false);
    o.parallel = 1;
    many_until(*state, &o, true);
}

/* A conversation's second turn, whose prompt holds the first answer as it was sampled: found in the
 * cache, or computed again by a service that has never seen it. */
static void test_second_turn(void **state)
{
    struct fixture *const f = *state;
    struct pending first, second[2];
    struct glim_request r;
    answer_alone(f, 2, &first);
    pending_deinit(&first);
    for (int again = 0; again < 2; again++) {
        pending_init(&first);
        pending_init(&second[again]);
        begin(f, NULL);
        ask(f, &r, &first, 2);
        int32_t *const own = (int32_t *)(uintptr_t)r.prompt;
        submit(f, &r, NULL);
        pending_wait(&first);
        if (again) {
            end(f);
            begin(f, NULL);
        }
        const size_t n = r.prompts + first.tokens;
        int32_t *const more = malloc((n + 1) * sizeof *more);
        uint8_t *const sampled = calloc(n + 1, 1);
        memcpy(more, own, r.prompts * sizeof *more);
        memcpy(more + r.prompts, first.token, first.tokens * sizeof *more);
        memset(sampled + r.prompts, 1, first.tokens);
        more[n] = glim_token_id(f->tok, "<|user|>");
        r.prompt = more;
        r.sampled = sampled;
        r.prompts = n + 1;
        r.ctx = &second[again];
        submit(f, &r, NULL);
        pending_wait(&second[again]);
        assert_in_range(second[again].cached_tok, again ? 0 : n - 1, again ? 0 : n);
        end(f);
        free(own);
        free(more);
        free(sampled);
        pending_deinit(&first);
    }
    pending_same(&second[0], &second[1]);
    pending_deinit(&second[0]);
    pending_deinit(&second[1]);
}

/* ---- log-probabilities ---- */

struct scores {
    struct pending p;
    float prompt[512], answer[64];
    int32_t prompt_token[512], answer_token[64], best[64];
    size_t prompts, answers;
};

static int on_scored(void *ctx, const struct glim_event *ev)
{
    struct scores *const x = ctx;
    if (ev->kind == GLIM_EVENT_PROMPT_TOKEN) {
        x->prompt_token[x->prompts] = ev->token;
        x->prompt[x->prompts++] = ev->logprob;
        assert_int_equal(ev->tops, x->prompts > 1 ? 3 : 0);
    }
    if (ev->kind == GLIM_EVENT_TOKEN) {
        assert_int_equal(ev->tops, 3);
        assert_true(ev->top[0].logprob >= ev->top[1].logprob);
        assert_true(ev->top[1].logprob >= ev->top[2].logprob);
        x->best[x->answers] = ev->top[0].token;
        x->answer_token[x->answers] = ev->token;
        x->answer[x->answers++] = ev->logprob;
    }
    return 0;
}

static void scores_done(void *ctx, const struct glim_result *r)
{
    on_done(&((struct scores *)ctx)->p, r);
}

struct expected {
    const int32_t *token;
    const float *logprob;
    size_t n;
    uint64_t vocab;
};

/* Logits after token `index` of a session, against what the service said of the next one. */
static int check_scores(void *ctx, size_t index, const float *logits, const float *mtp)
{
    const struct expected *const x = ctx;
    double sum = 0;
    (void)mtp;
    if (index + 1 >= x->n)
        return 0;
    for (uint64_t i = 0; i < x->vocab; i++)
        sum += exp((double)logits[i]);
    const double want = (double)logits[x->token[index + 1]] - log(sum);
    assert_true(fabs(want - (double)x->logprob[index + 1]) < 1e-4);
    return 0;
}

static void test_logprobs(void **state)
{
    struct fixture *const f = *state;
    static struct scores x;
    struct glim_request r;
    struct glim_error e;
    x = (struct scores){0};
    pending_init(&x.p);
    begin(f, NULL);
    ask(f, &r, NULL, 2);
    r.logprobs = r.prompt_logprobs = true;
    r.top_logprobs = 3;
    r.generate.max_tokens = 12;
    r.on_event = on_scored;
    r.on_done = scores_done;
    r.ctx = &x;
    submit(f, &r, NULL);
    pending_wait(&x.p);
    end(f);
    assert_int_equal(x.p.code, 0);
    assert_int_equal(x.prompts, r.prompts);
    assert_memory_equal(x.prompt_token, r.prompt, r.prompts * sizeof *r.prompt);
    assert_int_equal(x.answers, 12);
    for (size_t i = 0; i < x.answers; i++)
        assert_int_equal(x.best[i], x.answer_token[i]); /* temperature 0 */

    glim_session *s;
    struct glim_append a = GLIM_APPEND_INIT;
    struct expected want = {r.prompt, x.prompt, r.prompts, glim_model_info(f->model)->vocab};
    assert_int_equal(glim_session_new(&s, f->model, NULL, &e), 0);
    a.tokens = r.prompt;
    a.n = r.prompts;
    a.flags = GLIM_APPEND_ALL_LOGITS;
    a.on_logits = check_scores;
    a.ctx = &want;
    assert_int_equal(glim_session_append(s, &a, &e), 0);
    glim_session_free(s);
    free((void *)(uintptr_t)r.prompt);
    pending_deinit(&x.p);
}

/* A long prompt while others generate: they go on, and no bit changes. */
static void test_long_prompt_beside(void **state)
{
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct pending p[3], undisturbed;
    struct glim_request r;
    o.context_tok = 4096;
    answer_alone(f, 4, &undisturbed);
    begin(f, &o);
    for (unsigned i = 0; i < 3; i++) {
        pending_init(&p[i]);
        ask(f, &r, &p[i], 4);
        int32_t *const own = (int32_t *)(uintptr_t)r.prompt;
        int32_t *const many = malloc(3000 * sizeof *many);
        for (size_t k = 0; k < 3000; k++)
            many[k] = own[k % r.prompts];
        if (i == 1) {
            r.prompt = many;
            r.prompts = 3000;
        }
        submit(f, &r, NULL);
        free(own);
        free(many);
    }
    for (unsigned i = 0; i < 3; i++)
        pending_wait(&p[i]);
    pending_same(&p[0], &undisturbed);
    pending_same(&p[2], &undisturbed);
    assert_int_equal(p[1].code, 0);
    end(f);
    for (unsigned i = 0; i < 3; i++)
        pending_deinit(&p[i]);
    pending_deinit(&undisturbed);
}

static void test_caller_stops(void **state)
{
    struct fixture *const f = *state;
    struct pending p;
    struct glim_request r;
    pending_init(&p);
    ask(f, &r, &p, 0);
    p.stop_after = 3;
    begin(f, NULL);
    submit(f, &r, NULL);
    pending_wait(&p);
    assert_int_equal(p.code, 0);
    assert_int_equal(p.usage.finish, GLIM_FINISH_STOPPED);
    assert_int_equal(p.seen, 3);
    end(f);
    free((void *)(uintptr_t)r.prompt);
    pending_deinit(&p);
}

static void test_limits(void **state)
{
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct pending p[8];
    struct glim_request r;
    struct glim_error e;
    o.context_tok = 128;
    o.queue = 2;
    o.parallel = 1;
    begin(f, &o);
    int busy = 0;
    for (unsigned i = 0; i < 8; i++) {
        pending_init(&p[i]);
        ask(f, &r, &p[i], i);
        r.generate.max_tokens = 64;
        r.generate.ignore_eos = true;
        const int rc = glim_service_submit(f->service, &r, NULL, &e);
        assert_true(rc == 0 || rc == GLIM_EBUSY);
        p[i].done = rc != 0;
        busy += rc != 0;
        free((void *)(uintptr_t)r.prompt);
    }
    assert_true(busy >= 4); /* one runs, two wait, and one may just have been done */
    assert_non_null(strstr(e.text, "2 requests wait"));
    for (unsigned i = 0; i < 8; i++)
        pending_wait(&p[i]);

    static const int32_t long_prompt[128] = {1};
    r.prompt = long_prompt;
    r.prompts = 128;
    assert_int_equal(glim_service_submit(f->service, &r, NULL, &e), GLIM_ELIMIT);
    assert_non_null(strstr(e.text, "128 tokens"));
    r.prompts = 0;
    assert_int_equal(glim_service_submit(f->service, &r, NULL, &e), GLIM_EINVAL);
    r.prompts = 1;
    r.top_logprobs = 21;
    assert_int_equal(glim_service_submit(f->service, &r, NULL, &e), GLIM_EINVAL);
    end(f);
    for (unsigned i = 0; i < 8; i++)
        pending_deinit(&p[i]);
}

/* One that runs and one that waits are cancelled; a third is not disturbed. */
static void test_cancel(void **state)
{
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct pending undisturbed, p[3];
    struct glim_request r;
    uint64_t id[3];
    answer_alone(f, 3, &undisturbed);
    o.parallel = 1;
    begin(f, &o);
    for (unsigned i = 0; i < 3; i++) {
        pending_init(&p[i]);
        ask(f, &r, &p[i], 3);
        if (i < 2) {
            r.generate.max_tokens = 0;
            r.generate.ignore_eos = true;
        }
        submit(f, &r, &id[i]);
        free((void *)(uintptr_t)r.prompt);
    }
    struct glim_service_slot list[4];
    const size_t listed = glim_service_slots(f->service, list, 4);
    assert_in_range(listed, 3, 4); /* the only place, and those that wait */
    assert_int_equal(list[0].slot, 0);
    assert_int_equal(list[listed - 1].slot, -1);
    assert_int_equal(list[listed - 1].id, id[2]);
    glim_service_cancel(f->service, id[1]);
    glim_service_cancel(f->service, id[0]);
    glim_service_cancel(f->service, 12345);
    for (unsigned i = 0; i < 3; i++)
        pending_wait(&p[i]);
    for (unsigned i = 0; i < 2; i++)
        assert_true(p[i].code == GLIM_ESTOPPED
                    || (p[i].code == 0 && p[i].usage.finish == GLIM_FINISH_STOPPED));
    pending_same(&p[2], &undisturbed);
    end(f);
    for (unsigned i = 0; i < 3; i++)
        pending_deinit(&p[i]);
    pending_deinit(&undisturbed);
}

static void test_deadline(void **state)
{
    struct fixture *const f = *state;
    struct pending p;
    struct glim_request r;
    pending_init(&p);
    ask(f, &r, &p, 1);
    r.generate.max_tokens = 0;
    r.generate.ignore_eos = true;
    r.timeout_ns = 30 * 1000 * 1000;
    begin(f, NULL);
    submit(f, &r, NULL);
    pending_wait(&p);
    assert_int_equal(p.code, GLIM_ESTOPPED);
    assert_non_null(strstr(p.error, "0.030 s"));
    end(f);
    free((void *)(uintptr_t)r.prompt);
    pending_deinit(&p);
}

static void test_stop_ends_all(void **state)
{
    struct fixture *const f = *state;
    struct pending p[6];
    struct glim_request r;
    begin(f, NULL);
    for (unsigned i = 0; i < 6; i++) {
        pending_init(&p[i]);
        ask(f, &r, &p[i], i);
        r.generate.max_tokens = 0;
        r.generate.ignore_eos = true;
        submit(f, &r, NULL);
        free((void *)(uintptr_t)r.prompt);
    }
    end(f);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(p[i].done);
        pending_deinit(&p[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_as_alone, set_up_alone, tear_down_alone),
        cmocka_unit_test_setup_teardown(test_many_in_little_room, set_up_alone, tear_down_alone),
        cmocka_unit_test_setup_teardown(test_many_in_small_chunks, set_up_alone, tear_down_alone),
        cmocka_unit_test_setup_teardown(test_many_with_drafts, set_up_alone, tear_down_alone),
        cmocka_unit_test_setup_teardown(test_second_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_logprobs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_prompt_beside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_caller_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_ends_all, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
