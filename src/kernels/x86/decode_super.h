/* decode_super.h - few vectors against rows of super-blocks, each read once, as it is stored.
 *
 *     y[t,r] = sum over groups g of 256:  s[t,g] * d_g * sum v q[t]  (- dmin_g * sum m sum16[t])
 *
 * Super-blocks have u = v + a without a sign (super_added), and d_g a in the place of dmin_g, their
 * scales in that of m. So bytes multiply bytes where a vector is alone: x as two of them, q = 128
 * high + low, which sums keep apart until the end of a block. More vectors share what it takes to
 * make 16-bit integers of u: there the sum is the same number, added in another order.
 *
 * The skeleton of decode_super_*.c and decode_lattice_*.c, which include it through decode_avx*.h,
 * behind blocks_avx*.h and
 *
 *     ROWS_OF_4      rows walked together where a pass has 4 vectors (or 3)
 *     IN_PLACE       a block's sums are added to in their registers (add_dot_16)
 *
 * More vectors than VECTORS go over the rows again, which by then lie in the first-level cache.
 * What comes before a block's chunks (scales, points looked up) is done one block ahead: a long
 * chain, which the machine does not see early enough to begin it while it multiplies.
 *
 * The bits of y[t,r] depend on row r and vector t alone: each vector runs through the same float
 * operations in its own registers, whichever others run beside it, and integers are exact.
 */
#ifndef GLIM_KERNELS_X86_DECODE_SUPER_H
#define GLIM_KERNELS_X86_DECODE_SUPER_H

#include "kernels/x86/decode_types.h"

enum {
    ROWS_AT_ONCE = 2, /* x is loaded once for all of them (super_begin) */
    CHUNKS = PACK_GROUP / VEC_BYTES,
};

/* What is added up for `ROWS_AT_ONCE` rows and `VECTORS` vectors. */
struct sums {
    vfloat at[ROWS_AT_ONCE][VECTORS];
};

/* The products of chunk c of group g, added to sum: x is loaded once for all rows. */
INLINE void chunk_times(unsigned R, unsigned T, const vint even[ROWS_AT_ONCE],
                        const vint odd[ROWS_AT_ONCE], const struct vectors *x, size_t g, size_t c,
                        vint sum[ROWS_AT_ONCE][VECTORS])
{
    const size_t at = g * PACK_GROUP + packed_evens(c * VEC_BYTES);
    UNROLL for (unsigned v = 0; v < T; v++) {
        const vint a = int_load(x->q[v] + at), b = int_load(x->q[v] + at + PACK_CHUNK / 2);
        UNROLL for (unsigned i = 0; i < R; i++) {
            if (IN_PLACE) {
                add_dot_16(&sum[i][v], even[i], a);
                add_dot_16(&sum[i][v], odd[i], b);
            } else {
                sum[i][v] = dot_16(dot_16(sum[i][v], even[i], a), odd[i], b);
            }
        }
    }
}

/* d of a block, in all lanes */
INLINE vfloat super_d_all(enum dtype t, const uint8_t *p)
{
    return is_k_or_iq4(t) ? half_all(p + super_info(t).d_at) : float_all(lattice_d(t, p));
}

/* sum[i][v] = sum s u q[v] of a super-block, u = v + super_added */
INLINE void super_products(enum dtype t, unsigned R, unsigned T,
                           const uint8_t *const p[ROWS_AT_ONCE], const struct begun *b, size_t g,
                           const struct vectors *x, vint sum[ROWS_AT_ONCE][VECTORS])
{
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            sum[i][v] = int_zero();
    UNROLL for (unsigned c = 0; c < CHUNKS; c++) {
        vint even[ROWS_AT_ONCE], odd[ROWS_AT_ONCE];
        UNROLL for (unsigned i = 0; i < R; i++) {
            const vint bytes = begun_chunk(t, p[i], b, i, c), fold = begun_fold(t, b, i, c);
            even[i] = mul_16(even_unsigned(bytes), fold);
            odd[i] = mul_16(odd_unsigned(bytes), fold);
        }
        chunk_times(R, T, even, odd, x, g, c, sum);
    }
}

/* The same of one vector, whose halves are bytes: no integers of 16 bits to make. */
INLINE void super_products_alone(enum dtype t, unsigned R, const uint8_t *const p[ROWS_AT_ONCE],
                                 const struct begun *b, size_t g, const struct vectors *x,
                                 vint sum[ROWS_AT_ONCE][VECTORS])
{
    vint high[ROWS_AT_ONCE], low[ROWS_AT_ONCE];
    UNROLL for (unsigned i = 0; i < R; i++)
        high[i] = low[i] = int_zero();
    UNROLL for (unsigned c = 0; c < CHUNKS; c++) {
        const size_t at = g * PACK_GROUP + c * VEC_BYTES;
        const vint h = int_load(x->high + at), l = int_load(x->low + at);
        UNROLL for (unsigned i = 0; i < R; i++) {
            const vint bytes = begun_chunk(t, p[i], b, i, c), fold = begun_fold(t, b, i, c);
            high[i] = dot_16(high[i], dot_8(bytes, h), fold);
            low[i] = dot_16(low[i], dot_8(bytes, l), fold);
        }
    }
    UNROLL for (unsigned i = 0; i < R; i++)
        sum[i][0] = int_add(int_up(high[i], PACK_LOW_BITS), low[i]);
}

