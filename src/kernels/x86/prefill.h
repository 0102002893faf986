/* prefill.h - many vectors against rows of integer blocks: unpack once, multiply often.
 *
 * The skeleton of prefill_avx*.c, each of which includes it once, behind blocks_avx*.h, TILE
 * and the file of its panels (quads.h, pairs.h). A panel is 2 LANES rows x 256 columns of small
 * integers, turned so that a register holds a few columns of LANES rows, their scales beside. A
 * tile multiplies a panel with up to TILE vectors: 2 TILE sums of 32 bits in registers, two
 * registers of weights, one of a few columns of x:
 *
 *     y[t,r] = sum over g of 256, ascending:  sums[t,r] of the panel
 *                 - sum over parts of 32 (Q2_K 16), ascending: dmin m * (sum of x)
 *
 * So the bits of y[t,r] depend on row r and vector t alone, not on tiles or panels.
 * A panel stays in the first-level cache while all vectors pass by.
 */
#ifndef GLIM_KERNELS_X86_PREFILL_H
#define GLIM_KERNELS_X86_PREFILL_H

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

/* T vectors against a strip of panels; min: columns a minimum is for, or 0. */
INLINE void tile_times(unsigned T, unsigned flush, bool super, unsigned min, const struct panel *p,
                       const struct strip *s, const void *const *x, float *y, size_t y_stride)
{
    vfloat f[TILE][WIDE];
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            f[v][w] = float_zero();
    if (s->first > 0)
        tile_load(T, y, y_stride, s->rows, f);
    for (size_t k = 0; k < s->groups; k++) {
        const struct group g = group_at(s, k);
        tile_group(T, flush, super, &p[k], &g, x, f);
        if (min)
            UNROLL for (unsigned v = 0; v < T; v++)
                add_minima(min, f[v], &p[k], &g, x[v]);
    }
    tile_store(T, y, y_stride, s->rows, f);
}

/* All vectors against a strip of panels. */
INLINE void strip_times(unsigned flush, bool super, unsigned min, const struct call *c,
                        const struct panel *p, const struct strip *s)
{
    const size_t stride = c->y_stride;
    for (size_t t = 0; t < c->T; t += TILE) {
        const void *const *const x = c->x + t;
        float *const y = c->y + t * stride + (s->row - c->r0);
        switch (c->T - t) {
        case 1: tile_times(1, flush, super, min, p, s, x, y, stride); break;
        case 2: tile_times(2, flush, super, min, p, s, x, y, stride); break;
        case 3: tile_times(3, flush, super, min, p, s, x, y, stride); break;
        case 4: tile_times(4, flush, super, min, p, s, x, y, stride); break;
        case 5: tile_times(5, flush, super, min, p, s, x, y, stride); break;
        default: tile_times(6, flush, super, min, p, s, x, y, stride);
        }
    }
}

typedef void panel_fn(struct panel *p, const struct rows_at *at, size_t left, unsigned wide);
typedef void times_fn(const struct call *c, const struct panel *p, const struct strip *s);

/* The tiles of the six kinds of panel; not inlined into each type. */
#define TIMES(name, flush, super, min)                                                             \
    static void name(const struct call *c, const struct panel *p, const struct strip *s)           \
    {                                                                                              \
        strip_times(flush, super, min, c, p, s);                                                   \
    }

TIMES(times_super, 64, true, 0)
TIMES(times_super_min, 64, true, 32)
TIMES(times_super_min_16, 64, true, 16)
TIMES(times_32, 32, false, 0)
TIMES(times_32_min, 32, false, 32)
TIMES(times_16, 16, false, 0)

#define SUPER(name, type)                                                                          \
    static void name(struct panel *p, const struct rows_at *at, size_t left, unsigned wide)        \
    {                                                                                              \
        (void)left;                                                                                \
        super_panel(type, at, p, wide);                                                            \
    }
#define SMALL(name, type)                                                                          \
    static void name(struct panel *p, const struct rows_at *at, size_t left, unsigned wide)        \
    {                                                                                              \
        small_panel(type, at, left, p, wide);                                                      \
    }

