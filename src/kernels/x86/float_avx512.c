/* float_avx512.c - vectors against rows of floats (F32, F16, BF16, F8_E4M3), in f32.
 *
 *     y[t,r] = sum_c w[r,c] x[t,c]
 *
 * Sixteen lanes times two: lane l of half h takes columns 32 i + 16 h + l in ascending i by fused
 * multiply-add. A sum does not know T or the row range, so both roles share it. Two rows are walked
 * at once with up to 4 vectors.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/ref/ref.h"
#include "kernels/x86/blocks_avx512.h"

enum { VECTORS = 4, PAIR = 2, LANES = 16, HALVES = 2, STEP = LANES * HALVES };

/* 16 weights from column c on, those in `have`; F8 smaller by 2^8. */
INLINE __m512 weights_16(enum dtype t, const uint8_t *row, size_t c, __mmask16 have)
{
    switch (t) {
    case DT_F32:
        return _mm512_maskz_loadu_ps(have, row + 4 * c);
    case DT_F16:
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(have, row + 2 * c));
    case DT_BF16: {
        const __m512i v = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(have, row + 2 * c));
        return _mm512_castsi512_ps(_mm512_slli_epi32(v, 16));
    }
    default: { /* the seven low bits of an e4m3 are those of an f16; all ones is NaN */
        const __m256i b = _mm256_cvtepu8_epi16(_mm_maskz_loadu_epi8(have, row + c));
        const __m256i seven = _mm256_and_si256(b, _mm256_set1_epi16(0x7f));
        const __m256i sign = _mm256_slli_epi16(_mm256_and_si256(b, _mm256_set1_epi16(0x80)), 8);
        const __mmask16 nan = _mm256_cmpeq_epi16_mask(seven, _mm256_set1_epi16(0x7f));
        const __m256i half = _mm256_mask_mov_epi16(_mm256_slli_epi16(seven, 7), nan,
                                                   _mm256_set1_epi16(0x7e00));
        return _mm512_cvtph_ps(_mm256_or_si256(half, sign));
    }
    }
}

struct sums {
    __m512 at[PAIR][VECTORS][HALVES];
};

/* Columns [c0, c1) of R rows against T vectors; scale: F8 only; ahead: bytes to the rows that come
 * next, which are called for. */
INLINE void span_times(enum dtype t, unsigned R, unsigned T, const uint8_t *const row[PAIR],
                       size_t ahead, const __m512 scale[PAIR], size_t c0, size_t c1,
                       const float *const x[VECTORS], struct sums *s)
{
    const size_t bytes = t == DT_F32 ? 4 : t == DT_F8_E4M3 ? 1 : 2;
    for (size_t c = c0; c < c1; c += STEP) {
        UNROLL for (unsigned i = 0; i < R; i++)
            _mm_prefetch((const char *)row[i] + ahead + c * bytes, _MM_HINT_T0);
        UNROLL for (unsigned h = 0; h < HALVES; h++) {
            const size_t at = c + h * LANES;
            if (at >= c1)
                break;
            const __mmask16 have = first_lanes(c1 - at);
            __m512 w[PAIR];
            UNROLL for (unsigned i = 0; i < R; i++) {
                w[i] = weights_16(t, row[i], at, have);
                if (t == DT_F8_E4M3)
                    w[i] = _mm512_mul_ps(w[i], scale[i]);
            }
            UNROLL for (unsigned v = 0; v < T; v++) {
                const __m512 a = _mm512_maskz_loadu_ps(have, x[v] + at);
                UNROLL for (unsigned i = 0; i < R; i++)
                    s->at[i][v][h] = _mm512_fmadd_ps(w[i], a, s->at[i][v][h]);
            }
        }
    }
}

INLINE void sums_clear(unsigned R, unsigned T, struct sums *s)
{
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            s->at[i][v][0] = s->at[i][v][1] = _mm512_setzero_ps();
}

/* All columns; F8 by blocks of 128, whose scale a weight is multiplied with first, as the format
 * has it. */
INLINE void row_times(enum dtype t, unsigned R, unsigned T, const struct matrix *w, uint64_t r,
                      const float *const x[VECTORS], struct sums *s)
{
    const size_t cols = (size_t)w->cols, blocks = (cols + F8_BLOCK - 1) / F8_BLOCK;
    const size_t ahead = PAIR * (size_t)w->row_bytes;
    const uint8_t *row[PAIR];
    __m512 scale[PAIR];
    UNROLL for (unsigned i = 0; i < R; i++)
        row[i] = w->data + (r + i) * w->row_bytes;
    if (t != DT_F8_E4M3) {
        span_times(t, R, T, row, ahead, scale, 0, cols, x, s);
        return;
    }
    for (size_t b = 0; b < blocks; b++) {
        UNROLL for (unsigned i = 0; i < R; i++)
            scale[i] = _mm512_set1_ps(
                256 * (w->scale ? w->scale[(r + i) / F8_BLOCK * blocks + b] : 1));
        const size_t end = (b + 1) * F8_BLOCK < cols ? (b + 1) * F8_BLOCK : cols;
        span_times(t, R, T, row, ahead, scale, b * F8_BLOCK, end, x, s);
    }
}

