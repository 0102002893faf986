/* arm.h - the AArch64 level among itself: what a packed vector looks like, and who fills what.
 *
 * Products with integer blocks are integer products. A vector x is rounded once, per group of 256,
 * to 14 bits: q = round(x / s), s = max|x| / 8191, so |x - s q| <= max|x| / 16382. The fast
 * instructions multiply bytes: q = 256 h + l with h in [-32, 32] and l in [-128, 127], so a product
 * with a weight's byte v is 256 (v h) + v l, both sums exact in 32 bits (quad.h has the bounds).
 * Multiplying 16-bit integers instead (smlal) would widen each weight first and do 4 products an
 * instruction; sdot on two bytes does 8, smmla 16. Both roles share this.
 *
 * A packed vector of n elements, N = n rounded up to 64 (elements after n are 0):
 *
 *     x | i8 q[N/8][2][8] | f32 scale[ceil(n/256)] | i32 sum[N/16]
 *
 * each at a multiple of 64. x is the address of the vector (packed.h). q stands in octets: eight
 * h, then their eight l. sum[i] = the sum of the 16 values q of part i, for types with a minimum. A
 * group that holds a NaN or an infinity has scale NaN.
 *
 * The level is built three times, for what a processor has beyond ASIMD: neon (nothing), neon_dot
 * (dotprod: sdot), neon_i8mm (also i8mm: smmla). The sums are exact: all three give the same bits.
 */
#ifndef GLIM_KERNELS_ARM_ARM_H
#define GLIM_KERNELS_ARM_ARM_H

#include "kernels/kernels.h"
#include "kernels/simd/packed.h"
#include "kernels/simd/rest.h"

/* Overwrite the entries of a table that the level does better, with what the processor has of
 * `extras` (cpu.h). */
void kernels_neon(struct kernels *k, unsigned extras);

size_t pack_bytes_neon(size_t n, enum kernel_role role);
void pack_neon(void *dst, const float *x, size_t n, enum kernel_role role);

/* One family a file; contracts: kernels.h. r0 < r1, T > 0; w->type is one that the family knows. */
bool floats_known_neon(enum dtype t);
void floats_decode_neon(float *y, size_t y_stride, const void *const *x, size_t T,
                        const struct matrix *w, uint64_t r0, uint64_t r1);
void floats_prefill_neon(float *y, size_t y_stride, const void *const *x, size_t T,
                         const struct matrix *w, uint64_t r0, uint64_t r1);
void matmul_t_neon(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                   const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                   double *acc, float *scratch);

REST_KERNELS(neon)

#define ARM_PRODUCTS(built)                                                                        \
    bool blocks_known_##built(enum dtype t);                                                       \
    void blocks_decode_##built(float *y, size_t y_stride, const void *const *x, size_t T,          \
                               const struct matrix *w, uint64_t r0, uint64_t r1);                  \
    void blocks_prefill_##built(float *y, size_t y_stride, const void *const *x, size_t T,         \
                                const struct matrix *w, uint64_t r0, uint64_t r1);                 \
    uint64_t peak_##built(uint64_t rounds, double *one);
ARM_PRODUCTS(neon)
ARM_PRODUCTS(neon_dot)
ARM_PRODUCTS(neon_i8mm)

#endif
