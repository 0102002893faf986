/* cached_avx512.c - rows of the cache: f32 to and from the type that they are kept in.
 *
 * F16 is the processor's own conversion, which rounds to nearest even, subnormals included, and
 * keeps NaN quiet. The processor's conversion to BF16 drops subnormals: here it is integer
 * arithmetic.
 */
#include <assert.h>

#include "kernels/ref/ref.h"
#include "kernels/x86/kvrow_avx512.h"
#include "kernels/x86/x86.h"

enum { LANES = 16 };

INLINE __m256i bf16_of(__m512 x)
{
    const __m512i u = _mm512_castps_si512(x);
    const __m512i even = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), even);
    const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(
        _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
}

void kv_store_avx512(void *dst, const float *x, size_t n, enum kv_type t)
{
    assert((unsigned)t < KV_TYPE_COUNT);
    if (t == KV_F32) {
        ref_kv_store(dst, x, n, t);
        return;
    }
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(have, x + i);
        const __m256i h = t == KV_F16 ? _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT) : bf16_of(v);
        _mm256_mask_storeu_epi16((uint8_t *)dst + 2 * i, have, h);
    }
}

INLINE void load_all(enum kv_type t, float *y, const uint8_t *src, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        _mm512_mask_storeu_ps(y + i, have, load_row_16(t, src, i, have));
    }
}

void kv_load_avx512(float *y, const void *src, size_t n, enum kv_type t)
{
    assert((unsigned)t < KV_TYPE_COUNT);
    switch (t) {
    case KV_F32: load_all(KV_F32, y, src, n); break;
    case KV_F16: load_all(KV_F16, y, src, n); break;
    default: load_all(KV_BF16, y, src, n);
    }
}
