/* decode_super_avx512.c - decode_super.h for super-blocks of K and IQ4 types. */
#include "kernels/x86/decode_avx512.h"

SUPER_TYPES(DECODE)
