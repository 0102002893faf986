/* float_panel.h - many vectors against rows of floats: unpack once to f32, multiply often.
 *
 *     y[t,r] = sum over panels of PANEL_COLS columns, ascending:  sum_c w[r,c] x[t,c], c ascending
 *
 * by fused multiply-adds; a panel's sum starts with 0. The skeleton of float_*.c for ROLE_PREFILL,
 * behind float.h and
 *
 *     WIDE    registers that hold the rows of a panel: TILE x WIDE sums stay in registers
 *     RANKS   panels, each of the next rows, that a vector meets while it is at hand
 *
 * A panel is turned so that lanes are rows. Panels begin at multiples of PANEL_COLS, so the bits of
 * y[t,r] depend on row r and vector t alone. All ranks together stay in a second-level cache (and
 * on the stack); a vector comes from farther away once for RANKS x PANEL_ROWS rows.
 *
 * In the transposed product a stored row is a column of these panels, its lanes in place: the same
 * sums, so the very bits of the product with the transposed matrix.
 */
#ifndef GLIM_KERNELS_SIMD_FLOAT_PANEL_H
#define GLIM_KERNELS_SIMD_FLOAT_PANEL_H

#include "kernels/simd/float.h"

enum { TILE = 6, PANEL_ROWS = WIDE * LANES, PANEL_COLS = 512 };

struct panel {
    _Alignas(64) float w[PANEL_COLS][PANEL_ROWS];
};

/* Outputs, and vectors: packed, or x_stride apart. */
struct outputs {
    float *y;
    size_t y_stride, T;
    const void *const *packed;
    const float *x;
    size_t x_stride;
};

INLINE const float *vector_at(const struct outputs *o, size_t t)
{
    return o->packed ? packed_floats(o->packed[t]) : o->x + t * o->x_stride;
}

/* What is unpacked at once: `rows` outputs from `row` on, `cols` terms of their sums from `first`
 * on. */
struct strip {
    size_t row, rows, first, cols;
};

static struct strip strip_at(size_t row, size_t rows, size_t first, size_t cols)
{
    return (struct strip){
        .row = row,
        .rows = rows - row < RANKS * PANEL_ROWS ? rows - row : RANKS * PANEL_ROWS,
        .first = first,
        .cols = cols - first < PANEL_COLS ? cols - first : PANEL_COLS,
    };
}

/* The next terms of its rows, or the first ones of the next rows, of which there may be none. */
static struct strip strip_after(const struct strip *s, size_t rows, size_t cols)
{
    const size_t end = s->first + s->cols;
    return end < cols ? strip_at(s->row, rows, end, cols)
                      : strip_at(s->row + s->rows, rows, 0, cols);
}

/* ---- products ---- */

/* Sums of T vectors with a panel's rows over n columns. */
INLINE void tile_sums(unsigned T, const struct panel *p, size_t n, const float *const x[TILE],
                      vfloat s[TILE][WIDE])
{
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            s[v][i] = float_zero();
    for (size_t c = 0; c < n; c++) {
        vfloat w[WIDE];
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            w[i] = float_load(p->w[c] + i * LANES);
        UNROLL for (unsigned v = 0; v < T; v++) {
            const vfloat a = float_all(x[v][c]);
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                s[v][i] = mul_add(w[i], a, s[v][i]);
        }
    }
}

/* y of `have` rows = sums, or y + sums behind the first panel; masked stores are slow. */
INLINE void sums_out(bool begun, size_t have, const vfloat s[WIDE], float *y)
{
    UNROLL for (unsigned i = 0; i < WIDE; i++) {
        float *const at = y + i * LANES;
        if (have >= (i + 1) * LANES) {
            float_store(at, begun ? add(float_load(at), s[i]) : s[i]);
        } else if (have > i * LANES) {
            const vlanes some = lanes_first(have - i * LANES);
            lanes_store(at, some, begun ? add(lanes_load(some, at), s[i]) : s[i]);
        }
    }
}

/* T vectors from t on against one panel, whose rows are y's from r on. */
INLINE void tile_times(unsigned T, const struct outputs *o, const struct panel *p,
                       const struct strip *s, size_t r, size_t t)
{
    const float *x[TILE];
    vfloat sums[TILE][WIDE];
    UNROLL for (unsigned v = 0; v < T; v++)
        x[v] = vector_at(o, t + v) + s->first;
    tile_sums(T, p, s->cols, x, sums);
    UNROLL for (unsigned v = 0; v < T; v++)
        sums_out(s->first > 0, s->rows - r, sums[v],
                 o->y + (t + v) * o->y_stride + s->row + r);
}

