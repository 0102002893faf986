/* quads.h - panels of bytes, four columns to a lane: half the panel of pairs.h, and faster wherever
 * bytes without a sign are multiplied with signed ones.
 *
 * x has 8 bits, with a scale for each 32 columns (struct packed_quads). Weights that may be
 * negative are stored with QUAD_ADDED more; what that adds, QUAD_ADDED sum q, is taken off each
 * sum. It becomes a float after 16 or 32 columns:
 *
 *     sum over flushes, ascending: (s * d) * sum v q
 *
 * Behind blocks_avx*.h, and
 *
 *     QUAD_ADDED_BITS   log2 of QUAD_ADDED, 7 at most
 *     FIVE_BITS         columns of weights of 5 bits that the lanes of add_dot_8 have room for
 */
#ifndef GLIM_KERNELS_X86_QUADS_H
#define GLIM_KERNELS_X86_QUADS_H

#include "kernels/x86/panel.h"

enum { QUAD_ADDED = 1 << QUAD_ADDED_BITS };

struct panel {
    vint w[QUADS][WIDE];         /* quad j: LANES rows x columns 4j to 4j+3 */
    struct panel_scales s[WIDE]; /* scale: one a flush */
};

INLINE struct kind kind_of(enum dtype t)
{
    switch (t) {
    case DT_Q2_K: return (struct kind){.flush = 16, .min = 16};
    case DT_Q4_1:
    case DT_Q4_K: return (struct kind){.flush = 32, .min = 32};
    case DT_Q5_K: return (struct kind){.flush = FIVE_BITS, .min = 32};
    case DT_Q3_K:
    case DT_IQ2_S:
    case DT_IQ2_XS:
    case DT_IQ1_M:
    case DT_NVFP4: return (struct kind){.flush = 16, .added = true};
    default: return (struct kind){.flush = 32, .added = true};
    }
}

INLINE int added_to(enum dtype t) { return kind_of(t).added ? QUAD_ADDED : 0; }

INLINE void super_panel(enum dtype t, const struct rows_at *at, struct panel *p, unsigned wide)
{
    const unsigned parts = kind_of(t).flush / PACK_SUM;
    vint part[PARTS];
    const vfloat d = super_panel_scales(t, at, true, part, &p->s[wide]);
    for (unsigned j = 0; j < PARTS; j += parts)
        p->s[wide].scale[j / parts] = mul(float_of(part[j]), d);
    for (unsigned c = 0; c < CHUNKS; c++) {
        vint v[LANES];
        super_chunk_turned(t, at, c, added_to(t), v);
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
            p->w[LANES * c + j][wide] = bytes_plus(v[j], added_to(t));
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
        .at = packed_layout(s->n).bytes + (s->first + k) * sizeof(struct packed_quads),
        .cols = group_cols(s, k),
    };
}

INLINE const struct packed_quads *quads_of(const struct group *g, const void *x)
{
    return (const struct packed_quads *)(const void *)((const uint8_t *)x + g->at);
}

/* sum[v] = sum of v q over `flush` columns from part * PACK_SUM on, what was added taken off. */
INLINE void flush_sums(unsigned T, struct kind kind, const struct panel *p, size_t part,
                       const struct packed_quads *const q[TILE], vint sum[TILE][WIDE])
{
    UNROLL for (unsigned v = 0; v < T; v++)
        sum[v][0] = sum[v][1] = int_zero();
    UNROLL for (size_t j = 0; j < kind.flush / 4; j++) {
        const vint *const w = p->w[part * (PACK_SUM / 4) + j];
        const vint a = w[0], b = w[1];
        UNROLL for (unsigned v = 0; v < T; v++) {
            const vint quad = int_at(&q[v]->q[part * PACK_SUM + 4 * j]);
            add_dot_8(&sum[v][0], a, quad);
            add_dot_8(&sum[v][1], b, quad);
        }
    }
    UNROLL for (unsigned v = 0; v < T; v++) {
        vint start = kind.added ? int_at(&q[v]->start[part]) : int_zero();
        if (kind.added && kind.flush == 32)
            start = int_add(start, int_at(&q[v]->start[part + 1]));
        UNROLL for (unsigned i = 0; i < WIDE; i++) {
            sum[v][i] = dot_8_sums(sum[v][i]);
            if (kind.added)
                sum[v][i] = int_add(sum[v][i], int_down_signed(start, 7 - QUAD_ADDED_BITS));
        }
    }
}

/* y[v] += the sums of a group. */
INLINE void tile_group(unsigned T, struct kind kind, const struct panel *p, const struct group *g,
                       const void *const *x, vfloat y[TILE][WIDE])
{
    const struct packed_quads *q[TILE];
    UNROLL for (unsigned v = 0; v < T; v++)
        q[v] = quads_of(g, x[v]);
    for (size_t c = 0; c < g->cols; c += kind.flush) {
        vint sum[TILE][WIDE];
        flush_sums(T, kind, p, c / PACK_SUM, q, sum);
        UNROLL for (unsigned v = 0; v < T; v++) {
            const vfloat s = float_at(&q[v]->scale[c / QUAD_SCALE]);
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                y[v][i] = mul_add(float_of(sum[v][i]), mul(s, p->s[i].scale[c / kind.flush]),
                                  y[v][i]);
        }
    }
}

/* The sum of part i of x. */
INLINE vfloat part_sum(const struct group *g, const void *x, size_t i)
{
    return float_at(&quads_of(g, x)->sum[i]);
}

#include "kernels/x86/registers.h"

/* All vectors against a strip of panels. */
static void panels_times(const struct call *c, const struct panel p[RANKS][STRIP],
                         const struct strip *s, struct ahead *next)
{
    switch (c->w->type) { /* one type of each kind */
    case DT_Q2_K: strip_times(kind_of(DT_Q2_K), c, p, s, next); break;
    case DT_Q4_1:
    case DT_Q4_K: strip_times(kind_of(DT_Q4_K), c, p, s, next); break;
    case DT_Q5_K: strip_times(kind_of(DT_Q5_K), c, p, s, next); break;
    case DT_Q3_K:
    case DT_IQ2_S:
    case DT_IQ2_XS:
    case DT_IQ1_M:
    case DT_NVFP4: strip_times(kind_of(DT_Q3_K), c, p, s, next); break;
    default: strip_times(kind_of(DT_Q8_0), c, p, s, next);
    }
}

#endif
