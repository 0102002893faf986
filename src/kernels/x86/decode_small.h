/* decode_small.h - few vectors against rows of small blocks (simd/layout.h), each read once.
 *
 *     y[t,r] = sum over groups g of 256, ascending: (a_0 + a_2) + (a_1 + a_3)
 *     a_j    = s[t,g] * sum over parts p: d_p * sum v q[t]  +  sum over parts p: m_p sum16[t]
 *
 * A part is 16 columns, whose products add up to an integer, exactly; p = j, j + 4, j + 8, j + 12.
 * Here lanes are parts and rows: of four rows at a time, what a register of products adds up to is
 * turned into such lanes. Where vectors fill a register, lanes are vectors (decode_many.h), and
 * nothing is left to turn. Both add the same numbers in the same order, so that the bits of y[t,r]
 * depend on row r and vector t alone.
 *
 * The skeleton of decode_small_avx*.c, behind blocks_avx*.h.
 */
#ifndef GLIM_KERNELS_X86_DECODE_SMALL_H
#define GLIM_KERNELS_X86_DECODE_SMALL_H

#include "kernels/x86/decode_many.h"

/* Of one group: lanes are parts and rows. */
struct parts {
    vfloat scaled[VECTORS][REGISTERS], min[VECTORS][REGISTERS];
};

/* Chunk c, `left` columns before the end of the row at c = 0, is added to register h. */
INLINE void chunk_times(enum dtype t, unsigned T, const uint8_t *const p[FOUR], size_t g, size_t c,
                        size_t left, const struct vectors *x, unsigned h, struct parts *to)
{
    const size_t at = g * PACK_GROUP + packed_evens(c * VEC_BYTES);
    vint even[FOUR], odd[FOUR];
    UNROLL for (unsigned i = 0; i < FOUR; i++) {
        const vint bytes = small_chunk(t, p[i], c, left);
        even[i] = even_bytes(bytes);
        odd[i] = odd_bytes(bytes);
    }
    const vfloat scale = four_scales(t, p, c, left);
    UNROLL for (unsigned v = 0; v < T; v++) {
        const vint a = int_load(x->q[v] + at), b = int_load(x->q[v] + at + PACK_CHUNK / 2);
        vint sum[FOUR];
        UNROLL for (unsigned i = 0; i < FOUR; i++)
            sum[i] = dot_16(dot_16(int_zero(), even[i], a), odd[i], b);
        to->scaled[v][h] = mul_add(float_of(parts_of_four(sum)), scale, to->scaled[v][h]);
    }
    if (!small_info(t).min_at)
        return;
    const vfloat min = four_minima(t, p, c, left);
    UNROLL for (unsigned v = 0; v < T; v++)
        to->min[v][h] = mul_add(min, part_sums(x->sum[v] + g * PARTS + c * BESIDE), to->min[v][h]);
}

/* y[v] += up to 256 columns of four rows, of which `left` are there, times vector v. */
INLINE void group_times(enum dtype t, unsigned T, const uint8_t *const p[FOUR], size_t g,
                        size_t left, const struct vectors *x, __m128 y[VECTORS])
{
    struct parts a;
    UNROLL for (unsigned v = 0; v < T; v++)
        UNROLL for (unsigned h = 0; h < REGISTERS; h++)
            a.scaled[v][h] = a.min[v][h] = float_zero();
    const size_t chunks = chunks_of(left);
    for (size_t c = 0; c < chunks; c += REGISTERS)
        UNROLL for (unsigned h = 0; h < REGISTERS; h++)
            if (c + h < chunks)
                chunk_times(t, T, p, g, c + h, left, x, h, &a);
    UNROLL for (unsigned v = 0; v < T; v++) {
        const vfloat scale = float_all(x->scale[v][g]);
        UNROLL for (unsigned h = 0; h < REGISTERS; h++)
            a.scaled[v][h] = mul_add(a.scaled[v][h], scale, a.min[v][h]);
        y[v] = _mm_add_ps(y[v], four_of_parts(a.scaled[v]));
    }
}

/* y[v][i] = row i times vector v; the four rows behind them are called for. */
INLINE void four_times(enum dtype t, unsigned T, const uint8_t *const row[FOUR],
                       const struct matrix *w, const struct vectors *x, float y[VECTORS][FOUR])
{
    const size_t cols = (size_t)w->cols, bytes = group_bytes(t);
    __m128 sum[VECTORS];
    UNROLL for (unsigned v = 0; v < T; v++)
        sum[v] = _mm_setzero_ps();
    for (size_t g = 0; g * PACK_GROUP < cols; g++) {
        const uint8_t *p[FOUR];
        UNROLL for (unsigned i = 0; i < FOUR; i++) {
            p[i] = row[i] + g * bytes;
            UNROLL for (size_t at = 0; at < bytes; at += 64)
                call_for(p[i] + FOUR * (size_t)w->row_bytes + at);
        }
        group_times(t, T, p, g, cols - g * PACK_GROUP, x, sum);
    }
    UNROLL for (unsigned v = 0; v < T; v++)
        _mm_storeu_ps(y[v], sum[v]);
}

/* Four rows from r on, those that are left, against the vectors from `first` on. */
INLINE void few_step(enum dtype t, const struct call *c, size_t first, uint64_t r)
{
    const uint8_t *row[FOUR];
    find_four(row, c, r, 0);
    const size_t R = c->r1 - r < FOUR ? (size_t)(c->r1 - r) : FOUR;
    for (size_t v = first; v < c->T; v += VECTORS) {
        const size_t T = c->T - v < VECTORS ? c->T - v : VECTORS;
        const struct vectors *const x = &c->pass[v / VECTORS];
        float y[VECTORS][FOUR];
        if (T == 1)
            four_times(t, 1, row, c->w, x, y);
        else if (T == 2)
            four_times(t, 2, row, c->w, x, y);
        else /* 3 run as 4 */
            four_times(t, VECTORS, row, c->w, x, y);
        for (size_t j = 0; j < T; j++)
            memcpy(c->y + (v + j) * c->y_stride + (r - c->r0), y[j], R * sizeof y[j][0]);
    }
}

/* A register's lanes are worth filling if three quarters of them are. */
INLINE void small_rows(enum dtype t, const struct call *c)
{
    const size_t rest = c->T % LANES, many = rest * 4 > LANES * 3 ? c->T : c->T - rest;
    if (many > 0)
        many_rows(t, c, many);
    if (many < c->T)
        for (uint64_t r = c->r0; r < c->r1; r += FOUR)
            few_step(t, c, many, r);
}

#define DECODE_SMALL(name, type, super)                                                            \
    void LEVEL(rows_##name)(const struct call *c) { small_rows(type, c); }

#endif
