/* index_avx512.c - the indexer's scores, in f32; those of bytes are index8_avx512.c's.
 *
 * 32 keys at once are turned so that lanes are keys, and met by all heads of all rows of queries, 8
 * heads at a time: dot[h] in registers, one load of 32 keys and 8 broadcasts for 256 products. Then
 * s += w[h] max(0, scale dot[h]), h ascending. So a score depends on its key and its row's queries
 * alone.
 *
 * The next 32 keys are called for meanwhile.
 *
 * Cost: Hi Di multiply-adds a key and row; turning is a sixth of that for one row of 32 heads.
 */
#include <immintrin.h>

#include "kernels/x86/kvrow_avx512.h"
#include "kernels/x86/x86.h"

enum { LANES = 16, WIDE = 2, KEYS = WIDE * LANES, HEADS = 8 };

size_t index_bytes_avx512(size_t T, size_t Hi, size_t Di)
{
    const size_t turned = round_up_16(Di) * KEYS * sizeof(float);
    const size_t of_bytes = index8_bytes_avx512(T, Hi, Di);
    return turned > of_bytes ? turned : of_bytes;
}

/* turned[Di, KEYS] of n keys; the others are 0. */
INLINE void turn_keys(enum kv_type t, float *turned, const void *const *row, size_t n, size_t Di)
{
    for (unsigned half = 0; half < WIDE; half++)
        for (size_t d = 0; d < Di; d += LANES) {
            const __mmask16 have = first_lanes(Di - d);
            __m512i v[LANES];
            UNROLL for (unsigned i = 0; i < LANES; i++) {
                const size_t key = half * LANES + i;
                v[i] = key < n ? _mm512_castps_si512(load_row_16(t, row[key], d, have))
                               : _mm512_setzero_si512();
            }
            transpose_16(v);
            UNROLL for (unsigned i = 0; i < LANES; i++)
                _mm512_store_si512(turned + (d + i) * KEYS + half * LANES, v[i]);
        }
}

/* s += H heads */
INLINE void add_heads(unsigned H, __m512 s[WIDE], const float *turned, const float *q,
                      const float *w, size_t Di, float scale)
{
    __m512 dot[HEADS][WIDE];
    UNROLL for (unsigned h = 0; h < H; h++)
        dot[h][0] = dot[h][1] = _mm512_setzero_ps();
    for (size_t d = 0; d < Di; d++) {
        const __m512 k0 = _mm512_load_ps(turned + d * KEYS);
        const __m512 k1 = _mm512_load_ps(turned + d * KEYS + LANES);
        UNROLL for (unsigned h = 0; h < H; h++) {
            const __m512 x = _mm512_set1_ps(q[h * Di + d]);
            dot[h][0] = _mm512_fmadd_ps(x, k0, dot[h][0]);
            dot[h][1] = _mm512_fmadd_ps(x, k1, dot[h][1]);
        }
    }
    UNROLL for (unsigned h = 0; h < H; h++)
        UNROLL for (unsigned i = 0; i < WIDE; i++) {
            const __m512 v = _mm512_mul_ps(dot[h][i], _mm512_set1_ps(scale));
            /* of a NaN and a number, max takes the second */
            s[i] = _mm512_fmadd_ps(_mm512_set1_ps(w[h]), _mm512_max_ps(_mm512_setzero_ps(), v),
                                   s[i]);
        }
}

/* One row of queries against n turned keys; calls for those ahead. */
static void score_row(float *out, const float *turned, const float *q, const float *w, size_t n,
                      size_t Hi, size_t Di, float scale, const struct ahead *a)
{
    __m512 s[WIDE] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    size_t h = 0;
    for (; h + HEADS <= Hi; h += HEADS) {
        call_ahead(a, h / HEADS, Hi / HEADS);
        add_heads(HEADS, s, turned, q + h * Di, w + h, Di, scale);
    }
    for (; h < Hi; h++)
        add_heads(1, s, turned, q + h * Di, w + h, Di, scale);
    _mm512_mask_storeu_ps(out, first_lanes(n), s[0]);
    if (n > LANES)
        _mm512_mask_storeu_ps(out + LANES, first_lanes(n - LANES), s[1]);
}

void index_score_avx512(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                        const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                        enum kv_type kt, void *scratch)
{
    if (kt == KV_I8) {
        index8_score_avx512(s, s_stride, q, w, T, row, n, Hi, Di, scale, scratch);
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
