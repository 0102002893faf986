/* peak_avx512.c - what vpdpwssd (pairs of 16-bit integers into 32-bit sums) reaches on registers:
 * the limit of products with integer blocks at this level. */
#include <immintrin.h>

#include "kernels/x86/x86.h"

/* Independent sums: two instructions a cycle of up to five cycles each need ten. */
enum { SUMS = 16, LANES = 16, PAIR = 2 };

uint64_t peak_avx512(uint64_t rounds, double *one)
{
    const __m512i a = _mm512_set1_epi16((short)*one), b = a;
    __m512i sum[SUMS];
    for (int i = 0; i < SUMS; i++)
        sum[i] = _mm512_setzero_si512();
    for (uint64_t r = 0; r < rounds; r++)
        for (int i = 0; i < SUMS; i++)
            sum[i] = _mm512_dpwssd_epi32(sum[i], a, b);
    double total = 0;
    for (int i = 0; i < SUMS; i++) {
        int32_t lane[LANES];
        _mm512_storeu_si512(lane, sum[i]);
        for (int l = 0; l < LANES; l++)
            total += lane[l];
    }
    *one = total;
    return rounds * SUMS * LANES * PAIR * 2;
}
