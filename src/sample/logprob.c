/* logprob.c - see logprob.h. */
#include "sample/logprob.h"

#include <math.h>
#include <string.h>

#include "sample/sample.h"

double logprob_total(const float *v, size_t n)
{
    const double most = (double)v[sample_argmax(v, n)];
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)v[i] - most);
    return most + log(sum);
}

void logprob_top(const float *v, size_t n, double total, struct sample_logprob *top, size_t k)
{
    size_t have = 0;
    for (size_t i = 0; i < n && k > 0; i++) {
        size_t at = have;
        while (at > 0 && v[i] > v[top[at - 1].token])
            at--;
        if (at >= k)
            continue;
        have = have < k ? have + 1 : k;
        memmove(top + at + 1, top + at, (have - at - 1) * sizeof *top);
        top[at].token = (int32_t)i;
    }
    for (size_t i = 0; i < have; i++)
        top[i].logprob = (float)((double)v[top[i].token] - total);
}
