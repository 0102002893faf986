/* prefill.h - many vectors against rows of integer blocks: unpack once, multiply often.
 *
 * The skeleton of prefill_avx*.c, each of which includes it once, behind blocks_avx*.h and TILE.
 * A panel is 2 LANES rows x 256 columns as 16-bit integers, turned so that a register holds two
 * columns of LANES rows; scales of super-blocks are multiplied in, a small block's stand beside. A
 * tile multiplies a panel with up to TILE vectors: 2 TILE sums of 32 bits in registers, two
 * registers of weights, one of a pair of x. Every 16, 32 or 64 columns (blocks.h) a sum becomes a
 * float and is added with its scale; after 256 columns the vector's own scale follows, into y:
 *
 *     y[t,r] = sum over g of 256, ascending:  s[t,g] * (sum over flush groups: d * sum v q[t])
 *                 - sum over parts of 32 (Q2_K 16), ascending: dmin m * (sum of x)
 *
 * So the bits of y[t,r] depend on row r and vector t alone, not on tiles or panels.
 * A panel (1 KiB a lane) stays in the first-level cache while all vectors pass by.
 */
#ifndef GLIM_KERNELS_X86_PREFILL_H
#define GLIM_KERNELS_X86_PREFILL_H

enum {
    WIDE = 2, ROWS = WIDE * LANES, CHUNKS = PACK_GROUP / VEC_BYTES, QUADS = PACK_GROUP / 4
};

struct panel {
    vint w[WIDE][QUADS][2];     /* quad j: LANES rows x columns (4j, 4j+2), then x (4j+1, 4j+3) */
    vfloat scale[WIDE][PARTS];  /* one a flush group; super-blocks: the first for all */
    vfloat min[WIDE][PARTS];    /* minus the minimum of each 16 columns, if there is one */
};

/* Where the blocks of LANES rows start, at one group of columns. */
struct rows_at {
    const uint8_t *row[LANES];
};

