/* index_neon.c - the indexer's scores:  s_i = sum_h w_h relu(scale <q_h, k_i>)
 *
 * A key is decoded once for all queries, which meet it four heads at a time (dots_neon.h); I8 keys
 * meet the queries' bytes in exact products. Heads are added in ascending order, in double.
 */
#include "kernels/arm/arm.h"
#include "kernels/arm/dots_neon.h"
#include "kernels/ref/ref.h"

/* A NaN must not pass for "not positive". */
static double relu(double v) { return v < 0 ? 0 : v; }

static float score_of(const float *q, const float *w, const float *key, size_t Hi, size_t Di,
                      float scale)
{
    double sum = 0;
    for (size_t h = 0; h < Hi; h += DOTS) {
        const size_t count = Hi - h < DOTS ? Hi - h : DOTS;
        const float *head[DOTS];
        float dot[DOTS];
        for (size_t j = 0; j < DOTS; j++)
            head[j] = q + (h + (j < count ? j : 0)) * Di;
        four_dots(dot, head, key, Di);
        for (size_t j = 0; j < count; j++)
            sum += (double)w[h + j] * relu((double)scale * (double)dot[j]);
    }
    return (float)sum;
}

/* n < 2^17: 32 bits hold the sum. */
static int64_t byte_dot(const int8_t *a, const int8_t *b, size_t n)
{
    int32x4_t s = vdupq_n_s32(0);
    int32_t rest = 0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const int8x16_t x = vld1q_s8(a + i), y = vld1q_s8(b + i);
        s = vpadalq_s16(s, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
        s = vpadalq_s16(s, vmull_high_s8(x, y));
    }
    for (; i < n; i++)
        rest += a[i] * b[i];
    return vaddvq_s32(s) + rest;
}

/* Scratch as the reference's. */
void index_score_neon(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                      const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                      enum kv_type kt, void *scratch)
{
    float *const key = scratch;
    if (kt == KV_I8) {
        ref_score_bytes(s, s_stride, q, w, T, row, n, Hi, Di, scale, key, byte_dot);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        kv_load_neon(key, row[i], Di, kt);
        for (size_t t = 0; t < T; t++)
            s[t * s_stride + i] = score_of(q + t * Hi * Di, w + t * Hi, key, Hi, Di, scale);
    }
}
