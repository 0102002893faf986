/* Many requests of a service at once through glim.h: each as if it were alone, in little room, in
 * small chunks, with drafts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "util/pending.h"

enum { MANY = 40, KINDS = 20, LONG_EACH = 4 }; /* each fourth answer is long */

/* Answers of fresh services, one each. */
static struct pending *alone[KINDS];
static struct pending *first; /* of their list */

static int open_alone(void **state)
{
    if (fixture_open(state) != 0)
        return -1;
    struct fixture *const f = *state;
    for (unsigned i = 0; i < KINDS; i++)
        alone[i] = answer_alone(f, i);
    first = f->pending;
    f->pending = NULL; /* they outlast the tests */
    return 0;
}

static int close_alone(void **state)
{
    ((struct fixture *)*state)->pending = first;
    return fixture_close(state);
}

/* All kinds twice at once. */
static struct glim_service_state many(struct fixture *f, const struct glim_service_options *o)
{
    struct pending *together[MANY];
    service_begin(f, o);
    /* the long answers first: then they are under way together */
    for (unsigned n = 0; n < MANY; n++) {
        const unsigned i = n * LONG_EACH % MANY + n * LONG_EACH / MANY;
        together[i] = pending_new(f, i % KINDS);
        pending_submit(f, together[i], NULL);
    }
    for (unsigned i = 0; i < MANY; i++) {
        pending_wait(together[i]);
        pending_same(together[i], alone[i % KINDS]);
        assert_true(together[i]->tokens > 0);
    }
    struct glim_service_state s;
    glim_service_state(f->service, &s);
    assert_int_equal(s.done, MANY);
    assert_int_equal(s.running + s.waiting, 0);
    service_end(f);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_many_as_alone, fixture_clear),
        cmocka_unit_test_teardown(test_many_in_little_room, fixture_clear),
        cmocka_unit_test_teardown(test_many_in_small_chunks, fixture_clear),
        cmocka_unit_test_teardown(test_many_with_drafts, fixture_clear),
    };
    return cmocka_run_group_tests(tests, open_alone, close_alone);
}
