/* cached.h - rows of the cache: f32 to and from the type that they are kept in. The skeleton of
 * cached_*.c of the levels, each of which includes it once, behind its math_*.h.
 *
 * F16 is the processor's own conversion, which rounds to nearest even, subnormals included, and
 * keeps NaN quiet. BF16 is integer arithmetic: the processor's conversion drops subnormals.
 */
#ifndef GLIM_KERNELS_SIMD_CACHED_H
#define GLIM_KERNELS_SIMD_CACHED_H

#include <assert.h>
#include <math.h>

#include "kernels/ref/ref.h"
#include "kernels/simd/row.h"

INLINE vint bf16_of(vfloat x)
{
    const vint u = as_int(x);
    const vint even = int_and(int_down(u, 16), int_all(1));
    const vint rounded = int_add(int_add(u, int_all(0x7fff)), even);
    const vint quiet = int_or(u, int_all(0x400000));
    return int_down(int_choose(equal(x, x), rounded, quiet), 16);
}

float LEVEL(block_store)(int8_t *v, const float *x, size_t n)
{
    const unsigned all = mask_bits(mask_first(LANES));
    vfloat top = float_zero();
    unsigned finite = all;
    for (size_t i = 0; i < n; i += LANES) {
        const vfloat a = size_of(load_first(x + i, n - i));
        finite &= mask_bits(less(a, float_all(INFINITY)));
        top = larger(top, a);
    }
    const float most = finite == all ? lanes_max(top) : NAN;
    const float s = most / KV_BYTE_MAX < 0x1p-126f ? 0 : most / KV_BYTE_MAX;
    const vfloat inverse = float_all(s > 0 ? KV_BYTE_MAX / most : 0);
    for (size_t i = 0; i < n; i += LANES) {
        const vint bytes = int_near(mul(inverse, load_first(x + i, n - i)));
        store_bytes((uint8_t *)v + i, n - i, s > 0 ? bytes : int_zero());
    }
    return s;
}

static void store_blocks(uint8_t *p, const float *x, size_t n, size_t block)
{
    for (size_t i = 0; i < n; i += block, p += sizeof(float) + block) {
        const float s =
            LEVEL(block_store)((int8_t *)p + sizeof s, x + i, n - i < block ? n - i : block);
        memcpy(p, &s, sizeof s);
    }
}

void LEVEL(kv_store)(void *dst, const float *x, size_t n, enum kv_type t)
{
    uint8_t *const p = dst;
    assert((unsigned)t < KV_TYPE_COUNT);
    if (t == KV_F32)
        ref_kv_store(dst, x, n, t);
    else if (t == KV_Q8 || t == KV_I8)
        store_blocks(p, x, n, t == KV_Q8 ? KV_BLOCK : n);
    else if (t == KV_F16)
        for (size_t i = 0; i < n; i += LANES)
            store_halves(p + 2 * i, n - i, load_first(x + i, n - i));
    else
        for (size_t i = 0; i < n; i += LANES)
            store_words(p + 2 * i, n - i, bf16_of(load_first(x + i, n - i)));
}

INLINE void load_all(enum kv_type t, float *y, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store_first(y + i, n - i, load_row(t, src, i, n - i));
}

void LEVEL(kv_load)(float *y, const void *src, size_t n, enum kv_type t)
{
    assert((unsigned)t < KV_TYPE_COUNT);
    switch (t) {
    case KV_F32: load_all(KV_F32, y, src, n); break;
    case KV_F16: load_all(KV_F16, y, src, n); break;
    case KV_Q8: load_all(KV_Q8, y, src, n); break;
    case KV_I8: load_all(KV_I8, y, src, n); break;
    default: load_all(KV_BF16, y, src, n);
    }
}

#endif
