/* tiles.h - panels of bf16 for the tile unit (tile.h): scales are multiplied in and minima taken
 * off before the weights are rounded, so that one sum runs through all columns of a strip.
 *
 *     y[t,r] = sum over strips, ascending:  sum over columns of bf16(w) bf16(x), in f32
 *
 * Each factor is rounded by at most 2^-9 of itself. Tiles need vectors at equal distances: those of
 * a strip are copied, 32 at a time, which takes an eighth of the time that 128 rows are worked on.
 */
#ifndef GLIM_KERNELS_X86_TILES_H
#define GLIM_KERNELS_X86_TILES_H

#include "kernels/x86/panel.h"
#include "kernels/x86/tile.h"

enum {
    STEP = 32, STEPS = PACK_GROUP / STEP, /* columns that a tile takes */
    PAIRS = STEP / 2,
    VECTORS = 2 * TILE_ROWS,
    X_STRIDE = (STRIP * PACK_GROUP + STEP) * 2, /* bytes; not a multiple of a power of two */
};

struct panel { /* [rows / 16] tiles of [pair of columns][row][2] */
    uint32_t w[WIDE][STEPS][PAIRS][LANES];
};

/* Lane i: f[0] and f[1] of row i as a pair of bf16. */
INLINE vint bf16_pair(vfloat a, vfloat b)
{
    static const uint16_t woven[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                       21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                       11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512bh both = _mm512_cvtne2ps_pbh(b, a);
    vint v;
    memcpy(&v, &both, sizeof v);
    return _mm512_permutexvar_epi16(int_load(woven), v);
}

/* Columns 4j to 4j+3 of a group: w = scale v + min. */
INLINE void quad_unpacked(vint v, vfloat scale, vfloat min, uint32_t at[PAIRS][LANES], unsigned j)
{
    vfloat f[4];
    UNROLL for (unsigned b = 0; b < 4; b++) {
        const vint byte = _mm512_srai_epi32(_mm512_slli_epi32(v, 24 - 8 * b), 24);
        f[b] = mul_add(float_of(byte), scale, min);
    }
    for (unsigned h = 0; h < 2; h++)
        _mm512_storeu_si512(at[j % (STEP / 4) * 2 + h], bf16_pair(f[2 * h], f[2 * h + 1]));
}

INLINE void super_panel(enum dtype t, const struct rows_at *at, struct panel *p, unsigned wide)
{
    struct panel_scales s;
    vint part[PARTS];
    const vfloat d = super_panel_scales(t, at, true, part, &s);
    for (unsigned c = 0; c < CHUNKS; c++) {
        vint v[LANES];
        super_chunk_turned(t, at, c, 0, v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            const unsigned quad = LANES * c + j, i = quad / (PACK_SUM / 4);
            quad_unpacked(v[j], mul(float_of(part[i]), d),
                          super_info(t).dmin_at ? s.min[i] : float_zero(),
                          p->w[wide][quad / (STEP / 4)], quad);
        }
    }
}

INLINE void small_panel(enum dtype t, const struct rows_at *at, size_t left, struct panel *p,
                        unsigned wide)
{
    struct panel_scales s;
    const size_t cols = left < PACK_GROUP ? left : PACK_GROUP;
    const unsigned quads = t == DT_NVFP4 ? PACK_SUM / 4 : small_info(t).len / 4; /* of a scale */
    small_panel_scales(t, at, cols, &s);
    for (unsigned c = 0; c * VEC_BYTES < cols; c++) {
        vint v[LANES];
        small_chunk_turned(t, at, c, left, v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            const unsigned quad = LANES * c + j;
            quad_unpacked(v[j], s.scale[quad / quads],
                          small_info(t).min_at ? s.min[quad / (PACK_SUM / 4)] : float_zero(),
                          p->w[wide][quad / (STEP / 4)], quad);
        }
    }
}

/* The strip's columns of up to VECTORS vectors, the others 0. */
static void copy_vectors(uint8_t *to, const struct call *c, size_t t, const struct strip *s,
                         size_t steps)
{
    const size_t from = PACKED_HEAD + s->first * PACK_GROUP * sizeof(uint16_t);
    for (size_t v = 0; v < VECTORS; v++) {
        uint8_t *const at = to + v * X_STRIDE;
        if (t + v < c->T)
            memcpy(at, (const uint8_t *)c->x[t + v] + from, steps * STEP * sizeof(uint16_t));
        else
            memset(at, 0, steps * STEP * sizeof(uint16_t));
    }
}

/* sum[VECTORS, 2 LANES] = all steps of 32 vectors and 32 rows. */
static void tile_sums(float sum[VECTORS][2 * LANES], const uint8_t *x, const struct panel *p,
                      unsigned wide, size_t steps)
{
    enum { SUM_STRIDE = 2 * LANES * sizeof(float) };
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (size_t k = 0; k < steps; k++) {
        const struct panel *const at = p + k / STEPS;
        tile_load(4, x + k * TILE_BYTES, X_STRIDE);
        tile_load(5, x + TILE_ROWS * X_STRIDE + k * TILE_BYTES, X_STRIDE);
        tile_load(6, at->w[wide][k % STEPS], TILE_BYTES);
        tile_load(7, at->w[wide + 1][k % STEPS], TILE_BYTES);
        tile_products(0, 4, 6);
        tile_products(1, 4, 7);
        tile_products(2, 5, 6);
        tile_products(3, 5, 7);
    }
    tile_store(0, sum[0], SUM_STRIDE);
    tile_store(1, sum[0] + LANES, SUM_STRIDE);
    tile_store(2, sum[TILE_ROWS], SUM_STRIDE);
    tile_store(3, sum[TILE_ROWS] + LANES, SUM_STRIDE);
}

/* y += sum, or = where the strip is the first; `have` rows of the two registers are there. */
static void keep_sums(float *y, size_t y_stride, size_t T, size_t have, bool first,
                      float sum[VECTORS][2 * LANES])
{
    for (size_t v = 0; v < T; v++)
        for (unsigned w = 0; w < 2; w++) {
            const vlanes rows = wide_lanes(have, w);
            float *const at = y + v * y_stride + w * LANES;
            const vfloat s = float_load(sum[v] + w * LANES);
            lanes_store(at, rows, first ? s : add(lanes_load(rows, at), s));
        }
}

/* All vectors against a strip of panels; of what type they were no longer matters. */
static void panels_times(const struct call *c, const struct panel p[RANKS][STRIP],
                         const struct strip *s, struct ahead *next)
{
    _Alignas(64) uint8_t x[VECTORS * X_STRIDE];
    _Alignas(64) float sum[VECTORS][2 * LANES];
    size_t steps = 0;
    for (size_t k = 0; k < s->groups; k++)
        steps += group_cols(s, k) / STEP;
    const size_t blocks = (c->T + VECTORS - 1) / VECTORS * (s->rows / (2 * LANES) + 1);
    const size_t lines = ahead_lines(next) / blocks + 1;
    tiles_begin();
    for (size_t t = 0; t < c->T; t += VECTORS) {
        const size_t T = c->T - t < VECTORS ? c->T - t : VECTORS;
        copy_vectors(x, c, t, s, steps);
        for (unsigned wide = 0; wide * LANES < s->rows; wide += 2) {
            float *const y = c->y + t * c->y_stride + (s->row - c->r0) + wide * LANES;
            call_lines(next, lines);
            tile_sums(sum, x, p[0], wide, steps);
            keep_sums(y, c->y_stride, T, s->rows - wide * LANES, s->first == 0, sum);
        }
    }
    tiles_end();
}

#endif
