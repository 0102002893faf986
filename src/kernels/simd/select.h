/* select.h - the k largest of n scores, exactly, in one pass over them. The skeleton of select_*.c
 * of the levels, each of which includes it once, behind its math_*.h and
 *
 *     store_chosen(key, at, bits, keys, positions)   the lanes whose bit is set, in order, nothing
 *                                                    behind them; key may be NULL
 *
 * Scores become integer keys that order like them (as in ref/select.c). A buffer of a few k takes
 * every key above a threshold, with its position; when it is full, the k-th largest of it becomes
 * the threshold and only the k best stay. So random scores enter k ln(n/k) times; rising ones, the
 * worst case, all do and cost a few operations each. A later score equal to the threshold loses to
 * the earlier ones, so "above" is exact, ties and all.
 *
 * The k-th largest of m keys is built bit by bit from the top: 32 counts of m comparisons.
 */
#ifndef GLIM_KERNELS_SIMD_SELECT_H
#define GLIM_KERNELS_SIMD_SELECT_H

#include <assert.h>
#include <math.h>

#include "kernels/kernels.h"
#include "kernels/simd/bits.h"

enum { BUFFER = 4, ROOM_MORE = 64 }; /* the buffer holds BUFFER k if scratch has the room */

/* NaN INT32_MIN < -inf < ... < -0 = +0 < ... < +inf */
INLINE vint keys_of(vfloat s)
{
    const vint u = as_int(add(s, float_zero())); /* -0 is +0 */
    const vint flip = int_and(int_down_signed(u, 31), int_all(INT32_MAX));
    return int_choose(equal(s, s), int_xor(u, flip), int_all(INT32_MIN));
}

struct chosen { /* keys in any order, rising positions */
    int32_t *key;
    int32_t *at;
    size_t n;
};

/* Appends the lanes of `which`, in order; key may be NULL. */
INLINE void append(struct chosen *c, unsigned which, vint key, vint at)
{
    store_chosen(c->key ? c->key + c->n : NULL, c->at + c->n, which, key, at);
    c->n += bit_count(which);
}

/* Bits of the first n lanes. */
INLINE unsigned bits_first(size_t n) { return n < LANES ? (1u << n) - 1 : (1u << LANES) - 1; }

/* The keys that are above `bound`. */
static size_t count_above(const int32_t *key, size_t m, int32_t bound)
{
    const vint b = int_all(bound);
    size_t count = 0, i = 0;
    for (; i + LANES <= m; i += LANES)
        count += bit_count(mask_bits(int_above(int_load(key + i), b)));
    for (; i < m; i++)
        count += key[i] > bound;
    return count;
}

/* The k-th largest of key[m], 1 <= k <= m: the largest value that k keys reach. */
static int32_t kth_key(const int32_t *key, size_t m, size_t k)
{
    uint32_t v = 0; /* plus 2^31 */
    for (int bit = 31; bit >= 0; bit--)
        if (count_above(key, m, (int32_t)((v | 1u << bit) - 1 - 0x80000000u)) >= k)
            v |= 1u << bit;
    return (int32_t)(v - 0x80000000u);
}

/* The lowest n of the bits, or all. */
INLINE unsigned lowest_bits(unsigned bits, size_t n)
{
    if (n == 0)
        return 0;
    while (bit_count(bits) > n)
        bits &= ~(1u << (31 - __builtin_clz(bits)));
    return bits;
}

INLINE vint positions(int32_t first) { return int_add(lane_numbers(), int_all(first)); }

/* Leaves of `from` the k best in `to`, in order, the first ones of those that are equal to the
 * k-th; from->at NULL: positions are indices. `to` may be `from`. Returns the k-th key. */
static int32_t keep_best(struct chosen *to, const struct chosen *from, size_t k)
{
    const struct chosen f = *from;
    const int32_t kth = kth_key(f.key, f.n, k);
    size_t same = k - count_above(f.key, f.n, kth);
    to->n = 0;
    for (size_t i = 0; i < f.n; i += LANES) {
        const unsigned have = bits_first(f.n - i);
        const vint key = int_load_first(f.key + i, f.n - i);
        const vint at = f.at ? int_load_first(f.at + i, f.n - i) : positions((int32_t)i);
        const unsigned equals = have & mask_bits(int_equal(key, int_all(kth)));
        const unsigned first = lowest_bits(equals, same);
        same -= bit_count(first);
        append(to, first | (have & mask_bits(int_above(key, int_all(kth)))), key, at);
    }
    assert(to->n == k);
    return kth;
}

/* One pass; the buffer has room for more than k. */
static void scan(struct chosen *buffer, size_t room, size_t k, const float *s, size_t n)
{
    int32_t threshold = INT32_MIN;
    bool full = false; /* as long as it is not, a NaN may enter too */
    for (size_t i = 0; i < n; i += LANES) {
        const unsigned have = bits_first(n - i);
        const vint key = keys_of(load_first(s + i, n - i));
        const unsigned above = full ? have & mask_bits(int_above(key, int_all(threshold))) : have;
        if (!above)
            continue;
        append(buffer, above, key, positions((int32_t)i));
        if (buffer->n + LANES > room) {
            threshold = keep_best(buffer, buffer, k);
            full = true;
        }
    }
}

void LEVEL(topk)(int32_t *idx, size_t k, const float *s, size_t n, float *scratch)
{
    assert(k <= n && n <= INT32_MAX);
    struct chosen out = {NULL, idx, 0}, buffer = {(int32_t *)(void *)scratch, NULL, 0};
    if (k == 0)
        return;
    const size_t room = n / 2 < BUFFER * k + ROOM_MORE ? n / 2 : BUFFER * k + ROOM_MORE;
    if (room >= 2 * k + ROOM_MORE / 2) {
        buffer.at = (int32_t *)(void *)(scratch + room);
        scan(&buffer, room, k, s, n);
    } else {
        for (size_t i = 0; i < n; i += LANES)
            store_first(buffer.key + i, n - i, as_float(keys_of(load_first(s + i, n - i))));
        buffer.n = n;
    }
    (void)keep_best(&out, &buffer, k);
}

size_t LEVEL(above)(float *score, int32_t *pos, const float *s, size_t n, int32_t first,
                    float least, bool *finite)
{
    struct chosen out = {(int32_t *)(void *)score, pos, 0};
    const vfloat bound = float_all(least);
    vmask good = mask_first(LANES);
    for (size_t i = 0; i < n; i += LANES) {
        const vfloat v = load_first(s + i, n - i);
        good = mask_and(good, less(size_of(v), float_all(INFINITY)));
        const unsigned more = bits_first(n - i) & mask_bits(less(bound, v));
        if (more)
            append(&out, more, as_int(v), positions(first + (int32_t)i));
    }
    *finite = *finite && mask_bits(good) == bits_first(LANES);
    return out.n;
}

#endif
