/* decode_small_avx2.c - decode_small.h for blocks of 16 and 32 with floats for scales. */
#include "kernels/x86/blocks_avx2.h"

#include "kernels/x86/decode_small.h"

SMALL_TYPES(DECODE_SMALL)
