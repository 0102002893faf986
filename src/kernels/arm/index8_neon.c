/* index8_neon.c - the indexer's scores of keys kept as bytes: the reference's, but for their exact
 * products of bytes.
 */
#include "kernels/arm/arm.h"
#include "kernels/arm/vec_neon.h"
#include "kernels/ref/ref.h"

size_t index8_bytes_neon(size_t T, size_t Hi, size_t Di) { return ref_index_bytes(T, Hi, Di); }

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

void index8_score_neon(float *s, size_t s_stride, const float *q, const float *w, size_t T,
                       const void *const *row, size_t n, size_t Hi, size_t Di, float scale,
                       void *scratch)
{
    ref_score_bytes(s, s_stride, q, w, T, row, n, Hi, Di, scale, scratch, byte_dot);
}
