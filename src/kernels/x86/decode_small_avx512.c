/* decode_small_avx512.c - decode.h for blocks of 16 and 32 with floats for scales. */
#include "kernels/x86/decode_avx512.h"

SMALL_TYPES(DECODE)
