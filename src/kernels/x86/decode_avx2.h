/* decode_avx2.h - decode_super.h in 16 registers of 32 bytes.
 *
 * 32 weights cost some 9 instructions to unpack and scale, 4 for each vector: one vector is bound
 * by reading, four by the multiplier. Two rows and four vectors would need all 16 registers for
 * sums: such a pass takes one row.
 */
#ifndef GLIM_KERNELS_X86_DECODE_AVX2_H
#define GLIM_KERNELS_X86_DECODE_AVX2_H

#include "kernels/x86/blocks_avx2.h"

enum { ROWS_OF_4 = 1, IN_PLACE = true };

#include "kernels/x86/decode_super.h"

#endif
