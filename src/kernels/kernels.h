/* kernels.h - types and contracts of all array operations, and the table that a backend fills.
 *
 * kernels_init first fills every entry with the plain-C meaning (kernels/ref), then each level that
 * the machine has overwrites what it does better. Kernels know nothing of models: only arrays.
 *
 * Numbers. Arrays are f32 unless said otherwise. Reference reductions accumulate in double, in the
 * order that ref/ref.h gives; the bits of an output element depend on its inputs and lengths only,
 * never on how many rows are computed together, on the row range, on alignment or on the thread.
 * A NaN or infinity among the inputs stays visible in the outputs that depend on it.
 *
 * Pointers. f32 arrays are aligned to 4 bytes, doubles to 8; weights and cached rows may start at
 * any byte. Unless a contract says "y may be x", outputs and scratch overlap nothing. Sizes of 0
 * are allowed where nothing is divided by them. No kernel allocates, fails, prints or keeps state.
 */
#ifndef GLIM_KERNELS_KERNELS_H
#define GLIM_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/dtype.h"

/* A weight matrix ready to multiply: [rows, cols] = [out, in], row-major, mapped and read-only. */
struct matrix {
    const uint8_t *data;
    enum dtype type;      /* one that dtype_info calls `decodes`; cols is a multiple of its block */
    uint64_t rows, cols;
    uint64_t row_bytes;   /* distance between rows */
    const float *scale;   /* F8_E4M3: [ceil(rows/128), ceil(cols/128)], multiplied; else NULL */
    const char *name;     /* for messages */
};

enum { F8_BLOCK = 128 };

/* How many scales it has, if it has any. */
static inline uint64_t matrix_scales(const struct matrix *m)
{
    return (m->rows + F8_BLOCK - 1) / F8_BLOCK * ((m->cols + F8_BLOCK - 1) / F8_BLOCK);
}

/* Lanes of a sum: lane l takes the terms l, l + KERNEL_LANES, ... (ref/ref.h). */
enum { KERNEL_LANES = 16 };

/* The role decides which summation a row goes through; all row counts of a role give equal bits. */
enum kernel_role { ROLE_PREFILL, ROLE_DECODE };

/* Types of cached rows: elements, or blocks of signed bytes with a scale. Q8: blocks of KV_BLOCK
 * elements, the last one as long as what is left; I8: one block, whatever its length.
 *
 *     f32 s | i8 v[n]      s = max|x| / 127,  v = x (127 / max|x|) to nearest, ties to even
 *
 * s and all v are 0 where s would be subnormal; s is NaN (v 0) if x has a NaN or an infinity. */
enum kv_type { KV_F32, KV_F16, KV_BF16, KV_Q8, KV_I8, KV_TYPE_COUNT };
enum { KV_BLOCK = 128, KV_BYTE_MAX = 127 };

/* Queries that attend to the same rows. A row's first Dk elements are the key, Dv from v_at on the
 * value; the two may overlap, as they do in a latent cache. */
struct attend {
    const float *q; /* M vectors of Dk, q_stride apart */
    size_t M, q_stride;
    const void *const *row; /* [n[M-1]] */
    const uint32_t *n;      /* [M] query m sees the first n[m] rows; n[0] >= 1, not falling */
    size_t Dk, v_at, Dv;
    enum kv_type type;
    float scale;
    size_t split; /* KV_Q8: a row's elements from here on are F16, behind the bytes of the others */
};

struct kernels {
    const char *level; /* "baseline" ... */

    /* y[n] = the n stored elements at x as f32; n is a multiple of the block length. F8_E4M3
     * without its scales. Bit for bit what the format's definition gives (a NaN's payload is free).
     * NULL for types that dtype_info does not call `decodes`. */
    void (*dequant[DT_COUNT])(float *y, const void *x, size_t n);

    /* The level whose code multiplies matrices of each type; NULL for types without dequant. */
    const char *product[DT_COUNT];

    /* y[cols] = row r of w, scales applied. */
    void (*matrix_row)(float *y, const struct matrix *w, uint64_t r);

    /* A vector as matmul wants it, prepared once and multiplied with many rows: what it looks like
     * is the level's own matter, and differs by role. pack_bytes: its size, a multiple of 64; pack:
     * dst (aligned to 64) from x[n]. dst may refer to x, which stays as it is until dst is used
     * up. */
    size_t (*pack_bytes)(size_t n, enum kernel_role role);
    void (*pack)(void *dst, const float *x, size_t n, enum kernel_role role);

    /* y[t*y_stride + r - r0] = <w[r,:], x[t]> for r in [r0, r1), t in [0, T).
     * x: T vectors of cols, packed for this role; scratch: [cols]. */
    void (*matmul)(float *y, size_t y_stride, const void *const *x, size_t T,
                   const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                   float *scratch);

