/* tiles_amx.c - prompts on the tile unit: 128 rows x 512 columns at a time, four tiles of sums.
 * Their panels take 128 KiB, in the second-level cache.
 */
#define LEVEL(name) name##_amx

#include "kernels/x86/blocks_avx512.h"

enum { WIDE = 8, STRIP = 2, RANKS = 1 };
#define PREFILL(name) LEVEL(tiles_##name)
#define PREFILL_TYPES(F) FINE_TYPES(F) NARROW_TYPES(F) WIDE_TYPES(F)

#include "kernels/x86/tiles.h"
#include "kernels/x86/prefill.h"
