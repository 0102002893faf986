/* registers.h - the panels of pairs.h or quads.h, each of which includes it, against vectors, in
 * tiles of up to TILE: 2 TILE sums in registers, two registers of weights, one of a few columns of
 * x.
 */
#ifndef GLIM_KERNELS_X86_REGISTERS_H
#define GLIM_KERNELS_X86_REGISTERS_H

/* y += minima times the vector's sums of `columns` each, 16 or 32. */
INLINE void add_minima(unsigned columns, vfloat y[WIDE], const struct panel *p,
                       const struct group *g, const void *x)
{
    const unsigned step = columns / PACK_SUM;
    for (size_t i = 0; i < g->cols / PACK_SUM; i += step) {
        vfloat sum = part_sum(g, x, i);
        if (step == 2)
            sum = add(sum, part_sum(g, x, i + 1));
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            y[w] = mul_add(p->s[w].min[i], sum, y[w]);
    }
}

/* y of T vectors and the rows of a panel, of which `have` are there. */
INLINE void tile_load(unsigned T, const float *y, size_t y_stride, size_t have,
                      vfloat f[TILE][WIDE])
{
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            f[v][w] = lanes_load(wide_lanes(have, w), y + v * y_stride + LANES * w);
}

INLINE void tile_store(unsigned T, float *y, size_t y_stride, size_t have, vfloat f[TILE][WIDE])
{
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned w = 0; w < WIDE; w++) {
            float *const at = y + v * y_stride + LANES * w;
            if (have == ROWS)
                float_store(at, f[v][w]); /* masked stores are slow */
            else
                lanes_store(at, wide_lanes(have, w), f[v][w]);
        }
}

/* T vectors against a strip of panels. */
INLINE void tile_times(unsigned T, struct kind kind, const struct panel *p,
                       const struct strip *s, size_t have, const void *const *x, float *y,
                       size_t y_stride)
{
    vfloat f[TILE][WIDE];
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            f[v][w] = float_zero();
    if (s->first > 0)
        tile_load(T, y, y_stride, have, f);
    for (size_t k = 0; k < s->groups; k++) {
        const struct group g = group_at(s, k);
        tile_group(T, kind, &p[k], &g, x, f);
        if (kind.min)
            UNROLL for (unsigned v = 0; v < T; v++)
                add_minima(kind.min, f[v], &p[k], &g, x[v]);
    }
    tile_store(T, y, y_stride, have, f);
}

/* Up to TILE vectors against the panels of one rank. */
INLINE void rank_times(struct kind kind, const struct panel *p, const struct strip *s, size_t have,
                       const void *const *x, size_t T, float *y, size_t stride)
{
    switch (T) {
    case 1: tile_times(1, kind, p, s, have, x, y, stride); break;
    case 2: tile_times(2, kind, p, s, have, x, y, stride); break;
    case 3: tile_times(3, kind, p, s, have, x, y, stride); break;
    case 4: tile_times(4, kind, p, s, have, x, y, stride); break;
    case 5: tile_times(5, kind, p, s, have, x, y, stride); break;
    default: tile_times(6, kind, p, s, have, x, y, stride);
    }
}

/* All vectors against a strip of panels. */
INLINE void strip_times(struct kind kind, const struct call *c,
                        const struct panel p[RANKS][STRIP], const struct strip *s)
{
    for (size_t t = 0; t < c->T; t += TILE)
        for (size_t r = 0; r < s->rows; r += ROWS) {
            const size_t have = s->rows - r < ROWS ? s->rows - r : ROWS;
            float *const y = c->y + t * c->y_stride + (s->row - c->r0) + r;
            rank_times(kind, p[r / ROWS], s, have, c->x + t, c->T - t, y, c->y_stride);
        }
}

#endif
