/* turns.h - one service at a time, requests of it that a test waits for, and what came of them. */
#ifndef GLIM_TESTS_UTIL_TURNS_H
#define GLIM_TESTS_UTIL_TURNS_H

#include <pthread.h>

#include "glim.h"

/* Begins one; the test fails if it cannot be. */
glim_service *start_service(glim_model *m, const struct glim_service_options *o);
/* Ends the one that was started, if there is one. Each test has this in its tear-down: a service
 * that goes on after an assertion has failed keeps the program from its end. */
void stop_service(void);

/* Until another thread says so. */
struct waiting {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool done;
};
void waiting_begin(struct waiting *w);
void waiting_end(struct waiting *w);
void waiting_wait(struct waiting *w);

enum { TURN_MAX = 2048, TURN_ANSWER_MAX = 90 };

struct turn {
    int32_t prompt[TURN_MAX];
    uint8_t sampled[TURN_MAX];
    size_t n;
    uint64_t max_tokens;         /* at most TURN_ANSWER_MAX */
    const char *owner, *secret;  /* or NULL */
    int32_t answer[TURN_ANSWER_MAX];
    float logprob[TURN_ANSWER_MAX];
    size_t answers, logprobs;
    uint64_t cached;
    int code;
    char error[256];
    struct waiting w;
};

/* Asks for an answer that goes on to max_tokens, drawn at a temperature, and waits for it. */
void turn_answer(glim_service *s, struct turn *t);
/* The same tokens with the same probabilities, or the test fails. */
void turn_same(const struct turn *a, const struct turn *b);

#endif
