/* decode_avx512.c - few vectors against rows of integer blocks, each read once, as it is stored.
 *
 *     y[t,r] = sum over groups g of 256:  s[t,g] * (d_g * sum v q[t]) (- dmin_g * sum m sum16[t])
 *
 * The bits of y[t,r] depend on row r and vector t alone: every vector runs through the same
 * operations in its own registers, whichever others run beside it. Two rows are walked at once with
 * up to 4 vectors (x is loaded once for both: four vectors of 6,144 fill the first-level cache);
 * more vectors go over the rows again, which by then lie in that cache.
 *
 * Bound by reading: a chunk of 64 weights costs some 8 instructions to unpack and 3 to 6 for each
 * vector, where memory gives a core some 6 to 9 bytes a cycle. It gives that only when asked early:
 * the next two rows are called for while these two are multiplied.
 */
#include "kernels/x86/blocks_avx512.h"

enum { VECTORS = 4, ROWS_AT_ONCE = 2 };

struct vectors { /* parts of the packed vectors of one pass */
    const int16_t *q[VECTORS];
    const float *scale[VECTORS], *sum[VECTORS];
};

/* Groups of chunk c among 16: which of them each 16-bit lane (of evens or odds) belongs to. */
INLINE __m512i fold_index(unsigned c)
{
    const __m512i four = _mm512_set_epi64(0x0003000300030003, 0x0003000300030003,
                                          0x0002000200020002, 0x0002000200020002,
                                          0x0001000100010001, 0x0001000100010001, 0, 0);
    return _mm512_add_epi16(four, _mm512_set1_epi16((short)(4 * c)));
}

/* What is added up for `ROWS_AT_ONCE` rows and `VECTORS` vectors. */
struct sums {
    __m512 at[ROWS_AT_ONCE][VECTORS];
};

/* The chunk's products, added to sum: x is loaded once for all rows. */
INLINE void chunk_times(unsigned R, unsigned T, const __m512i even[ROWS_AT_ONCE],
                        const __m512i odd[ROWS_AT_ONCE], const struct vectors *x, size_t column,
                        __m512i sum[ROWS_AT_ONCE][VECTORS])
{
    UNROLL for (unsigned v = 0; v < T; v++) {
        const __m512i a = _mm512_loadu_si512(x->q[v] + column);
        const __m512i b = _mm512_loadu_si512(x->q[v] + column + PACK_CHUNK / 2);
        UNROLL for (unsigned i = 0; i < R; i++) {
            sum[i][v] = _mm512_dpwssd_epi32(sum[i][v], even[i], a);
            sum[i][v] = _mm512_dpwssd_epi32(sum[i][v], odd[i], b);
        }
    }
}

/* One super-block of R rows against T vectors. */
INLINE void super_group(enum dtype t, unsigned R, unsigned T, const uint8_t *const p[ROWS_AT_ONCE],
                        size_t g, const struct vectors *x, struct sums *acc)
{
    const struct super_info info = super_info(t);
    __m512i scale[ROWS_AT_ONCE], sum[ROWS_AT_ONCE][VECTORS];
    __m256i min[ROWS_AT_ONCE];
    UNROLL for (unsigned i = 0; i < R; i++) {
        __m256i s = _mm256_setzero_si256();
        super_scales(t, p[i], &s, &min[i]);
        scale[i] = _mm512_castsi256_si512(s);
        UNROLL for (unsigned v = 0; v < T; v++)
            sum[i][v] = _mm512_setzero_si512();
    }
    UNROLL for (unsigned c = 0; c < CHUNKS; c++) {
        __m512i even[ROWS_AT_ONCE], odd[ROWS_AT_ONCE];
        UNROLL for (unsigned i = 0; i < R; i++) {
            const __m512i bytes = super_chunk(t, p[i], c);
            const __m512i fold = _mm512_permutexvar_epi16(fold_index(c), scale[i]);
            even[i] = _mm512_mullo_epi16(even_bytes(bytes), fold);
            odd[i] = _mm512_mullo_epi16(odd_bytes(bytes), fold);
        }
        chunk_times(R, T, even, odd, x, g * PACK_GROUP + c * PACK_CHUNK, sum);
    }
    UNROLL for (unsigned i = 0; i < R; i++) {
        const float d = super_d(t, p[i]);
        UNROLL for (unsigned v = 0; v < T; v++)
            acc->at[i][v] = _mm512_fmadd_ps(f32_of(sum[i][v]), _mm512_set1_ps(d * x->scale[v][g]),
                                            acc->at[i][v]);
        if (!info.dmin_at)
            continue;
        const __m512 minus_dmin = _mm512_set1_ps(-load_half(p[i] + info.dmin_at));
        const __m512 m = _mm512_mul_ps(f32_of(_mm512_cvtepi16_epi32(min[i])), minus_dmin);
        UNROLL for (unsigned v = 0; v < T; v++)
            acc->at[i][v] = _mm512_fmadd_ps(m, _mm512_loadu_ps(x->sum[v] + g * PARTS),
                                            acc->at[i][v]);
    }
}

