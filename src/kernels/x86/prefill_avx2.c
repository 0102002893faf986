/* prefill_avx2.c - prefill.h in 16 registers of 32 bytes: 12 sums, 2 weights, x and a product.
 *
 * Bound by the multiplier: a tile does 16 multiply-adds an instruction. A panel is 8 KiB.
 */
#include "kernels/x86/blocks_avx2.h"

enum { TILE = 6, WIDE = 2, STRIP = 4, RANKS = 4 };

#include "kernels/x86/pairs.h"
#include "kernels/x86/registers.h"
#include "kernels/x86/prefill.h"
