/* index_neon.c - simd/index.h in 32 registers of 16 bytes: 24 sums, three of keys and a query. */
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

enum { WIDE = 3, HEADS = 8 };

#include "kernels/simd/index.h"
