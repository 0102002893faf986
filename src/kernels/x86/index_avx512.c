/* index_avx512.c - simd/index.h in 32 registers of 64 bytes. */
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

enum { WIDE = 2, HEADS = 8 };

#include "kernels/simd/index.h"
