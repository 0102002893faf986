/* decode_super_avx2.c - decode_super.h for super-blocks of K and IQ4 types. */
#include "kernels/x86/decode_avx2.h"

SUPER_TYPES(DECODE)
