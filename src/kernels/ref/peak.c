/* peak.c - what multiplying and adding doubles reaches on registers, the limit of the reference's
 * products. */
#include "kernels/ref/ref.h"

/* Chains enough for two multiplications and two additions a cycle, few enough for the registers. */
enum { CHAINS = 24 };

uint64_t ref_peak(uint64_t rounds, double *one)
{
    const double a = *one, b = *one; /* unknown to the compiler */
    double sum[CHAINS] = {0}, total = 0;
    for (uint64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * a + b;
    for (int i = 0; i < CHAINS; i++)
        total += sum[i];
    *one = total;
    return rounds * CHAINS * 2;
}
