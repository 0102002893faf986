/* avx512.c - what the avx512 level (F, BW, VL, DQ, VNNI, VBMI) does better than the ones below. */
#define LEVEL(name) name##_avx512
#define LEVEL_IS CPU_AVX512

#include "kernels/x86/level.h"

void kernels_avx512(struct kernels *k)
{
    level_products(k);
    REST_FILL(k, avx512);
}
