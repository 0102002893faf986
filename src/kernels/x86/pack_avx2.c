/* pack_avx2.c - a vector rounded to 14 bits per group of 256, for prompts also to 8 bits per 32
 * (x86.h says why and how). Every step is exact or rounded once, so that this serves all levels: a
 * wider register could not change a bit, and 6,144 elements take a microsecond or two.
 */
#include "kernels/x86/vec_avx2.h"
#include "kernels/x86/x86.h"

#include <math.h>

size_t x86_pack_bytes(size_t n, enum kernel_role role)
{
    const size_t groups = (n + PACK_GROUP - 1) / PACK_GROUP;
    return packed_layout(n).bytes
         + (role == ROLE_DECODE ? 2 * round_up_64(n)
                                : round_up_64(groups * sizeof(struct packed_quads)));
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

/* 32 elements as integers of at most `most`; the sums of their halves. */
static void rounded_32(__m256i v[4], int32_t sum[2], const float *x, float inverse, int most)
{
    for (size_t i = 0; i < 4; i++) {
        const __m256 scaled = mul(float_load(x + LANES * i), float_all(inverse));
        v[i] = _mm256_cvtps_epi32(scaled); /* nearest, ties to even */
        v[i] = _mm256_max_epi32(_mm256_min_epi32(v[i], int_all(most)), int_all(-most));
    }
    sum[0] = sum_of(v[0], v[1]);
    sum[1] = sum_of(v[2], v[3]);
}

/* x[n], n a multiple of 32 up to 256, as integers; for decode (high != NULL) also as bytes. */
static void pack_group(int16_t *q, float *scale, float *sum, int8_t *high, int8_t *low,
                       const float *x, size_t n)
{
    float inverse;
    *scale = group_scale(group_max(x, n), PACK_MAX, &inverse);
    for (size_t i = 0; i < n; i += PACK_CHUNK / 2) {
        __m256i v[4];
        int32_t total[2];
        rounded_32(v, total, x + i, inverse, PACK_MAX);
        sum[i / PACK_SUM] = *scale * (float)total[0];
        sum[i / PACK_SUM + 1] = *scale * (float)total[1];
        int16_t *const even = q + packed_evens(i);
        _mm256_storeu_si256((__m256i *)(void *)even, EVERY_SECOND(v, 0x88));
        _mm256_storeu_si256((__m256i *)(void *)(even + PACK_CHUNK / 2), EVERY_SECOND(v, 0xdd));
        if (high)
            store_halves(high + i, low + i, v);
    }
}

static void pack_quads(struct packed_quads *g, const float x[PACK_GROUP])
{
    for (size_t i = 0; i < PACK_GROUP; i += QUAD_SCALE) {
        __m256i v[4];
        int32_t total[2];
        float inverse;
        const float scale = group_scale(group_max(x + i, QUAD_SCALE), QUAD_MAX, &inverse);
        rounded_32(v, total, x + i, inverse, QUAD_MAX);
        store_bytes(g->q + i, v);
        g->scale[i / QUAD_SCALE] = scale;
        for (size_t h = 0; h < 2; h++) {
            g->start[i / PACK_SUM + h] = -128 * total[h];
            g->sum[i / PACK_SUM + h] = scale * (float)total[h];
        }
    }
}

void x86_pack(void *dst, const float *x, size_t n, enum kernel_role role)
{
    const struct packed_at at = packed_layout(n);
    const size_t N = round_up_64(n);
    uint8_t *const p = dst;
    float *const scale = (float *)(void *)(p + at.scale);
    float *const sum = (float *)(void *)(p + at.sum);
    int16_t *const q = (int16_t *)(void *)(p + at.q);
    int8_t *const high = role == ROLE_DECODE ? (int8_t *)p + at.bytes : NULL;
    struct packed_quads *const quads = (void *)(p + at.bytes);
    packed_begin(dst, x);
    for (size_t g = 0; g < N; g += PACK_GROUP) {
        float rest[PACK_GROUP];
        const float *const group = packed_group(x, n, g, rest);
        pack_group(q + g, scale + g / PACK_GROUP, sum + g / PACK_SUM, high ? high + g : NULL,
                   high ? high + N + g : NULL, group, N - g < PACK_GROUP ? N - g : PACK_GROUP);
        if (role == ROLE_PREFILL)
            pack_quads(&quads[g / PACK_GROUP], group);
    }
}