/* The scales of a chunk, one for each 32-bit lane of the sums. */
INLINE __m512 small_scales(enum dtype t, const uint8_t *a, const uint8_t *b)
{
    if (t == DT_NVFP4) {
        const __m128 four = _mm_setr_ps(small_scale(t, a, 0), small_scale(t, a, 1),
                                        small_scale(t, a, 2), small_scale(t, a, 3));
        return _mm512_permutexvar_ps(
            _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3),
            _mm512_castps128_ps512(four));
    }
    return _mm512_mask_broadcastss_ps(_mm512_set1_ps(small_scale(t, a, 0)), 0xff00,
                                      _mm_set_ss(small_scale(t, b, 0)));
}

/* The minima of a chunk times the sums of x. */
INLINE void small_minima(unsigned T, float ma, float mb, const struct vectors *x, size_t part,
                         __m512 acc[VECTORS])
{
    const __m128 m = _mm_setr_ps(ma, ma, mb, mb);
    UNROLL for (unsigned v = 0; v < T; v++) {
        const __m128 s = _mm_loadu_ps(x->sum[v] + part);
        acc[v] = _mm512_add_ps(acc[v], _mm512_zextps128_ps512(_mm_mul_ps(m, s)));
    }
}

/* Up to 256 columns of R rows, of which `left` are there, against T vectors. */
INLINE void small_group(enum dtype t, unsigned R, unsigned T, const uint8_t *const p[ROWS_AT_ONCE],
                        size_t g, size_t left, const struct vectors *x, struct sums *acc)
{
    const struct small_info info = small_info(t);
    __m512 part[ROWS_AT_ONCE][VECTORS];
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            part[i][v] = _mm512_setzero_ps();
    const size_t chunks = left >= PACK_GROUP ? CHUNKS : (left + PACK_CHUNK - 1) / PACK_CHUNK;
    for (size_t c = 0; c < chunks; c++) {
        __m512i even[ROWS_AT_ONCE], odd[ROWS_AT_ONCE], sum[ROWS_AT_ONCE][VECTORS];
        __m512 scale[ROWS_AT_ONCE];
        UNROLL for (unsigned i = 0; i < R; i++) {
            const uint8_t *const a = p[i] + c * (PACK_CHUNK / info.len) * info.bytes;
            /* At the end of a row x is 0 where b would be. */
            const bool whole = info.len == PACK_CHUNK || left - c * PACK_CHUNK >= PACK_CHUNK;
            const uint8_t *const b = whole ? a + info.bytes : a;
            const __m512i bytes = small_chunk(t, a, b);
            even[i] = even_bytes(bytes);
            odd[i] = odd_bytes(bytes);
            scale[i] = small_scales(t, a, b);
            if (info.min_at)
                small_minima(T, load_half(a + info.min_at), load_half(b + info.min_at), x,
                             g * PARTS + c * 4, acc->at[i]);
            UNROLL for (unsigned v = 0; v < T; v++)
                sum[i][v] = _mm512_setzero_si512();
        }
        chunk_times(R, T, even, odd, x, g * PACK_GROUP + c * PACK_CHUNK, sum);
        UNROLL for (unsigned i = 0; i < R; i++)
            UNROLL for (unsigned v = 0; v < T; v++)
                part[i][v] = _mm512_fmadd_ps(f32_of(sum[i][v]), scale[i], part[i][v]);
    }
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            acc->at[i][v] = _mm512_fmadd_ps(part[i][v], _mm512_set1_ps(x->scale[v][g]),
                                            acc->at[i][v]);
}

