/* kvrow.c - rows of the cache: f32 to and from the type that they are kept in. */
#include <assert.h>
#include <math.h>

#include "kernels/ref/ref.h"

/* To nearest, ties to even, with the same shift-and-round for normal and subnormal results. */
static uint16_t f32_f16(float v)
{
    const uint32_t u = f32_bits(v), mag = u & 0x7fffffff;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (mag > 0x7f800000)
        return (uint16_t)(sign | 0x7e00); /* a quiet NaN */
    if (mag >= 0x47800000)
        return (uint16_t)(sign | 0x7c00); /* 2^16 and above */
    if (mag < 0x33000000)
        return sign; /* below 2^-25, half of the smallest subnormal */
    const uint32_t exponent = mag >> 23;
    const bool normal = exponent > 112; /* 2^-14 and above */
    const uint32_t mantissa = normal ? mag - (112u << 23) : (mag & 0x7fffff) | 0x800000;
    const uint32_t drop = normal ? 13 : 126 - exponent;
    const uint32_t kept = mantissa >> drop, rest = mantissa & ((1u << drop) - 1);
    const uint32_t half = 1u << (drop - 1);
    return (uint16_t)(sign | (kept + (rest > half || (rest == half && (kept & 1)))));
}

static uint16_t f32_bf16(float v)
{
    const uint32_t u = f32_bits(v);
    if ((u & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(u >> 16 | 0x40); /* quiet: cutting the payload could leave an infinity */
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void store_u16(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }

float ref_block_store(int8_t *v, const float *x, size_t n)
{
    float most = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        finite = finite && isfinite(x[i]);
    }
    const float s = most / KV_BYTE_MAX < 0x1p-126f ? 0 : most / KV_BYTE_MAX;
    const float inverse = finite && s > 0 ? KV_BYTE_MAX / most : 0;
    for (size_t i = 0; i < n; i++)
        v[i] = inverse > 0 ? (int8_t)rintf(x[i] * inverse) : 0;
    return finite ? s : NAN;
}

/* Blocks of up to `block` elements. */
static void store_blocks(uint8_t *p, const float *x, size_t n, size_t block)
{
    for (size_t i = 0; i < n; i += block, p += sizeof(float) + block) {
        const size_t part = n - i < block ? n - i : block;
        const float s = ref_block_store((int8_t *)p + sizeof s, x + i, part);
        memcpy(p, &s, sizeof s);
    }
}

static void load_blocks(float *y, const uint8_t *p, size_t n, size_t block)
{
    for (size_t i = 0; i < n; i++) {
        const uint8_t *const at = p + i / block * (sizeof(float) + block);
        const float s = bits_f32(load_u32(at));
        y[i] = s * (float)(int8_t)at[sizeof s + i % block];
    }
}

void ref_kv_store(void *dst, const float *x, size_t n, enum kv_type t)
{
    uint8_t *const p = dst;
    assert((unsigned)t < KV_TYPE_COUNT);
    if (t == KV_F32 && n > 0)
        memcpy(p, x, n * sizeof *x);
    else if (t == KV_F16)
        for (size_t i = 0; i < n; i++)
            store_u16(p + 2 * i, f32_f16(x[i]));
    else if (t == KV_BF16)
        for (size_t i = 0; i < n; i++)
            store_u16(p + 2 * i, f32_bf16(x[i]));
    else if (t == KV_Q8 || t == KV_I8)
        store_blocks(p, x, n, t == KV_Q8 ? KV_BLOCK : n);
}

void ref_kv_load(float *y, const void *src, size_t n, enum kv_type t)
{
    static const enum dtype stored[KV_TYPE_COUNT] = {
        [KV_F32] = DT_F32, [KV_F16] = DT_F16, [KV_BF16] = DT_BF16};
    assert((unsigned)t < KV_TYPE_COUNT);
    if (t == KV_Q8 || t == KV_I8)
        load_blocks(y, src, n, t == KV_Q8 ? KV_BLOCK : n);
    else
        ref_dequant(stored[t], y, src, n);
}
