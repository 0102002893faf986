/* Slots through glim.h with the bundled model: which one a request takes, what it remembers; saved,
 * erased, restored after a restart with the same bits; whose they are; files that are torn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/io.h"
#include "util/files.h"
#include "util/pages.h"
#include "util/turns.h"
#include "util/without.h"

#if GLIM_WITH_ZSTD && GLIM_WITH_SSL

enum { PROMPT = 300, ANSWER = 40, MORE = 10, PAGE = KV_PAGE_TOK, SLOTS = 4 };

static glim_model *model;
static const char *secret; /* of all that is asked for */

static enum glim_kv kv; /* of the caches */

static glim_service *begin(const char *folder, bool files)
{
    struct glim_service_options o = GLIM_SERVICE_OPTIONS_INIT;
    o.context_tok = 1024;
    o.parallel = SLOTS;
    o.slot_files = files;
    o.kv = kv;
    o.kv_dir = folder;
    o.kv_encrypt = secret != NULL;
    return start_service(model, &o);
}

/* ---- asking ---- */

static struct turn turn_of(int salt)
{
    struct turn t = {.n = PROMPT, .max_tokens = ANSWER, .owner = "alice", .secret = secret};
    for (int i = 0; i < PROMPT; i++)
        t.prompt[i] = 300 + (i * 37 + salt) % 500;
    return t;
}

/* What an agent sends next: the answer as it was sampled, and something new. */
static struct turn next_of(const struct turn *first)
{
    struct turn t = *first;
    memcpy(t.prompt + t.n, first->answer, first->answers * sizeof *first->answer);
    memset(t.sampled + t.n, 1, first->answers);
    t.n += first->answers;
    for (int i = 0; i < MORE; i++)
        t.prompt[t.n++] = 400 + i;
    return t;
}

struct outcome {
    struct waiting w;
    struct glim_slot_result r;
    char error[1024];
};

static void on_done(void *ctx, const struct glim_slot_result *r)
{
    struct outcome *const o = ctx;
    o->r = *r;
    (void)snprintf(o->error, sizeof o->error, "%s", r->error);
    waiting_end(&o->w);
}

static struct outcome act_as(glim_service *s, enum glim_slot_verb verb, uint32_t slot,
                             const char *owner, const char *file)
{
    struct outcome o = {0};
    struct glim_slot_request q = GLIM_SLOT_REQUEST_INIT;
    struct glim_error e;
    q.verb = verb;
    q.slot = slot;
    q.owner = owner;
    q.file = file;
    q.secret = secret;
    q.secret_bytes = secret ? strlen(secret) : 0;
    q.on_done = on_done;
    q.ctx = &o;
    waiting_begin(&o.w);
    if (glim_service_slot(s, &q, &e) != 0)
        fail_msg("%s", e.text);
    waiting_wait(&o.w);
    return o;
}

static uint64_t act(glim_service *s, enum glim_slot_verb verb, uint32_t slot, const char *file)
{
    const struct outcome o = act_as(s, verb, slot, "alice", file);
    if (o.r.code != 0)
        fail_msg("%s", o.error);
    return o.r.tokens;
}

static void refused(const struct outcome o, int code, const char *why)
{
    assert_int_equal(o.r.code, code);
    if (!strstr(o.error, why))
        fail_msg("\"%s\", expected \"%s\"", o.error, why);
}

static struct glim_service_slot look(glim_service *s, uint32_t slot)
{
    struct glim_service_slot all[SLOTS + 1];
    assert_int_equal(glim_service_slots(s, all, SLOTS + 1), SLOTS);
    assert_int_equal(all[slot].slot, slot);
    return all[slot];
}

/* The only slot that remembers something. */
static uint32_t used(glim_service *s)
{
    uint32_t at = SLOTS;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (look(s, i).kept_tok == 0)
            continue;
        assert_int_equal(at, SLOTS);
        at = i;
    }
    return at;
}

/* ---- tests ---- */

