/* peak_avx512.c - peak.h: two instructions a cycle of up to five cycles each need ten sums. */
#include "kernels/x86/vec_avx512.h"

#define ADD_DOT add_dot_8
enum { SUMS = 16, PRODUCTS = 4, ONES = 0x01010101 };

#include "kernels/x86/peak.h"
