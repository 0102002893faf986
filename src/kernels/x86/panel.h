/* panel.h - rows of integer blocks on their way into a panel of prefill.h: where they stand, and
 * their scales and minima, turned so that lanes are rows. pairs.h and quads.h do the weights.
 *
 * Behind blocks_avx*.h and
 *
 *     WIDE    registers that hold the rows of a panel
 *     STRIP   panels, of as many groups of columns, that are multiplied together
 *     RANKS   strips, of as many times ROWS rows, that a vector meets while it is at hand
 */
#ifndef GLIM_KERNELS_X86_PANEL_H
#define GLIM_KERNELS_X86_PANEL_H

enum { ROWS = WIDE * LANES, CHUNKS = PACK_GROUP / VEC_BYTES, QUADS = PACK_GROUP / 4 };

/* Where the blocks of LANES rows start, at one group of columns. */
struct rows_at {
    const uint8_t *row[LANES];
};

/* What is unpacked at once: up to STRIP groups of columns of up to RANKS times ROWS rows. */
struct strip {
    uint64_t row;
    size_t rows;
    size_t first, groups; /* of columns */
    size_t n;             /* columns of the matrix */
};

struct call {
    float *y;
    size_t y_stride, T;
    const void *const *x;
    const struct matrix *w;
    uint64_t r0, r1;
};

/* How the products of a type are added up. */
struct kind {
    unsigned flush; /* columns that an integer sum takes */
    unsigned min;   /* columns that share a minimum, or 0 */
    bool whole;     /* one scale for all flushes (pairs.h) */
    bool added;     /* the panel's bytes have QUAD_ADDED more than the weights (quads.h) */
};

/* Of LANES rows and one group of columns. */
struct panel_scales {
    vfloat scale[PARTS]; /* small blocks: one a block (NVFP4: a part); super-blocks: see *_panel */
    vfloat min[PARTS];   /* minus the minimum of each part, if there is one */
};

/* Quad j, of columns 4j to 4j+3 of chunk c, of all rows in register j, plus `added`. */
INLINE void super_chunk_turned(enum dtype t, const struct rows_at *at, unsigned c, int added,
                               vint v[LANES])
{
    UNROLL for (unsigned i = 0; i < LANES; i++)
        v[i] = super_chunk(t, at->row[i], c);
    transpose(v);
    UNROLL for (unsigned j = 0; j < LANES; j++)
        v[j] = bytes_plus(v[j], added - (int)super_added(t));
}

INLINE void small_chunk_turned(enum dtype t, const struct rows_at *at, size_t c, size_t left,
                               vint v[LANES])
{
    UNROLL for (unsigned i = 0; i < LANES; i++)
        v[i] = small_chunk(t, at->row[i], c, left);
    transpose(v);
}

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

/* The 6-bit scales and minima of Q4_K and Q5_K (blocks.h: k_scales), all rows together. */
INLINE void k_parts(const struct rows_at *at, vint scale[PARTS], vint min[PARTS])
{
    const vint a = ints_at(at->row, 4), b = ints_at(at->row, 8), c = ints_at(at->row, 12);
    const vint six = int_all(0x3f3f3f3f), four = int_all(0x0f0f0f0f), two = int_all(0x03030303);
    const vint s[2] = {
        int_and(a, six),
        int_or(int_and(c, four), int_up(int_and(int_down(a, 6), two), 4)),
    };
    const vint m[2] = {
        int_and(b, six),
        int_or(int_and(int_down(c, 4), four), int_up(int_and(int_down(b, 6), two), 4)),
    };
    UNROLL for (unsigned j = 0; j < PARTS; j++) {
        const unsigned down = j / 2 % 4 * 8;
        scale[j] = int_and(int_down(s[j / 8], down), int_all(0x3f));
        min[j] = int_and(int_down(m[j / 8], down), int_all(0x3f));
    }
}

/* The integer scales and minima of the parts of super-blocks; with their sign, or the 16 bits they
 * take alone. */
INLINE void super_parts(enum dtype t, const struct rows_at *at, bool is_signed, vint scale[PARTS],
                        vint min[PARTS])
{
    if (t == DT_Q4_K || t == DT_Q5_K) {
        k_parts(at, scale, min);
        return;
    }
    __m256i of_row[LANES], least[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++)
        super_scales(t, at->row[i], &of_row[i], &least[i]);
    parts_turned(of_row, is_signed, scale);
    if (super_info(t).dmin_at)
        parts_turned(least, true, min);
}

/* d of super-blocks, their minima, and the integer scales of their parts, to be multiplied in. */
INLINE vfloat super_panel_scales(enum dtype t, const struct rows_at *at, bool is_signed,
                                 vint scale[PARTS], struct panel_scales *s)
{
    vint min[PARTS];
    super_parts(t, at, is_signed, scale, min);
    if (super_info(t).dmin_at) {
        const vfloat dmin = sub(float_zero(), halves_at(at->row, super_info(t).dmin_at));
        UNROLL for (unsigned j = 0; j < PARTS; j++)
            s->min[j] = mul(float_of(min[j]), dmin);
    }
    if (is_k_or_iq4(t))
        return halves_at(at->row, super_info(t).d_at);
    float d[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++)
        d[i] = super_d(t, at->row[i]);
    return float_load(d);
}

