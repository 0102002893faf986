/* select_avx512.c - the k largest of n scores, exactly, in one pass over them.
 *
 * Scores become integer keys that order like them (as in ref/select.c). A buffer of a few k takes
 * every key above a threshold, with its position; when it is full, the k-th largest of it becomes
 * the threshold and only the k best stay. So random scores enter k ln(n/k) times; rising ones, the
 * worst case, all do and cost a few operations each. A later score equal to the threshold loses to
 * the earlier ones, so "above" is exact, ties and all.
 *
 * The k-th largest of m keys is built bit by bit from the top: 32 counts of m/16 comparisons.
 */
#include <assert.h>
#include <math.h>

#include "kernels/ref/ref.h"
#include "kernels/x86/bytes_avx512.h"
#include "kernels/x86/x86.h"

enum { LANES = 16, BUFFER = 4 }; /* the buffer holds BUFFER k if scratch has the room */

/* NaN 0 < -inf < ... < -0 = +0 < ... < +inf */
INLINE __m512i keys_of(__m512 s)
{
    const __m512i u = _mm512_castps_si512(_mm512_add_ps(s, _mm512_setzero_ps())); /* -0 is +0 */
    const __m512i sign = _mm512_srai_epi32(u, 31);
    const __m512i flip = _mm512_or_si512(sign, _mm512_set1_epi32(INT32_MIN));
    return _mm512_maskz_xor_epi32(_mm512_cmp_ps_mask(s, s, _CMP_ORD_Q), u, flip);
}

struct chosen { /* keys in any order, rising positions */
    uint32_t *key;
    int32_t *at;
    size_t n;
};

/* Appends the lanes of `which`, in order; key may be NULL. */
INLINE void append(struct chosen *c, __mmask16 which, __m512i key, __m512i at)
{
    const size_t count = (size_t)_mm_popcnt_u32(which);
    const __mmask16 head = (__mmask16)((1u << count) - 1);
    if (c->key)
        _mm512_mask_storeu_epi32(c->key + c->n, head, _mm512_maskz_compress_epi32(which, key));
    _mm512_mask_storeu_epi32(c->at + c->n, head, _mm512_maskz_compress_epi32(which, at));
    c->n += count;
}

static size_t count_from(const uint32_t *key, size_t m, uint32_t least)
{
    const __m512i bound = _mm512_set1_epi32((int)least);
    size_t count = 0;
    for (size_t i = 0; i < m; i += LANES) {
        const __mmask16 have = first_lanes(m - i);
        const __m512i v = _mm512_maskz_loadu_epi32(have, key + i);
        count += (size_t)_mm_popcnt_u32(_mm512_mask_cmpge_epu32_mask(have, v, bound));
    }
    return count;
}

/* The k-th largest of key[m], 1 <= k <= m: the largest value that k keys reach. */
static uint32_t kth_key(const uint32_t *key, size_t m, size_t k)
{
    uint32_t v = 0;
    for (int bit = 31; bit >= 0; bit--)
        if (count_from(key, m, v | 1u << bit) >= k)
            v |= 1u << bit;
    return v;
}

static __m512i lane_numbers(void)
{
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

/* Leaves of `from` the k best in `to`, in order, the first ones of those that are equal to the
 * k-th; from->at NULL: positions are indices. `to` may be `from`. Returns the k-th key. */
static uint32_t keep_best(struct chosen *to, const struct chosen *from, size_t k)
{
    const struct chosen f = *from;
    const uint32_t kth = kth_key(f.key, f.n, k);
    size_t equal = k - (kth == UINT32_MAX ? 0 : count_from(f.key, f.n, kth + 1));
    const __m512i bound = _mm512_set1_epi32((int)kth);
    to->n = 0;
    for (size_t i = 0; i < f.n; i += LANES) {
        const __mmask16 have = first_lanes(f.n - i);
        const __m512i key = _mm512_maskz_loadu_epi32(have, f.key + i);
        const __m512i at = f.at ? _mm512_maskz_loadu_epi32(have, f.at + i)
                                : _mm512_add_epi32(lane_numbers(), _mm512_set1_epi32((int)i));
        const uint32_t same = _mm512_mask_cmpeq_epi32_mask(have, key, bound);
        const uint32_t first = _pdep_u32(equal < LANES ? (1u << equal) - 1 : 0xffff, same);
        equal -= (size_t)_mm_popcnt_u32(first);
        append(to, (__mmask16)(first | _mm512_mask_cmpgt_epu32_mask(have, key, bound)), key, at);
    }
    assert(to->n == k);
    return kth;
}

/* One pass; the buffer has room for more than k. */
static void scan(struct chosen *buffer, size_t room, size_t k, const float *s, size_t n)
{
    uint32_t threshold = 0;
    bool full = false; /* as long as it is not, a NaN may enter too */
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512i key = keys_of(_mm512_maskz_loadu_ps(have, s + i));
        const __mmask16 above =
            full ? _mm512_mask_cmpgt_epu32_mask(have, key, _mm512_set1_epi32((int)threshold))
                 : have;
        if (!above)
            continue;
        append(buffer, above, key,
               _mm512_add_epi32(lane_numbers(), _mm512_set1_epi32((int)i)));
        if (buffer->n + LANES > room) {
            threshold = keep_best(buffer, buffer, k);
            full = true;
        }
    }
}

void topk_avx512(int32_t *idx, size_t k, const float *s, size_t n, float *scratch)
{
    assert(k <= n && n <= INT32_MAX);
    struct chosen out = {NULL, idx, 0}, buffer = {(uint32_t *)(void *)scratch, NULL, 0};
    if (k == 0)
        return;
    const size_t room = n / 2 < BUFFER * k + 4 * LANES ? n / 2 : BUFFER * k + 4 * LANES;
    if (room >= 2 * k + 2 * LANES) {
        buffer.at = (int32_t *)(void *)(scratch + room);
        scan(&buffer, room, k, s, n);
    } else {
        for (size_t i = 0; i < n; i += LANES)
            _mm512_mask_storeu_epi32(buffer.key + i, first_lanes(n - i),
                                     keys_of(_mm512_maskz_loadu_ps(first_lanes(n - i), s + i)));
        buffer.n = n;
    }
    (void)keep_best(&out, &buffer, k);
}

size_t above_avx512(float *score, int32_t *pos, const float *s, size_t n, int32_t first,
                    float least, bool *finite)
{
    struct chosen out = {(uint32_t *)(void *)score, pos, 0};
    __mmask16 bad = 0;
    for (size_t i = 0; i < n; i += LANES) {
        const __mmask16 have = first_lanes(n - i);
        const __m512 v = _mm512_maskz_loadu_ps(have, s + i);
        const __m512i at = _mm512_add_epi32(lane_numbers(), _mm512_set1_epi32(first + (int32_t)i));
        bad |= _mm512_cmp_ps_mask(_mm512_abs_ps(v), _mm512_set1_ps(INFINITY), _CMP_NLT_UQ);
        const __mmask16 more =
            _mm512_mask_cmp_ps_mask(have, v, _mm512_set1_ps(least), _CMP_GT_OQ);
        if (more)
            append(&out, more, _mm512_castps_si512(v), at);
    }
    *finite = *finite && bad == 0;
    return out.n;
}
