/* sample.h - logits -> token.
 *
 * In this order: logit bias; repetition, presence and frequency penalties; what a grammar forbids;
 * temperature; top-k; top-p; min-p; draw. Temperature 0 takes the largest logit after bias,
 * penalties and grammar; of equals the lower id. Candidates are ordered by logit, then by id, so
 * that the outcome is the same on any machine; the draw is a counter-based random number.
 */
#ifndef GLIM_SAMPLE_SAMPLE_H
#define GLIM_SAMPLE_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sample_bias {
    int32_t token;
    float bias;
};

struct sample_params {
    double temperature, top_p, min_p;
    uint32_t top_k;
    double repetition_penalty, presence_penalty, frequency_penalty;
    uint64_t seed;
    const struct sample_bias *bias;
    size_t biases;
    /* Tokens that may be drawn: bit t % 32 of mask[t / 32], of the first mask_tokens; at least one
     * is set. NULL: any. */
    const uint32_t *mask;
    size_t mask_tokens;
};

struct sampler {
    size_t vocab;
    float *logit;     /* [vocab] after bias, penalties and temperature */
    int32_t *heap;    /* [vocab] candidate ids, a heap by (logit, id) */
    size_t candidates; /* in it */
    float bound, width; /* those with logits below were not in it yet; of the next band */
    int32_t *taken;   /* [vocab] the chosen few */
    float *kept;      /* [vocab] their weights */
    uint32_t *count;  /* [vocab] scratch of the penalties, all 0 between calls */
};

uint64_t sampler_bytes(size_t vocab);
int sampler_init(struct sampler *s, size_t vocab, struct err *e);
void sampler_deinit(struct sampler *s);

/* GLIM_EINVAL names the parameter that is out of range. */
int sample_check(const struct sample_params *p, size_t vocab, struct err *e);

/* recent [n_recent]: tokens the repetition penalty looks at; generated [n_generated]: those of
 * presence and frequency. position: counts the draws. Params have passed sample_check; logits are
 * finite. */
int32_t sample_token(struct sampler *s, const struct sample_params *p, const float *logits,
                     const int32_t *recent, size_t n_recent, const int32_t *generated,
                     size_t n_generated, uint64_t position);

/* The largest of v[n]; of equals the lower index. */
int32_t sample_argmax(const float *v, size_t n);

#endif
