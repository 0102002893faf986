/* quads_avx2.c - prompts as products of bytes, in 16 registers of 32 bytes: 12 sums, 2 weights, x
 * and a product.
 *
 * A lane of 16 bits adds the products of 32 columns of weights below 16 (16 * 15 * 127 < 2^15), or
 * of 16 columns of weights below 32.
 */
#include "kernels/x86/blocks_avx2.h"

enum { TILE = 6, WIDE = 2, STRIP = 8, RANKS = 4, QUAD_ADDED_BITS = 3, FIVE_BITS = 16 };
#define PREFILL(name) LEVEL(quads_##name)
#define PREFILL_TYPES(F) NARROW_TYPES(F)

#include "kernels/x86/quads.h"
#include "kernels/x86/prefill.h"
