/* Prefixes on disk through glim.h with the bundled model: a service that begins where another one
 * has ended, with the same bits; a disk that is full; what does not fit. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "glim.h"
#include "util/files.h"
#include "util/pages.h"
#include "util/turns.h"
#include "util/without.h"

#if GLIM_WITH_ZSTD && GLIM_WITH_SSL

#define MODEL "models/glm-nano.gguf"

enum { PROMPT = 700, ANSWER = 90, MORE = 30, PAGE = KV_PAGE_TOK };

static glim_model *model;
static int notices;

static void on_notice(void *ctx, const char *text)
{
    (void)ctx;
    notices++;
    print_message("%s\n", text);
}

static void open_model(const char *isa)
{
    struct glim_error e;
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    o.isa = isa;
    o.notice = on_notice;
    model = NULL;
    if (glim_model_open(&model, MODEL, &o, &e) != 0)
        fail_msg("%s", e.text);
}

static const char *secret; /* of all requests; services encrypt if there is one */

static glim_service *begin(const char *folder, bool mtp, uint64_t cache_tok)
{
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    o.context_tok = 2048;
    o.cache_tok = cache_tok;
    o.mtp = mtp;
    o.kv_dir = folder;
    o.kv_encrypt = secret != NULL;
    return start_service(model, &o);
}

/* ---- turns ---- */

static void first_turn(struct turn *t)
{
    *t = (struct turn){.n = PROMPT, .max_tokens = ANSWER, .secret = secret};
    for (int i = 0; i < PROMPT; i++)
        t->prompt[i] = 300 + i * 37 % 500;
}

/* What an agent sends next: all there was, the answer as it was sampled, and something new. */
static void second_turn(struct turn *t, const struct turn *first)
{
    *t = *first;
    t->secret = secret;
    memcpy(t->prompt + t->n, first->answer, first->answers * sizeof *first->answer);
    memset(t->sampled + t->n, 1, first->answers);
    t->n += first->answers;
    for (int i = 0; i < MORE; i++)
        t->prompt[t->n++] = 400 + i;
}

/* What a turn leaves in pages that are full: the last token of an answer is not computed. */
static uint64_t whole_of(const struct turn *t) { return (t->n + t->answers - 1) / PAGE * PAGE; }

static struct turn one, two, again;

/* The answers of services that keep nothing, for all tests. */
static void plain(bool mtp)
{
    static struct turn first[2], second[2];
    if (second[mtp].answers == 0) {
        first_turn(&first[mtp]);
        turn_answer(begin(NULL, mtp, 0), &first[mtp]);
        stop_service();
        second_turn(&second[mtp], &first[mtp]);
        turn_answer(begin(NULL, mtp, 0), &second[mtp]);
        assert_int_equal(second[mtp].cached, 0);
        stop_service();
    }
    one = first[mtp];
    two = second[mtp];
}

static void after_a_restart(bool mtp)
{
    const char *const at = path_in(scratch, mtp ? "with" : "without");
    struct glim_service_state c;
    plain(mtp);
    glim_service *s = begin(at, mtp, 0);
    first_turn(&again);
    turn_answer(s, &again);
    turn_same(&again, &one);
    stop_service();
    const uint64_t whole = whole_of(&one);
    assert_int_equal(files_in(at), whole / PAGE);
    s = begin(at, mtp, 0);
    second_turn(&again, &one);
    turn_answer(s, &again);
    turn_same(&again, &two);
    assert_int_equal(again.cached, whole);
    glim_service_state(s, &c);
    assert_int_equal(c.restored_tok, whole);
    assert_int_equal(c.save_failed, 0);
    second_turn(&again, &one);
    turn_answer(s, &again); /* now it is in memory */
    turn_same(&again, &two);
    assert_true(again.cached > whole);
    glim_service_state(s, &c);
    assert_int_equal(c.restored_tok, whole);
    stop_service();
}

static void test_second_turn(void **state)
{
    (void)state;
    after_a_restart(false);
}

static void test_second_turn_with_drafts(void **state)
{
    (void)state;
    after_a_restart(true);
}

/* Pages that are pushed out of memory before they are saved are lost. */
static void wait_until_saved(glim_service *s, uint64_t pages)
{
    struct glim_service_state c = {0};
    for (int ms = 0; c.saved_pages < pages; ms++) {
        assert_in_range(ms, 0, 100000);
        (void)usleep(1000);
        glim_service_state(s, &c);
        assert_int_equal(c.save_failed, 0);
    }
}

/* A cache with room for one request: what others have pushed out of memory is on disk. */
static void test_beyond_memory(void **state)
{
    (void)state;
    const char *const at = path_in(scratch, "beyond");
    static struct turn other;
    plain(false);
    glim_service *const s = begin(at, false, 1);
    first_turn(&again);
    turn_answer(s, &again);
    wait_until_saved(s, whole_of(&again) / PAGE);
    for (int i = 0; i < 4; i++) {
        first_turn(&other);
        for (size_t k = 0; k < other.n; k++)
            other.prompt[k] += i + 1;
        turn_answer(s, &other);
    }
    second_turn(&again, &one);
    turn_answer(s, &again);
    turn_same(&again, &two);
    assert_true(again.cached >= whole_of(&one));
    stop_service();
}

