/* logprob.h - log-probabilities of tokens, from logits as they are: no temperature, no filter. */
#ifndef GLIM_SAMPLE_LOGPROB_H
#define GLIM_SAMPLE_LOGPROB_H

#include <stddef.h>
#include <stdint.h>

struct sample_logprob {
    int32_t token;
    float logprob;
};

/* log sum exp of finite v[n]. */
double logprob_total(const float *v, size_t n);
/* The k largest, largest first; of equals the lower token first. k <= n. */
void logprob_top(const float *v, size_t n, double total, struct sample_logprob *top, size_t k);

#endif