/* y[i][v] = row i times vector v */
INLINE void rows_times(enum dtype t, bool super, unsigned R, unsigned T, const uint8_t *row,
                       size_t row_bytes, size_t cols, const struct vectors *x,
                       float y[ROWS_AT_ONCE][VECTORS])
{
    struct sums acc;
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            acc.at[i][v] = _mm512_setzero_ps();
    const size_t bytes = super ? super_info(t).bytes
                               : PACK_GROUP / small_info(t).len * small_info(t).bytes;
    for (size_t g = 0; g * PACK_GROUP < cols; g++) {
        const uint8_t *p[ROWS_AT_ONCE];
        UNROLL for (unsigned i = 0; i < R; i++) {
            p[i] = row + i * row_bytes + g * bytes;
            UNROLL for (size_t at = 0; at < bytes; at += 64) /* the rows that come next */
                _mm_prefetch((const char *)p[i] + ROWS_AT_ONCE * row_bytes + at, _MM_HINT_T0);
        }
        if (super)
            super_group(t, R, T, p, g, x, &acc);
        else
            small_group(t, R, T, p, g, cols - g * PACK_GROUP, x, &acc);
    }
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            y[i][v] = _mm512_reduce_add_ps(acc.at[i][v]);
}

/* T <= VECTORS vectors; 3 run as 4. */
INLINE void rows_pass(enum dtype t, bool super, unsigned R, size_t T, const uint8_t *row,
                      size_t row_bytes, size_t cols, const struct vectors *x,
                      float y[ROWS_AT_ONCE][VECTORS])
{
    if (T == 1)
        rows_times(t, super, R, 1, row, row_bytes, cols, x, y);
    else if (T == 2)
        rows_times(t, super, R, 2, row, row_bytes, cols, x, y);
    else
        rows_times(t, super, R, 4, row, row_bytes, cols, x, y);
}

static struct vectors vectors_at(const void *const *x, size_t T, size_t cols)
{
    const struct packed_at at = packed_layout(cols);
    struct vectors v;
    for (size_t i = 0; i < VECTORS; i++) {
        const uint8_t *const p = x[i < T ? i : 0];
        v.q[i] = (const int16_t *)(const void *)(p + at.q);
        v.scale[i] = (const float *)(const void *)(p + at.scale);
        v.sum[i] = (const float *)(const void *)(p + at.sum);
    }
    return v;
}

enum { PASSES = 16 }; /* more vectors than 64 come in several calls */

struct call {
    float *y;
    size_t y_stride, T;
    const struct matrix *w;
    uint64_t r0, r1;
    struct vectors pass[PASSES];
};

/* R rows from r on */
INLINE void rows_step(enum dtype t, bool super, unsigned R, const struct call *c, uint64_t r)
{
    const uint8_t *const row = c->w->data + r * c->w->row_bytes;
    for (size_t v = 0; v < c->T; v += VECTORS) {
        const size_t T = c->T - v < VECTORS ? c->T - v : VECTORS;
        float y[ROWS_AT_ONCE][VECTORS];
        rows_pass(t, super, R, T, row, c->w->row_bytes, (size_t)c->w->cols, &c->pass[v / VECTORS],
                  y);
        for (size_t i = 0; i < R; i++)
            for (size_t j = 0; j < T; j++)
                c->y[(v + j) * c->y_stride + (r + i - c->r0)] = y[i][j];
    }
}

