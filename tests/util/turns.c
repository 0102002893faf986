/* turns.c - see turns.h. */
#include "util/turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static glim_service *service;

glim_service *start_service(glim_model *m, const struct glim_service_options *o)
{
    struct glim_error e;
    assert_null(service);
    if (glim_service_start(&service, m, o, &e) != 0) {
        service = NULL;
        fail_msg("%s", e.text);
    }
    return service;
}

void stop_service(void)
{
    glim_service_stop(service);
    service = NULL;
}

void waiting_begin(struct waiting *w)
{
    w->done = false;
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->wake, NULL);
}

void waiting_end(struct waiting *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->done = true;
    (void)pthread_cond_signal(&w->wake);
    (void)pthread_mutex_unlock(&w->lock);
}

void waiting_wait(struct waiting *w)
{
    (void)pthread_mutex_lock(&w->lock);
    while (!w->done)
        (void)pthread_cond_wait(&w->wake, &w->lock);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_cond_destroy(&w->wake);
    (void)pthread_mutex_destroy(&w->lock);
}

static int on_event(void *ctx, const struct glim_event *ev)
{
    struct turn *const t = ctx;
    if (ev->kind == GLIM_EVENT_TOKEN && t->logprobs < TURN_ANSWER_MAX)
        t->logprob[t->logprobs++] = ev->logprob;
    return 0;
}

static void on_done(void *ctx, const struct glim_result *r)
{
    struct turn *const t = ctx;
    t->code = r->code;
    (void)snprintf(t->error, sizeof t->error, "%s", r->error);
    t->cached = r->cached_tok;
    t->answers = r->tokens < TURN_ANSWER_MAX ? r->tokens : TURN_ANSWER_MAX;
    memcpy(t->answer, r->token, t->answers * sizeof *r->token);
    waiting_end(&t->w);
}

void turn_answer(glim_service *s, struct turn *t)
{
    struct glim_request r = GLIM_REQUEST_INIT;
    struct glim_error e;
    t->logprobs = 0;
    waiting_begin(&t->w);
    r.prompt = t->prompt;
    r.prompts = t->n;
    r.sampled = t->sampled;
    r.generate.max_tokens = t->max_tokens;
    r.generate.ignore_eos = true;
    r.generate.sampling.temperature = 0.7;
    r.logprobs = true;
    r.owner = t->owner;
    r.secret = t->secret;
    r.secret_bytes = t->secret ? strlen(t->secret) : 0;
    r.on_event = on_event;
    r.on_done = on_done;
    r.ctx = t;
    if (glim_service_submit(s, &r, NULL, &e) != 0)
        fail_msg("%s", e.text);
    waiting_wait(&t->w);
    if (t->code != 0)
        fail_msg("%s", t->error);
}

void turn_same(const struct turn *a, const struct turn *b)
{
    assert_int_equal(a->answers, b->answers);
    assert_memory_equal(a->answer, b->answer, a->answers * sizeof *a->answer);
    assert_int_equal(a->logprobs, b->logprobs);
    assert_memory_equal(a->logprob, b->logprob, a->logprobs * sizeof *a->logprob);
}
