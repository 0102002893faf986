/* gemm.h - a matrix of GLM-5.2 in the types that gemm_onednn.c compares, and vectors for it. */
#ifndef GLIM_BENCH_GEMM_H
#define GLIM_BENCH_GEMM_H

#include "base/pool.h"
#include "kernels/kernels.h"
#include "onednn.h"
#include "util/rng.h"

struct shape {
    const char *name;
    size_t rows, cols, T; /* cols: a multiple of 256 */
};

enum { GEMM_Q8_0, GEMM_Q4_K, GEMM_BF16, OURS, ENGINES = OURS + ONEDNN_TYPES, ROUNDS_MAX = 400 };

/* Weights are one random matrix, first as Q4_K, whose values are then rounded to the other types;
 * oneDNN gets bytes with a scale a row, BF16 as ours, and f32 as they are. Vectors: in [-1, 1). */
struct bench {
    struct kernels k;
    struct pool *pool;
    int threads;
    double seconds;            /* a row of the table */
    const struct shape *s;
    struct rng rng;
    float *w, *x;              /* [rows, cols] [T, cols] */
    float *sum, *scale;        /* of a row's bytes; what they count [rows] */
    struct matrix m[OURS];
    void *coded[ENGINES];      /* the weights; oneDNN's BF16 and f32 are ours */
    void *vectors[ONEDNN_TYPES]; /* its vectors; f32 are x */
    float *y[ENGINES];         /* [T, rows]; of INT8 integers, until gemm_scale */
    struct onednn *peer[ONEDNN_TYPES]; /* NULL: not on this machine */
    uint8_t *packed;
    const void **row;          /* [T] into packed */
    float *scratch[2];         /* a thread */
    double ns[ENGINES][ROUNDS_MAX], pack_ns[OURS][ROUNDS_MAX];
    size_t rounds;
};

extern const enum dtype gemm_types[OURS];

/* Fills w to scratch for a shape, and frees them. Out of memory ends the program. */
void gemm_prepare(struct bench *b, const struct shape *s);
void gemm_forget(struct bench *b);

/* oneDNN's integers in place of what they stand for. */
void gemm_scale(struct bench *b);

#endif
