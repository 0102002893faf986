/* cached_neon.c - simd/cached.h in registers of 16 bytes. */
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

#include "kernels/simd/cached.h"