/* What goes on from a slot's tokens takes it; what does not takes one that was never used. */
static void test_which(void **state)
{
    (void)state;
    glim_service *const s = begin(NULL, false);
    struct turn a = turn_of(1), b = turn_of(2), c = turn_of(1), d = turn_of(3);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(look(s, i).phase, GLIM_PHASE_IDLE);
        assert_int_equal(look(s, i).kept_tok, 0);
    }
    turn_answer(s, &a);
    turn_answer(s, &b);
    assert_int_equal(look(s, 0).kept_tok, PROMPT + ANSWER - 1);
    assert_string_equal(look(s, 0).owner, "alice");
    assert_int_equal(look(s, 1).kept_tok, PROMPT + ANSWER - 1);
    assert_int_equal(look(s, 2).kept_tok, 0);
    c.n = 310;
    c.prompt[309] = 7;
    turn_answer(s, &c);
    assert_int_equal(look(s, 0).kept_tok, c.n + ANSWER - 1);
    assert_int_equal(look(s, 2).kept_tok, 0);
    c.owner = "bob"; /* the same tokens, but not this owner's slot */
    turn_answer(s, &c);
    assert_string_equal(look(s, 2).owner, "bob");
    turn_answer(s, &d);
    assert_int_equal(look(s, 3).kept_tok, PROMPT + ANSWER - 1);
    d = turn_of(4);
    turn_answer(s, &d); /* all are used: the one that was not for the longest time */
    assert_int_equal(look(s, 1).kept_tok, PROMPT + ANSWER - 1);
    d = turn_of(2);
    d.n = 64 + 1;
    turn_answer(s, &d);
    assert_true(d.cached >= 64); /* the tree has b's pages still */
    stop_service();
}

/* Erased, it is computed again; restored, also by another service, it is found, bit for bit. */
static void save_erase_restore(const char *given)
{
    secret = given;
    const char *const file = path_in(scratch, "saved");
    const uint64_t whole = (PROMPT + ANSWER - 1) / PAGE * PAGE;
    struct stat st;
    glim_service *s = begin(NULL, true);
    struct turn first = turn_of(1), again = turn_of(1), other = turn_of(5);
    turn_answer(s, &first);
    struct turn second = next_of(&first);
    assert_int_equal(act(s, GLIM_SLOT_SAVE, 0, file), whole);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(act(s, GLIM_SLOT_ERASE, 0, NULL), PROMPT + ANSWER - 1);
    assert_int_equal(look(s, 0).kept_tok, 0);
    turn_answer(s, &again);
    assert_int_equal(again.cached, 0);
    turn_same(&again, &first);
    turn_answer(s, &second);
    stop_service();

    s = begin(NULL, true);
    turn_answer(s, &other);
    const struct outcome o = act_as(s, GLIM_SLOT_RESTORE, 2, "alice", file);
    if (o.r.code != 0)
        fail_msg("%s", o.error);
    assert_int_equal(o.r.tokens, whole);
    assert_int_equal(o.r.bytes, st.st_size);
    assert_int_equal(look(s, 2).kept_tok, whole);
    again = next_of(&first);
    turn_answer(s, &again);
    assert_int_equal(again.cached, whole);
    turn_same(&again, &second);
    assert_int_equal(look(s, 2).kept_tok, again.n + ANSWER - 1); /* it went on there */
    stop_service();
    secret = NULL;
}

static void test_plain(void **state)
{
    (void)state;
    save_erase_restore(NULL);
}

static void test_encrypted(void **state)
{
    (void)state;
    save_erase_restore("sk-alice-0123456789");
}

/* What others go on from stays; kv_dir keeps nothing of what was erased. */
static void test_erase(void **state)
{
    (void)state;
    const char *const at = path_in(scratch, "erase");
    glim_service *s = begin(at, false);
    struct turn a = turn_of(1), b = turn_of(1);
    b.owner = "bob";
    for (int i = 200; i < PROMPT; i++)
        b.prompt[i] = 5;
    turn_answer(s, &a);
    turn_answer(s, &b);
    assert_int_equal(b.cached, 200);
    const uint64_t shared = 200 / PAGE * PAGE, all = PROMPT + ANSWER - 1;
    assert_int_equal(act(s, GLIM_SLOT_ERASE, 0, NULL), all - shared);
    turn_answer(s, &b);
    assert_int_equal(b.cached, PROMPT - 1);
    stop_service();
    /* what was not written when it was erased is not written later */
    assert_int_equal(files_in(at), all / PAGE);
    s = begin(at, false);
    turn_answer(s, &a);
    assert_int_equal(a.cached, shared);
    stop_service();
}

