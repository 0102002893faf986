/* prefill_avx512.c - prefill.h in 32 registers of 64 bytes.
 *
 * Cost: 12 instructions that only two units take for 16 columns of a vector and 32 rows, 8 products
 * and 4 to scale. A panel is 12 KiB. Four ranks of eight stay in the second-level cache (and on the
 * stack): long vectors come from the third-level cache, once for 128 rows.
 */
#include "kernels/x86/blocks_avx512.h"

enum { TILE = 6, WIDE = 2, STRIP = 8, RANKS = 4 };

#include "kernels/x86/quads.h"
#include "kernels/x86/registers.h"
#include "kernels/x86/prefill.h"
