/* select.c - the k largest of n scores, exactly.
 *
 * A float's bits, with the sign taken care of, order like the float. The k-th largest such key is
 * found from its top bits down: count how many keys have each value of the next digit, keep the
 * digit in which the k-th falls. Then one scan in ascending position takes all larger keys and the
 * first ones of those that are equal.
 *
 * Cost: five passes over n, whatever the scores are.
 */
#include <assert.h>
#include <math.h>

#include "kernels/ref/ref.h"

enum { DIGIT_MAX = 11 };

/* Monotone: NaN 0 < -inf < ... < -0 = +0 < ... < +inf. */
static uint32_t score_key(float v)
{
    if (v != v)
        return 0;
    const uint32_t u = f32_bits(v + 0.0f); /* -0 + 0 = +0 */
    return u >> 31 ? ~u : u | 0x80000000u;
}

/* How many of the keys that agree with `prefix` above `shift + bits` have which digit there. */
static void count_digits(uint32_t *count, const float *s, size_t n, uint64_t prefix, int shift,
                         int bits)
{
    const uint32_t mask = (1u << bits) - 1;
    memset(count, 0, sizeof *count << bits);
    for (size_t i = 0; i < n; i++) {
        const uint64_t key = score_key(s[i]);
        if (key >> (shift + bits) == prefix)
            count[key >> shift & mask]++;
    }
}

/* The key of the k-th largest score; *equal: how many of that key belong to the k. 1 <= k <= n. */
static uint32_t kth_key(const float *s, size_t n, size_t k, size_t *equal)
{
    static const int digit[] = {DIGIT_MAX, DIGIT_MAX, 32 - 2 * DIGIT_MAX};
    uint32_t count[1u << DIGIT_MAX];
    uint64_t prefix = 0;
    int shift = 32;
    for (size_t d = 0; d < sizeof digit / sizeof *digit; d++) {
        shift -= digit[d];
        count_digits(count, s, n, prefix, shift, digit[d]);
        uint32_t v = (1u << digit[d]) - 1;
        for (; count[v] < k; v--)
            k -= count[v];
        prefix = prefix << digit[d] | v;
    }
    *equal = k;
    return (uint32_t)prefix;
}

void ref_topk(int32_t *idx, size_t k, const float *s, size_t n, float *scratch)
{
    (void)scratch;
    assert(k <= n && n <= INT32_MAX);
    if (k == 0)
        return;
    size_t equal, out = 0;
    const uint32_t threshold = kth_key(s, n, k, &equal);
    for (size_t i = 0; i < n; i++) {
        const uint32_t key = score_key(s[i]);
        if (key < threshold || (key == threshold && equal == 0))
            continue;
        equal -= key == threshold;
        idx[out++] = (int32_t)i;
    }
    assert(out == k);
}

size_t ref_above(float *score, int32_t *pos, const float *s, size_t n, int32_t first, float least,
                 bool *finite)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        *finite = *finite && isfinite(s[i]);
        if (s[i] > least) {
            score[out] = s[i];
            pos[out++] = first + (int32_t)i;
        }
    }
    return out;
}
