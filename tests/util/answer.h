/* answer.h - an answer through the public API and all that can be seen of it, to compare answers
 * with; and counts of drafts. What fails, fails the test. */
#ifndef GLIM_TESTS_UTIL_ANSWER_H
#define GLIM_TESTS_UTIL_ANSWER_H

#include "base/buf.h"
#include "glim.h"

enum { TIMELINE = 256 };

struct answer {
    struct buf events;
    size_t tokens, stop_after; /* stop_after: 0 = never */
    int rc;
    char error[1024];
    struct glim_usage usage;
    uint64_t length;
    int32_t timeline[TIMELINE];
    float *logits; /* NULL if the session has none */
};

/* How an answer is collected; ctx is the answer. */
int answer_event(void *ctx, const struct glim_event *ev);

/* `how`, but for its drafts, on_event and ctx. stop_after: the caller stops the answer after so
 * many tokens; 0 = never. vocab: of the model. answer_deinit ends what this began. */
void answer_make(struct answer *a, glim_session *s, const struct glim_generate *how, int drafts,
                 size_t stop_after, uint64_t vocab);
void answer_deinit(struct answer *a);

void answer_same(const struct answer *a, const struct answer *b, uint64_t vocab);

/* What comes next is the same too: logits of two more tokens and, in sessions with mtp, drafts. */
void answer_future(glim_session *a, glim_session *b, bool mtp, uint64_t vocab);

void answer_append(glim_session *s, const int32_t *token, size_t n, unsigned flags);
glim_session *answer_session(glim_model *m, uint64_t context, uint64_t chunk, bool mtp);
glim_model *answer_model(const char *path); /* one thread */

/* Counts of drafts over many answers, so that no test passes for lack of them. drafts_both: some
 * were right and some were wrong; prints and forgets. */
void drafts_count(const struct answer *a);
void drafts_both(void);

#endif
