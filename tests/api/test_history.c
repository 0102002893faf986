/* test_history.c - the history of use through the public API: it changes no bit of an answer, is
 * kept from one opening to the next, per workload, and what is wrong with its file is one notice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "glim.h"
#include "util/files.h"

#if GLIM_WITH_SQLITE

#include <sqlite3.h>

#define MODEL "models/glm-nano.gguf"

enum { PROMPT = 20, N = 50, STEP = 1 << 20 };

/* The clock of the program under test is as much ahead. */
static uint64_t ahead_ns;
uint64_t __real_now_ns(void);
uint64_t __wrap_now_ns(void);
uint64_t __wrap_now_ns(void) { return __real_now_ns() + ahead_ns; }

struct run {
    void (*before)(struct run *r, size_t i); /* each token; may be NULL */
    sqlite3 *other;
    const char *usage, *workload;
    uint64_t ram;
    unsigned notices;
    char notice[1024];
    float *logits; /* [vocab] at the end; owned */
    uint64_t vocab, wanted, hits;
};

static void on_notice(void *ctx, const char *text)
{
    struct run *const r = ctx;
    r->notices++;
    (void)snprintf(r->notice, sizeof r->notice, "%s", text);
}

static int append(glim_session *s, size_t from, size_t n, unsigned flags, struct glim_error *e)
{
    int32_t token[N];
    struct glim_append a = GLIM_APPEND_INIT;
    for (size_t i = 0; i < n; i++)
        token[i] = (int32_t)(((from + i) * 37 + 11) % 90);
    a.tokens = token;
    a.n = n;
    a.flags = flags;
    return glim_session_append(s, &a, e);
}

/* False if there is too little memory. */
static bool run(struct run *r)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    struct glim_streaming st;
    struct glim_error e;
    glim_session *s = NULL;
    glim_model *m;
    o.threads = 1;
    o.ram_bytes = r->ram;
    o.usage = r->usage;
    o.workload = r->workload;
    o.notice = on_notice;
    o.notice_ctx = r;
    so.context_tok = 64;
    r->notices = 0;
    assert_int_equal(glim_model_open(&m, MODEL, &o, &e), 0);
    const int rc = glim_session_new(&s, m, &so, &e);
    if (rc == 0) {
        assert_int_equal(append(s, 0, PROMPT, 0, &e), 0);
        for (size_t i = PROMPT; i < N; i++) {
            if (r->before)
                r->before(r, i);
            assert_int_equal(append(s, i, 1, GLIM_APPEND_DECODE, &e), 0);
        }
        r->vocab = glim_model_info(m)->vocab;
        r->logits = malloc(r->vocab * sizeof *r->logits);
        memcpy(r->logits, glim_session_logits(s), r->vocab * sizeof *r->logits);
        glim_model_streaming(m, &st);
        r->wanted = st.wanted;
        r->hits = st.hits;
    }
    glim_session_free(s);
    glim_model_close(m);
    return rc == 0;
}

/* Without a history, in a little more than the least memory that is enough, in steps of one MiB. */
static struct run plain_run(void)
{
    struct run r = {.ram = 10 * STEP};
    while (!run(&r))
        r.ram += STEP;
    free(r.logits);
    r.ram += 2 * STEP;
    assert_true(run(&r));
    assert_true(r.wanted > r.hits && r.hits > 0);
    return r;
}

static uint64_t tokens_of(const char *path, const char *workload)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    uint64_t n = 0;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT tokens FROM usage WHERE workload = ?", -1, &q, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(q, 1, workload, -1, SQLITE_STATIC), SQLITE_OK);
    if (sqlite3_step(q) == SQLITE_ROW)
        n = (uint64_t)sqlite3_column_int64(q, 0);
    (void)sqlite3_finalize(q);
    (void)sqlite3_close(db);
    return n;
}

static void same(const struct run *a, struct run *b)
{
    assert_memory_equal(a->logits, b->logits, a->vocab * sizeof *a->logits);
    free(b->logits);
}

static void test_kept(void **state)
{
    (void)state;
    struct run plain = plain_run();
    struct run r = {.ram = plain.ram, .usage = path_in(scratch, "usage.db")};
    for (uint64_t times = 1; times <= 3; times++) {
        assert_true(run(&r));
        assert_int_equal(r.notices, 0);
        same(&plain, &r);
        assert_int_equal(tokens_of(r.usage, "default"), times * N);
    }
    r.workload = "code";
    assert_true(run(&r));
    same(&plain, &r);
    assert_int_equal(tokens_of(r.usage, "code"), N);
    assert_int_equal(tokens_of(r.usage, "default"), 3 * N);
    free(plain.logits);
}

static void sql(struct run *r, const char *text)
{
    assert_int_equal(sqlite3_exec(r->other, text, NULL, NULL, NULL), SQLITE_OK);
}

/* Ten minutes pass before tokens 30, 35 and 40; the second time somebody is writing. */
static void let_time_pass(struct run *r, size_t i)
{
    if (i == 30 || i == 35 || i == 40)
        ahead_ns += 600000000000u;
    if (i == 31 || i == 34)
        assert_int_equal(tokens_of(r->usage, "default"), N + 31);
    if (i == 35)
        sql(r, "BEGIN IMMEDIATE");
    if (i == 36)
        sql(r, "ROLLBACK");
    if (i == 36 || i == 39)
        assert_int_equal(tokens_of(r->usage, "default"), N + 31);
    if (i == 41)
        assert_int_equal(tokens_of(r->usage, "default"), N + 41);
}

static void test_while_open(void **state)
{
    (void)state;
    struct run plain = plain_run();
    struct run r = {.ram = plain.ram, .usage = path_in(scratch, "open.db")};
    assert_true(run(&r));
    free(r.logits);
    assert_int_equal(sqlite3_open(r.usage, &r.other), SQLITE_OK);
    r.before = let_time_pass;
    assert_true(run(&r));
    assert_int_equal(r.notices, 0);
    assert_int_equal(tokens_of(r.usage, "default"), 2 * N);
    same(&plain, &r);
    (void)sqlite3_close(r.other);
    free(plain.logits);
}

/* With all in memory nothing is read and nothing written. */
static void test_not_streamed(void **state)
{
    (void)state;
    struct run r = {.ram = (uint64_t)1 << 30, .usage = path_in(scratch, "never.db")};
    assert_true(run(&r));
    assert_int_equal(r.notices, 0);
    assert_int_not_equal(access(r.usage, F_OK), 0);
    free(r.logits);
}

static void test_one_notice(void **state)
{
    (void)state;
    struct run plain = plain_run();
    const char *const text = path_in(scratch, "letter.db");
    const char *const bad[] = {text, scratch, "/nonexistent/usage.db", "/dev/null"};
    write_text(text, "no database, but a letter that is as long as the header of one would be");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct run r = {.ram = plain.ram, .usage = bad[i]};
        assert_true(run(&r));
        assert_int_equal(r.notices, 1);
        if (!strstr(r.notice, bad[i]) || !strstr(r.notice, "without"))
            fail_msg("%s", r.notice);
        same(&plain, &r);
    }
    free(plain.logits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_while_open),
        cmocka_unit_test(test_not_streamed),
        cmocka_unit_test(test_one_notice),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

#else

int main(void)
{
    puts("0 passed, 0 failed: built without SQLite");
    return 0;
}

#endif
