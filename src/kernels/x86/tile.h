/* tile.h - the tile unit (AMX) in the few names that the amx level needs: eight tiles of 16 rows of
 * 64 bytes, loaded and stored by rows, and products of bf16.
 *
 * tile_products(c, a, b): c[m][n] += a[m][2k] b[k][2n] + a[m][2k+1] b[k][2n+1], summed over k < 16
 * in ascending order; c f32 [16,16], a bf16 [16,32], b bf16 [16,32]. Subnormal numbers count as 0.
 *
 * TILE_EMULATED: in plain C, for tests on machines without the unit (Makefile: TILESRC).
 */
#ifndef GLIM_KERNELS_X86_TILE_H
#define GLIM_KERNELS_X86_TILE_H

#include "kernels/x86/bytes.h"

enum { TILE_ROWS = 16, TILE_BYTES = 64 };

#if defined(TILE_EMULATED)

#include <math.h>

union tile {
    uint8_t row[TILE_ROWS][TILE_BYTES];
    uint32_t pair[TILE_ROWS][TILE_BYTES / 4];
    float f[TILE_ROWS][TILE_BYTES / 4];
};
static _Thread_local union tile tiles[8];

INLINE float bf16_part(uint32_t pair, unsigned high)
{
    const uint32_t bits = high ? pair & 0xffff0000 : pair << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return fpclassify(v) == FP_SUBNORMAL ? copysignf(0, v) : v;
}

static inline void tile_multiply(union tile *c, const union tile *a, const union tile *b)
{
    for (unsigned m = 0; m < TILE_ROWS; m++)
        for (unsigned k = 0; k < 16; k++)
            for (unsigned n = 0; n < 16; n++)
                for (unsigned half = 0; half < 2; half++)
                    c->f[m][n] = fmaf(bf16_part(a->pair[m][k], half),
                                      bf16_part(b->pair[k][n], half), c->f[m][n]);
}

INLINE void tiles_begin(void) { memset(tiles, 0xff, sizeof tiles); }
INLINE void tiles_end(void) {}
#define tile_zero(t) memset(&tiles[t], 0, sizeof tiles[t])
#define tile_load(t, from, stride)                                                                 \
    do                                                                                             \
        for (unsigned tile_i = 0; tile_i < TILE_ROWS; tile_i++)                                    \
            memcpy(tiles[t].row[tile_i], (const uint8_t *)(from) + tile_i * (stride), TILE_BYTES); \
    while (0)
#define tile_store(t, to, stride)                                                                  \
    do                                                                                             \
        for (unsigned tile_i = 0; tile_i < TILE_ROWS; tile_i++)                                    \
            memcpy((uint8_t *)(to) + tile_i * (stride), tiles[t].row[tile_i], TILE_BYTES);         \
    while (0)
#define tile_products(c, a, b) tile_multiply(&tiles[c], &tiles[a], &tiles[b])

#else

struct tile_config { /* palette 1 (Intel SDM, LDTILECFG) */
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* All tiles of their full size; the thread has them until tiles_end. */
INLINE void tiles_begin(void)
{
    struct tile_config c = {.palette = 1};
    for (unsigned t = 0; t < 8; t++) {
        c.row_bytes[t] = TILE_BYTES;
        c.rows[t] = TILE_ROWS;
    }
    _tile_loadconfig(&c);
}

INLINE void tiles_end(void) { _tile_release(); }
#define tile_zero(t) _tile_zero(t)
#define tile_load(t, from, stride) _tile_loadd(t, from, stride)
#define tile_store(t, to, stride) _tile_stored(t, to, stride)
#define tile_products(c, a, b) _tile_dpbf16ps(c, a, b)

#endif
#endif