    /* y[t*y_stride + c] = sum of x[t*x_stride + r - r0] * w[r,c] over r in [r0, r1), c < cols: the
     * product with the transpose, used by attention. Summed over r in the order in which matmul of
     * this role sums columns of F32, so that it gives the very bits of that role's matmul on the
     * transposed F32 matrix: a checkpoint that stores k_b transposed computes the same model.
     * acc: [KERNEL_LANES, cols] doubles; scratch: [r1 - r0, cols]. */
    void (*matmul_t)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t T,
                     const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                     double *acc, float *scratch);

    float (*dot)(const float *a, const float *b, size_t n);

    /* y = g * x / sqrt(mean(x^2) + eps); y may be x; n >= 1. */
    void (*rmsnorm)(float *y, const float *x, const float *g, size_t n, float eps);
    /* y = g * (x - mean) / sqrt(var + eps) + b, biased variance; y may be x; n >= 1. */
    void (*layernorm)(float *y, const float *x, const float *g, const float *b, size_t n,
                      float eps);
    /* In place; x [n], n even; pairs (2i, 2i+1) when interleaved, else (i, i+n/2);
     * cos_sin [n/2][2]: (a, b) becomes (a cos - b sin, a sin + b cos). */
    void (*rope)(float *x, const float *cos_sin, size_t n, bool interleaved);
    /* y = silu(gate) * up, silu(v) = v / (1 + e^-v); y may be gate or up. */
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n);
    /* In place, n >= 1; entries of -inf become 0, unless all are (then all are NaN). */
    void (*softmax)(float *x, size_t n);
    void (*sigmoid)(float *y, const float *x, size_t n);       /* 1 / (1 + e^-x); y may be x */
    void (*add)(float *y, const float *x, size_t n);           /* y += x, rounded once */
    void (*axpy)(float *y, float a, const float *x, size_t n); /* y += a*x; x may be y */
    void (*hadamard)(float *x, size_t n); /* in place, n a power of two, scaled by n^-0.5 */

    /* idx[0..k) = the positions of the k largest of s[n], ascending; of equal scores the lower
     * position wins. k <= n < 2^31; -0 equals +0; NaN counts as the smallest. scratch: [n]. */
    void (*topk)(int32_t *idx, size_t k, const float *s, size_t n, float *scratch);

    /* Appends to score and pos the s[i], i < n, that are above `least` and first + i, in order;
     * returns how many. *finite becomes false if s has a NaN or an infinity. Room for n in both. */
    size_t (*above)(float *score, int32_t *pos, const float *s, size_t n, int32_t first,
                    float least, bool *finite);

    /* Cached rows; kv_store rounds to nearest, ties to even, and keeps NaN a NaN. kv_load may take
     * the first n elements of a longer row. */
    void (*kv_store)(void *dst, const float *x, size_t n, enum kv_type t);
    void (*kv_load)(float *y, const void *src, size_t n, enum kv_type t);

    /* Indexer: s[t*s_stride + i] = sum_h w[t,h] * relu(scale * <q[t,h,:], k_i>), where k_i is
     * row[i] ([Di] in type kt). q [T,Hi,Di], w [T,Hi], row [n]. I8 keys meet queries that are
     * rounded like them, each head to one block; the products of bytes are exact.
     * scratch: index_bytes(T, Hi, Di), at a multiple of 64. */
    size_t (*index_bytes)(size_t T, size_t Hi, size_t Di);
    void (*index_score)(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                        const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                        enum kv_type kt, void *scratch);

    /* p = softmax_i(scale * <q_m, key_i>) over i < n[m];  o[m*o_stride + d] = sum_i p_i value_i[d].
     * scratch: attend_bytes of the row's elements and the most rows, at a multiple of 64. */
    size_t (*attend_bytes)(size_t dim, size_t n);
    void (*attend)(float *o, size_t o_stride, const struct attend *a, void *scratch);

    /* The multiply instruction that the level's products with integer blocks are made of, on
     * registers alone and in enough independent sums to keep it busy: no such product is faster.
     * Returns the operations done, a multiplication and an addition being two; grows with rounds,
     * < 2^30. *one: 1 on entry; on return the sum of all products, each of which is 1. */
    uint64_t (*peak)(uint64_t rounds, double *one);
};

/* Fills every entry for the best level that is <= max. */
void kernels_init(struct kernels *k, enum cpu_level max);

/* ---- for the levels ---- */
void kernels_ref(struct kernels *k);         /* everything */
void kernels_ref_dequant(struct kernels *k); /* its dequant entries */

/* Of n elements of a row, n of a last block included. */
size_t kv_row_bytes(enum kv_type t, size_t n);

#endif
