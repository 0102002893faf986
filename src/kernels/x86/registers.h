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

/* Up to TILE vectors against the panels of one rank. */
struct tile {
    const struct panel *p;
    const struct strip *s;
    size_t have; /* rows */
    const void *const *x;
    float *y;
    size_t y_stride;
    struct ahead *next;
    size_t lines; /* of the next strip, that are called for with each panel */
};

INLINE void tile_times(unsigned T, struct kind kind, const struct tile *t)
{
    vfloat f[TILE][WIDE];
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            f[v][w] = float_zero();
    if (t->s->first > 0)
        tile_load(T, t->y, t->y_stride, t->have, f);
    for (size_t k = 0; k < t->s->groups; k++) {
        const struct group g = group_at(t->s, k);
        call_lines(t->next, t->lines);
        tile_group(T, kind, &t->p[k], &g, t->x, f);
        if (kind.min)
            UNROLL for (unsigned v = 0; v < T; v++)
                add_minima(kind.min, f[v], &t->p[k], &g, t->x[v]);
    }
    tile_store(T, t->y, t->y_stride, t->have, f);
}

INLINE void tile_times_any(size_t T, struct kind kind, const struct tile *t)
{
    switch (T) {
    case 1: tile_times(1, kind, t); break;
    case 2: tile_times(2, kind, t); break;
    case 3: tile_times(3, kind, t); break;
    case 4: tile_times(4, kind, t); break;
    case 5: tile_times(5, kind, t); break;
    default: tile_times(6, kind, t);
    }
}

/* All vectors against a strip of panels, while the next one comes nearer. */
INLINE void strip_times(struct kind kind, const struct call *c,
                        const struct panel p[RANKS][STRIP], const struct strip *s,
                        struct ahead *next)
{
    const size_t tiles = (c->T + TILE - 1) / TILE, ranks = (s->rows + ROWS - 1) / ROWS;
    const size_t lines = ahead_lines(next) / (tiles * ranks * s->groups) + 1;
    for (size_t t = 0; t < c->T; t += TILE)
        for (size_t r = 0; r < s->rows; r += ROWS) {
            const struct tile tile = {
                .p = p[r / ROWS],
                .s = s,
                .have = s->rows - r < ROWS ? s->rows - r : ROWS,
                .x = c->x + t,
                .y = c->y + t * c->y_stride + (s->row - c->r0) + r,
                .y_stride = c->y_stride,
                .next = next,
                .lines = lines,
            };
            tile_times_any(c->T - t, kind, &tile);
        }
}

#endif
