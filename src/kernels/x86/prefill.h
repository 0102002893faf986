/* prefill.h - many vectors against rows of integer blocks: unpack once, multiply often.
 *
 * The skeleton of quads_*.c, pairs_*.c and tiles_*.c, each of which includes it once, behind
 * blocks_avx*.h, quads.h, pairs.h or tiles.h, PREFILL_TYPES(F), the types it is for, and
 * PREFILL(name), their names in its functions. A panel is ROWS rows x 256 columns, turned so that
 * lanes are rows; it stays in a cache while all vectors pass by:
 *
 *     y[t,r] = sum over g of 256, ascending:  sums[t,r] of the panel
 *                 - sum over parts of 32 (Q2_K 16), ascending: dmin m * (sum of x)
 *
 * So the bits of y[t,r] depend on row r and vector t alone, not on panels or other vectors.
 */
#ifndef GLIM_KERNELS_X86_PREFILL_H
#define GLIM_KERNELS_X86_PREFILL_H

#include "kernels/x86/prefill_types.h"

typedef void panel_fn(struct panel *p, const struct rows_at *at, size_t left, unsigned wide);

#define PANEL(name, type, super)                                                                   \
    static void panel_##name(struct panel *p, const struct rows_at *at, size_t left,               \
                             unsigned wide)                                                        \
    {                                                                                              \
        if (super)                                                                                 \
            super_panel(type, at, p, wide);                                                        \
        else                                                                                       \
            small_panel(type, at, left, p, wide);                                                  \
    }
PREFILL_TYPES(PANEL)

#define UNPACK(name, type, super) [type] = panel_##name,
static panel_fn *const unpack[DT_COUNT] = {PREFILL_TYPES(UNPACK)};

/* The panels of a strip's rows from ROWS * rank on. */
static void unpack_rank(struct panel p[STRIP], const struct call *c, const struct strip *s,
                        unsigned rank, size_t bytes)
{
    struct rows_at rows[WIDE];
    find_rows(rows, c, s, rank, bytes);
    for (size_t k = 0; k < s->groups; k++) {
        const size_t left = s->n - (s->first + k) * PACK_GROUP;
        for (unsigned wide = 0; wide < WIDE; wide++)
            unpack[c->w->type](&p[k], &rows[wide], left, wide);
        next_group(rows, bytes);
    }
}

bool PREFILL(known)(enum dtype t) { return unpack[t] != NULL; }

void PREFILL(prefill)(float *y, size_t y_stride, const void *const *x, size_t T,
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
        struct ahead ahead = ahead_of(&c, &next, bytes);
        panels_times(&c, p, &s, &ahead);
    }
}

#endif
