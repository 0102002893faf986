/* pending.h - a service of the bundled model, requests of it that run at once, and what came of
 * them. All that a test began ends with fixture_clear, also where an assertion has failed. */
#ifndef GLIM_TESTS_UTIL_PENDING_H
#define GLIM_TESTS_UTIL_PENDING_H

#include "base/buf.h"
#include "util/turns.h"

struct pending {
    struct glim_request request; /* may be changed until it is submitted */
    int32_t *prompt;             /* [request.prompts], own, and so is what follows */
    uint8_t *sampled;            /* or NULL */
    struct waiting w;
    int dones, code;
    char error[256];
    struct glim_usage usage;
    uint64_t cached_tok;
    struct buf events; /* a line each */
    int32_t *token;    /* [tokens] */
    size_t tokens;
    size_t stop_after; /* tokens; 0 = never */
    size_t seen;
    struct pending *next;
};

struct fixture {
    glim_model *model;
    glim_tokenizer *tok;
    glim_service *service;   /* NULL between service_end and service_begin */
    struct pending *pending; /* all there are */
};

/* For a group; *state is the fixture. */
int fixture_open(void **state);
int fixture_close(void **state);
/* After each test: ends the service, then the requests. */
int fixture_clear(void **state);

void service_begin(struct fixture *f, const struct glim_service_options *o);
void service_end(struct fixture *f);

/* A request of the i-th kind: long and short, greedy and drawn, some with a preamble that others
 * share. */
struct pending *pending_new(struct fixture *f, unsigned i);
void pending_submit(struct fixture *f, struct pending *p, uint64_t *id);
void pending_wait(struct pending *p);
/* The on_done of a request; ctx is the pending. */
void pending_done(void *ctx, const struct glim_result *r);
void pending_same(const struct pending *a, const struct pending *b);

/* A service that has seen nothing yet answers a request of the i-th kind alone. */
struct pending *answer_alone(struct fixture *f, unsigned i);

#endif
