/* prefill_avx512.c - many vectors against rows of integer blocks: unpack once, multiply often.
 *
 * A panel is 32 rows x 256 columns as 16-bit integers, turned so that a register holds two columns
 * of 16 rows; scales of super-blocks are multiplied in, a small block's stand beside. A tile
 * multiplies a panel with up to 6 vectors: 12 sums of 32 bits in registers, two registers of
 * weights, one of a pair of x. Every 16, 32 or 64 columns (blocks_avx512.h) a sum becomes a float
 * and is added with its scale; after 256 columns the vector's own scale follows, into y:
 *
 *     y[t,r] = sum over g of 256, ascending:  s[t,g] * (sum over flush groups: d * sum v q[t])
 *                 - sum over parts of 32 (Q2_K 16), ascending: dmin m * (sum of x)
 *
 * So the bits of y[t,r] depend on row r and vector t alone, not on tiles or panels.
 * Cost: unpacking a panel takes as long as multiplying it with ten vectors; a tile does 32
 * multiply-adds an instruction at 128 products to 2 (super), 16 to 2 (blocks of 32) conversions.
 * A panel (16 KiB) stays in the first-level cache while all vectors pass by.
 */
#include "kernels/x86/blocks_avx512.h"

enum { TILE = 6, WIDE = 2, LANES = 16, ROWS = WIDE * LANES, QUADS = PACK_GROUP / 4 };

struct panel {
    __m512i w[WIDE][QUADS][2]; /* quad j: 16 rows x columns (4j, 4j+2), then x (4j+1, 4j+3) */
    __m512 scale[WIDE][PARTS]; /* one a flush group; super-blocks: the first for all */
    __m512 min[WIDE][PARTS];   /* minus the minimum of each 16 columns, if there is one */
};

/* Where the blocks of 16 rows start, at one group of columns. */
struct rows_at {
    const uint8_t *row[LANES];
};

