/* decode_many.h - as many vectors as a register has lanes against rows of small blocks: lanes are
 * vectors (decode_small.h says what is added up).
 *
 * Group by group of 256 columns, in which the vectors are turned once for all rows of a call. Rows
 * become integers of 16 bits, each pair of which multiplies the same pair of all vectors; the next
 * four do while these are multiplied.
 */
#ifndef GLIM_KERNELS_X86_DECODE_MANY_H
#define GLIM_KERNELS_X86_DECODE_MANY_H

#include "kernels/x86/decode_types.h"

enum {
    FOUR = 4,                      /* rows walked together */
    APART = 4,                     /* sums of a group, a_j */
    BESIDE = VEC_BYTES / PACK_SUM, /* parts of a chunk */
    REGISTERS = APART / BESIDE,    /* that hold the sums of four rows */
    PAIRS = PACK_GROUP / 2,
    SETS = PASSES * VECTORS / LANES,
    MANY_ROWS = 256, /* that vectors are turned for */
};

/* LANES vectors, one group of columns; pairs stand as in a packed vector (x86.h). */
struct set {
    vint q[PAIRS];
    vfloat sum[PARTS], scale;
};

/* Four rows, one group of columns; d and m of each part. */
struct unpacked {
    int32_t v[FOUR][PAIRS];
    float d[FOUR][PARTS], m[FOUR][PARTS];
};

/* Rows to be unpacked: where their group stands, of which `left` columns are there. */
struct coming {
    const uint8_t *row[FOUR];
    size_t left;
    struct unpacked *to;
};

/* Up to MANY_ROWS rows from r on, and what they add up to with the vectors of each set. */
struct many {
    const struct call *c;
    uint64_t r;
    size_t rows, sets;
    struct set set[SETS];
    vfloat y[SETS][MANY_ROWS];
};

INLINE size_t chunks_of(size_t left)
{
    return left >= PACK_GROUP ? PACK_GROUP / VEC_BYTES : (left + VEC_BYTES - 1) / VEC_BYTES;
}

INLINE size_t group_bytes(enum dtype t)
{
    return PACK_GROUP / small_info(t).len * small_info(t).bytes;
}

/* Rows r to r + 3, `at` bytes from their starts; past the end the last one again. */
INLINE void find_four(const uint8_t *row[FOUR], const struct call *c, uint64_t r, size_t at)
{
    UNROLL for (size_t i = 0; i < FOUR; i++)
        row[i] = c->w->data + (r + i < c->r1 ? r + i : c->r1 - 1) * c->w->row_bytes + at;
}

/* ---- vectors ---- */

INLINE vfloat floats_of(const float *const x[LANES], size_t i)
{
    float of[LANES];
    UNROLL for (size_t v = 0; v < LANES; v++)
        of[v] = x[v][i];
    return float_load(of);
}

/* Group g of the vectors from `first` on, `pairs` of it; where fewer are left, the first one. */
static void turn_set(struct set *s, const struct call *c, size_t first, size_t g, size_t pairs,
                     bool sums)
{
    const int16_t *q[LANES];
    const float *sum[LANES], *scale[LANES];
    for (size_t i = 0; i < LANES; i++) {
        const size_t v = first + i < c->T ? first + i : 0;
        const struct vectors *const x = &c->pass[v / VECTORS];
        q[i] = x->q[v % VECTORS] + g * PACK_GROUP;
        sum[i] = x->sum[v % VECTORS] + g * PARTS;
        scale[i] = x->scale[v % VECTORS];
    }
    for (size_t at = 0; at < pairs; at += LANES) {
        vint v[LANES];
        UNROLL for (size_t i = 0; i < LANES; i++)
            v[i] = int_load(q[i] + 2 * at);
        transpose(v);
        UNROLL for (size_t i = 0; i < LANES; i++)
            s->q[at + i] = v[i];
    }
    s->scale = floats_of(scale, g);
    for (size_t p = 0; sums && p < 2 * pairs / PACK_SUM; p++)
        s->sum[p] = floats_of(sum, p);
}

/* ---- rows ---- */

/* of[p] = v[p / 2] */
INLINE void store_twice(float of[8], __m128 v)
{
    _mm_storeu_ps(of, _mm_unpacklo_ps(v, v));
    _mm_storeu_ps(of + 4, _mm_unpackhi_ps(v, v));
}

/* Where block i of 32 columns starts; behind the end of the row the last one again. */
INLINE void four_blocks(const uint8_t *block[4], const uint8_t *p, size_t bytes, size_t first,
                        size_t left)
{
    UNROLL for (size_t i = 0; i < 4; i++)
        block[i] = p + (first + i < left / 32 ? first + i : left / 32 - 1) * bytes;
}

/* Row i. Parts behind the end of the row have the scale of the last one: x is 0 there. */
INLINE void unpack_row(enum dtype t, const struct coming *c, unsigned i)
{
    const uint8_t *const p = c->row[i];
    struct unpacked *const u = c->to;
    const struct small_info info = small_info(t);
    const size_t chunks = chunks_of(c->left);
    UNROLL for (size_t k = 0; k < PACK_GROUP / VEC_BYTES; k++) {
        if (k >= chunks)
            break;
        const vint bytes = small_chunk(t, p, k, c->left);
        const size_t at = packed_evens(k * VEC_BYTES) / 2;
        int_store(&u->v[i][at], even_bytes(bytes));
        int_store(&u->v[i][at + PACK_CHUNK / 4], odd_bytes(bytes));
    }
    if (t == DT_NVFP4) {
        for (size_t k = 0; k < PARTS; k++) {
            const size_t at = k < c->left / PACK_SUM ? k : c->left / PACK_SUM - 1;
            u->d[i][k] = small_scale(t, p + at / 4 * info.bytes, at % 4);
        }
        return;
    }
    UNROLL for (size_t k = 0; k < PARTS / 2; k += 4) {
        const uint8_t *block[4];
        four_blocks(block, p, info.bytes, k, c->left);
        store_twice(&u->d[i][2 * k], four_block_scales(t, block));
        if (info.min_at)
            store_twice(&u->m[i][2 * k], four_halves(block, info.min_at));
    }
}

