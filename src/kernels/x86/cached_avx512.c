/* cached_avx512.c - simd/cached.h in registers of 64 bytes. */
#include "kernels/x86/math_avx512.h"
#include "kernels/x86/x86.h"

#include "kernels/simd/cached.h"