INLINE void super_panel(enum dtype t, const struct rows_at *at, struct panel *p, unsigned wide)
{
    const struct super_info info = super_info(t);
    __m512i fold[LANES], min[LANES];
    float d[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++) {
        const uint8_t *const b = at->row[i];
        __m256i s = _mm256_setzero_si256(), m = s;
        super_scales(t, b, &s, &m);
        const __m512i low = _mm512_cvtepu16_epi32(s);
        fold[i] = _mm512_or_si512(low, _mm512_slli_epi32(low, 16));
        d[i] = super_d(t, b);
        if (info.dmin_at)
            min[i] = _mm512_castps_si512(
                _mm512_mul_ps(f32_of(_mm512_cvtepi16_epi32(m)),
                              _mm512_set1_ps(-load_half(b + info.dmin_at))));
    }
    p->scale[wide][0] = _mm512_loadu_ps(d);
    transpose_16(fold);
    if (info.dmin_at) {
        transpose_16(min);
        for (unsigned i = 0; i < PARTS; i++)
            p->min[wide][i] = _mm512_castsi512_ps(min[i]);
    }
    for (unsigned c = 0; c < CHUNKS; c++) {
        __m512i v[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            v[i] = super_chunk(t, at->row[i], c);
        transpose_16(v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            const __m512i f = fold[4 * c + j / 4];
            __m512i *const w = p->w[wide][LANES * c + j];
            w[0] = _mm512_mullo_epi16(even_bytes(v[j]), f);
            w[1] = _mm512_mullo_epi16(odd_bytes(v[j]), f);
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
        p->scale[wide][block * groups + k] = _mm512_loadu_ps(d);
    }
    if (info.min_at) {
        float m[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            m[i] = load_half(at->row[i] + block * info.bytes + info.min_at);
        p->min[wide][2 * block] = p->min[wide][2 * block + 1] = _mm512_loadu_ps(m);
    }
}

INLINE void small_panel(enum dtype t, const struct rows_at *at, size_t left, struct panel *p,
                        unsigned wide)
{
    const struct small_info info = small_info(t);
    const size_t blocks = (left < PACK_GROUP ? left : PACK_GROUP) / info.len;
    for (size_t c = 0; c * PACK_CHUNK < blocks * info.len; c++) {
        const size_t first = c * PACK_CHUNK / info.len;
        const size_t second = first + 1 < blocks ? first + 1 : first;
        __m512i v[LANES];
        UNROLL for (unsigned i = 0; i < LANES; i++)
            v[i] = small_chunk(t, at->row[i] + first * info.bytes,
                               at->row[i] + second * info.bytes);
        transpose_16(v);
        UNROLL for (unsigned j = 0; j < LANES; j++) {
            p->w[wide][LANES * c + j][0] = even_bytes(v[j]);
            p->w[wide][LANES * c + j][1] = odd_bytes(v[j]);
        }
    }
    for (size_t b = 0; b < blocks; b++)
        small_panel_scales(t, at, b, p, wide);
    if (info.len < PACK_CHUNK && blocks % 2) /* x is 0 there; the scale must be a number */
        p->scale[wide][blocks] = p->min[wide][2 * blocks] = p->min[wide][2 * blocks + 1] =
            _mm512_setzero_ps();
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
    size_t chunks;
    bool first; /* of the row: y is not yet defined */
};

INLINE __m512i pair_at(const uint8_t *q)
{
    int32_t pair;
    memcpy(&pair, q, sizeof pair);
    return _mm512_set1_epi32(pair);
}

/* sum += the products of 16 pairs. Not the intrinsic: gcc 12 then copies all sums twice in each
 * round of the loop, which costs a tenth of the speed. */
INLINE void add_pairs(__m512i *sum, __m512i a, __m512i b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
}

/* f[v] = the sums of a group; flush: columns a sum takes. */
INLINE void tile_sums(unsigned T, unsigned flush, bool super, const struct panel *p,
                      const struct group *g, const void *const *x, __m512 f[TILE][WIDE])
{
    const uint8_t *q[TILE];
    UNROLL for (unsigned v = 0; v < T; v++)
        q[v] = (const uint8_t *)x[v] + g->q;
    for (size_t part = 0; part < g->chunks * PACK_CHUNK / flush; part++) {
        __m512i sum[TILE][WIDE];
        UNROLL for (unsigned v = 0; v < T; v++)
            sum[v][0] = sum[v][1] = _mm512_setzero_si512();
        for (size_t j = part * flush / 4; j < (part + 1) * flush / 4; j++) {
            const size_t at = (j / LANES * PACK_CHUNK + j % LANES * 2) * sizeof(int16_t);
            UNROLL for (unsigned odd = 0; odd < 2; odd++) {
                const __m512i a = p->w[0][j][odd], b = p->w[1][j][odd];
                UNROLL for (unsigned v = 0; v < T; v++) {
                    const __m512i pair = pair_at(q[v] + at + odd * PACK_CHUNK);
                    add_pairs(&sum[v][0], a, pair);
                    add_pairs(&sum[v][1], b, pair);
                }
            }
        }
        UNROLL for (unsigned v = 0; v < T; v++)
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                f[v][i] = _mm512_fmadd_ps(f32_of(sum[v][i]), p->scale[i][super ? 0 : part],
                                          f[v][i]);
    }
}

INLINE __m512 broadcast_at(const void *x, size_t at)
{
    float v;
    memcpy(&v, (const uint8_t *)x + at, sizeof v);
    return _mm512_set1_ps(v);
}

/* y += minima times the vector's sums of `columns` each, 16 or 32. */
INLINE void add_minima(unsigned columns, __m512 y[WIDE], const struct panel *p,
                       const struct group *g, const void *x)
{
    const unsigned step = columns / PACK_SUM;
    for (size_t i = 0; i < g->chunks * (PACK_CHUNK / PACK_SUM); i += step) {
        __m512 sum = broadcast_at(x, g->sum + i * sizeof(float));
        if (step == 2)
            sum = _mm512_add_ps(sum, broadcast_at(x, g->sum + (i + 1) * sizeof(float)));
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            y[w] = _mm512_fmadd_ps(p->min[w][i], sum, y[w]);
    }
}

/* T vectors against a panel; have: its rows; min: columns a minimum is for, or 0. */
INLINE void tile_times(unsigned T, unsigned flush, bool super, unsigned min, const struct panel *p,
                       const struct group *g, const void *const *x, float *y, size_t y_stride,
                       uint64_t have)
{
    __m512 f[TILE][WIDE];
    UNROLL for (unsigned v = 0; v < T; v++)
        f[v][0] = f[v][1] = _mm512_setzero_ps();
    tile_sums(T, flush, super, p, g, x, f);
    const uint32_t rows = (uint32_t)((1ull << have) - 1);
    UNROLL for (unsigned v = 0; v < T; v++) {
        float *const at = y + v * y_stride;
        const __m512 scale = broadcast_at(x[v], g->scale);
        UNROLL for (unsigned w = 0; w < WIDE; w++) {
            const __mmask16 old = g->first ? 0 : (__mmask16)(rows >> LANES * w);
            f[v][w] = _mm512_fmadd_ps(f[v][w], scale, _mm512_maskz_loadu_ps(old, at + LANES * w));
        }
        if (min)
            add_minima(min, f[v], p, g, x[v]);
        UNROLL for (unsigned w = 0; w < WIDE; w++)
            if (have == ROWS)
                _mm512_storeu_ps(at + LANES * w, f[v][w]); /* masked stores are slow */
            else
                _mm512_mask_storeu_ps(at + LANES * w, (__mmask16)(rows >> LANES * w), f[v][w]);
    }
}

/* All vectors against a panel of rows from r on. */
INLINE void panel_times(unsigned flush, bool super, unsigned min, const struct call *c,
                        const struct panel *p, uint64_t r, const struct group *g)
{
    const uint64_t have = c->r1 - r < ROWS ? c->r1 - r : ROWS;
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

/* The tiles of the seven kinds of panel; not inlined into each type. */
static void times_super(const struct call *c, const struct panel *p, uint64_t r,
                 const struct group *g)
{
    panel_times(64, true, 0, c, p, r, g);
}

static void times_super_min(const struct call *c, const struct panel *p, uint64_t r,
                 const struct group *g)
{
    panel_times(64, true, 32, c, p, r, g);
}

static void times_super_min_16(const struct call *c, const struct panel *p, uint64_t r,
                 const struct group *g)
{
    panel_times(64, true, 16, c, p, r, g);
}

static void times_32(const struct call *c, const struct panel *p, uint64_t r,
                 const struct group *g)
{
    panel_times(32, false, 0, c, p, r, g);
}

static void times_32_min(const struct call *c, const struct panel *p, uint64_t r,
                 const struct group *g)
{
    panel_times(32, false, 32, c, p, r, g);
}

static void times_16(const struct call *c, const struct panel *p, uint64_t r,
                 const struct group *g)
{
    panel_times(16, false, 0, c, p, r, g);
}

typedef void panel_fn(struct panel *p, const struct rows_at *at, size_t left, unsigned wide);
typedef void times_fn(const struct call *c, const struct panel *p, uint64_t r,
                 const struct group *g);

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
    unsigned group_bytes; /* 256 columns */
} kind_of[DT_COUNT] = {
    [DT_Q2_K] = {panel_q2_k, times_super_min_16, 84},
    [DT_Q3_K] = {panel_q3_k, times_super, 110},
    [DT_Q4_K] = {panel_q4_k, times_super_min, 144},
    [DT_Q5_K] = {panel_q5_k, times_super_min, 176},
    [DT_Q6_K] = {panel_q6_k, times_super, 210},
    [DT_IQ4_XS] = {panel_iq4_xs, times_super, 136},
    [DT_IQ3_S] = {panel_iq3_s, times_super, 110},
    [DT_IQ3_XXS] = {panel_iq3_xxs, times_super, 98},
    [DT_IQ2_S] = {panel_iq2_s, times_super, 82},
    [DT_IQ2_XS] = {panel_iq2_xs, times_super, 74},
    [DT_IQ2_XXS] = {panel_iq2_xxs, times_super, 66},
    [DT_IQ1_S] = {panel_iq1_s, times_super, 50},
    [DT_IQ1_M] = {panel_iq1_m, times_super, 56},
    [DT_Q4_0] = {panel_q4_0, times_32, 8 * 18},
    [DT_Q4_1] = {panel_q4_1, times_32_min, 8 * 20},
    [DT_Q5_0] = {panel_q5_0, times_32, 8 * 22},
    [DT_Q5_1] = {panel_q5_1, times_32_min, 8 * 24},
    [DT_Q8_0] = {panel_q8_0, times_32, 8 * 34},
    [DT_IQ4_NL] = {panel_iq4_nl, times_32, 8 * 18},
    [DT_MXFP4] = {panel_mxfp4, times_32, 8 * 17},
    [DT_NVFP4] = {panel_nvfp4, times_16, 4 * 36},
};

/* Two times 16 rows, where group g of theirs stands; past the end the last row again. The next
 * group is called for: 32 rows are too many for the machine to foresee. */
INLINE void find_rows(struct rows_at at[WIDE], const struct call *c, uint64_t r, size_t g)
{
    const size_t bytes = kind_of[c->w->type].group_bytes;
    for (unsigned i = 0; i < ROWS; i++) {
        const uint64_t row = r + i < c->r1 ? r + i : c->r1 - 1;
        const uint8_t *const p = c->w->data + row * c->w->row_bytes + g * bytes;
        at[i / LANES].row[i % LANES] = p;
        for (size_t next = bytes; next < 2 * bytes; next += 64)
            _mm_prefetch((const char *)p + next, _MM_HINT_T0);
    }
}

void blocks_prefill_avx512(float *y, size_t y_stride, const void *const *x, size_t T,
                           const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, T, x, w, r0, r1};
    const struct packed_at at = packed_layout((size_t)w->cols);
    struct panel p;
    struct rows_at rows[WIDE];
    for (uint64_t r = r0; r < r1; r += ROWS)
        for (size_t i = 0; i * PACK_GROUP < w->cols; i++) {
            const size_t left = (size_t)w->cols - i * PACK_GROUP;
            const struct group g = {
                .q = at.q + i * PACK_GROUP * sizeof(int16_t),
                .scale = at.scale + i * sizeof(float),
                .sum = at.sum + i * PARTS * sizeof(float),
                .chunks = left >= PACK_GROUP ? CHUNKS : (left + PACK_CHUNK - 1) / PACK_CHUNK,
                .first = i == 0,
            };
            find_rows(rows, &c, r, i);
            UNROLL for (unsigned wide = 0; wide < WIDE; wide++)
                kind_of[w->type].unpack(&p, &rows[wide], left, wide);
            kind_of[w->type].times(&c, &p, r, &g);
        }
}
