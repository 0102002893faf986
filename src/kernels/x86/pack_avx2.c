/* pack_avx2.c - a vector rounded to 14 bits per group of 256 (x86.h says why and how). Every step
 * is exact or rounded once, so that this serves all levels: a wider register could not change a
 * bit, and 6,144 elements take a microsecond.
 */
#include "kernels/x86/vec_avx2.h"
#include "kernels/x86/x86.h"

#include <math.h>

size_t x86_pack_bytes(size_t n, enum kernel_role role)
{
    (void)role;
    return packed_layout(n).bytes + 2 * round_up_64(n);
}

/* The largest magnitude of x[0, n), n a multiple of LANES; NaN if one of them is not finite. */
static float group_max(const float *x, size_t n)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), inf = _mm256_set1_ps(INFINITY);
    __m256 most = _mm256_setzero_ps(), bad = most;
    for (size_t i = 0; i < n; i += LANES) {
        const __m256 v = _mm256_andnot_ps(sign, float_load(x + i));
        bad = _mm256_or_ps(bad, _mm256_cmp_ps(v, inf, _CMP_NLT_UQ));
        most = _mm256_max_ps(most, v);
    }
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm256_movemask_ps(bad) ? NAN : _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

/* The sum of 16 integers. */
static int32_t sum_of(__m256i a, __m256i b)
{
    const __m256i v = _mm256_add_epi32(a, b);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
}

/* Of 32 integers of 32 bits the even ones (0x88) or the odd ones (0xdd), as 16 bits. */
#define EVERY_SECOND(v, which)                                                                     \
    _mm256_permutevar8x32_epi32(                                                                   \
        _mm256_packs_epi32(as_int(_mm256_shuffle_ps(as_float(v[0]), as_float(v[1]), which)),       \
                           as_int(_mm256_shuffle_ps(as_float(v[2]), as_float(v[3]), which))),      \
        _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))

/* 32 integers of 32 bits as bytes. */
static void store_bytes(int8_t *to, const __m256i v[4])
{
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]),
                                             _mm256_packs_epi32(v[2], v[3]));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permutevar8x32_epi32(bytes, order));
}

/* v = 128 high + low */
static void store_halves(int8_t *high, int8_t *low, const __m256i v[4])
{
    __m256i h[4], l[4];
    for (size_t i = 0; i < 4; i++) {
        const __m256i half = int_all(1 << (PACK_LOW_BITS - 1));
        h[i] = _mm256_srai_epi32(_mm256_add_epi32(v[i], half), PACK_LOW_BITS);
        l[i] = _mm256_sub_epi32(v[i], int_up(h[i], PACK_LOW_BITS));
    }
    store_bytes(high, h);
    store_bytes(low, l);
}

/* Half a chunk: 32 elements as integers, as pairs of bytes, and the sums of its parts of 16. */
static void pack_half(int16_t *q, int8_t *high, int8_t *low, float *sum, const float *x,
                      float scale, float inverse)
{
    const __m256i most = int_all(PACK_MAX), least = int_all(-PACK_MAX);
    __m256i v[4];
    for (size_t i = 0; i < 4; i++) {
        const __m256 scaled = mul(float_load(x + LANES * i), float_all(inverse));
        v[i] = _mm256_cvtps_epi32(scaled); /* nearest, ties to even */
        v[i] = _mm256_max_epi32(_mm256_min_epi32(v[i], most), least);
    }
    sum[0] = scale * (float)sum_of(v[0], v[1]);
    sum[1] = scale * (float)sum_of(v[2], v[3]);
    _mm256_storeu_si256((__m256i *)(void *)q, EVERY_SECOND(v, 0x88));
    _mm256_storeu_si256((__m256i *)(void *)(q + PACK_CHUNK / 2), EVERY_SECOND(v, 0xdd));
    store_halves(high, low, v);
}

void x86_pack(void *dst, const float *x, size_t n, enum kernel_role role)
{
    (void)role;
    const struct packed_at at = packed_layout(n);
    const size_t N = round_up_64(n);
    uint8_t *const p = dst;
    float *const scale = (float *)(void *)(p + at.scale);
    float *const sum = (float *)(void *)(p + at.sum);
    int16_t *const q = (int16_t *)(void *)(p + at.q);
    int8_t *const high = (int8_t *)p + at.bytes;
    packed_begin(dst, x);
    for (size_t g = 0; g < N; g += PACK_GROUP) {
        const size_t end = N - g < PACK_GROUP ? N : g + PACK_GROUP;
        float rest[PACK_GROUP], inverse;
        const float *const group = packed_group(x, n, g, rest);
        const float s = group_scale(group_max(group, end - g), &inverse);
        scale[g / PACK_GROUP] = s;
        for (size_t i = g; i < end; i += PACK_CHUNK / 2)
            pack_half(q + packed_evens(i), high + i, high + N + i, sum + i / PACK_SUM,
                      group + (i - g), s, inverse);
    }
}
