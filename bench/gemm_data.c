/* gemm_data.c - see gemm.h. */
#include "gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { Q4_K_BYTES = 144, Q4_K_BLOCK = 256, Q8_0_BYTES = 34, Q8_0_BLOCK = 32 };

const enum dtype gemm_types[OURS] = {DT_Q8_0, DT_Q4_K, DT_BF16};

static void *room(size_t bytes)
{
    void *const p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!p) {
        fprintf(stderr, "gemm: out of memory: %zu bytes\n", bytes);
        exit(1);
    }
    memset(p, 0, bytes); /* its pages are there */
    return p;
}

/* Weights d sc q - dmin m of random sc, m below 64 and q below 16, around 0. */
static void fill_q4_k(struct bench *b, uint8_t *to, size_t blocks)
{
    for (uint8_t *at = to; blocks--; at += Q4_K_BYTES) {
        const uint16_t d = (uint16_t)(0x1400 + rng_below(&b->rng, 512)); /* F16 of about 0.001 */
        const uint16_t dmin = (uint16_t)(d + 0xb80);              /* 7 to 8 times as much */
        rng_bytes(&b->rng, at, Q4_K_BYTES);
        memcpy(at, &d, 2);
        memcpy(at + 2, &dmin, 2);
    }
}

static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    return most;
}

static void code_q8_0(struct bench *b, uint8_t *to, const float *w, size_t n)
{
    for (size_t i = 0; i < n; i += Q8_0_BLOCK, to += Q8_0_BYTES) {
        float d = largest(w + i, Q8_0_BLOCK) / 127;
        b->k.kv_store(to, &d, 1, KV_F16);
        b->k.kv_load(&d, to, 1, KV_F16);
        for (size_t j = 0; j < Q8_0_BLOCK; j++)
            to[2 + j] = (uint8_t)(int8_t)fmaxf(-127, fminf(127, nearbyintf(w[i + j] / d)));
    }
}

static void code_bytes(struct bench *b, int8_t *to)
{
    const size_t cols = b->s->cols;
    for (size_t r = 0; r < b->s->rows; r++) {
        const float *const w = b->w + r * cols;
        b->scale[r] = largest(w, cols) / 127;
        for (size_t c = 0; c < cols; c++) {
            to[r * cols + c] = (int8_t)nearbyintf(w[c] / b->scale[r]);
            b->sum[r] += to[r * cols + c];
        }
    }
}

static void code_weights(struct bench *b)
{
    const size_t rows = b->s->rows, cols = b->s->cols, n = rows * cols;
    const size_t bytes[OURS] = {n / Q8_0_BLOCK * Q8_0_BYTES, n / Q4_K_BLOCK * Q4_K_BYTES, 2 * n};
    for (size_t i = 0; i < OURS; i++) {
        b->coded[i] = room(bytes[i]);
        b->m[i] = (struct matrix){.data = b->coded[i], .type = gemm_types[i], .rows = rows,
                                  .cols = cols, .row_bytes = bytes[i] / rows, .name = "w"};
    }
    fill_q4_k(b, b->coded[GEMM_Q4_K], n / Q4_K_BLOCK);
    b->k.dequant[DT_Q4_K](b->w, b->coded[GEMM_Q4_K], n);
    code_q8_0(b, b->coded[GEMM_Q8_0], b->w, n);
    b->k.kv_store(b->coded[GEMM_BF16], b->w, n, KV_BF16);
    b->coded[OURS] = room(n);
    code_bytes(b, b->coded[OURS]);
}

static void code_vectors(struct bench *b)
{
    const size_t n = b->s->T * b->s->cols;
    uint8_t *const u = b->vectors[ONEDNN_INT8] = room(n);
    for (size_t i = 0; i < n; i++) {
        b->x[i] = rng_f32(&b->rng);
        u[i] = (uint8_t)(nearbyintf(b->x[i] * 127) + 128);
    }
    b->vectors[ONEDNN_BF16] = room(2 * n);
    b->k.kv_store(b->vectors[ONEDNN_BF16], b->x, n, KV_BF16);
}

void gemm_prepare(struct bench *b, const struct shape *s)
{
    const size_t packed = b->k.pack_bytes(s->cols, ROLE_PREFILL);
    b->s = s;
    b->w = room(s->rows * s->cols * sizeof *b->w);
    b->x = room(s->T * s->cols * sizeof *b->x);
    b->sum = room(s->rows * sizeof *b->sum);
    b->scale = room(s->rows * sizeof *b->scale);
    b->packed = room(s->T * packed);
    b->row = room(s->T * sizeof *b->row);
    for (size_t t = 0; t < s->T; t++)
        b->row[t] = b->packed + t * packed;
    for (int i = 0; i < b->threads; i++)
        b->scratch[i] = room(s->cols * sizeof(float));
    for (size_t i = 0; i < ENGINES; i++)
        b->y[i] = room(s->T * s->rows * sizeof(float));
    code_weights(b);
    code_vectors(b);
    const void *const w[] = {b->coded[OURS], b->coded[GEMM_BF16], b->w};
    const void *const x[] = {b->vectors[0], b->vectors[1], b->x};
    for (size_t i = 0; i < ONEDNN_TYPES; i++)
        b->peer[i] = onednn_new((enum onednn_type)i, s->T, s->rows, s->cols, w[i], x[i],
                                b->y[OURS + i]);
}

void gemm_forget(struct bench *b)
{
    for (size_t i = 0; i < ONEDNN_TYPES; i++)
        onednn_free(b->peer[i]);
    for (size_t i = 0; i < ENGINES; i++) {
        free(b->y[i]);
        free(b->coded[i]);
        b->coded[i] = NULL;
    }
    for (int i = 0; i < b->threads; i++)
        free(b->scratch[i]);
    free(b->vectors[ONEDNN_INT8]);
    free(b->vectors[ONEDNN_BF16]);
    free(b->w);
    free(b->x);
    free(b->sum);
    free(b->scale);
    free(b->packed);
    free(b->row);
}

void gemm_scale(struct bench *b)
{
    float *const y = b->y[OURS + ONEDNN_INT8];
    for (size_t t = 0; t < b->s->T; t++) {
        for (size_t r = 0; r < b->s->rows; r++) {
            int32_t q;
            memcpy(&q, &y[t * b->s->rows + r], sizeof q);
            y[t * b->s->rows + r] = ((float)q - 128 * b->sum[r]) * b->scale[r] / 127;
        }
    }
}

