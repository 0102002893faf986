/* rest.h - a level's entries beside the products, of the skeletons in this folder. */
#ifndef GLIM_KERNELS_SIMD_REST_H
#define GLIM_KERNELS_SIMD_REST_H

#include "kernels/kernels.h"

/* Contracts: kernels.h, at the entry of the same name. */
#define REST_KERNELS(level)                                                                        \
    void rmsnorm_##level(float *y, const float *x, const float *g, size_t n, float eps);           \
    void layernorm_##level(float *y, const float *x, const float *g, const float *b, size_t n,     \
                           float eps);                                                             \
    void softmax_##level(float *x, size_t n);                                                      \
    void silu_mul_##level(float *y, const float *gate, const float *up, size_t n);                 \
    void sigmoid_##level(float *y, const float *x, size_t n);                                      \
    void add_##level(float *y, const float *x, size_t n);                                          \
    void axpy_##level(float *y, float a, const float *x, size_t n);                                \
    void rope_##level(float *x, const float *cos_sin, size_t n, bool interleaved);                 \
    void hadamard_##level(float *x, size_t n);                                                     \
    /* y = e^x within 1.1 ulp, subnormal results included; y may be x. For its own test. */        \
    void exp_##level(float *y, const float *x, size_t n);                                          \
    void topk_##level(int32_t *idx, size_t k, const float *s, size_t n, float *scratch);           \
    size_t above_##level(float *score, int32_t *pos, const float *s, size_t n, int32_t first,      \
                         float least, bool *finite);                                               \
    void kv_store_##level(void *dst, const float *x, size_t n, enum kv_type t);                    \
    void kv_load_##level(float *y, const void *src, size_t n, enum kv_type t);                     \
    /* v[n] of a block of Q8 or I8, n > 0; returns its scale. */                                   \
    float block_store_##level(int8_t *v, const float *x, size_t n);                                \
    size_t index_bytes_##level(size_t T, size_t Hi, size_t Di);                                    \
    void index_score_##level(float *s, size_t s_stride, const float *q, const float *w, size_t T,  \
                             const void *const *row, size_t n, size_t Hi, size_t Di, float scale,  \
                             enum kv_type kt, void *scratch);                                      \
    /* The same for I8. */                                                                         \
    size_t index8_bytes_##level(size_t T, size_t Hi, size_t Di);                                   \
    void index8_score_##level(float *s, size_t s_stride, const float *q, const float *w, size_t T, \
                              const void *const *row, size_t n, size_t Hi, size_t Di, float scale, \
                              void *scratch);                                                      \
    size_t attend_bytes_##level(size_t dim, size_t n);                                             \
    void attend_##level(float *o, size_t o_stride, const struct attend *a, void *scratch);

/* Their places in the table. */
#define REST_FILL(k, level)                                                                        \
    do {                                                                                           \
        (k)->rmsnorm = rmsnorm_##level;                                                            \
        (k)->layernorm = layernorm_##level;                                                        \
        (k)->softmax = softmax_##level;                                                            \
        (k)->silu_mul = silu_mul_##level;                                                          \
        (k)->sigmoid = sigmoid_##level;                                                            \
        (k)->add = add_##level;                                                                    \
        (k)->axpy = axpy_##level;                                                                  \
        (k)->rope = rope_##level;                                                                  \
        (k)->hadamard = hadamard_##level;                                                          \
        (k)->topk = topk_##level;                                                                  \
        (k)->above = above_##level;                                                                \
        (k)->kv_store = kv_store_##level;                                                          \
        (k)->kv_load = kv_load_##level;                                                            \
        (k)->index_bytes = index_bytes_##level;                                                    \
        (k)->index_score = index_score_##level;                                                    \
        (k)->attend_bytes = attend_bytes_##level;                                                  \
        (k)->attend = attend_##level;                                                              \
    } while (0)

#endif
