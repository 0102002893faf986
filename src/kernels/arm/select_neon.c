/* select_neon.c - simd/select.h in registers of 16 bytes. */
#include "kernels/arm/arm.h"
#include "kernels/arm/math_neon.h"

#include "kernels/simd/one_by_one.h"
#include "kernels/simd/select.h"