/* Up to TILE vectors from t on. */
static void panel_times(const struct outputs *o, const struct panel *p, const struct strip *s,
                        size_t r, size_t t)
{
    switch (o->T - t) {
    case 1: tile_times(1, o, p, s, r, t); break;
    case 2: tile_times(2, o, p, s, r, t); break;
    case 3: tile_times(3, o, p, s, r, t); break;
    case 4: tile_times(4, o, p, s, r, t); break;
    case 5: tile_times(5, o, p, s, r, t); break;
    default: tile_times(TILE, o, p, s, r, t);
    }
}

/* All vectors against the panels of a strip. */
static void strip_times(const struct outputs *o, const struct panel p[RANKS],
                        const struct strip *s)
{
    for (size_t t = 0; t < o->T; t += TILE)
        for (size_t r = 0; r < s->rows; r += PANEL_ROWS)
            panel_times(o, &p[r / PANEL_ROWS], s, r, t);
}

/* ---- unpacking ---- */

/* LANES rows of a matrix, and the scales of one block of their columns. So many rows are too many
 * for the machine to foresee: what stands `ahead` bytes later, of the next strip, is called for. */
struct rows_at {
    const uint8_t *row[LANES];
    float scale[LANES];
    ptrdiff_t ahead;
};

/* Rows from r on, past the end the last one again; column c is in the block. */
INLINE void find_rows(enum dtype t, const struct matrix *w, uint64_t r, uint64_t end, size_t c,
                      struct rows_at *at)
{
    for (size_t i = 0; i < LANES; i++) {
        const uint64_t of = r + i < end ? r + i : end - 1;
        at->row[i] = w->data + of * w->row_bytes;
        if (t == DT_F8_E4M3)
            at->scale[i] = f8_scale(w, of, c / F8_BLOCK);
    }
}

/* n <= LANES columns from c on; column j of all rows becomes `to` + j PANEL_ROWS. */
INLINE void square_turned(enum dtype t, const struct rows_at *at, size_t c, size_t n, float *to)
{
    vint v[LANES];
    UNROLL for (unsigned i = 0; i < LANES; i++) {
        vfloat w = weights_at(t, at->row[i], c, n);
        if (t == DT_F8_E4M3)
            w = mul(w, float_all(at->scale[i]));
        v[i] = as_int(w);
        if (c * size_of_float(t) % 64 == 0)
            call_for(at->row[i] + c * size_of_float(t) + at->ahead);
    }
    transpose(v);
    UNROLL for (unsigned j = 0; j < LANES; j++)
        float_store(to + j * PANEL_ROWS, as_float(v[j]));
}

/* LANES rows from r on; their columns of strip s. */
INLINE void rows_turned(enum dtype t, const struct matrix *w, uint64_t r, uint64_t end,
                        const struct strip *s, ptrdiff_t ahead, float *to)
{
    for (size_t b = 0; b < s->cols; b += F8_BLOCK) {
        const size_t after = s->cols - b < F8_BLOCK ? s->cols : b + F8_BLOCK;
        size_t c = b;
        struct rows_at at = {.ahead = ahead};
        find_rows(t, w, r, end, s->first + b, &at);
        for (; c + LANES <= after; c += LANES)
            square_turned(t, &at, s->first + c, LANES, to + c * PANEL_ROWS);
        if (c < after)
            square_turned(t, &at, s->first + c, after - c, to + c * PANEL_ROWS);
    }
}

/* The rows of a strip, behind which `next` comes; row 0 of strips is r0 of the matrix. */
INLINE void strip_turned(enum dtype t, const struct matrix *w, uint64_t r0, const struct strip *s,
                         const struct strip *next, struct panel p[RANKS])
{
    const ptrdiff_t down = (ptrdiff_t)((next->row - s->row) * w->row_bytes);
    const ptrdiff_t right = (ptrdiff_t)next->first - (ptrdiff_t)s->first;
    const ptrdiff_t ahead = down + right * (ptrdiff_t)size_of_float(t);
    const uint64_t first = r0 + s->row, end = first + s->rows;
    for (size_t r = 0; r < s->rows; r += LANES)
        rows_turned(t, w, first + r, end, s, ahead, p[r / PANEL_ROWS].w[0] + r % PANEL_ROWS);
}

