/* cached_avx512.c - rows of the cache: f32 to and from the type that they are kept in.
 *
 * F16 is the processor's own conversion, which rounds to nearest even, subnormals included, and
 * keeps NaN quiet. The processor's conversion to BF16 drops subnormals: here it is integer
 * arithmetic.
 */
#include <assert.h>
#include <math.h>

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

float block_store_avx512(int8_t *v, const float *x, size_t n)
{
    __m512 top = _mm512_setzero_ps();
    __mmask16 finite = 0xffff;
    for (size_t i = 0; i < n; i += LANES) {
        const __m512 a = _mm512_abs_ps(_mm512_maskz_loadu_ps(first_lanes(n - i), x + i));
        finite &= _mm512_cmp_ps_mask(a, _mm512_set1_ps(INFINITY), _CMP_LT_OQ);
        top = _mm512_max_ps(top, a);
    }
    const float most = finite == 0xffff ? _mm512_reduce_max_ps(top) : NAN;
    const float s = most / KV_BYTE_MAX < 0x1p-126f ? 0 : most / KV_BYTE_MAX;
    const __m512 inverse = _mm512_set1_ps(s > 0 ? KV_BYTE_MAX / most : 0);
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512 scaled = _mm512_mul_ps(inverse, _mm512_maskz_loadu_ps(have, x + i));
        const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(scaled));
        _mm_mask_storeu_epi8(v + i, have, s > 0 ? bytes : _mm_setzero_si128());
    }
    return s;
}

static void store_blocks(uint8_t *p, const float *x, size_t n, size_t block)
{
    for (size_t i = 0; i < n; i += block, p += sizeof(float) + block) {
        const float s =
            block_store_avx512((int8_t *)p + sizeof s, x + i, n - i < block ? n - i : block);
        memcpy(p, &s, sizeof s);
    }
}

void kv_store_avx512(void *dst, const float *x, size_t n, enum kv_type t)
{
    assert((unsigned)t < KV_TYPE_COUNT);
    if (t == KV_F32) {
        ref_kv_store(dst, x, n, t);
        return;
    }
    if (t == KV_Q8 || t == KV_I8) {
        store_blocks(dst, x, n, t == KV_Q8 ? KV_BLOCK : n);
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
    case KV_Q8: load_all(KV_Q8, y, src, n); break;
    case KV_I8: load_all(KV_I8, y, src, n); break;
    default: load_all(KV_BF16, y, src, n);
    }
}
