/* matmul.c - products with a stored matrix: each row is decoded once, then used for all T vectors.
 *
 *     matmul    y[t,r] = sum_c w[r,c] x[t,c]      one lane sum per output element
 *     matmul_t  y[t,c] = sum_r x[t,r] w[r,c]      one lane sum per output element, lanes over rows
 *
 * An output's sum does not know T or the row range, so both roles share it.
 * Cost: rows * cols decodes, T * rows * cols multiply-adds.
 */
#include <assert.h>

#include "kernels/ref/ref.h"
#include "kernels/simd/packed.h"

/* w[r,c] = q[r,c] * scale[r/128, c/128], rounded to f32; the last block of a side may be ragged. */
static void f8_scale_row(float *y, const struct matrix *w, uint64_t r)
{
    const uint64_t blocks = (w->cols + F8_BLOCK - 1) / F8_BLOCK;
    const float *const scale = w->scale + r / F8_BLOCK * blocks;
    for (uint64_t b = 0; b < blocks; b++) {
        const uint64_t end = (b + 1) * F8_BLOCK < w->cols ? (b + 1) * F8_BLOCK : w->cols;
        const float s = scale[b];
        for (uint64_t c = b * F8_BLOCK; c < end; c++)
            y[c] *= s;
    }
}

void ref_matrix_row(float *y, const struct matrix *w, uint64_t r)
{
    assert(r < w->rows);
    ref_dequant(w->type, y, w->data + r * w->row_bytes, (size_t)w->cols);
    if (w->type == DT_F8_E4M3 && w->scale)
        f8_scale_row(y, w, r);
}

/* Row r as floats: in place where it is stored so, else decoded into scratch. */
static const float *row_floats(const struct matrix *w, uint64_t r, float *scratch)
{
    const uint8_t *const p = w->data + r * w->row_bytes;
    if (w->type == DT_F32 && (uintptr_t)p % _Alignof(float) == 0)
        return (const float *)(const void *)p;
    ref_matrix_row(scratch, w, r);
    return scratch;
}

/* A packed vector is where the vector stands. */
size_t ref_pack_bytes(size_t n, enum kernel_role role)
{
    (void)n, (void)role;
    return PACKED_HEAD;
}

void ref_pack(void *dst, const float *x, size_t n, enum kernel_role role)
{
    (void)n, (void)role;
    packed_begin(dst, x);
}

void ref_matmul(float *y, size_t y_stride, const void *const *x, size_t T, const struct matrix *w,
                uint64_t r0, uint64_t r1, enum kernel_role role, float *scratch)
{
    (void)role;
    const size_t cols = (size_t)w->cols;
    for (uint64_t r = r0; r < r1; r++) {
        const float *const row = row_floats(w, r, scratch);
        for (size_t t = 0; t < T; t++)
            y[t * y_stride + (r - r0)] = (float)ref_dot(row, packed_floats(x[t]), cols);
    }
}

/* acc [REF_LANES, cols], one lane sum a column -> y [cols] */
static void columns_sum(float *y, const double *acc, size_t cols)
{
    for (size_t c = 0; c < cols; c++) {
        double s[REF_LANES];
        for (size_t l = 0; l < REF_LANES; l++)
            s[l] = acc[l * cols + c];
        y[c] = (float)ref_lanes_sum(s);
    }
}

/* Rows are decoded once for all vectors. */
void ref_matmul_t(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                  const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                  double *acc, float *scratch)
{
    (void)role;
    const size_t cols = (size_t)w->cols, n = (size_t)(r1 - r0);
    for (size_t i = 0; i < n; i++)
        ref_matrix_row(scratch + i * cols, w, r0 + i);
    for (size_t t = 0; t < T; t++) {
        for (size_t i = 0; i < REF_LANES * cols; i++)
            acc[i] = 0;
        for (size_t i = 0; i < n; i++)
            ref_axpy_double(acc + i % REF_LANES * cols, (double)x[t * x_stride + i],
                            scratch + i * cols, cols);
        columns_sum(y + t * y_stride, acc, cols);
    }
}
