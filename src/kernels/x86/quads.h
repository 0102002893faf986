/* quads.h - panels of bytes, four columns to a lane, for levels that multiply unsigned bytes with
 * signed ones: twice as fast as pairs.h, with half the panel.
 *
 * x has 8 bits, with a scale for each 16 columns (struct packed_quads). Weights are stored with 128
 * added, so that they have no sign; each sum starts with what that adds, -128 sum q. It becomes a
 * float after 16 columns:
 *
 *     sum over parts of 16, ascending: (s * d) * sum v q
 */
#ifndef GLIM_KERNELS_X86_QUADS_H
#define GLIM_KERNELS_X86_QUADS_H

#include "kernels/x86/panel.h"

struct panel {
    vint w[QUADS][WIDE]; /* quad j: LANES rows x columns 4j to 4j+3, 128 added */
    struct panel_scales s[WIDE];
};

/* Super-blocks: a scale for each part. */
INLINE void super_panel(enum dtype t, const struct rows_at *at, struct panel *p, unsigned wide)
{
    vint part[PARTS];
    const vfloat d = super_panel_scales(t, at, true, part, &p->s[wide]);
    for (unsigned j = 0; j < PARTS; j++)
        p->s[wide].scale[j] = mul(float_of(part[j]), d);
    for (unsigned c = 0; c < CHUNKS; c++) {
        vint v[LANES];
        super_chunk_turned(t, at, c, 128, v);
        UNROLL for (unsigned j = 0; j < LANES; j++)
            p->w[LANES * c + j][wide] = v[j];
    }
}

INLINE void small_panel(enum dtype t, const struct rows_at *at, size_t left, struct panel *p,
                        unsigned wide)
{
    const size_t cols = left < PACK_GROUP ? left : PACK_GROUP;
    for (size_t c = 0; c * VEC_BYTES < cols; c++) {
        vint v[LANES];
        small_chunk_turned(t, at, c, left, v);
        UNROLL for (unsigned j = 0; j < LANES; j++)
            p->w[LANES * c + j][wide] = bytes_plus(v[j], 128);
    }
    small_panel_scales(t, at, cols, &p->s[wide]);
}

struct group { /* one group of columns: where it stands in a packed vector, in bytes */
    size_t at;
    size_t cols; /* a multiple of VEC_BYTES */
};

INLINE struct group group_at(const struct strip *s, size_t k)
{
    return (struct group){
        .at = PACKED_HEAD + (s->first + k) * sizeof(struct packed_quads),
        .cols = group_cols(s, k),
    };
}

INLINE const struct packed_quads *quads_of(const struct group *g, const void *x)
{
    return (const struct packed_quads *)(const void *)((const uint8_t *)x + g->at);
}

/* y[v] += the sums of a group; flush: columns that have a scale. */
INLINE void tile_group(unsigned T, unsigned flush, bool super, const struct panel *p,
                       const struct group *g, const void *const *x, vfloat y[TILE][WIDE])
{
    const unsigned parts = super ? 1 : flush / PACK_SUM;
    const struct packed_quads *q[TILE];
    UNROLL for (unsigned v = 0; v < T; v++)
        q[v] = quads_of(g, x[v]);
    for (size_t part = 0; part < g->cols / PACK_SUM; part++) {
        vint sum[TILE][WIDE];
        UNROLL for (unsigned v = 0; v < T; v++)
            sum[v][0] = sum[v][1] = int_at(&q[v]->start[part]);
        UNROLL for (size_t j = 0; j < PACK_SUM / 4; j++) {
            const vint *const w = p->w[part * (PACK_SUM / 4) + j];
            const vint a = w[0], b = w[1];
            UNROLL for (unsigned v = 0; v < T; v++) {
                const vint quad = int_at(&q[v]->q[part * PACK_SUM + 4 * j]);
                add_dot_8(&sum[v][0], a, quad);
                add_dot_8(&sum[v][1], b, quad);
            }
        }
        UNROLL for (unsigned v = 0; v < T; v++) {
            const vfloat s = float_at(&q[v]->scale[part]);
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                y[v][i] = mul_add(float_of(sum[v][i]), mul(s, p->s[i].scale[part / parts]),
                                  y[v][i]);
        }
    }
}

/* The sum of part i of x. */
INLINE vfloat part_sum(const struct group *g, const void *x, size_t i)
{
    return float_at(&quads_of(g, x)->sum[i]);
}

#endif
