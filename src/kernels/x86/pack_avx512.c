/* pack_avx512.c - a vector rounded to 14 bits per group of 256 (x86.h says why and how). */
#include "kernels/x86/x86.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

size_t x86_pack_bytes(size_t n) { return packed_layout(n).bytes; }

/* The largest magnitude of x[0, n), n <= 256; NaN if one of them is not finite. */
static float group_max(const float *x, size_t n)
{
    __m512 most = _mm512_setzero_ps();
    __mmask16 bad = 0;
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 have = (__mmask16)(n - i >= 16 ? 0xffff : (1u << (n - i)) - 1);
        const __m512 v = _mm512_abs_ps(_mm512_maskz_loadu_ps(have, x + i));
        bad |= _mm512_cmp_ps_mask(v, _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
        most = _mm512_max_ps(most, v);
    }
    return bad ? NAN : _mm512_reduce_max_ps(most);
}

static const int16_t even_index[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                       22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42,
                                       44, 46, 48, 50, 52, 54, 56, 58, 60, 62};

/* 64 integers of 32 bits as 16: the even ones, then the odd ones. */
static void store_chunk(int16_t *q, const __m512i v[4])
{
    const __m512i a = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(v[0])),
                                         _mm512_cvtepi32_epi16(v[1]), 1);
    const __m512i b = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(v[2])),
                                         _mm512_cvtepi32_epi16(v[3]), 1);
    const __m512i even = _mm512_loadu_si512(even_index);
    const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
    _mm512_storeu_si512(q, _mm512_permutex2var_epi16(a, even, b));
    _mm512_storeu_si512(q + 32, _mm512_permutex2var_epi16(a, odd, b));
}

/* One chunk of at most 64 elements: integers and sums of 16. */
static void pack_chunk(int16_t *q, float *sum, const float *x, size_t n, float scale, float inverse)
{
    __m512i v[4];
    for (size_t i = 0; i < 4; i++) {
        const size_t left = n > 16 * i ? n - 16 * i : 0;
        const __mmask16 have = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1);
        const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(have, x + 16 * i),
                                            _mm512_set1_ps(inverse));
        v[i] = _mm512_cvtps_epi32(scaled); /* nearest, ties to even */
        v[i] = _mm512_min_epi32(v[i], _mm512_set1_epi32(PACK_MAX));
        v[i] = _mm512_max_epi32(v[i], _mm512_set1_epi32(-PACK_MAX));
        sum[i] = scale * (float)_mm512_reduce_add_epi32(v[i]);
    }
    store_chunk(q, v);
}

void pack_avx512(void *dst, const float *x, size_t n)
{
    const struct packed_at at = packed_layout(n);
    uint8_t *const p = dst;
    float *const copy = (float *)(void *)p, *const scale = (float *)(void *)(p + at.scale);
    float *const sum = (float *)(void *)(p + at.sum);
    int16_t *const q = (int16_t *)(void *)(p + at.q);
    if (n > 0)
        memcpy(copy, x, n * sizeof *x);
    memset(copy + n, 0, (round_up_64(n) - n) * sizeof *x);
    for (size_t g = 0; g < n; g += PACK_GROUP) {
        const size_t len = n - g < PACK_GROUP ? n - g : PACK_GROUP;
        const float most = group_max(x + g, len);
        /* A denormal scale would lose bits: such a group is as good as 0. */
        const float s = most / PACK_MAX < 0x1p-126f ? 0 : most / PACK_MAX;
        const float inverse = s > 0 ? PACK_MAX / most : 0;
        scale[g / PACK_GROUP] = s;
        for (size_t c = 0; c < len; c += PACK_CHUNK)
            pack_chunk(q + g + c, sum + (g + c) / PACK_SUM, x + g + c,
                       len - c < PACK_CHUNK ? len - c : PACK_CHUNK, s, inverse);
    }
}
