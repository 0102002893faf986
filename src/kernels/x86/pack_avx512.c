/* pack_avx512.c - a vector rounded to 8 bits per group of 16, for prompts (x86.h says why and how).
 *
 * 256 columns at a time: turned, a register holds one column of 16 parts, so that maxima and sums
 * of parts take one operation a register and no more.
 */
#include "kernels/x86/bytes_avx512.h"
#include "kernels/x86/x86.h"

#include <math.h>

enum { PARTS = PACK_GROUP / PACK_SUM, QUAD_MAX = 127 };

size_t pack_bytes_avx512(size_t n, enum kernel_role role)
{
    const size_t groups = (n + PACK_GROUP - 1) / PACK_GROUP;
    return role == ROLE_DECODE ? x86_pack_bytes(n, role)
                               : PACKED_HEAD + round_up_64(groups * sizeof(struct packed_quads));
}

/* Lane i: the largest magnitude of part i; NaN if one of its 16 is not finite. */
static __m512 part_maxima(const __m512 column[PARTS])
{
    const __m512 inf = _mm512_set1_ps(INFINITY);
    __m512 most = _mm512_setzero_ps();
    __mmask16 bad = 0;
    for (size_t c = 0; c < PARTS; c++) {
        const __m512 v = _mm512_abs_ps(column[c]);
        bad |= _mm512_cmp_ps_mask(v, inf, _CMP_NLT_UQ);
        most = _mm512_max_ps(most, v);
    }
    return _mm512_mask_mov_ps(most, bad, _mm512_set1_ps(NAN));
}

/* x[256] -> g */
static void pack_group(struct packed_quads *g, const float *x)
{
    const __m512i most_q = _mm512_set1_epi32(QUAD_MAX), least_q = _mm512_set1_epi32(-QUAD_MAX);
    __m512i v[PARTS];
    __m512 column[PARTS];
    for (size_t i = 0; i < PARTS; i++)
        v[i] = _mm512_loadu_si512(x + PARTS * i);
    transpose_16(v);
    UNROLL for (size_t i = 0; i < PARTS; i++)
        column[i] = _mm512_castsi512_ps(v[i]);
    const __m512 most = part_maxima(column);
    /* A denormal scale would lose bits: such a part is as good as 0. */
    __m512 scale = _mm512_div_ps(most, _mm512_set1_ps(QUAD_MAX));
    const __mmask16 none = _mm512_cmp_ps_mask(scale, _mm512_set1_ps(0x1p-126f), _CMP_LT_OQ);
    scale = _mm512_mask_mov_ps(scale, none, _mm512_setzero_ps());
    const __m512 inverse = _mm512_maskz_div_ps(_knot_mask16(none), _mm512_set1_ps(QUAD_MAX), most);
    __m512i sum = _mm512_setzero_si512();
    UNROLL for (size_t c = 0; c < PARTS; c++) {
        v[c] = _mm512_cvtps_epi32(_mm512_mul_ps(column[c], inverse)); /* nearest, ties to even */
        v[c] = _mm512_max_epi32(_mm512_min_epi32(v[c], most_q), least_q);
        sum = _mm512_add_epi32(sum, v[c]);
    }
    transpose_16(v);
    UNROLL for (size_t i = 0; i < PARTS; i++)
        _mm_storeu_si128((__m128i *)(void *)(g->q + PARTS * i), _mm512_cvtepi32_epi8(v[i]));
    _mm512_storeu_ps(g->scale, scale);
    const __m512i start = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7));
    _mm512_storeu_si512(g->start, start);
    _mm512_storeu_ps(g->sum, _mm512_mul_ps(scale, _mm512_cvtepi32_ps(sum)));
}

void pack_avx512(void *dst, const float *x, size_t n, enum kernel_role role)
{
    if (role == ROLE_DECODE) {
        x86_pack(dst, x, n, role);
        return;
    }
    struct packed_quads *const g = (void *)((uint8_t *)dst + PACKED_HEAD);
    packed_begin(dst, x);
    for (size_t i = 0; i < n; i += PACK_GROUP) {
        float rest[PACK_GROUP];
        pack_group(&g[i / PACK_GROUP], packed_group(x, n, i, rest));
    }
}
