/* cached_neon.c - rows of the cache as floats: the bits of the reference (kernels/ref/kvrow.c). */
#include "kernels/arm/arm.h"
#include "kernels/arm/vec_neon.h"
#include "kernels/ref/ref.h"

enum { STEP = 16 }; /* elements at once; the rest goes the reference's way */

/* Elements [i, i + 4) of a row of half words. */
INLINE float32x4_t four_halves(const uint8_t *p, size_t i, enum kv_type t)
{
    const uint16x4_t v = vreinterpret_u16_u8(vld1_u8(p + 2 * i));
    return t == KV_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(v))
                       : vreinterpretq_f32_u32(vshll_n_u16(v, 16));
}

static void load_halves(float *y, const uint8_t *p, size_t n, enum kv_type t)
{
    size_t i = 0;
    for (; i + STEP <= n; i += STEP)
        for (size_t j = i; j < i + STEP; j += LANES)
            vst1q_f32(y + j, four_halves(p, j, t));
    ref_kv_load(y + i, p + 2 * i, n - i, t);
}

/* y = s * v, 16 bytes */
INLINE void sixteen_bytes(float *y, const int8_t *v, float s)
{
    const int8x16_t b = vld1q_s8(v);
    const int16x8_t two[2] = {vmovl_s8(vget_low_s8(b)), vmovl_high_s8(b)};
    UNROLL for (unsigned i = 0; i < 2; i++) {
        vst1q_f32(y + 8 * i, vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(two[i]))), s));
        vst1q_f32(y + 8 * i + 4, vmulq_n_f32(vcvtq_f32_s32(vmovl_high_s16(two[i])), s));
    }
}

/* Blocks of up to `block` elements, each behind its scale. */
static void load_blocks(float *y, const uint8_t *p, size_t n, size_t block)
{
    for (size_t at = 0; at < n; at += block, p += sizeof(float) + block) {
        const size_t end = n - at < block ? n : at + block;
        const int8_t *const v = (const int8_t *)p + sizeof(float);
        const float s = bits_f32(load_u32(p));
        size_t i = at;
        for (; i + STEP <= end; i += STEP)
            sixteen_bytes(y + i, v + (i - at), s);
        for (; i < end; i++)
            y[i] = s * (float)v[i - at];
    }
}

void kv_load_neon(float *y, const void *src, size_t n, enum kv_type t)
{
    if (t == KV_F16 || t == KV_BF16)
        load_halves(y, src, n, t);
    else if (t == KV_Q8 || t == KV_I8)
        load_blocks(y, src, n, t == KV_Q8 ? KV_BLOCK : n);
    else
        ref_kv_load(y, src, n, t);
}
