/* decode_avx512.h - decode_super.h in 32 registers of 64 bytes.
 *
 * Bound by reading: a chunk of 64 weights and one vector take 6 to 10 instructions, 4 of them
 * multiplications, where memory gives a core some 6 to 9 bytes a cycle. It gives that only when
 * asked early: the next rows are called for while these are multiplied.
 */
#ifndef GLIM_KERNELS_X86_DECODE_AVX512_H
#define GLIM_KERNELS_X86_DECODE_AVX512_H

#include "kernels/x86/blocks_avx512.h"

enum { ROWS_OF_4 = 2, IN_PLACE = false };

#include "kernels/x86/decode_super.h"

#endif
