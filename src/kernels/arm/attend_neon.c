/* attend_neon.c - simd/attend.h in 32 registers of 16 bytes. */
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

enum { TILE = 4 };

#include "kernels/simd/attend.h"