/* One a row, of part k (NVFP4) of the block at `at`. */
INLINE vfloat small_scales_at(enum dtype t, const struct rows_at *rows, size_t at, unsigned k)
{
    if (t != DT_MXFP4 && t != DT_NVFP4)
        return halves_at(rows->row, at);
    float d[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++)
        d[i] = small_scale(t, rows->row[i] + at, k);
    return float_load(d);
}

/* The scales (and minima) of one block of each row. */
INLINE void small_block_scales(enum dtype t, const struct rows_at *at, size_t block,
                               struct panel_scales *s)
{
    const struct small_info info = small_info(t);
    const unsigned groups = t == DT_NVFP4 ? 4 : 1;
    for (unsigned k = 0; k < groups; k++)
        s->scale[block * groups + k] = small_scales_at(t, at, block * info.bytes, k);
    if (info.min_at)
        s->min[2 * block] = s->min[2 * block + 1] =
            halves_at(at->row, block * info.bytes + info.min_at);
}

INLINE void small_panel_scales(enum dtype t, const struct rows_at *at, size_t cols,
                               struct panel_scales *s)
{
    const size_t blocks = cols / small_info(t).len;
    for (size_t b = 0; b < blocks; b++)
        small_block_scales(t, at, b, s);
    if (cols % VEC_BYTES) /* half a chunk: x is 0 there; the scale must be a number */
        s->scale[blocks] = s->min[2 * blocks] = s->min[2 * blocks + 1] = float_zero();
}

/* Columns of group k of a strip, rounded up to whole registers. */
INLINE size_t group_cols(const struct strip *s, size_t k)
{
    const size_t left = s->n - (s->first + k) * PACK_GROUP;
    return left < PACK_GROUP ? (left + VEC_BYTES - 1) / VEC_BYTES * VEC_BYTES : PACK_GROUP;
}

/* Those lanes of register w of a panel's rows, of which `have` are there. */
INLINE vlanes wide_lanes(size_t have, unsigned w)
{
    return lanes_first(have < w * LANES ? 0 : have - w * LANES);
}

INLINE vint int_at(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return int_all(v);
}

INLINE vfloat float_at(const void *p)
{
    float v;
    memcpy(&v, p, sizeof v);
    return float_all(v);
}

/* The rows of a rank, where their first group stands; past the end the last row again. */
static void find_rows(struct rows_at at[WIDE], const struct call *c, const struct strip *s,
                      unsigned rank, size_t bytes)
{
    const uint8_t *const row = c->w->data + s->row * c->w->row_bytes + s->first * bytes;
    for (size_t i = 0; i < ROWS; i++) {
        const size_t r = rank * ROWS + i;
        at[i / LANES].row[i % LANES] = row + (r < s->rows ? r : s->rows - 1) * c->w->row_bytes;
    }
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
        .rows = c->r1 - row < RANKS * ROWS ? (size_t)(c->r1 - row) : RANKS * ROWS,
        .first = first,
        .groups = groups - first < STRIP ? groups - first : STRIP,
        .n = (size_t)c->w->cols,
    };
}

/* The next columns of its rows, or the first ones of the next rows; ends at row c->r1. */
static struct strip strip_after(const struct call *c, const struct strip *s)
{
    const bool last = (s->first + s->groups) * PACK_GROUP >= s->n;
    return strip_at(c, last ? s->row + s->rows : s->row, last ? 0 : s->first + s->groups);
}

/* What the next strip reads. So many rows are too many for the machine to foresee: their lines are
 * called for, a few at a time, while this strip is multiplied. All at once, they would be waited
 * for. */
struct ahead {
    const uint8_t *row;
    uint64_t row_bytes;
    size_t rows, at, bytes; /* rows left; of each: where in it, how much */
};

static struct ahead ahead_of(const struct call *c, const struct strip *s, size_t bytes)
{
    return (struct ahead){
        .row = c->w->data + s->row * c->w->row_bytes + s->first * bytes,
        .row_bytes = c->w->row_bytes,
        .rows = s->row < c->r1 ? s->rows : 0,
        .bytes = s->groups * bytes,
    };
}

INLINE size_t ahead_lines(const struct ahead *a) { return a->rows * (a->bytes / 64 + 1); }

INLINE void call_lines(struct ahead *a, size_t lines)
{
    for (; lines > 0 && a->rows > 0; lines--) {
        _mm_prefetch((const char *)a->row + a->at, _MM_HINT_T1);
        a->at += 64;
        if (a->at < a->bytes)
            continue;
        a->at = 0;
        a->row += a->row_bytes;
        a->rows--;
    }
}

#endif
