/* pairs_avx512.c - prompts as products of 16-bit integers, in 32 registers of 64 bytes: for weights
 * that need x finer than 8 bits. 34 instructions that only two units take where quads_avx512.c has
 * 20. A panel is 20 KiB.
 */
#include "kernels/x86/blocks_avx512.h"

enum { TILE = 6, WIDE = 2, STRIP = 4, RANKS = 4 };
#define PREFILL(name) LEVEL(pairs_##name)
#define PREFILL_TYPES(F) FINE_TYPES(F)

#include "kernels/x86/pairs.h"
#include "kernels/x86/prefill.h"
