/* select_avx2.c - simd/select.h in registers of 32 bytes. */
#include "kernels/x86/math_avx2.h"
#include "kernels/x86/x86.h"

#include "kernels/simd/one_by_one.h"
#include "kernels/simd/select.h"
