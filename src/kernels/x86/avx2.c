/* avx2.c - what the avx2 level (AVX2, FMA, F16C) does better than the plain C. */
#define LEVEL(name) name##_avx2
#define LEVEL_IS CPU_AVX2

#include "kernels/x86/level.h"

void kernels_avx2(struct kernels *k)
{
    level_products(k);
    REST_FILL(k, avx2);
}
