/* vector_neon.c - simd/vector.h in registers of 16 bytes. */
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

#include "kernels/simd/vector.h"
