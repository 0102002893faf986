/* vector_avx512.c - simd/vector.h in 32 registers of 64 bytes. */
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

#include "kernels/simd/vector.h"
