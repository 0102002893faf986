/* attend_avx512.c - simd/attend.h in 32 registers of 64 bytes. */
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

enum { TILE = 4 };

#include "kernels/simd/attend.h"
