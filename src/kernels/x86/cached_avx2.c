/* cached_avx2.c - simd/cached.h in registers of 32 bytes. */
#include "kernels/x86/math_avx2.h"
#include "kernels/x86/x86.h"

#include "kernels/simd/cached.h"