INLINE void all_rows(enum dtype t, bool super, const struct call *c)
{
    uint64_t r = c->r0;
    for (; r + ROWS_AT_ONCE <= c->r1; r += ROWS_AT_ONCE)
        rows_step(t, super, ROWS_AT_ONCE, c, r);
    for (; r < c->r1; r++)
        rows_step(t, super, 1, c, r);
}

#define FAMILY(name, type, super)                                                                  \
    static void name(const struct call *c) { all_rows(type, super, c); }

FAMILY(rows_q2_k, DT_Q2_K, true)
FAMILY(rows_q3_k, DT_Q3_K, true)
FAMILY(rows_q4_k, DT_Q4_K, true)
FAMILY(rows_q5_k, DT_Q5_K, true)
FAMILY(rows_q6_k, DT_Q6_K, true)
FAMILY(rows_iq4_xs, DT_IQ4_XS, true)
FAMILY(rows_iq3_s, DT_IQ3_S, true)
FAMILY(rows_iq3_xxs, DT_IQ3_XXS, true)
FAMILY(rows_iq2_s, DT_IQ2_S, true)
FAMILY(rows_iq2_xs, DT_IQ2_XS, true)
FAMILY(rows_iq2_xxs, DT_IQ2_XXS, true)
FAMILY(rows_iq1_s, DT_IQ1_S, true)
FAMILY(rows_iq1_m, DT_IQ1_M, true)
FAMILY(rows_q4_0, DT_Q4_0, false)
FAMILY(rows_q4_1, DT_Q4_1, false)
FAMILY(rows_q5_0, DT_Q5_0, false)
FAMILY(rows_q5_1, DT_Q5_1, false)
FAMILY(rows_q8_0, DT_Q8_0, false)
FAMILY(rows_iq4_nl, DT_IQ4_NL, false)
FAMILY(rows_mxfp4, DT_MXFP4, false)
FAMILY(rows_nvfp4, DT_NVFP4, false)

typedef void rows_fn(const struct call *c);

static rows_fn *const rows_of[DT_COUNT] = {
    [DT_Q2_K] = rows_q2_k,   [DT_Q3_K] = rows_q3_k,     [DT_Q4_K] = rows_q4_k,
    [DT_Q5_K] = rows_q5_k,   [DT_Q6_K] = rows_q6_k,     [DT_IQ4_XS] = rows_iq4_xs,
    [DT_Q4_0] = rows_q4_0,   [DT_Q4_1] = rows_q4_1,     [DT_Q5_0] = rows_q5_0,
    [DT_Q5_1] = rows_q5_1,   [DT_Q8_0] = rows_q8_0,     [DT_IQ4_NL] = rows_iq4_nl,
    [DT_MXFP4] = rows_mxfp4, [DT_NVFP4] = rows_nvfp4,
    [DT_IQ3_S] = rows_iq3_s,     [DT_IQ3_XXS] = rows_iq3_xxs, [DT_IQ2_S] = rows_iq2_s,
    [DT_IQ2_XS] = rows_iq2_xs,   [DT_IQ2_XXS] = rows_iq2_xxs, [DT_IQ1_S] = rows_iq1_s,
    [DT_IQ1_M] = rows_iq1_m,
};

bool blocks_known_avx512(enum dtype t) { return rows_of[t] != NULL; }

void blocks_decode_avx512(float *y, size_t y_stride, const void *const *x, size_t T,
                          const struct matrix *w, uint64_t r0, uint64_t r1)
{
    for (size_t first = 0; first < T; first += PASSES * VECTORS) {
        struct call c = {.y = y + first * y_stride, .y_stride = y_stride, .w = w, .r0 = r0,
                         .r1 = r1};
        c.T = T - first < PASSES * VECTORS ? T - first : PASSES * VECTORS;
        for (size_t v = 0; v < c.T; v += VECTORS)
            c.pass[v / VECTORS] = vectors_at(x + first + v, c.T - v, (size_t)w->cols);
        rows_of[w->type](&c);
    }
}
