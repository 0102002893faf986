/* pairs_avx2.c - prompts as products of 16-bit integers, in 16 registers of 32 bytes: 12 sums, 2
 * weights, x and a product. For weights that do not fit quads_avx2.c, and for those that need x
 * finer than 8 bits.
 *
 * Bound by the multiplier: a tile does 16 multiply-adds an instruction. A panel is 16 KiB.
 */
#include "kernels/x86/blocks_avx2.h"

enum { TILE = 6, WIDE = 2, STRIP = 4, RANKS = 4 };
#define PREFILL(name) LEVEL(pairs_##name)
#define PREFILL_TYPES(F) FINE_TYPES(F) WIDE_TYPES(F)

#include "kernels/x86/pairs.h"
#include "kernels/x86/prefill.h"
