/* step.h - what a step of the model needs besides timelines, and steps over several of them.
 *
 * A session of its own has a stepper; a service's share one for prompts and one for answers. What a
 * row computes does not depend on who else is in the step (D1 in docs/model.md).
 */
#ifndef GLIM_ENGINE_STEP_H
#define GLIM_ENGINE_STEP_H

#include "model/forward.h"
#include "sample/sample.h"

struct glim_model;
struct glim_session;

struct stepper {
    struct forward forward;
    struct sampler *sampler; /* [samplers] one for each thread that draws */
    int samplers;
    uint64_t rows;    /* of a step at most */
    struct row *row;  /* [rows] */
    uint64_t logit_rows;
    float *many;      /* [logit_rows, V] */
    float *many_mtp;  /* [LOGIT_ROWS, V] the same for drafts; with mtp only */
    float *hidden;    /* [logit_rows, D] states whose logits are wanted together */
};

/* How large: rows of a step, positions that they attend to, rows whose logits are wanted, threads
 * that draw. */
struct stepper_shape {
    uint64_t rows, context, logit_rows;
    int samplers;
};
/* What it takes of memory without many_mtp. Sums saturate. */
uint64_t stepper_bytes(const struct glim_model *m, const struct stepper_shape *s, bool streamed);
int stepper_init(struct stepper *w, struct glim_model *m, const struct stepper_shape *s, bool mtp,
                 struct err *e);
void stepper_deinit(struct stepper *w);

/* Tokens to go behind a timeline. */
struct span {
    struct glim_session *session;
    const int32_t *token; /* [n] */
    size_t n;
    float *logits;        /* out, borrowed until the next step: [V] after the last; NULL unless
                           * wanted */
    bool wants_logits;
};

/* Puts all spans at the ends of their timelines, each of another session that uses w, in one step
 * of at most w->rows rows (DECODE_ROWS in that role), and up to w->logit_rows logits. All or none
 * (T3). */
int step_spans(struct stepper *w, struct span *span, size_t n, enum kernel_role role,
               struct err *e);

#endif
