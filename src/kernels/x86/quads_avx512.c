/* quads_avx512.c - prompts as products of bytes, in 32 registers of 64 bytes.
 *
 * Cost: 20 instructions that only two units take for 32 columns of a vector and 32 rows, 16
 * products and 4 to scale. A panel is 12 KiB. Four ranks of eight stay in the second-level cache
 * (and on the stack): long vectors come from the third-level cache, once for 128 rows.
 */
#include "kernels/x86/blocks_avx512.h"

enum { TILE = 6, WIDE = 2, STRIP = 8, RANKS = 4, QUAD_ADDED_BITS = 7, FIVE_BITS = 32 };
#define PREFILL(name) LEVEL(quads_##name)
#define PREFILL_TYPES(F) NARROW_TYPES(F) WIDE_TYPES(F)

#include "kernels/x86/quads.h"
#include "kernels/x86/prefill.h"
