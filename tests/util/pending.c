/* pending.c - see pending.h. What the service calls asserts nothing: it runs on another thread. */
#include "util/pending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a request ---- */

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

void pending_done(void *ctx, const struct glim_result *r)
{
    struct pending *const p = ctx;
    if (p->dones++ > 0)
        return;
    p->code = r->code;
    (void)snprintf(p->error, sizeof p->error, "%s", r->error);
    p->usage = r->usage;
    p->cached_tok = r->cached_tok;
    p->tokens = r->tokens;
    p->token = malloc((r->tokens + 1) * sizeof *p->token);
    if (r->tokens > 0)
        memcpy(p->token, r->token, r->tokens * sizeof *p->token);
    waiting_end(&p->w);
}

static const char *const question[] = {
    "Tell me a short story about a fox and a lantern.",
    "What is the capital of France?",
    "Tell me a short story about a dog.",
    "Count from one to ten.",
};

struct pending *pending_new(struct fixture *f, unsigned i)
{
    struct pending *const p = calloc(1, sizeof *p);
    struct glim_request *const r = &p->request;
    struct glim_error e;
    char text[1024];
    p->next = f->pending;
    f->pending = p;
    buf_init(&p->events);
    waiting_begin(&p->w);
    *r = (struct glim_request)GLIM_REQUEST_INIT;
    (void)snprintf(text, sizeof text,
                   "{\"messages\": [{\"role\": \"system\", \"content\": \"%s\"}, {\"role\": "
                   "\"user\", \"content\": \"%s\"}], \"enable_thinking\": %s, "
                   "\"add_generation_prompt\": true}",
                   i % 3 ? "You are a careful assistant who answers in one or two plain sentences, "
                           "and who never makes anything up, whatever happens to be asked."
                         : "Be brief.",
                   question[i % 4], i % 5 == 4 ? "true" : "false");
    if (glim_template(f->tok, text, strlen(text), NULL, NULL, &p->prompt, &r->prompts, &e) != 0)
        fail_msg("%s", e.text);
    r->prompt = p->prompt;
    r->generate.max_tokens = i % 4 ? 8 + i * 7 % 25 : 130;
    r->generate.ignore_eos = i % 4 == 0;
    r->generate.thinking = i % 5 == 4;
    r->generate.sampling.temperature = i % 2 ? 0.8 : 0;
    r->generate.sampling.seed = i;
    r->on_event = on_event;
    r->on_done = pending_done;
    r->ctx = p;
    return p;
}

void pending_submit(struct fixture *f, struct pending *p, uint64_t *id)
{
    struct glim_error e;
    if (glim_service_submit(f->service, &p->request, id, &e) != 0)
        fail_msg("%s", e.text);
}

void pending_wait(struct pending *p) { waiting_wait(&p->w); }

static void pending_free(struct pending *p)
{
    free(p->prompt);
    free(p->sampled);
    free(p->token);
    buf_deinit(&p->events);
    free(p);
}

void pending_same(const struct pending *a, const struct pending *b)
{
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->tokens, b->tokens);
    assert_memory_equal(a->token, b->token, a->tokens * sizeof *a->token);
    assert_int_equal(a->usage.finish, b->usage.finish);
    assert_int_equal(a->events.len, b->events.len);
    assert_memory_equal(a->events.data, b->events.data, a->events.len);
}

struct pending *answer_alone(struct fixture *f, unsigned i)
{
    struct pending *const p = pending_new(f, i);
    service_begin(f, NULL);
    pending_submit(f, p, NULL);
    pending_wait(p);
    service_end(f);
    return p;
}

/* ---- a service ---- */

void service_begin(struct fixture *f, const struct glim_service_options *o)
{
    f->service = start_service(f->model, o);
}

void service_end(struct fixture *f)
{
    stop_service();
    f->service = NULL;
}

int fixture_open(void **state)
{
    static struct fixture f;
    struct glim_error e;
    *state = &f;
    if (glim_model_open(&f.model, "models/glm-nano.gguf", NULL, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(glim_model_tokenizer(f.model, &f.tok, &e), 0);
    return 0;
}

int fixture_clear(void **state)
{
    struct fixture *const f = *state;
    int too_often = 0;
    service_end(f);
    while (f->pending) {
        struct pending *const p = f->pending;
        f->pending = p->next;
        too_often += p->dones > 1;
        pending_free(p);
    }
    if (too_often)
        print_error("%d requests were done more than once\n", too_often);
    return too_often ? -1 : 0;
}

int fixture_close(void **state)
{
    struct fixture *const f = *state;
    const int rc = fixture_clear(state);
    glim_model_close(f->model);
    return rc;
}
