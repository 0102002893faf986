/* quad_prefill.h - many vectors against rows of integer blocks: a panel of 16 rows x 256 columns is
 * unpacked once (4 KiB of bytes, and scales) and multiplied with all vectors, four at a time, while
 * it stays in the first-level cache. y is added to group by group, in ascending order, by the very
 * operations of decoding (quad.h).
 */
#ifndef GLIM_KERNELS_ARM_QUAD_PREFILL_H
#define GLIM_KERNELS_ARM_QUAD_PREFILL_H

enum { PANEL_QUADS = 4, PANEL_ROWS = PANEL_QUADS * QUAD };

struct panel { /* a quad's group */
    struct part w[PARTS];
    union {
        struct super super;
        struct small small[PARTS];
    } of;
};

/* ---- panels ---- */

INLINE void panel_super(enum dtype t, const uint8_t *const p[QUAD], struct panel *out)
{
    super_init(t, p, &out->of.super);
    for (unsigned c = 0; c < PARTS; c++)
        out->w[c] = super_part(t, p, c);
}

INLINE void panel_small(enum dtype t, const uint8_t *const p[QUAD], size_t parts,
                        struct panel *out)
{
    for (size_t c = 0; c < parts; c++) {
        small_init(t, p, c, &out->of.small[c]);
        out->w[c] = small_part(t, p, c);
    }
}

typedef void panel_fn(const uint8_t *const p[QUAD], size_t parts, struct panel *out);

#define PANEL(name, type, super)                                                                   \
    static void panel_##name(const uint8_t *const p[QUAD], size_t parts, struct panel *out)        \
    {                                                                                              \
        if (super)                                                                                 \
            panel_super(type, p, out);                                                             \
        else                                                                                       \
            panel_small(type, p, parts, out);                                                      \
    }
INTEGER_TYPES(PANEL)
#undef PANEL

#define PANEL(name, type, super) [type] = panel_##name,
static panel_fn *const panel_of[DT_COUNT] = {INTEGER_TYPES(PANEL)};
#undef PANEL

/* ---- tiles ---- */

struct kind { /* what a tile must know of a type */
    bool super, of_16, has_min;
};

struct group {
    size_t g, parts;
};

/* y[v] += a group of four rows against T vectors. */
INLINE void tile_times(struct kind k, unsigned T, const struct panel *p, const struct group *g,
                       const struct vectors *x, float32x4_t y[VECTORS])
{
    const size_t first = g->g * PACK_GROUP;
    if (k.super) {
        int32x4_t sum[VECTORS][PAIRS];
        UNROLL for (unsigned v = 0; v < T; v++)
            sum[v][0] = sum[v][1] = vdupq_n_s32(0);
        for (unsigned c = 0; c < PARTS; c++)
            super_times(k.of_16, T, &p->w[c], &p->of.super, c, x, first + c * PART, sum);
        super_end(k.of_16, k.has_min, T, &p->of.super, sum, x, g->g, y);
        return;
    }
    struct small_sums sum;
    small_clear(T, &sum);
    for (size_t c = 0; c < g->parts; c++)
        small_times(k.of_16, k.has_min, T, &p->w[c], &p->of.small[c], x, first + c * PART, &sum);
    small_end(k.has_min, T, &sum, x, g->g, y);
}

/* T <= VECTORS vectors from t on; 3 run as 4. */
INLINE void tile_pass(struct kind k, const struct call *c, size_t t, size_t T, uint64_t r,
                      const struct panel *p, const struct group *g, const struct vectors *x)
{
    float32x4_t y[VECTORS];
    UNROLL for (size_t v = 0; v < VECTORS; v++) {
        const size_t have = v < T ? lanes_first((size_t)(c->r1 - r)) : 0;
        y[v] = g->g == 0 ? vdupq_n_f32(0)
                         : lanes_load(have, c->y + (t + v) * c->y_stride + (r - c->r0));
    }
    if (T == 1)
        tile_times(k, 1, p, g, x, y);
    else if (T == 2)
        tile_times(k, 2, p, g, x, y);
    else
        tile_times(k, 4, p, g, x, y);
    for (size_t v = 0; v < T; v++)
        quad_store(c, t + v, r, y[v]);
}

/* All vectors against a panel of rows r and on. */
INLINE void panel_times(struct kind k, const struct call *c, uint64_t r, const struct panel *p,
                        const struct group *g)
{
    for (size_t t = 0; t < c->T; t += VECTORS) {
        const size_t T = c->T - t < VECTORS ? c->T - t : VECTORS;
        const struct vectors x = vectors_at(c->x + t, T, (size_t)c->w->cols);
        for (unsigned i = 0; i < PANEL_QUADS && r + i * QUAD < c->r1; i++)
            tile_pass(k, c, t, T, r + i * QUAD, p + i, g, &x);
    }
}

typedef void times_fn(const struct call *c, uint64_t r, const struct panel *p,
                      const struct group *g);

/* Not inlined into each type. */
#define TIMES(name, super, of_16, has_min)                                                         \
    static void name(const struct call *c, uint64_t r, const struct panel *p,                      \
                     const struct group *g)                                                        \
    {                                                                                              \
        panel_times((struct kind){super, of_16, has_min}, c, r, p, g);                             \
    }
TIMES(times_super, true, false, false)
TIMES(times_super_min, true, false, true)
TIMES(times_super_16, true, true, false)
TIMES(times_super_16_min, true, true, true)
TIMES(times_small, false, false, false)
TIMES(times_small_min, false, false, true)
TIMES(times_small_16, false, true, false)

static times_fn *times_of(enum dtype t)
{
    if (t == DT_NVFP4)
        return times_small_16;
    if (!is_super(t))
        return small_info(t).min_at ? times_small_min : times_small;
    if (super_info(t).dmin_at)
        return has_scales_of_16(t) ? times_super_16_min : times_super_min;
    return has_scales_of_16(t) ? times_super_16 : times_super;
}

/* ---- a panel after the other ---- */

/* The next group is called for: so many rows are too many for the machine to foresee. */
static void unpack_panel(const struct call *c, uint64_t r, const struct group *g,
                         struct panel p[PANEL_QUADS])
{
    const size_t bytes = group_bytes(c->w->type, is_super(c->w->type));
    for (unsigned i = 0; i < PANEL_QUADS && r + i * QUAD < c->r1; i++) {
        const uint8_t *row[QUAD];
        quad_rows(c, r + i * QUAD, row);
        for (unsigned j = 0; j < QUAD; j++) {
            row[j] += g->g * bytes;
            for (size_t next = bytes; next < 2 * bytes; next += 64)
                call_for(row[j] + next);
        }
        panel_of[c->w->type](row, g->parts, &p[i]);
    }
}

void BUILT(blocks_prefill)(float *y, size_t y_stride, const void *const *x, size_t T,
                           const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, T, x, w, r0, r1};
    times_fn *const times = times_of(w->type);
    struct panel p[PANEL_QUADS];
    for (uint64_t r = r0; r < r1; r += PANEL_ROWS)
        for (size_t i = 0; i * PACK_GROUP < w->cols; i++) {
            const struct group g = {i, parts_of((size_t)w->cols - i * PACK_GROUP)};
            unpack_panel(&c, r, &g, p);
            times(&c, r, p, &g);
        }
}

#endif