/* Other bits would come of another level, of other formats, of another model. */
static void test_other_bits(void **state)
{
    (void)state;
    const char *const at = path_in(scratch, "other");
    struct glim_service_state c;
    first_turn(&one);
    glim_service *s = begin(at, false, 0);
    turn_answer(s, &one);
    stop_service();
    glim_model_close(model);
    open_model("baseline");
    s = begin(at, false, 0);
    turn_answer(s, &one);
    assert_int_equal(one.cached, 0);
    stop_service();
    glim_model_close(model);
    open_model(NULL);
    s = begin(at, true, 0);
    turn_answer(s, &one);
    assert_int_equal(one.cached, 0);
    glim_service_state(s, &c);
    assert_int_equal(c.restored_tok, 0);
    stop_service();
    s = begin(at, false, 0);
    turn_answer(s, &one);
    assert_true(one.cached > 0);
    stop_service();
}

static struct rlimit limit_of_files;

/* Nothing can be written: one notice, and answers as ever. */
static void test_full_disk(void **state)
{
    (void)state;
    const char *const at = path_in(scratch, "full");
    struct rlimit none = limit_of_files;
    struct glim_service_state c;
    plain(false);
    (void)signal(SIGXFSZ, SIG_IGN);
    none.rlim_cur = 100;
    notices = 0;
    glim_service *const s = begin(at, false, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    first_turn(&again);
    turn_answer(s, &again);
    turn_same(&again, &one);
    second_turn(&again, &one);
    turn_answer(s, &again);
    turn_same(&again, &two);
    assert_true(again.cached > 0);
    glim_service_state(s, &c);
    stop_service();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit_of_files), 0);
    assert_int_equal(notices, 1);
    assert_int_equal(c.saved_pages, 0);
    assert_true(c.save_failed > 0);
    assert_int_equal(files_in(at), 0);
}

/* Two who ask the same in turn find what is theirs, in memory and after a restart, and nothing of
 * each other's or of what was kept without a key; the bits are as ever. */
static void test_keys(void **state)
{
    (void)state;
    static const char alice[] = "sk-alice-0123456789", bob[] = "sk-bob-0123456789";
    const char *const at = path_in(scratch, "keys");
    plain(false);
    glim_service *s = begin(at, false, 0);
    first_turn(&again);
    turn_answer(s, &again);
    stop_service();
    const unsigned plain_files = files_in(at);
    for (int restart = 0; restart < 2; restart++) {
        secret = alice;
        s = begin(at, false, 8192);
        for (int i = 0; i < 2; i++) {
            secret = i ? bob : alice;
            first_turn(&again);
            turn_answer(s, &again);
            turn_same(&again, &one);
            assert_int_equal(again.cached, restart ? (PROMPT - 1) / PAGE * PAGE : 0);
            if (!restart)
                continue;
            second_turn(&again, &one);
            turn_answer(s, &again);
            turn_same(&again, &two);
            assert_true(again.cached >= whole_of(&one));
        }
        stop_service();
    }
    assert_int_equal(files_in(at) - plain_files, 2 * whole_of(&two) / PAGE);
    secret = NULL;
    s = begin(at, false, 0);
    first_turn(&again);
    turn_answer(s, &again);
    turn_same(&again, &one);
    assert_int_equal(again.cached, (PROMPT - 1) / PAGE * PAGE);
    stop_service();
}

static void on_done(void *ctx, const struct glim_result *r)
{
    (void)ctx;
    (void)r;
}

static void expect_no_secret(glim_service *s, const char *given)
{
    struct glim_request r = GLIM_REQUEST_INIT;
    struct glim_error e;
    first_turn(&one);
    r.prompt = one.prompt;
    r.prompts = one.n;
    r.on_done = on_done;
    r.secret = given;
    r.secret_bytes = given ? strlen(given) : 0;
    assert_int_equal(glim_service_submit(s, &r, NULL, &e), GLIM_EINVAL);
    assert_non_null(strstr(e.text, "secret"));
}

static void test_without_a_secret(void **state)
{
    (void)state;
    secret = "";
    glim_service *const s = begin(NULL, false, 0);
    secret = NULL;
    expect_no_secret(s, NULL);
    expect_no_secret(s, "fifteen bytes!!");
    stop_service();
}

static void test_refused(void **state)
{
    (void)state;
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    struct glim_error e;
    glim_service *s;
    o.kv_dir = path_in(scratch, "no/such");
    assert_int_equal(glim_service_start(&s, model, &o, &e), GLIM_EIO);
    assert_non_null(strstr(e.text, "no/such"));
    o.kv_dir = path_in(scratch, "small");
    o.kv_dir_bytes = 10;
    assert_int_equal(glim_service_start(&s, model, &o, &e), GLIM_EINVAL);
}

static int set_up(void **state)
{
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit_of_files), 0);
    open_model(NULL);
    return scratch_setup(state);
}

/* What a test that failed has left. */
static int clear(void **state)
{
    (void)state;
    stop_service();
    secret = NULL;
    return setrlimit(RLIMIT_FSIZE, &limit_of_files);
}

static int tear_down(void **state)
{
    glim_model_close(model);
    return scratch_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_second_turn, clear),
        cmocka_unit_test_teardown(test_second_turn_with_drafts, clear),
        cmocka_unit_test_teardown(test_beyond_memory, clear),
        cmocka_unit_test_teardown(test_other_bits, clear),
        cmocka_unit_test_teardown(test_keys, clear),
        cmocka_unit_test_teardown(test_without_a_secret, clear),
        cmocka_unit_test_teardown(test_full_disk, clear),
        cmocka_unit_test_teardown(test_refused, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

int main(void) { return run_without(); }

#endif