SUPER(panel_q2_k, DT_Q2_K)
SUPER(panel_q3_k, DT_Q3_K)
SUPER(panel_q4_k, DT_Q4_K)
SUPER(panel_q5_k, DT_Q5_K)
SUPER(panel_q6_k, DT_Q6_K)
SUPER(panel_iq4_xs, DT_IQ4_XS)
SUPER(panel_iq3_s, DT_IQ3_S)
SUPER(panel_iq3_xxs, DT_IQ3_XXS)
SUPER(panel_iq2_s, DT_IQ2_S)
SUPER(panel_iq2_xs, DT_IQ2_XS)
SUPER(panel_iq2_xxs, DT_IQ2_XXS)
SUPER(panel_iq1_s, DT_IQ1_S)
SUPER(panel_iq1_m, DT_IQ1_M)
SMALL(panel_q4_0, DT_Q4_0)
SMALL(panel_q4_1, DT_Q4_1)
SMALL(panel_q5_0, DT_Q5_0)
SMALL(panel_q5_1, DT_Q5_1)
SMALL(panel_q8_0, DT_Q8_0)
SMALL(panel_iq4_nl, DT_IQ4_NL)
SMALL(panel_mxfp4, DT_MXFP4)
SMALL(panel_nvfp4, DT_NVFP4)

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

/* The rows of a strip, where its first group stands; past the end the last row again. */
static void find_rows(struct rows_at at[WIDE], const struct call *c, const struct strip *s,
                      size_t bytes)
{
    const uint8_t *const row = c->w->data + s->row * c->w->row_bytes + s->first * bytes;
    for (size_t i = 0; i < ROWS; i++)
        at[i / LANES].row[i % LANES] = row + (i < s->rows ? i : s->rows - 1) * c->w->row_bytes;
}

static void next_group(struct rows_at at[WIDE], size_t bytes)
{
    for (size_t i = 0; i < ROWS; i++)
        at[i / LANES].row[i % LANES] += bytes;
}

static struct strip strip_at(const struct call *c, uint64_t row, size_t first)
{
    const size_t groups = ((size_t)c->w->cols + PACK_GROUP - 1) / PACK_GROUP;
    return (struct strip){
        .row = row,
        .rows = c->r1 - row < ROWS ? (size_t)(c->r1 - row) : ROWS,
        .first = first,
        .groups = groups - first < STRIP ? groups - first : STRIP,
        .n = (size_t)c->w->cols,
    };
}

/* So many rows are too many for the machine to foresee: what comes next is called for. */
static void call_for_strip(const struct call *c, const struct strip *s, size_t bytes)
{
    const size_t end = s->groups * bytes;
    for (size_t i = 0; i < s->rows; i++) {
        const uint8_t *const p = c->w->data + (s->row + i) * c->w->row_bytes + s->first * bytes;
        for (size_t at = 0; at < end; at += 64)
            _mm_prefetch((const char *)p + at, _MM_HINT_T1);
    }
}

void LEVEL(blocks_prefill)(float *y, size_t y_stride, const void *const *x, size_t T,
                           const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, T, x, w, r0, r1};
    const struct dtype_info *const d = dtype_info(w->type);
    const size_t bytes = PACK_GROUP / d->block_len * d->block_bytes;
    struct panel p[STRIP];
    struct rows_at rows[WIDE];
    for (struct strip s = strip_at(&c, r0, 0), next; s.row < r1; s = next) {
        const bool last = (s.first + s.groups) * PACK_GROUP >= s.n;
        next = strip_at(&c, last ? s.row + s.rows : s.row, last ? 0 : s.first + s.groups);
        find_rows(rows, &c, &s, bytes);
        for (size_t k = 0; k < s.groups; k++) {
            const size_t left = s.n - (s.first + k) * PACK_GROUP;
            for (unsigned wide = 0; wide < WIDE; wide++)
                kind_of[w->type].unpack(&p[k], &rows[wide], left, wide);
            next_group(rows, bytes);
        }
        if (next.row < r1)
            call_for_strip(&c, &next, bytes);
        kind_of[w->type].times(&c, p, &s);
    }
}

#endif
