/* peak_avx2.c - peak.h: a sum waits for an addition alone, but the registers are there. */
#include "kernels/x86/vec_avx2.h"

enum { SUMS = 12 };

#include "kernels/x86/peak.h"
