/* Limits of a service through glim.h: places, queue, lengths, deadlines; what is cancelled, and the
 * end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "util/pending.h"

static void test_caller_stops(void **state)
{
    struct fixture *const f = *state;
    struct pending *const p = pending_new(f, 0);
    p->stop_after = 3;
    service_begin(f, NULL);
    pending_submit(f, p, NULL);
    pending_wait(p);
    assert_int_equal(p->code, 0);
    assert_int_equal(p->usage.finish, GLIM_FINISH_STOPPED);
    assert_int_equal(p->seen, 3);
}

/* It goes on until somebody ends it. */
static struct pending *endless(struct fixture *f, unsigned i)
{
    struct pending *const p = pending_new(f, i);
    p->request.generate.max_tokens = 0;
    p->request.generate.ignore_eos = true;
    return p;
}

static void test_queue(void **state)
{
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct pending *accepted[8];
    struct glim_error e;
    int n = 0;
    o.context_tok = 128;
    o.queue = 2;
    o.parallel = 1;
    service_begin(f, &o);
    for (unsigned i = 0; i < 8; i++) {
        struct pending *const p = pending_new(f, i);
        p->request.generate.max_tokens = 64;
        p->request.generate.ignore_eos = true;
        const int rc = glim_service_submit(f->service, &p->request, NULL, &e);
        assert_true(rc == 0 || rc == GLIM_EBUSY);
        if (rc == 0)
            accepted[n++] = p;
    }
    assert_true(n <= 4); /* one runs, two wait, and one may just have been done */
    assert_non_null(strstr(e.text, "2 requests wait"));
    for (int i = 0; i < n; i++)
        pending_wait(accepted[i]);
}

static int wait_for_gate(void *ctx, const struct glim_event *ev)
{
    pthread_mutex_t *const gate = ctx;
    (void)ev;
    (void)pthread_mutex_lock(gate);
    (void)pthread_mutex_unlock(gate);
    return 1;
}

static void on_end(void *ctx, const struct glim_result *r)
{
    (void)ctx, (void)r;
}

static int submit_of(struct fixture *f, struct glim_request *r, const char *owner,
                     struct glim_error *e)
{
    r->owner = owner;
    return glim_service_submit(f->service, r, NULL, e);
}

/* Who has as many waiting as one owner may is told so; others wait beside him. */
static void test_quota(void **state)
{
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct glim_service_state now = {0};
    static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; /* may outlive a failed test */
    struct glim_request r = GLIM_REQUEST_INIT;
    struct glim_error e;
    static const int32_t prompt[] = {1000, 1001};
    o.context_tok = 128;
    o.parallel = 1;
    o.queue = 4;
    o.owner_queue = 2;
    service_begin(f, &o);
    r.prompt = prompt;
    r.prompts = 2;
    r.on_event = wait_for_gate;
    r.on_done = on_end;
    r.ctx = &gate;
    (void)pthread_mutex_lock(&gate);
    const int first = submit_of(f, &r, "a", &e);
    while (first == 0 && (now.running == 0 || now.waiting > 0))
        glim_service_state(f->service, &now);
    static const struct {
        const char *owner;
        int code;
    } more[] = {{"a", 0},  {"a", 0},           {"a", GLIM_EQUOTA}, {"b", 0},
                {NULL, 0}, {"b", GLIM_EBUSY}, {"a", GLIM_EQUOTA}};
    int code[COUNT_OF(more)];
    for (size_t i = 0; i < COUNT_OF(more); i++)
        code[i] = submit_of(f, &r, more[i].owner, &e);
    glim_service_state(f->service, &now);
    (void)pthread_mutex_unlock(&gate);
    assert_int_equal(first, 0);
    for (size_t i = 0; i < COUNT_OF(more); i++)
        assert_int_equal(code[i], more[i].code);
    assert_non_null(strstr(e.text, "2 requests of yours wait"));
    assert_int_equal(now.waiting, 4);
    assert_int_equal(now.refused, 3);
    while (now.running + now.waiting > 0)
        glim_service_state(f->service, &now);
    assert_int_equal(submit_of(f, &r, "a", &e), 0); /* once they are done he may ask again */
}

static void refused(struct fixture *f, const struct glim_request *r, int code, const char *why)
{
    struct glim_error e;
    assert_int_equal(glim_service_submit(f->service, r, NULL, &e), code);
    assert_non_null(strstr(e.text, why));
}

static void test_refused(void **state)
{
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct glim_request r = pending_new(f, 0)->request;
    static const int32_t long_prompt[128] = {1};
    o.context_tok = 128;
    service_begin(f, &o);
    r.prompt = long_prompt;
    r.prompts = 128;
    refused(f, &r, GLIM_ELIMIT, "128 tokens");
    r.prompts = 0;
    refused(f, &r, GLIM_EINVAL, "");
    r.prompts = 1;
    r.top_logprobs = 21;
    refused(f, &r, GLIM_EINVAL, "");
}

/* One that runs and one that waits are cancelled; a third is not disturbed. */
static void test_cancel(void **state)
{
    struct fixture *const f = *state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct pending *const undisturbed = answer_alone(f, 3), *p[3];
    uint64_t id[3];
    o.parallel = 1;
    service_begin(f, &o);
    for (unsigned i = 0; i < 3; i++) {
        p[i] = i < 2 ? endless(f, 3) : pending_new(f, 3);
        pending_submit(f, p[i], &id[i]);
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
        pending_wait(p[i]);
    for (unsigned i = 0; i < 2; i++)
        assert_true(p[i]->code == GLIM_ESTOPPED
                    || (p[i]->code == 0 && p[i]->usage.finish == GLIM_FINISH_STOPPED));
    pending_same(p[2], undisturbed);
}

static void test_deadline(void **state)
{
    struct fixture *const f = *state;
    struct pending *const p = endless(f, 1);
    p->request.timeout_ns = 30 * 1000 * 1000;
    service_begin(f, NULL);
    pending_submit(f, p, NULL);
    pending_wait(p);
    assert_int_equal(p->code, GLIM_ESTOPPED);
    assert_non_null(strstr(p->error, "0.030 s"));
}

static void test_stop_ends_all(void **state)
{
    struct fixture *const f = *state;
    struct pending *p[6];
    service_begin(f, NULL);
    for (unsigned i = 0; i < 6; i++) {
        p[i] = endless(f, i);
        pending_submit(f, p[i], NULL);
    }
    service_end(f);
    for (unsigned i = 0; i < 6; i++)
        assert_true(p[i]->w.done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_caller_stops, fixture_clear),
        cmocka_unit_test_teardown(test_queue, fixture_clear),
        cmocka_unit_test_teardown(test_quota, fixture_clear),
        cmocka_unit_test_teardown(test_refused, fixture_clear),
        cmocka_unit_test_teardown(test_cancel, fixture_clear),
        cmocka_unit_test_teardown(test_deadline, fixture_clear),
        cmocka_unit_test_teardown(test_stop_ends_all, fixture_clear),
    };
    return cmocka_run_group_tests(tests, fixture_open, fixture_close);
}