struct call {
    float *y;
    size_t y_stride;
    const void *const *x;
    const struct matrix *w;
    uint64_t r0;
};

/* R rows from r on against T <= 4 vectors from t on. */
INLINE void rows_times(enum dtype type, unsigned R, unsigned T, const struct call *c, uint64_t r,
                       size_t t)
{
    const float *x[VECTORS];
    struct sums s;
    UNROLL for (unsigned v = 0; v < T; v++)
        x[v] = c->x[t + v];
    sums_clear(R, T, &s);
    row_times(type, R, T, c->w, r, x, &s);
    UNROLL for (unsigned i = 0; i < R; i++)
        UNROLL for (unsigned v = 0; v < T; v++)
            c->y[(t + v) * c->y_stride + (r + i - c->r0)] =
                _mm512_reduce_add_ps(_mm512_add_ps(s.at[i][v][0], s.at[i][v][1]));
}

/* Two rows (or the last one) against all vectors. */
INLINE void rows_all(enum dtype type, unsigned R, const struct call *c, size_t T, uint64_t r)
{
    size_t t = 0;
    for (; t + VECTORS <= T; t += VECTORS)
        rows_times(type, R, VECTORS, c, r, t);
    if (T - t >= 2) {
        rows_times(type, R, 2, c, r, t);
        t += 2;
    }
    if (T - t == 1)
        rows_times(type, R, 1, c, r, t);
}

INLINE void matrix_times(enum dtype type, const struct call *c, size_t T, uint64_t r1)
{
    uint64_t r = c->r0;
    for (; r + PAIR <= r1; r += PAIR)
        rows_all(type, PAIR, c, T, r);
    if (r < r1)
        rows_all(type, 1, c, T, r);
}

bool floats_known_avx512(enum dtype t)
{
    return t == DT_F32 || t == DT_F16 || t == DT_BF16 || t == DT_F8_E4M3;
}

void floats_matmul_avx512(float *y, size_t y_stride, const void *const *x, size_t T,
                          const struct matrix *w, uint64_t r0, uint64_t r1)
{
    const struct call c = {y, y_stride, x, w, r0};
    switch (w->type) {
    case DT_F32: matrix_times(DT_F32, &c, T, r1); break;
    case DT_F16: matrix_times(DT_F16, &c, T, r1); break;
    case DT_BF16: matrix_times(DT_BF16, &c, T, r1); break;
    default: matrix_times(DT_F8_E4M3, &c, T, r1);
    }
}

/* acc[n] += a * w[n] */
static void axpy_f32(float *acc, float a, const float *w, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512 sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(have, w + i), _mm512_set1_ps(a),
                                           _mm512_maskz_loadu_ps(have, acc + i));
        _mm512_mask_storeu_ps(acc + i, have, sum);
    }
}

/* y[n] = the sum of acc [32, n] over its rows, in the order of _mm512_reduce_add_ps. */
static void lanes_sum(float *y, float *acc, size_t n)
{
    for (size_t width = STEP / 2; width > 0; width /= 2)
        for (size_t l = 0; l < width; l++)
            axpy_f32(acc + l * n, 1, acc + (l + width) * n, n);
    memcpy(y, acc, n * sizeof *y);
}

/* Decoded rows of any type (once, if there are several vectors); lanes over rows as those of
 * rows_times over columns: the very bits of the product with the transposed matrix, if that is
 * stored as F32. */
void matmul_t_avx512(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                     const struct matrix *w, uint64_t r0, uint64_t r1, double *acc, float *scratch)
{
    const size_t cols = (size_t)w->cols, keep = T > 1 ? cols : 0;
    float *const lane = (float *)(void *)acc; /* [32, cols] floats in [16, cols] doubles */
    for (size_t t = 0; t < T; t++) {
        memset(lane, 0, STEP * cols * sizeof *lane);
        for (size_t i = 0; i < r1 - r0; i++) {
            float *const row = scratch + i * keep;
            if (t == 0)
                ref_matrix_row(row, w, r0 + i);
            axpy_f32(lane + i % STEP * cols, x[t * x_stride + i], row, cols);
        }
        lanes_sum(y + t * y_stride, lane, cols);
    }
}
