/* prefill.h - many vectors against rows of integer blocks: unpack once, multiply often.
 *
 * The skeleton of prefill_*.c, each of which includes it once, behind blocks_avx*.h and the files
 * of its panels: quads.h or pairs.h with registers.h, or tiles.h. A panel is ROWS rows x 256
 * columns, turned so that lanes are rows; it stays in a cache while all vectors pass by:
 *
 *     y[t,r] = sum over g of 256, ascending:  sums[t,r] of the panel
 *                 - sum over parts of 32 (Q2_K 16), ascending: dmin m * (sum of x)
 *
 * So the bits of y[t,r] depend on row r and vector t alone, not on panels or other vectors.
 */
#ifndef GLIM_KERNELS_X86_PREFILL_H
#define GLIM_KERNELS_X86_PREFILL_H

#include "kernels/simd/types.h"

typedef void panel_fn(struct panel *p, const struct rows_at *at, size_t left, unsigned wide);
typedef void times_fn(const struct call *c, const struct panel p[RANKS][STRIP],
                      const struct strip *s);

/* The products of the six kinds of panel; not inlined into each type. */
#define TIMES(name, flush, super, min)                                                             \
    static void name(const struct call *c, const struct panel p[RANKS][STRIP],                     \
                     const struct strip *s)                                                        \
    {                                                                                              \
        strip_times(flush, super, min, c, p, s);                                                   \
    }

TIMES(times_super, 64, true, 0)
TIMES(times_super_min, 64, true, 32)
TIMES(times_super_min_16, 64, true, 16)
TIMES(times_32, 32, false, 0)
TIMES(times_32_min, 32, false, 32)
TIMES(times_16, 16, false, 0)

#define PANEL(name, type, super)                                                                   \
    static void panel_##name(struct panel *p, const struct rows_at *at, size_t left,               \
                             unsigned wide)                                                        \
    {                                                                                              \
        if (super)                                                                                 \
            super_panel(type, at, p, wide);                                                        \
        else                                                                                       \
            small_panel(type, at, left, p, wide);                                                  \
    }
INTEGER_TYPES(PANEL)

static const struct {
    panel_fn *unpack;
    times_fn *times;
} kind_of[DT_COUNT] = {
    [DT_Q2_K] = {panel_q2_k, times_super_min_16},
    [DT_Q3_K] = {panel_q3_k, times_super},
    [DT_Q4_K] = {panel_q4_k, times_super_min},
    [DT_Q5_K] = {panel_q5_k, times_super_min},
    [DT_Q6_K] = {panel_q6_k, times_super},
    [DT_IQ4_XS] = {panel_iq4_xs, times_super},
    [DT_IQ3_S] = {panel_iq3_s, times_super},
    [DT_IQ3_XXS] = {panel_iq3_xxs, times_super},
    [DT_IQ2_S] = {panel_iq2_s, times_super},
    [DT_IQ2_XS] = {panel_iq2_xs, times_super},
    [DT_IQ2_XXS] = {panel_iq2_xxs, times_super},
    [DT_IQ1_S] = {panel_iq1_s, times_super},
    [DT_IQ1_M] = {panel_iq1_m, times_super},
    [DT_Q4_0] = {panel_q4_0, times_32},
    [DT_Q4_1] = {panel_q4_1, times_32_min},
    [DT_Q5_0] = {panel_q5_0, times_32},
    [DT_Q5_1] = {panel_q5_1, times_32_min},
    [DT_Q8_0] = {panel_q8_0, times_32},
    [DT_IQ4_NL] = {panel_iq4_nl, times_32},
    [DT_MXFP4] = {panel_mxfp4, times_32},
    [DT_NVFP4] = {panel_nvfp4, times_16},
};

/* The panels of a strip's rows from ROWS * rank on. */
static void unpack_rank(struct panel p[STRIP], const struct call *c, const struct strip *s,
                        unsigned rank, size_t bytes)
{
    struct rows_at rows[WIDE];
    find_rows(rows, c, s, rank, bytes);
    for (size_t k = 0; k < s->groups; k++) {
        const size_t left = s->n - (s->first + k) * PACK_GROUP;
        for (unsigned wide = 0; wide < WIDE; wide++)
            kind_of[c->w->type].unpack(&p[k], &rows[wide], left, wide);
        next_group(rows, bytes);
    }
}

void LEVEL(blocks_prefill)(float *y, size_t y_stride, const void *const *x, size_t T,
                           const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, T, x, w, r0, r1};
    const struct dtype_info *const d = dtype_info(w->type);
    const size_t bytes = PACK_GROUP / d->block_len * d->block_bytes;
    struct panel p[RANKS][STRIP];
    for (struct strip s = strip_at(&c, r0, 0), next; s.row < r1; s = next) {
        next = strip_after(&c, &s);
        for (unsigned rank = 0; rank * ROWS < s.rows; rank++)
            unpack_rank(p[rank], &c, &s, rank, bytes);
        if (next.row < r1)
            call_for_strip(&c, &next, bytes);
        kind_of[w->type].times(&c, p, &s);
    }
}

#endif
