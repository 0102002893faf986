/* ref.h - the reference kernels among themselves: the order of sums, conversions of one element.
 *
 * Order of sums. A sum of n terms has REF_LANES independent double lanes; lane l adds the terms i
 * with i mod REF_LANES == l in ascending i, starting from +0. The lanes are then halved until one
 * is left: s[l] += s[l+8], s[l+4], s[l+2], s[l+1]. A remainder of n goes to its lanes in the same
 * way, so the order depends on n alone. Sixteen lanes let a compiler use whole registers of any
 * width without being allowed to reorder anything.
 *
 * The product of two f32 values is exact in double (24 + 24 bits of 53), so a fused multiply-add
 * gives the same bits as a multiplication and an addition.
 *
 * matmul_t has the same lanes over the rows of a column. Attention adds one row after the other
 * per column.
 */
#ifndef GLIM_KERNELS_REF_REF_H
#define GLIM_KERNELS_REF_REF_H

#include <string.h>

#include "kernels/kernels.h"

enum { REF_LANES = KERNEL_LANES };

/* The tree at the end of every sum; s is used up. */
double ref_lanes_sum(double s[REF_LANES]);
double ref_dot(const float *a, const float *b, size_t n);
double ref_sum(const float *x, size_t n);
/* acc[n] += a * x[n] */
void ref_axpy_double(double *acc, double a, const float *x, size_t n);

/* ref/matmul.c */
void ref_matrix_row(float *y, const struct matrix *w, uint64_t r);
size_t ref_pack_bytes(size_t n, enum kernel_role role);
void ref_pack(void *dst, const float *x, size_t n, enum kernel_role role);
void ref_matmul(float *y, size_t y_stride, const void *const *x, size_t T, const struct matrix *w,
                uint64_t r0, uint64_t r1, enum kernel_role role, float *scratch);
void ref_matmul_t(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                  const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                  double *acc, float *scratch);

/* ref/norm.c */
void ref_rmsnorm(float *y, const float *x, const float *g, size_t n, float eps);
void ref_layernorm(float *y, const float *x, const float *g, const float *b, size_t n, float eps);
void ref_softmax(float *x, size_t n);

/* ref/elementwise.c */
void ref_rope(float *x, const float *cos_sin, size_t n, bool interleaved);
void ref_silu_mul(float *y, const float *gate, const float *up, size_t n);
void ref_sigmoid(float *y, const float *x, size_t n);
void ref_add(float *y, const float *x, size_t n);
void ref_axpy(float *y, float a, const float *x, size_t n);
void ref_hadamard(float *x, size_t n);

/* ref/select.c */
void ref_topk(int32_t *idx, size_t k, const float *s, size_t n, float *scratch);
size_t ref_above(float *score, int32_t *pos, const float *s, size_t n, int32_t first, float least,
                 bool *finite);

/* ref/kvrow.c */
void ref_kv_store(void *dst, const float *x, size_t n, enum kv_type t);
void ref_kv_load(float *y, const void *src, size_t n, enum kv_type t);
/* v[n] of a block of Q8 or I8, n > 0; returns its scale. */
float ref_block_store(int8_t *v, const float *x, size_t n);

/* ref/attention.c */
size_t ref_index_bytes(size_t T, size_t Hi, size_t Di);
void ref_index_score(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                     const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                     enum kv_type kt, void *scratch);
/* index_score of I8 keys: scratch is its. dot: <a, b> of n bytes, exact. */
typedef int64_t ref_byte_dot(const int8_t *a, const int8_t *b, size_t n);
void ref_score_bytes(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                     const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                     float *scratch, ref_byte_dot *dot);
size_t ref_attend_bytes(size_t dim, size_t n);
void ref_attend(float *o, size_t o_stride, const struct attend *a, void *scratch);

/* ref/peak.c */
uint64_t ref_peak(uint64_t rounds, double *one);

/* ref/ref.c: the decoder of a type that has one. */
void ref_dequant(enum dtype t, float *y, const void *x, size_t n);

/* ref/dequant_basic.c, dequant_k.c, dequant_iq.c: y[n] = n stored elements at x */
void ref_dequant_f32(float *y, const void *x, size_t n);
void ref_dequant_f16(float *y, const void *x, size_t n);
void ref_dequant_bf16(float *y, const void *x, size_t n);
void ref_dequant_f8_e4m3(float *y, const void *x, size_t n);
void ref_dequant_q4_0(float *y, const void *x, size_t n);
void ref_dequant_q4_1(float *y, const void *x, size_t n);
void ref_dequant_q5_0(float *y, const void *x, size_t n);
void ref_dequant_q5_1(float *y, const void *x, size_t n);
void ref_dequant_q8_0(float *y, const void *x, size_t n);
void ref_dequant_mxfp4(float *y, const void *x, size_t n);
void ref_dequant_nvfp4(float *y, const void *x, size_t n);
void ref_dequant_q2_k(float *y, const void *x, size_t n);
void ref_dequant_q3_k(float *y, const void *x, size_t n);
void ref_dequant_q4_k(float *y, const void *x, size_t n);
void ref_dequant_q5_k(float *y, const void *x, size_t n);
void ref_dequant_q6_k(float *y, const void *x, size_t n);
void ref_dequant_iq1_s(float *y, const void *x, size_t n);
void ref_dequant_iq1_m(float *y, const void *x, size_t n);
void ref_dequant_iq2_xxs(float *y, const void *x, size_t n);
void ref_dequant_iq2_xs(float *y, const void *x, size_t n);
void ref_dequant_iq2_s(float *y, const void *x, size_t n);
void ref_dequant_iq3_xxs(float *y, const void *x, size_t n);
void ref_dequant_iq3_s(float *y, const void *x, size_t n);
void ref_dequant_iq4_nl(float *y, const void *x, size_t n);
void ref_dequant_iq4_xs(float *y, const void *x, size_t n);

/* n elements of block type t, decoded block by block; the sizes are the type's. Inline, so that
 * `decode` is too. */
static inline void ref_each_block(enum dtype t, float *y, const void *x, size_t n,
                                  void (*decode)(float *y, const uint8_t *block))
{
    const struct dtype_info *const d = dtype_info(t);
    const uint8_t *p = x;
    for (size_t i = 0; i < n; i += d->block_len, p += d->block_bytes)
        decode(y + i, p);
}

/* ---- one element; weights lie at any byte, hence memcpy ---- */
static inline uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float bits_f32(uint32_t bits)
{
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static inline uint32_t f32_bits(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Exact for all 65,536 patterns. The value of a subnormal half is an integer times 2^-24. Masks
 * instead of branches, because a row of small numbers would mispredict them. */
static inline float f16_f32(uint16_t h)
{
    const int32_t mag = h & 0x7fff;
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t is_special = -(uint32_t)(mag > 0x7bff); /* infinity, NaN: exponent 255 */
    const uint32_t is_subnormal = -(uint32_t)(mag < 0x0400);
    const uint32_t normal = ((uint32_t)mag << 13) + (112u << 23) + (is_special & 112u << 23);
    const uint32_t subnormal = f32_bits((float)mag * 0x1p-24f);
    return bits_f32((subnormal & is_subnormal) | (normal & ~is_subnormal) | sign);
}

static inline float bf16_f32(uint16_t h) { return bits_f32((uint32_t)h << 16); }

static inline float load_f16(const uint8_t *p) { return f16_f32(load_u16(p)); }

#endif
