/* pairs.h - panels of 16-bit integers, two columns to a lane: where no instruction multiplies bytes
 * without saturating. x has 14 bits (x86.h), as in decode.
 *
 * Super-blocks have their integer scales multiplied in, so one d is left for all columns. Every 16,
 * 32 or 64 columns (blocks.h: what a sum holds) sums become floats and are added with their scale;
 * the vector's own follows after 256:
 *
 *     sum over flush groups, ascending: d * sum v q;      then times s
 */
#ifndef GLIM_KERNELS_X86_PAIRS_H
#define GLIM_KERNELS_X86_PAIRS_H

#include "kernels/x86/panel.h"

struct panel {
    vint w[WIDE][QUADS][2]; /* quad j: LANES rows x columns (4j, 4j+2), then x (4j+1, 4j+3) */
    struct panel_scales s[WIDE];
};

INLINE void super_panel(enum dtype t, const struct rows_at *at, struct panel *p, unsigned wide)
{
    vint fold[PARTS];
    p->s[wide].scale[0] = super_panel_scales(t, at, false, fold, &p->s[wide]);
    for (unsigned c = 0; c < CHUNKS; c++) {
        vint v[LANES];
        super_chunk_turned(t, at, c, 0, v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            const vint f = int_twice(fold[(LANES * c + j) / (PACK_SUM / 4)]);
            vint *const w = p->w[wide][LANES * c + j];
            w[0] = mul_16(even_bytes(v[j]), f);
            w[1] = mul_16(odd_bytes(v[j]), f);
        }
    }
}

INLINE void small_panel(enum dtype t, const struct rows_at *at, size_t left, struct panel *p,
                        unsigned wide)
{
    const size_t cols = left < PACK_GROUP ? left : PACK_GROUP;
    for (size_t c = 0; c * VEC_BYTES < cols; c++) {
        vint v[LANES];
        small_chunk_turned(t, at, c, left, v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            p->w[wide][LANES * c + j][0] = even_bytes(v[j]);
            p->w[wide][LANES * c + j][1] = odd_bytes(v[j]);
        }
    }
    small_panel_scales(t, at, cols, &p->s[wide]);
}

struct group { /* one group of columns: where its parts stand in a packed vector, in bytes */
    size_t q, scale, sum;
    size_t cols; /* a multiple of VEC_BYTES */
};

INLINE struct group group_at(const struct strip *s, size_t k)
{
    const struct packed_at at = packed_layout(s->n);
    const size_t i = s->first + k;
    return (struct group){
        .q = at.q + i * PACK_GROUP * sizeof(int16_t),
        .scale = at.scale + i * sizeof(float),
        .sum = at.sum + i * PARTS * sizeof(float),
        .cols = group_cols(s, k),
    };
}

/* y[v] += the sums of a group. */
INLINE void tile_group(unsigned T, struct kind kind, const struct panel *p, const struct group *g,
                       const void *const *x, vfloat y[TILE][WIDE])
{
    const uint8_t *q[TILE];
    vfloat f[TILE][WIDE];
    UNROLL for (unsigned v = 0; v < T; v++) {
        q[v] = (const uint8_t *)x[v] + g->q;
        f[v][0] = f[v][1] = float_zero();
    }
    for (size_t part = 0; part < g->cols / kind.flush; part++) {
        vint sum[TILE][WIDE];
        UNROLL for (unsigned v = 0; v < T; v++)
            sum[v][0] = sum[v][1] = int_zero();
        for (size_t j = part * kind.flush / 4; j < (part + 1) * kind.flush / 4; j++) {
            const size_t at = packed_evens(4 * j) * sizeof(int16_t);
            UNROLL for (unsigned odd = 0; odd < 2; odd++) {
                const vint a = p->w[0][j][odd], b = p->w[1][j][odd];
                UNROLL for (unsigned v = 0; v < T; v++) {
                    const vint pair = int_at(q[v] + at + odd * PACK_CHUNK);
                    add_dot_16(&sum[v][0], a, pair);
                    add_dot_16(&sum[v][1], b, pair);
                }
            }
        }
        UNROLL for (unsigned v = 0; v < T; v++)
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                f[v][i] = mul_add(float_of(sum[v][i]),
                                  p->s[i].scale[kind.whole ? 0 : part], f[v][i]);
    }
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            y[v][i] = mul_add(f[v][i], float_at((const uint8_t *)x[v] + g->scale), y[v][i]);
}

/* The sum of part i of x. */
INLINE vfloat part_sum(const struct group *g, const void *x, size_t i)
{
    return float_at((const uint8_t *)x + g->sum + i * sizeof(float));
}

#include "kernels/x86/registers.h"

/* All vectors against a strip of panels. */
static void panels_times(const struct call *c, const struct panel p[RANKS][STRIP],
                         const struct strip *s, struct ahead *next)
{
    switch (c->w->type) {
    case DT_Q8_0:
    case DT_Q5_0:
    case DT_IQ4_NL:
    case DT_MXFP4: strip_times((struct kind){.flush = 32}, c, p, s, next); break;
    case DT_Q5_1: strip_times((struct kind){.flush = 32, .min = 32}, c, p, s, next); break;
    case DT_NVFP4: strip_times((struct kind){.flush = 16}, c, p, s, next); break;
    default: strip_times((struct kind){.flush = 64, .whole = true}, c, p, s, next);
    }
}

#endif
