/* peak_avx512.c - peak.h: two instructions a cycle of up to five cycles each need ten sums. */
#include "kernels/x86/vec_avx512.h"

enum { SUMS = 16 };

#include "kernels/x86/peak.h"
