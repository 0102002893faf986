/* weight.c - see weight.h. Plain C over lanes that compilers turn into vectors: no library's
 * exponential, whose last bit depends on the machine. */
#include "sample/weight.h"

#include <stdint.h>
#include <string.h>

enum { LANES = 16, BLOCK = 64 * LANES };

/* e^d for d <= 0, to 2e-7: 2^n e^r with |r| <= ln 2 / 2, and the Taylor series of e^r. */
static inline float exp_below(float d)
{
    const float least = d < -87.0F ? -87.0F : d;
    const float whole = 12582912.0F; /* 1.5 * 2^23: adding it rounds to an integer */
    const float n = (least * 1.44269504F + whole) - whole;
    const float r = (least - n * 0.693145752F) - n * 1.42860677e-6F;
    const float p =
        1 + r * (1 + r * (0.5F + r * (1.0F / 6 + r * (1.0F / 24 + r * (1.0F / 120 + r / 720)))));
    const uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* At most BLOCK of them. */
static double block_total(const float *v, size_t n, float best)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++)
            lane[k] += exp_below(v[i + k] - best);
    }
    for (; i < n; i++)
        lane[i % LANES] += exp_below(v[i] - best);
    double sum = 0;
    for (size_t k = 0; k < LANES; k++)
        sum += (double)lane[k];
    return sum;
}

double weight_total(const float *v, size_t n, float best)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += BLOCK)
        sum += block_total(v + i, n - i < BLOCK ? n - i : BLOCK, best);
    return sum;
}
