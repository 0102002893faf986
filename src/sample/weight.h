/* weight.h - the weight of all tokens: sum of e^(logit - best). */
#ifndef GLIM_SAMPLE_WEIGHT_H
#define GLIM_SAMPLE_WEIGHT_H

#include <stddef.h>

/* v [n] at most `best`, which one of them has; -infinity weighs nothing to speak of. To 1e-6, and
 * the same bits on every machine. */
double weight_total(const float *v, size_t n, float best);

#endif
