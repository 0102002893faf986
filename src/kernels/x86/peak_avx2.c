/* peak_avx2.c - peak.h: a sum waits for an addition alone, but the registers are there. */
#include "kernels/x86/vec_avx2.h"

#define ADD_DOT add_dot_16
enum { SUMS = 12, PRODUCTS = 2, ONES = 0x00010001 };

#include "kernels/x86/peak.h"
