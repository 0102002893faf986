/* peak_amx.c - what products of bf16 reach on tiles alone: the entry `peak` (kernels.h). Four sums
 * keep the unit busy.
 */
#include "kernels/x86/tile.h"
#include "kernels/x86/x86.h"

enum { SUMS = 4, EXACT = 1 << 16 }; /* rounds that a float counts exactly */

/* The sum of one tile's products; all four are alike. */
static double some_rounds(uint64_t rounds)
{
    _Alignas(64) float sum[TILE_ROWS][TILE_BYTES / 4];
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (uint64_t r = 0; r < rounds; r++) {
        tile_products(0, 4, 5);
        tile_products(1, 4, 5);
        tile_products(2, 4, 5);
        tile_products(3, 4, 5);
    }
    tile_store(0, sum, TILE_BYTES);
    double total = 0;
    for (unsigned i = 0; i < TILE_ROWS; i++)
        for (unsigned j = 0; j < TILE_BYTES / 4; j++)
            total += (double)sum[i][j];
    return total;
}

uint64_t peak_amx(uint64_t rounds, double *one)
{
    _Alignas(64) uint16_t ones[TILE_ROWS][TILE_BYTES / 2];
    for (unsigned i = 0; i < TILE_ROWS; i++)
        for (unsigned j = 0; j < TILE_BYTES / 2; j++)
            ones[i][j] = *one == 1 ? 0x3f80 : 0; /* 1.0 in bf16 */
    tiles_begin();
    tile_load(4, ones, TILE_BYTES);
    tile_load(5, ones, TILE_BYTES);
    *one = 0;
    for (uint64_t r = 0; r < rounds; r += EXACT)
        *one += SUMS * some_rounds(rounds - r < EXACT ? rounds - r : EXACT);
    tiles_end();
    return rounds * SUMS * TILE_ROWS * (TILE_BYTES / 4) * (TILE_BYTES / 2) * 2;
}
