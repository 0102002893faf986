/* index.h - the indexer's scores, in f32; those of bytes are index8.h's. The skeleton of index_*.c
 * of the levels, each of which includes it once, behind its math_*.h and
 *
 *     WIDE, HEADS    registers of keys, and heads, whose products meet in registers
 *
 * Some keys at once are turned so that lanes are keys, and met by all heads of all rows of queries,
 * HEADS at a time: dot[h] in registers, WIDE loads of keys and HEADS broadcasts for their products.
 * Then s += w[h] max(0, scale dot[h]), h ascending. So a score depends on its key and its row's
 * queries alone.
 *
 * The next keys are called for meanwhile.
 *
 * Cost: Hi Di multiply-adds a key and row; with 16 lanes turning is a sixth of that for one row of
 * 32 heads.
 */
#ifndef GLIM_KERNELS_SIMD_INDEX_H
#define GLIM_KERNELS_SIMD_INDEX_H

#include "kernels/simd/row.h"

enum { KEYS = WIDE * LANES };

size_t LEVEL(index_bytes)(size_t T, size_t Hi, size_t Di)
{
    const size_t turned = (Di + LANES - 1) / LANES * LANES * KEYS * sizeof(float);
    const size_t of_bytes = LEVEL(index8_bytes)(T, Hi, Di);
    return turned > of_bytes ? turned : of_bytes;
}

/* turned[Di, KEYS] of n keys; the others are 0. */
INLINE void turn_keys(enum kv_type t, float *turned, const void *const *row, size_t n, size_t Di)
{
    for (unsigned part = 0; part < WIDE; part++)
        for (size_t d = 0; d < Di; d += LANES) {
            vint v[LANES];
            UNROLL for (unsigned i = 0; i < LANES; i++) {
                const size_t key = part * LANES + i;
                v[i] = key < n ? as_int(load_row(t, row[key], d, Di - d)) : int_zero();
            }
            transpose(v);
            UNROLL for (unsigned i = 0; i < LANES; i++)
                float_store(turned + (d + i) * KEYS + part * LANES, as_float(v[i]));
        }
}

/* s += H heads */
INLINE void add_heads(unsigned H, vfloat s[WIDE], const float *turned, const float *q,
                      const float *w, size_t Di, float scale)
{
    vfloat dot[HEADS][WIDE];
    UNROLL for (unsigned h = 0; h < H; h++)
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            dot[h][i] = float_zero();
    for (size_t d = 0; d < Di; d++) {
        vfloat k[WIDE];
        UNROLL for (unsigned i = 0; i < WIDE; i++)
            k[i] = float_load(turned + d * KEYS + i * LANES);
        UNROLL for (unsigned h = 0; h < H; h++) {
            const vfloat x = float_all(q[h * Di + d]);
            UNROLL for (unsigned i = 0; i < WIDE; i++)
                dot[h][i] = mul_add(x, k[i], dot[h][i]);
        }
    }
    UNROLL for (unsigned h = 0; h < H; h++)
        UNROLL for (unsigned i = 0; i < WIDE; i++) {
            const vfloat v = mul(dot[h][i], float_all(scale));
            s[i] = mul_add(float_all(w[h]), larger(float_zero(), v), s[i]); /* a NaN stays */
        }
}

/* One row of queries against n turned keys; calls for those ahead. */
static void score_row(float *out, const float *turned, const float *q, const float *w, size_t n,
                      size_t Hi, size_t Di, float scale, const struct ahead *a)
{
    vfloat s[WIDE];
    UNROLL for (unsigned i = 0; i < WIDE; i++)
        s[i] = float_zero();
    size_t h = 0;
    for (; h + HEADS <= Hi; h += HEADS) {
        call_ahead(a, h / HEADS, Hi / HEADS);
        add_heads(HEADS, s, turned, q + h * Di, w + h, Di, scale);
    }
    for (; h < Hi; h++)
        add_heads(1, s, turned, q + h * Di, w + h, Di, scale);
    UNROLL for (unsigned i = 0; i < WIDE; i++)
        if (i * LANES < n)
            store_first(out + i * LANES, n - i * LANES, s[i]);
}

void LEVEL(index_score)(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                        const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                        enum kv_type kt, void *scratch)
{
    if (kt == KV_I8) {
        LEVEL(index8_score)(s, s_stride, q, w, T, row, n, Hi, Di, scale, scratch);
        return;
    }
    for (size_t i = 0; i < n; i += KEYS) {
        const size_t keys = n - i < KEYS ? n - i : KEYS;
        switch (kt) {
        case KV_F32: turn_keys(KV_F32, scratch, row + i, keys, Di); break;
        case KV_F16: turn_keys(KV_F16, scratch, row + i, keys, Di); break;
        case KV_Q8: turn_keys(KV_Q8, scratch, row + i, keys, Di); break;
        default: turn_keys(KV_BF16, scratch, row + i, keys, Di); break;
        }
        const size_t left = n - i - keys;
        struct ahead a = {row + i + keys, left < KEYS ? left : KEYS, kv_row_bytes(kt, Di)};
        for (size_t t = 0; t < T; t++, a.n = 0)
            score_row(s + t * s_stride + i, scratch, q + t * Hi * Di, w + t * Hi, keys, Hi, Di,
                      scale, &a);
    }
}

#endif
