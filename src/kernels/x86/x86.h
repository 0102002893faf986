/* x86.h - the x86 levels among themselves: what a packed vector looks like, and who fills what.
 *
 * Products with integer blocks are integer products. A vector x is rounded once, per group of 256,
 * to 14 bits: q = round(x / s), s = max|x| / 8191, so |x - s q| <= max|x| / 16382. A weight is
 * w = d * v (+ m) with a small integer v. Within a flush group all of sum(v q) is exact in 32 bits
 * (blocks.h has the bounds); one conversion and one fused multiply-add per group follow, in
 * ascending order. Rounding x to 8 bits, as is common, is 64 times coarser.
 *
 * Most prompts have no time for that: products of bytes are twice as fast. There q has 8 bits and a
 * scale for each 32: |x - s q| <= max|x| / 254 of those. docs/quality.md says which types bear it.
 *
 * A packed vector of n elements, N = n rounded up to 64 (elements after n are 0):
 *
 *     x | i16 q[N] | f32 scale[ceil(n/256)] | f32 sum[N/16] | for decode: i8 high[N] | i8 low[N]
 *                                                           | prompts: packed_quads[ceil(n/256)]
 *                                                                each at a multiple of 64
 *
 * x is the address of the vector (packed.h). q stands in chunks of 64: first its 32 even elements,
 * then its 32 odd ones, the order in which signed bytes become 16-bit lanes by two shifts. sum[i]
 * is the sum of the 16 values s q of part i. high and low are q = 128 high + low once more, in the
 * order of x; both are at most 64, so that two products with bytes without a sign fit 16 bits.
 * A group that holds a NaN or an infinity has scale NaN.
 */
#ifndef GLIM_KERNELS_X86_X86_H
#define GLIM_KERNELS_X86_X86_H

#include "kernels/kernels.h"
#include "kernels/simd/packed.h"
#include "kernels/simd/rest.h"

enum { PACK_CHUNK = 64, PACK_LOW_BITS = 7 };

/* Where element i of a packed vector, a multiple of 4, stands: it and i + 2 of q; i + 1 and i + 3
 * follow PACK_CHUNK / 2 later. */
static inline size_t packed_evens(size_t i)
{
    return i / PACK_CHUNK * PACK_CHUNK + i % PACK_CHUNK / 2;
}

enum { QUAD_SCALE = 32, QUAD_MAX = 127 };

/* 256 elements of 8 bits */
struct packed_quads {
    int8_t q[PACK_GROUP];                  /* in the order of x */
    float scale[PACK_GROUP / QUAD_SCALE];  /* of 32 each: max|x| / 127 */
    int32_t start[PACK_GROUP / PACK_SUM];  /* -128 times the sum of 16 q */
    float sum[PACK_GROUP / PACK_SUM];      /* scale times the sum of 16 q */
};

size_t x86_pack_bytes(size_t n, enum kernel_role role);
void x86_pack(void *dst, const float *x, size_t n, enum kernel_role role);

/* amx's vectors for prompts: x as above, then its N elements in bf16 */
size_t pack_bytes_amx(size_t n, enum kernel_role role);
void pack_amx(void *dst, const float *x, size_t n, enum kernel_role role);
bool tiles_known_amx(enum dtype t);
void tiles_prefill_amx(float *y, size_t y_stride, const void *const *x, size_t T,
                       const struct matrix *w, uint64_t r0, uint64_t r1);
uint64_t peak_amx(uint64_t rounds, double *one);

/* Overwrite the entries of a table that this level does better. */
void kernels_avx2(struct kernels *k);
void kernels_avx512(struct kernels *k);
void kernels_amx(struct kernels *k); /* over avx512's */

/* One family a file. r0 < r1, T > 0; w->type is one that the family knows. */
#define X86_LEVEL(level)                                                                           \
    void matmul_##level(float *y, size_t y_stride, const void *const *x, size_t T,                 \
                        const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,   \
                        float *scratch);                                                           \
    bool blocks_known_##level(enum dtype t);                                                       \
    void blocks_decode_##level(float *y, size_t y_stride, const void *const *x, size_t T,          \
                               const struct matrix *w, uint64_t r0, uint64_t r1);                  \
    /* The types that prompts multiply as bytes, and as integers of 16 bits. */                    \
    bool quads_known_##level(enum dtype t);                                                        \
    void quads_prefill_##level(float *y, size_t y_stride, const void *const *x, size_t T,          \
                               const struct matrix *w, uint64_t r0, uint64_t r1);                  \
    bool pairs_known_##level(enum dtype t);                                                        \
    void pairs_prefill_##level(float *y, size_t y_stride, const void *const *x, size_t T,          \
                               const struct matrix *w, uint64_t r0, uint64_t r1);                  \
    bool floats_known_##level(enum dtype t);                                                       \
    void floats_decode_##level(float *y, size_t y_stride, const void *const *x, size_t T,          \
                               const struct matrix *w, uint64_t r0, uint64_t r1);                  \
    void floats_prefill_##level(float *y, size_t y_stride, const void *const *x, size_t T,         \
                                const struct matrix *w, uint64_t r0, uint64_t r1);                 \
    void matmul_t_##level(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,    \
                          const struct matrix *w, uint64_t r0, uint64_t r1,                        \
                          enum kernel_role role, double *acc, float *scratch);                     \
    uint64_t peak_##level(uint64_t rounds, double *one);
X86_LEVEL(avx2)
X86_LEVEL(avx512)
REST_KERNELS(avx2)
REST_KERNELS(avx512)

#endif
