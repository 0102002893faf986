/* answer.c - see answer.h. */
#include "util/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

int answer_event(void *ctx, const struct glim_event *ev)
{
    struct answer *const a = ctx;
    buf_addf(&a->events, "%d %d %d %zu:", (int)ev->kind, ev->token, ev->tool, ev->len);
    buf_add(&a->events, ev->text, ev->len);
    a->tokens += ev->kind == GLIM_EVENT_TOKEN;
    return a->stop_after && a->tokens >= a->stop_after;
}

void answer_deinit(struct answer *a)
{
    buf_deinit(&a->events);
    free(a->logits);
}

void answer_make(struct answer *a, glim_session *s, const struct glim_generate *how, int drafts,
                     size_t stop_after, uint64_t vocab)
{
    struct glim_generate g = *how;
    struct glim_error e = {0};
    *a = (struct answer){.stop_after = stop_after};
    buf_init(&a->events);
    g.on_event = answer_event;
    g.ctx = a;
    g.drafts = drafts;
    a->rc = glim_generate(s, &g, &a->usage, &e);
    memcpy(a->error, e.text, sizeof a->error);
    a->length = glim_session_length(s);
    assert_true(a->length <= TIMELINE);
    memcpy(a->timeline, glim_session_tokens(s), a->length * sizeof *a->timeline);
    if (glim_session_logits(s)) {
        a->logits = malloc(vocab * sizeof *a->logits);
        memcpy(a->logits, glim_session_logits(s), vocab * sizeof *a->logits);
    }
}

void answer_same(const struct answer *a, const struct answer *b, uint64_t vocab)
{
    assert_int_equal(a->rc, b->rc);
    assert_string_equal(a->error, b->error);
    assert_string_equal(a->events.data, b->events.data);
    assert_int_equal(a->usage.prompt_tok, b->usage.prompt_tok);
    assert_int_equal(a->usage.output_tok, b->usage.output_tok);
    assert_int_equal(a->usage.reasoning_tok, b->usage.reasoning_tok);
    assert_int_equal(a->usage.finish, b->usage.finish);
    assert_int_equal(a->usage.last_token, b->usage.last_token);
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->timeline, b->timeline, a->length * sizeof *a->timeline);
    assert_int_equal(a->logits != NULL, b->logits != NULL);
    if (a->logits)
        assert_memory_equal(a->logits, b->logits, vocab * sizeof *a->logits);
}

void answer_append(glim_session *s, const int32_t *token, size_t n, unsigned flags)
{
    struct glim_append a = GLIM_APPEND_INIT;
    struct glim_error e;
    a.tokens = token;
    a.n = n;
    a.flags = flags;
    if (glim_session_append(s, &a, &e) != 0)
        fail_msg("%s", e.text);
}

void answer_future(glim_session *a, glim_session *b, bool mtp, uint64_t vocab)
{
    static const int32_t more[] = {7, 50};
    float *const la = calloc(2 * vocab, sizeof *la), *const lb = calloc(2 * vocab, sizeof *lb);
    int32_t da[2], db[2];
    if (glim_session_length(a) + 2 <= glim_session_context(a)) {
        if (mtp) {
            assert_int_equal(glim_session_draft(a, more[0], 2, da, la, NULL), 0);
            assert_int_equal(glim_session_draft(b, more[0], 2, db, lb, NULL), 0);
            assert_memory_equal(da, db, sizeof da);
            assert_memory_equal(la, lb, 2 * vocab * sizeof *la);
        }
        answer_append(a, more, 2, GLIM_APPEND_DECODE);
        answer_append(b, more, 2, GLIM_APPEND_DECODE);
        assert_memory_equal(glim_session_logits(a), glim_session_logits(b), vocab * sizeof *la);
    }
    free(la);
    free(lb);
}

glim_session *answer_session(glim_model *m, uint64_t context, uint64_t chunk, bool mtp)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_error e;
    glim_session *s;
    o.context_tok = context;
    o.chunk_tok = chunk;
    o.mtp = mtp;
    if (glim_session_new(&s, m, &o, &e) != 0)
        fail_msg("%s", e.text);
    return s;
}

glim_model *answer_model(const char *path)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    glim_model *m;
    o.threads = 1;
    if (glim_model_open(&m, path, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static struct {
    uint64_t verifications, drafted, accepted;
} seen;

static void drafts_forget(void) { memset(&seen, 0, sizeof seen); }

void drafts_count(const struct answer *a)
{
    seen.verifications += a->usage.verifications;
    seen.drafted += a->usage.drafted_tok;
    seen.accepted += a->usage.accepted_tok;
}

void drafts_both(void)
{
    printf("  %llu verifications, %llu of %llu drafts accepted\n",
           (unsigned long long)seen.verifications, (unsigned long long)seen.accepted,
           (unsigned long long)seen.drafted);
    assert_true(seen.accepted > 0);
    assert_true(seen.drafted > seen.accepted);
    drafts_forget();
}
