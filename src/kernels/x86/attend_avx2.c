/* attend_avx2.c - simd/attend.h in 16 registers of 32 bytes: 12 sums, three queries and a row. */
#include "kernels/x86/math_avx2.h"
#include "kernels/x86/x86.h"

enum { TILE = 3 };

#include "kernels/simd/attend.h"
