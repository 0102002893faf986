/* prefill_avx512.c - prefill.h in 32 registers of 64 bytes.
 *
 * Cost: unpacking a panel takes as long as multiplying it with ten vectors; a tile does 32
 * multiply-adds an instruction at 128 products to 2 (super), 16 to 2 (blocks of 32) conversions.
 * A panel is 16 KiB.
 */
#include "kernels/x86/blocks_avx512.h"

enum { TILE = 6 };

#include "kernels/x86/prefill.h"
