/* request.h - a request of a service, copied from the caller's: what is asked, by whom, and how far
 * it is. */
#ifndef GLIM_ENGINE_REQUEST_H
#define GLIM_ENGINE_REQUEST_H

#include <stdatomic.h>

#include "cache/snapshot_key.h"
#include "engine/engine.h"

struct request {
    struct request *next; /* in a list of its owner's */
    uint64_t id;
    uint32_t place; /* where it runs */
    char *owner;
    struct snapshot_key key; /* of its secret; wiped in the end */
    int32_t *prompt;      /* [prompts] */
    uint8_t *role;        /* [prompts] enum kernel_role: tokens that were sampled are decode rows */
    size_t prompts;
    struct glim_generate generate; /* what it points to is in `strings` or below */
    char **stop;
    int32_t *stop_token;
    struct glim_logit_bias *bias;
    char *tools;
    bool logprobs, prompt_logprobs, no_answer;
    uint32_t top_logprobs;
    uint64_t submitted_ns, deadline_ns; /* now_ns; 0 = none */
    glim_event_fn *on_event;
    void (*on_done)(void *ctx, const struct glim_result *r);
    void *ctx;

    atomic_bool cancelled;
    /* For glim_service_slots: written by the service's thread, read under its lock or not at
     * all. */
    _Atomic enum glim_phase phase;
    atomic_uint_least64_t done_tok, cached_tok, output_tok;
};

/* Copies and checks what does not depend on a model. keyed: it must have a secret, of which the key
 * comes; else a secret is not looked at. */
int request_new(struct request **out, const struct glim_request *r, bool keyed, struct err *e);
void request_free(struct request *r);

/* Why it should end now: GLIM_OK, or GLIM_ESTOPPED with the reason (cancelled: no text). */
int request_over(const struct request *r, struct err *e);

#endif
