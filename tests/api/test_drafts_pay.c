/* What drafts bring on the bundled model's own text, with as many as pay (GLIM_DRAFTS_AUTO): its
 * greedy answers to held-out prompts, on a clock that takes from the test what a row, a draft and
 * a late pair of the draft layer's cache cost, so that the counts do not depend on the machine.
 *
 * A verification is a step with drafts; it yields the drafts that were right and the token that
 * was drawn before them: its tokens. The program is linked with the calls of engine/session.h that
 * take time, and the clock, led through here (the Makefile's WRAP).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "util/answer.h"
#include "util/heldout.h"

#define NANO "models/glm-nano.gguf"

enum { PROMPT_TOK = 160, ANSWER_TOK = 220 };

/* ---- the clock ---- */

static struct {
    double row, draft, pair; /* prices, in steps of one row */
    double now;              /* the same */
} world;

uint64_t __wrap_now_ns(void);
uint64_t __wrap_now_ns(void) { return (uint64_t)(world.now * 1e6); }

int __real_session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                        struct err *e);
int __wrap_session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                        struct err *e);
int __wrap_session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                        struct err *e)
{
    world.now += 1 + world.row * (double)(n - 1);
    return __real_session_look(s, token, n, paired, e);
}

int __real_session_catch_up(struct glim_session *s, struct err *e);
int __wrap_session_catch_up(struct glim_session *s, struct err *e);
int __wrap_session_catch_up(struct glim_session *s, struct err *e)
{
    world.now += world.pair * (double)session_late_pairs(s);
    return __real_session_catch_up(s, e);
}

typedef int draft_fn(struct glim_session *s, int32_t next, size_t n, draft_choose_fn *choose,
                     void *ctx, int32_t *draft, float *logits, struct err *e);
draft_fn __real_session_draft, __wrap_session_draft;
int __wrap_session_draft(struct glim_session *s, int32_t next, size_t n, draft_choose_fn *choose,
                         void *ctx, int32_t *draft, float *logits, struct err *e)
{
    world.now += world.draft * (double)n;
    return __real_session_draft(s, next, n, choose, ctx, draft, logits, e);
}

/* ---- the answers ---- */

struct run {
    glim_tokenizer *tok;
    glim_session *plain, *drafting;
    uint64_t cases, every, tokens, verifications, drafted, accepted;
    double plain_time, time; /* in steps of one row */
};

static void ask(glim_session *s, const struct glim_append *a, struct glim_usage *u)
{
    struct glim_generate g = GLIM_GENERATE_INIT;
    struct glim_error e;
    g.raw = true;
    g.max_tokens = ANSWER_TOK;
    assert_int_equal(glim_session_rewind(s, 0, NULL), 0);
    answer_append(s, a->tokens, a->n, 0);
    if (glim_generate(s, &g, u, &e) != 0)
        fail_msg("%s", e.text);
}

/* Long prompts are left out: they take most of the time and have the shortest answers. */
static void one_case(void *ctx, struct json_object *c)
{
    struct run *const r = ctx;
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_usage plain = {0}, u = {0};
    const char *const text = heldout_text(c, "prompt");
    int32_t *ids;
    assert_int_equal(
        glim_tokenize(r->tok, text, strlen(text), GLIM_TOKENIZE_SPECIAL, &ids, &a.n, NULL), 0);
    a.tokens = ids;
    if (a.n < PROMPT_TOK && r->cases++ % r->every == 0) {
        ask(r->plain, &a, &plain);
        ask(r->drafting, &a, &u);
        assert_int_equal(u.output_tok, plain.output_tok);
        assert_int_equal(glim_session_length(r->plain), glim_session_length(r->drafting));
        assert_memory_equal(glim_session_tokens(r->plain), glim_session_tokens(r->drafting),
                            glim_session_length(r->plain) * sizeof *ids);
        r->tokens += u.output_tok;
        r->verifications += u.verifications;
        r->drafted += u.drafted_tok;
        r->accepted += u.accepted_tok;
        r->plain_time += (double)plain.generate_ns / 1e6;
        r->time += (double)u.generate_ns / 1e6;
    }
    glim_free(ids);
}

/* One in so many cases. */
static struct run run_world(double row, double draft, double pair, uint64_t every)
{
    struct run r = {.every = every};
    world.row = row;
    world.draft = draft;
    world.pair = pair;
    world.now = 1;
    glim_model *const m = answer_model(NANO);
    assert_int_equal(glim_model_tokenizer(m, &r.tok, NULL), 0);
    r.plain = answer_session(m, 1024, 0, false);
    r.drafting = answer_session(m, 1024, 0, true);
    heldout_each(one_case, &r);
    glim_session_free(r.plain);
    glim_session_free(r.drafting);
    glim_model_close(m);
    printf("  a row %.2f, a draft %.2f: %llu tokens, %llu verifications, %llu of %llu drafts "
           "right; %.2f drafts, %.2f tokens a verification; %.2f times as fast\n",
           row, draft, (unsigned long long)r.tokens, (unsigned long long)r.verifications,
           (unsigned long long)r.accepted, (unsigned long long)r.drafted,
           (double)r.accepted / (double)r.verifications,
           1 + (double)r.accepted / (double)r.verifications, r.plain_time / r.time);
    return r;
}

/* Rows as cheap as where weights come from memory: several drafts at once pay, and 1.5 and more of
 * them are right. */
static void test_cheap_rows(void **state)
{
    (void)state;
    const struct run r = run_world(0.1, 0.05, 0.01, 1);
    assert_true(2 * r.accepted >= 3 * r.verifications);
    assert_true(r.plain_time / r.time > 1.7);
}

/* About what the bundled model takes with one thread: here mostly a single draft pays, so that a
 * verification yields two tokens at most. 1.5 and more it does yield, and time is saved. */
static void test_dear_rows(void **state)
{
    (void)state;
    const struct run r = run_world(0.4, 0.15, 0.03, 2);
    assert_true(2 * (r.accepted + r.verifications) >= 3 * r.verifications);
    assert_true(r.accepted * 20 >= r.drafted * 17);
    assert_true(r.plain_time / r.time > 1.12);
}

/* Rows that cost as much as steps of their own: nothing pays, and looking for it costs little. */
static void test_rows_at_full_price(void **state)
{
    (void)state;
    const struct run r = run_world(1, 0.2, 0.05, 3);
    assert_true(r.time / r.plain_time < 1.03);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cheap_rows),
        cmocka_unit_test(test_dear_rows),
        cmocka_unit_test(test_rows_at_full_price),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