/* acc[v] -= factor * sum m sum16[v]: minima of row i, or what super_added added */
INLINE void super_minima(enum dtype t, unsigned T, vfloat factor, const struct begun *b, unsigned i,
                         size_t g, const struct vectors *x, vfloat acc[VECTORS])
{
    UNROLL for (unsigned h = 0; h < PARTS / LANES; h++) {
        const vfloat m = mul(float_of(begun_minima(t, b, i, h)), factor);
        UNROLL for (unsigned v = 0; v < T; v++)
            acc[v] = sub_mul(m, float_load(x->sum[v] + g * PARTS + h * LANES), acc[v]);
    }
}

/* One super-block of R rows against T vectors. */
INLINE void super_group(enum dtype t, unsigned R, unsigned T, const uint8_t *const p[ROWS_AT_ONCE],
                        const struct begun *b, size_t g, const struct vectors *x, struct sums *acc)
{
    vint sum[ROWS_AT_ONCE][VECTORS];
    if (T == 1)
        super_products_alone(t, R, p, b, g, x, sum);
    else
        super_products(t, R, T, p, b, g, x, sum);
    UNROLL for (unsigned i = 0; i < R; i++) {
        const vfloat d = super_d_all(t, p[i]);
        UNROLL for (unsigned v = 0; v < T; v++)
            acc->at[i][v] = mul_add(float_of(sum[i][v]), mul(d, float_all(x->scale[v][g])),
                                    acc->at[i][v]);
        if (super_info(t).dmin_at)
            super_minima(t, T, half_all(p[i] + super_info(t).dmin_at), b, i, g, x, acc->at[i]);
        else
            super_minima(t, T, mul(d, float_all((float)super_added(t))), b, i, g, x, acc->at[i]);
    }
}

/* y[i][v] = row i times vector v; ahead: bytes to the rows that come next, which are called for.
 * The last super-block is begun twice: there is none after it. */
INLINE void rows_times(enum dtype t, unsigned R, unsigned T,
                       const uint8_t *const row[ROWS_AT_ONCE], size_t ahead, size_t cols,
                       const struct vectors *x, float y[ROWS_AT_ONCE][VECTORS])
{
    struct sums acc;
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            acc.at[i][v] = float_zero();
    const size_t bytes = super_info(t).bytes;
    struct begun begun, next;
    super_begin(t, R, row, &begun);
    for (size_t g = 0; g * PACK_GROUP < cols; g++) {
        const uint8_t *p[ROWS_AT_ONCE], *after[ROWS_AT_ONCE];
        const size_t step = (g + 1) * PACK_GROUP < cols ? bytes : 0;
        UNROLL for (unsigned i = 0; i < R; i++) {
            p[i] = row[i] + g * bytes;
            after[i] = p[i] + step;
            UNROLL for (size_t at = 0; at < bytes; at += 64)
                call_for(p[i] + ahead + at);
        }
        super_begin(t, R, after, &next);
        super_group(t, R, T, p, &begun, g, x, &acc);
        begun = next;
    }
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            y[i][v] = lanes_sum(acc.at[i][v]);
}

/* T <= VECTORS vectors; 3 run as 4. */
INLINE void rows_pass(enum dtype t, size_t T, const uint8_t *const row[ROWS_AT_ONCE], size_t ahead,
                      size_t cols, const struct vectors *x, float y[ROWS_AT_ONCE][VECTORS])
{
    if (T == 1)
        rows_times(t, ROWS_AT_ONCE, 1, row, ahead, cols, x, y);
    else if (T == 2)
        rows_times(t, ROWS_AT_ONCE, 2, row, ahead, cols, x, y);
    else
        for (unsigned i = 0; i < ROWS_AT_ONCE; i += ROWS_OF_4)
            rows_times(t, ROWS_OF_4, 4, row + i, ahead, cols, x, y + i);
}

/* All vectors against the rows from r on; where fewer are left, the last one again. */
INLINE void rows_step(enum dtype t, const struct call *c, uint64_t r)
{
    const uint8_t *row[ROWS_AT_ONCE];
    const size_t R = c->r1 - r < ROWS_AT_ONCE ? (size_t)(c->r1 - r) : ROWS_AT_ONCE;
    UNROLL for (size_t i = 0; i < ROWS_AT_ONCE; i++)
        row[i] = c->w->data + (r + (i < R ? i : R - 1)) * c->w->row_bytes;
    for (size_t v = 0; v < c->T; v += VECTORS) {
        const size_t T = c->T - v < VECTORS ? c->T - v : VECTORS;
        float y[ROWS_AT_ONCE][VECTORS];
        rows_pass(t, T, row, ROWS_AT_ONCE * (size_t)c->w->row_bytes, (size_t)c->w->cols,
                  &c->pass[v / VECTORS], y);
        for (size_t i = 0; i < R; i++)
            for (size_t j = 0; j < T; j++)
                c->y[(v + j) * c->y_stride + (r + i - c->r0)] = y[i][j];
    }
}

/* The function of one type; each file makes those of a family (simd/types.h). */
#define DECODE(name, type, super)                                                                  \
    void LEVEL(rows_##name)(const struct call *c)                                                  \
    {                                                                                              \
        for (uint64_t r = c->r0; r < c->r1; r += ROWS_AT_ONCE)                                     \
            rows_step(type, c, r);                                                                 \
    }

#endif