/* The rows from r on; those that come four later are called for. */
INLINE struct coming rows_from(enum dtype t, const struct many *m, size_t g, uint64_t r,
                               struct unpacked *to)
{
    struct coming c = {.left = (size_t)m->c->w->cols - g * PACK_GROUP, .to = to};
    find_four(c.row, m->c, r, g * group_bytes(t));
    UNROLL for (size_t i = 0; i < FOUR; i++)
        UNROLL for (size_t at = 0; at < group_bytes(t); at += 64)
            call_for(c.row[i] + FOUR * (size_t)m->c->w->row_bytes + at);
    return c;
}

/* ---- products ---- */

/* a[i] = a_j of row i: parts j, j + 4, ... of `parts` */
INLINE void every_fourth(enum dtype t, const struct unpacked *u, const struct set *s, size_t j,
                         size_t parts, vfloat a[FOUR])
{
    vfloat min[FOUR];
    UNROLL for (unsigned i = 0; i < FOUR; i++)
        a[i] = min[i] = float_zero();
    for (size_t p = j; p < parts; p += APART) {
        const size_t even = packed_evens(p * PACK_SUM) / 2;
        vint sum[FOUR];
        UNROLL for (unsigned i = 0; i < FOUR; i++)
            sum[i] = int_zero();
        UNROLL for (unsigned k = 0; k < PACK_SUM / 2; k++) {
            const size_t at = even + k / 4 * (PACK_CHUNK / 4) + k % 4;
            UNROLL for (unsigned i = 0; i < FOUR; i++)
                add_dot_16(&sum[i], s->q[at], int_all(u->v[i][at]));
        }
        UNROLL for (unsigned i = 0; i < FOUR; i++)
            a[i] = mul_add(float_of(sum[i]), float_all(u->d[i][p]), a[i]);
        if (small_info(t).min_at)
            UNROLL for (unsigned i = 0; i < FOUR; i++)
                min[i] = mul_add(float_all(u->m[i][p]), s->sum[p], min[i]);
    }
    UNROLL for (unsigned i = 0; i < FOUR; i++)
        a[i] = mul_add(a[i], s->scale, min[i]);
}

/* y[i] += row i times the vectors of the set; rows to come, if any, are unpacked meanwhile */
INLINE void set_times(enum dtype t, const struct unpacked *u, const struct set *s, size_t parts,
                      const struct coming *next, vfloat y[FOUR])
{
    vfloat a[APART][FOUR];
    for (unsigned j = 0; j < APART; j++) {
        if (next)
            unpack_row(t, next, j);
        every_fourth(t, u, s, j, parts, a[j]);
    }
    UNROLL for (unsigned i = 0; i < FOUR; i++)
        y[i] = add(y[i], add(add(a[0][i], a[2][i]), add(a[1][i], a[3][i])));
}

INLINE void many_group(enum dtype t, struct many *m, size_t g)
{
    const size_t chunks = chunks_of((size_t)m->c->w->cols - g * PACK_GROUP);
    for (size_t s = 0; s < m->sets; s++)
        turn_set(&m->set[s], m->c, s * LANES, g, round_up_64(chunks * VEC_BYTES) / 2,
                 small_info(t).min_at != 0);
    struct unpacked u[2], *now = u;
    struct coming next = rows_from(t, m, g, m->r, now);
    for (unsigned i = 0; i < FOUR; i++)
        unpack_row(t, &next, i);
    for (size_t r = 0; r < m->rows; r += FOUR) {
        next = rows_from(t, m, g, m->r + r + FOUR, now == u ? &u[1] : u);
        for (size_t s = 0; s < m->sets; s++)
            set_times(t, now, &m->set[s], chunks * BESIDE, s ? NULL : &next, &m->y[s][r]);
        now = next.to;
    }
}

static void many_store(const struct many *m, size_t T)
{
    const struct call *const c = m->c;
    for (size_t s = 0; s < m->sets; s++)
        for (size_t r = 0; r < m->rows; r++) {
            float y[LANES];
            float_store(y, m->y[s][r]);
            for (size_t i = 0; i < LANES && s * LANES + i < T; i++)
                c->y[(s * LANES + i) * c->y_stride + (m->r + r - c->r0)] = y[i];
        }
}

/* The first T vectors against all rows. */
INLINE void many_rows(enum dtype t, const struct call *c, size_t T)
{
    struct many m;
    m.c = c;
    m.sets = (T + LANES - 1) / LANES;
    for (m.r = c->r0; m.r < c->r1; m.r += m.rows) {
        m.rows = c->r1 - m.r < MANY_ROWS ? (size_t)(c->r1 - m.r) : MANY_ROWS;
        for (size_t s = 0; s < m.sets; s++)
            for (size_t r = 0; r < MANY_ROWS; r++)
                m.y[s][r] = float_zero();
        for (size_t g = 0; g * PACK_GROUP < c->w->cols; g++)
            many_group(t, &m, g);
        many_store(&m, T);
    }
}

#endif