/* Stored row r0 + i becomes column i of the panels. */
INLINE void strip_copied(enum dtype t, const struct matrix *w, uint64_t r0, const struct strip *s,
                         struct panel p[RANKS])
{
    for (size_t i = 0; i < s->cols; i++) {
        const uint64_t r = r0 + s->first + i;
        const uint8_t *const row = w->data + r * w->row_bytes;
        for (size_t c = 0; c < s->rows; c += LANES) {
            vfloat v = weights_at(t, row, s->row + c, s->rows - c);
            if (t == DT_F8_E4M3)
                v = mul(v, float_all(f8_scale(w, r, (s->row + c) / F8_BLOCK)));
            float_store(p[c / PANEL_ROWS].w[i] + c % PANEL_ROWS, v);
        }
    }
}

#define UNPACK(name, type)                                                                         \
    static void turned_##name(const struct matrix *w, uint64_t r0, const struct strip *s,          \
                              const struct strip *next, struct panel p[RANKS])                     \
    {                                                                                              \
        strip_turned(type, w, r0, s, next, p);                                                     \
    }                                                                                              \
    static void copied_##name(const struct matrix *w, uint64_t r0, const struct strip *s,          \
                              const struct strip *next, struct panel p[RANKS])                     \
    {                                                                                              \
        (void)next;                                                                                \
        strip_copied(type, w, r0, s, p);                                                           \
    }
UNPACK(f32, DT_F32)
UNPACK(f16, DT_F16)
UNPACK(bf16, DT_BF16)
UNPACK(f8, DT_F8_E4M3)

typedef void unpack_fn(const struct matrix *w, uint64_t r0, const struct strip *s,
                       const struct strip *next, struct panel p[RANKS]);

static unpack_fn *const unpack_of[DT_COUNT][2] = {
    [DT_F32] = {turned_f32, copied_f32},
    [DT_F16] = {turned_f16, copied_f16},
    [DT_BF16] = {turned_bf16, copied_bf16},
    [DT_F8_E4M3] = {turned_f8, copied_f8},
};

/* All outputs of floats w, of which there are `rows`, each of `cols` terms; row 0 of the panels is
 * row r0 of w, or, with the transpose, column 0 is. */
static void panels_times(const struct outputs *o, size_t rows, size_t cols, bool transposed,
                         const struct matrix *w, uint64_t r0)
{
    struct panel p[RANKS];
    for (struct strip s = strip_at(0, rows, 0, cols), next; s.row < rows; s = next) {
        next = strip_after(&s, rows, cols);
        unpack_of[w->type][transposed](w, r0, &s, &next, p);
        strip_times(o, p, &s);
    }
}

void LEVEL(floats_prefill)(float *y, size_t y_stride, const void *const *x, size_t T,
                           const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct outputs o = {.y = y, .y_stride = y_stride, .T = T, .packed = x};
    panels_times(&o, (size_t)(r1 - r0), (size_t)w->cols, false, w, r0);
}

/* ---- the transposed product ---- */

static void prefill_t(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                      const struct matrix *w, uint64_t r0, uint64_t r1, float *scratch)
{
    const struct outputs o = {.y = y, .y_stride = y_stride, .T = T, .x = x, .x_stride = x_stride};
    const size_t n = (size_t)(r1 - r0), cols = (size_t)w->cols;
    if (LEVEL(floats_known)(w->type)) {
        panels_times(&o, cols, n, true, w, r0);
        return;
    }
    rows_decoded(scratch, w, r0, r1);
    const struct matrix f32 = {.data = (const uint8_t *)scratch, .type = DT_F32, .rows = n,
                               .cols = cols, .row_bytes = cols * sizeof *scratch};
    panels_times(&o, cols, n, true, &f32, 0);
}

void LEVEL(matmul_t)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                     const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                     double *acc, float *scratch)
{
    (void)acc;
    if (role == ROLE_DECODE)
        decode_t(y, y_stride, x, x_stride, T, w, r0, r1, scratch);
    else
        prefill_t(y, y_stride, x, x_stride, T, w, r0, r1, scratch);
}

#endif