static void test_refused(void **state)
{
    (void)state;
    const char *const file = path_in(scratch, "refused");
    glim_service *s = begin(NULL, true);
    struct turn a = turn_of(1);
    struct glim_slot_request q = GLIM_SLOT_REQUEST_INIT;
    struct glim_error e;
    turn_answer(s, &a);
    refused(act_as(s, GLIM_SLOT_SAVE, 0, "bob", file), GLIM_EINVAL, "somebody else");
    refused(act_as(s, GLIM_SLOT_ERASE, 0, "bob", NULL), GLIM_EINVAL, "somebody else");
    refused(act_as(s, GLIM_SLOT_RESTORE, 0, "bob", file), GLIM_EINVAL, "somebody else");
    refused(act_as(s, GLIM_SLOT_SAVE, 1, "alice", file), GLIM_EINVAL, "no request");
    refused(act_as(s, GLIM_SLOT_RESTORE, 1, "alice", file), GLIM_EINVAL, "no such file");
    refused(act_as(s, GLIM_SLOT_SAVE, 0, "alice", path_in(scratch, "no/such")), GLIM_EIO,
            "no/such");
    assert_int_equal(files_in(scratch), 0);
    const char *const taken = path_in(scratch, "folder");
    assert_int_equal(mkdir(taken, 0700), 0);
    refused(act_as(s, GLIM_SLOT_SAVE, 0, "alice", taken), GLIM_EIO, "folder");
    assert_int_equal(files_in(scratch), 1); /* nothing but the folder */
    q.on_done = on_done;
    q.slot = SLOTS;
    q.file = file;
    assert_int_equal(glim_service_slot(s, &q, &e), GLIM_EINVAL);
    stop_service();
    s = begin(NULL, false);
    q.slot = 0;
    assert_int_equal(glim_service_slot(s, &q, &e), GLIM_EUNSUPPORTED);
    stop_service();
}

/* A file that was cut or changed anywhere says so, and what it had before that is right. */
static void test_torn(void **state)
{
    (void)state;
    const char *const file = path_in(scratch, "torn");
    glim_service *s = begin(NULL, true);
    struct turn first = turn_of(1), again = turn_of(1);
    struct err e;
    char *bytes;
    size_t n;
    turn_answer(s, &first);
    (void)act(s, GLIM_SLOT_SAVE, 0, file);
    (void)act(s, GLIM_SLOT_ERASE, 0, NULL);
    assert_int_equal(io_read_file(file, 1 << 24, &bytes, &n, &e), 0);
    for (size_t at = 0; at < n; at += n / 11) {
        write_file(file, bytes, at);
        refused(act_as(s, GLIM_SLOT_RESTORE, 0, "alice", file), GLIM_EFORMAT, "torn");
        bytes[at] = (char)(bytes[at] ^ 4);
        write_file(file, bytes, n);
        bytes[at] = (char)(bytes[at] ^ 4);
        refused(act_as(s, GLIM_SLOT_RESTORE, 0, "alice", file), GLIM_EFORMAT, "torn");
        turn_answer(s, &again);
        turn_same(&again, &first);
        (void)act(s, GLIM_SLOT_ERASE, used(s), NULL);
    }
    write_text(file, "something else");
    refused(act_as(s, GLIM_SLOT_RESTORE, 0, "alice", file), GLIM_EFORMAT, "no slot");
    stop_service();
    secret = "sk-alice-0123456789";
    s = begin(NULL, true);
    write_file(file, bytes, n);
    refused(act_as(s, GLIM_SLOT_RESTORE, 0, "alice", file), GLIM_EFORMAT, "not encrypted");
    stop_service();
    secret = NULL;
    kv = GLIM_KV_F32;
    s = begin(NULL, true);
    refused(act_as(s, GLIM_SLOT_RESTORE, 0, "alice", file), GLIM_EFORMAT, "another model");
    stop_service();
    kv = GLIM_KV_F16;
    free(bytes);
}

static void test_of_another_key(void **state)
{
    (void)state;
    const char *const file = path_in(scratch, "key");
    secret = "sk-alice-0123456789";
    glim_service *const s = begin(NULL, true);
    struct turn a = turn_of(1);
    turn_answer(s, &a);
    (void)act(s, GLIM_SLOT_SAVE, 0, file);
    secret = "sk-bob-0123456789";
    refused(act_as(s, GLIM_SLOT_RESTORE, 1, "bob", file), GLIM_EFORMAT, "another key");
    stop_service();
    secret = NULL;
}

/* Also what a test that failed has left. */
static int clear(void **state)
{
    stop_service();
    secret = NULL;
    kv = GLIM_KV_F16;
    return scratch_teardown(state);
}

static int set_up(void **state)
{
    struct glim_error e;
    (void)state;
    if (glim_model_open(&model, "models/glm-nano.gguf", NULL, &e) != 0)
        fail_msg("%s", e.text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    glim_model_close(model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_which, scratch_setup, clear),
        cmocka_unit_test_setup_teardown(test_plain, scratch_setup, clear),
        cmocka_unit_test_setup_teardown(test_encrypted, scratch_setup, clear),
        cmocka_unit_test_setup_teardown(test_erase, scratch_setup, clear),
        cmocka_unit_test_setup_teardown(test_refused, scratch_setup, clear),
        cmocka_unit_test_setup_teardown(test_torn, scratch_setup, clear),
        cmocka_unit_test_setup_teardown(test_of_another_key, scratch_setup, clear),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

int main(void) { return run_without(); }

#endif
