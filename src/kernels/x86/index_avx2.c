/* index_avx2.c - simd/index.h in 16 registers of 32 bytes: 12 sums, three of keys and a query. */
#include "kernels/x86/math_avx2.h"
#include "kernels/x86/x86.h"

enum { WIDE = 3, HEADS = 4 };

#include "kernels/simd/index.h"
