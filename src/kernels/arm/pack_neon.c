/* pack_neon.c - a vector rounded to 14 bits per group of 256, in bytes (arm.h says why and how). */
#include <math.h>

#include "kernels/arm/arm.h"
#include "kernels/arm/vec_neon.h"

enum { OCTET = 8 };

size_t pack_bytes_neon(size_t n, enum kernel_role role)
{
    (void)role;
    return packed_layout(n).bytes;
}

/* The largest magnitude of x[0, n), n a multiple of LANES; NaN if one of them is not finite. */
static float group_max(const float *x, size_t n)
{
    float32x4_t most = vdupq_n_f32(0);
    uint32x4_t fine = vdupq_n_u32(UINT32_MAX);
    for (size_t i = 0; i < n; i += LANES) {
        const float32x4_t v = vabsq_f32(vld1q_f32(x + i));
        fine = vandq_u32(fine, vcltq_f32(v, vdupq_n_f32(INFINITY)));
        most = vmaxq_f32(most, v);
    }
    return vminvq_u32(fine) == 0 ? NAN : vmaxvq_f32(most);
}

/* Four elements as integers; those of a NaN are 0. */
INLINE int32x4_t rounded(const float *x, float inverse)
{
    const int32x4_t v = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), inverse)); /* ties to even */
    return vmaxq_s32(vminq_s32(v, vdupq_n_s32(PACK_MAX)), vdupq_n_s32(-PACK_MAX));
}

/* q [2][8] of eight elements; returns the sum of their integers. */
INLINE int32_t pack_octet(int8_t *q, const float *x, float inverse)
{
    const int32x4_t a = rounded(x, inverse), b = rounded(x + LANES, inverse);
    const int16x8_t v = vcombine_s16(vmovn_s32(a), vmovn_s32(b));
    vst1_s8(q, vrshrn_n_s16(v, 8)); /* nearest: what is left fits a byte with a sign */
    vst1_s8(q + OCTET, vmovn_s16(v));
    return vaddvq_s32(vaddq_s32(a, b));
}

void pack_neon(void *dst, const float *x, size_t n, enum kernel_role role)
{
    (void)role;
    const struct packed_at at = packed_layout(n);
    const size_t N = round_up_64(n);
    uint8_t *const p = dst;
    float *const scale = (float *)(void *)(p + at.scale);
    int32_t *const sum = (int32_t *)(void *)(p + at.sum);
    int8_t *const q = (int8_t *)(p + at.q);
    packed_begin(dst, x);
    for (size_t g = 0; g < N; g += PACK_GROUP) {
        const size_t end = N - g < PACK_GROUP ? N : g + PACK_GROUP;
        float rest[PACK_GROUP], inverse;
        const float *const group = packed_group(x, n, g, rest);
        scale[g / PACK_GROUP] = group_scale(group_max(group, end - g), PACK_MAX, &inverse);
        for (size_t i = g; i < end; i += PACK_SUM) {
            const float *const part = group + (i - g);
            sum[i / PACK_SUM] = pack_octet(q + 2 * i, part, inverse)
                              + pack_octet(q + 2 * i + 2 * OCTET, part + OCTET, inverse);
        }
    }
}