/* turned[j] lane i = integer j of row i */
INLINE void parts_turned(const __m256i of_row[LANES], bool is_signed, vint turned[PARTS])
{
    UNROLL for (unsigned h = 0; h < PARTS / LANES; h++) {
        vint v[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            v[i] = is_signed ? widen_signed(of_row[i], h) : widen_unsigned(of_row[i], h);
        transpose(v);
        UNROLL for (unsigned j = 0; j < LANES; j++)
            turned[h * LANES + j] = v[j];
    }
}

/* Minus the minima of super-blocks, turned. */
INLINE void super_panel_minima(enum dtype t, const struct rows_at *at, const __m256i min[LANES],
                               vfloat out[PARTS])
{
    float dmin[LANES];
    vint turned[PARTS];
    UNROLL for (unsigned i = 0; i < LANES; i++)
        dmin[i] = -load_half(at->row[i] + super_info(t).dmin_at);
    parts_turned(min, true, turned);
    for (unsigned j = 0; j < PARTS; j++)
        out[j] = mul(float_of(turned[j]), float_load(dmin));
}

INLINE void super_panel(enum dtype t, const struct rows_at *at, struct panel *p, unsigned wide)
{
    __m256i scale[LANES], min[LANES];
    vint fold[PARTS];
    float d[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++) {
        scale[i] = min[i] = _mm256_setzero_si256();
        super_scales(t, at->row[i], &scale[i], &min[i]);
        d[i] = super_d(t, at->row[i]);
    }
    p->scale[wide][0] = float_load(d);
    parts_turned(scale, false, fold);
    if (super_info(t).dmin_at)
        super_panel_minima(t, at, min, p->min[wide]);
    for (unsigned c = 0; c < CHUNKS; c++) {
        vint v[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            v[i] = super_chunk(t, at->row[i], c);
        transpose(v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            const vint f = int_twice(fold[(LANES * c + j) / (PACK_SUM / 4)]);
            vint *const w = p->w[wide][LANES * c + j];
            w[0] = mul_16(even_bytes(v[j]), f);
            w[1] = mul_16(odd_bytes(v[j]), f);
        }
    }
}

/* The scales (and minima) of one block of each row. */
INLINE void small_panel_scales(enum dtype t, const struct rows_at *at, size_t block,
                               struct panel *p, unsigned wide)
{
    const struct small_info info = small_info(t);
    const unsigned groups = t == DT_NVFP4 ? 4 : 1;
    for (unsigned k = 0; k < groups; k++) {
        float d[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            d[i] = small_scale(t, at->row[i] + block * info.bytes, k);
        p->scale[wide][block * groups + k] = float_load(d);
    }
    if (info.min_at) {
        float m[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            m[i] = load_half(at->row[i] + block * info.bytes + info.min_at);
        p->min[wide][2 * block] = p->min[wide][2 * block + 1] = float_load(m);
    }
}

INLINE void small_panel(enum dtype t, const struct rows_at *at, size_t left, struct panel *p,
                        unsigned wide)
{
    const struct small_info info = small_info(t);
    const size_t cols = left < PACK_GROUP ? left : PACK_GROUP, blocks = cols / info.len;
    for (size_t c = 0; c * VEC_BYTES < cols; c++) {
        vint v[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            v[i] = small_chunk(t, at->row[i], c, left);
        transpose(v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            p->w[wide][LANES * c + j][0] = even_bytes(v[j]);
            p->w[wide][LANES * c + j][1] = odd_bytes(v[j]);
        }
    }
    for (size_t b = 0; b < blocks; b++)
        small_panel_scales(t, at, b, p, wide);
    if (cols % VEC_BYTES) /* half a chunk: x is 0 there; the scale must be a number */
        p->scale[wide][blocks] = p->min[wide][2 * blocks] = p->min[wide][2 * blocks + 1] =
            float_zero();
}

/* ---- tiles ---- */
struct call {
    float *y;
    size_t y_stride, T;
    const void *const *x;
    const struct matrix *w;
    uint64_t r0, r1;
};

struct group { /* one group of columns: where its parts stand in a packed vector, in bytes */
    size_t q, scale, sum;
    size_t cols; /* a multiple of VEC_BYTES */
    bool first; /* of the row: y is not yet defined */
};

INLINE vint pair_at(const uint8_t *q)
{
    int32_t pair;
    memcpy(&pair, q, sizeof pair);
    return int_all(pair);
}

/* f[v] = the sums of a group; flush: columns a sum takes. */
INLINE void tile_sums(unsigned T, unsigned flush, bool super, const struct panel *p,
                      const struct group *g, const void *const *x, vfloat f[TILE][WIDE])
{
    const uint8_t *q[TILE];
    UNROLL for (unsigned v = 0; v < T; v++)
        q[v] = (const uint8_t *)x[v] + g->q;
    for (size_t part = 0; part < g->cols / flush; part++) {
        vint sum[TILE][WIDE];
        UNROLL for (unsigned v = 0; v < T; v++)
            sum[v][0] = sum[v][1] = int_zero();
        for (size_t j = part * flush / 4; j < (part + 1) * flush / 4; j++) {
            const size_t at = packed_evens(4 * j) * sizeof(int16_t);
            UNROLL for (unsigned odd = 0; odd < 2; odd++) {
                const vint a = p->w[0][j][odd], b = p->w[1][j][odd];
                UNROLL for (unsigned v = 0; v < T; v++) {
                    const vint pair = pair_at(q[v] + at + odd * PACK_CHUNK);
                    add_dot_16(&sum[v][0], a, pair);
                    add_dot_16(&sum[v][1], b, pair);
                }
            }
        }
        UNROLL for (unsigned v = 0; v < T; v++)
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                f[v][i] =
                    mul_add(float_of(sum[v][i]), p->scale[i][super ? 0 : part], f[v][i]);
    }
}

INLINE vfloat broadcast_at(const void *x, size_t at)
{
    float v;
    memcpy(&v, (const uint8_t *)x + at, sizeof v);
    return float_all(v);
}

/* y += minima times the vector's sums of `columns` each, 16 or 32. */
INLINE void add_minima(unsigned columns, vfloat y[WIDE], const struct panel *p,
                       const struct group *g, const void *x)
{
    const unsigned step = columns / PACK_SUM;
    for (size_t i = 0; i < g->cols / PACK_SUM; i += step) {
        vfloat sum = broadcast_at(x, g->sum + i * sizeof(float));
        if (step == 2)
            sum = add(sum, broadcast_at(x, g->sum + (i + 1) * sizeof(float)));
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            y[w] = mul_add(p->min[w][i], sum, y[w]);
    }
}

/* T vectors against a panel; have: its rows; min: columns a minimum is for, or 0. */
INLINE void tile_times(unsigned T, unsigned flush, bool super, unsigned min, const struct panel *p,
                       const struct group *g, const void *const *x, float *y, size_t y_stride,
                       size_t have)
{
    vfloat f[TILE][WIDE];
    UNROLL for (unsigned v = 0; v < T; v++)
        f[v][0] = f[v][1] = float_zero();
    tile_sums(T, flush, super, p, g, x, f);
    const vlanes rows[WIDE] = {lanes_first(have), lanes_first(have < LANES ? 0 : have - LANES)};
    UNROLL for (unsigned v = 0; v < T; v++) {
        float *const at = y + v * y_stride;
        const vfloat scale = broadcast_at(x[v], g->scale);
        UNROLL for (unsigned w = 0; w < WIDE; w++) {
            const vfloat old = g->first ? float_zero() : lanes_load(rows[w], at + LANES * w);
            f[v][w] = mul_add(f[v][w], scale, old);
        }
        if (min)
            add_minima(min, f[v], p, g, x[v]);
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            if (have == ROWS)
                float_store(at + LANES * w, f[v][w]); /* masked stores are slow */
            else
                lanes_store(at + LANES * w, rows[w], f[v][w]);
    }
}

/* All vectors against a panel of rows from r on. */
INLINE void panel_times(unsigned flush, bool super, unsigned min, const struct call *c,
                        const struct panel *p, uint64_t r, const struct group *g)
{
    const size_t have = c->r1 - r < ROWS ? (size_t)(c->r1 - r) : ROWS;
    const size_t stride = c->y_stride;
    for (size_t t = 0; t < c->T; t += TILE) {
        const void *const *const x = c->x + t;
        float *const y = c->y + t * stride + (r - c->r0);
        switch (c->T - t) {
        case 1: tile_times(1, flush, super, min, p, g, x, y, stride, have); break;
        case 2: tile_times(2, flush, super, min, p, g, x, y, stride, have); break;
        case 3: tile_times(3, flush, super, min, p, g, x, y, stride, have); break;
        case 4: tile_times(4, flush, super, min, p, g, x, y, stride, have); break;
        case 5: tile_times(5, flush, super, min, p, g, x, y, stride, have); break;
        default: tile_times(6, flush, super, min, p, g, x, y, stride, have);
        }
    }
}

typedef void panel_fn(struct panel *p, const struct rows_at *at, size_t left, unsigned wide);
typedef void times_fn(const struct call *c, const struct panel *p, uint64_t r,
                      const struct group *g);

/* The tiles of the six kinds of panel; not inlined into each type. */
#define TIMES(name, flush, super, min)                                                             \
    static void name(const struct call *c, const struct panel *p, uint64_t r,                      \
                     const struct group *g)                                                        \
    {                                                                                              \
        panel_times(flush, super, min, c, p, r, g);                                                \
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

/* Two times LANES rows, where group g of theirs stands; past the end the last row again. The next
 * group is called for: so many rows are too many for the machine to foresee. */
INLINE void find_rows(struct rows_at at[WIDE], const struct call *c, uint64_t r, size_t g,
                      size_t bytes)
{
    for (unsigned i = 0; i < ROWS; i++) {
        const uint64_t row = r + i < c->r1 ? r + i : c->r1 - 1;
        const uint8_t *const p = c->w->data + row * c->w->row_bytes + g * bytes;
        at[i / LANES].row[i % LANES] = p;
        for (size_t next = bytes; next < 2 * bytes; next += 64)
            _mm_prefetch((const char *)p + next, _MM_HINT_T0);
    }
}

void LEVEL(blocks_prefill)(float *y, size_t y_stride, const void *const *x, size_t T,
                           const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, T, x, w, r0, r1};
    const struct packed_at at = packed_layout((size_t)w->cols);
    const struct dtype_info *const d = dtype_info(w->type);
    const size_t bytes = PACK_GROUP / d->block_len * d->block_bytes;
    struct panel p;
    struct rows_at rows[WIDE];
    for (uint64_t r = r0; r < r1; r += ROWS)
        for (size_t i = 0; i * PACK_GROUP < w->cols; i++) {
            const size_t left = (size_t)w->cols - i * PACK_GROUP;
            const struct group g = {
                .q = at.q + i * PACK_GROUP * sizeof(int16_t),
                .scale = at.scale + i * sizeof(float),
                .sum = at.sum + i * PARTS * sizeof(float),
                .cols = left < PACK_GROUP ? (left + VEC_BYTES - 1) / VEC_BYTES * VEC_BYTES
                                          : PACK_GROUP,
                .first = i == 0,
            };
            find_rows(rows, &c, r, i, bytes);
            UNROLL for (unsigned wide = 0; wide < WIDE; wide++)
                kind_of[w->type].unpack(&p, &rows[wide], left, wide);
            kind_of[w->type].times(&c, &p, r, &g);
        }
}

#endif
