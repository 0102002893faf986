/* vector.h - norms, activations, rotations: what sums one vector or works element by element. The
 * skeleton of vector_*.c of the levels, each of which includes it once, behind its math_*.h.
 *
 * Sums of norms are double, in the order of the reference: lane l of KERNEL_LANES takes the terms
 * l, l + KERNEL_LANES, ... and the lanes are added as a tree; norms compute their outputs in double
 * too and round once. The others are f32: softmax, silu and sigmoid within 4 ulp (exp.h), rope and
 * axpy with one rounding less than written out. A remainder goes through the same operations, so
 * nothing depends on alignment.
 */
#ifndef GLIM_KERNELS_SIMD_VECTOR_H
#define GLIM_KERNELS_SIMD_VECTOR_H

#include <assert.h>
#include <math.h>

#include "kernels/kernels.h"
#include "kernels/simd/exp.h"
#include "kernels/simd/row.h"

/* ---- sums and results in double ---- */
enum { SUMS = KERNEL_LANES / LANES };

struct twice { /* LANES floats as doubles */
    vdouble low, high;
};

INLINE struct twice widen(vfloat v) { return (struct twice){widen_low(v), widen_high(v)}; }

/* sum += (x - mean)^power of the first n of LANES */
INLINE void add_powers(struct twice *s, const float *x, size_t n, vdouble mean, int power)
{
    struct twice v = widen(load_first(x, n));
    v.low = double_sub(v.low, mean);
    v.high = double_sub(v.high, mean);
    if (n < LANES) {
        v.low = doubles_first(v.low, n);
        v.high = doubles_first(v.high, n > LANES / 2 ? n - LANES / 2 : 0);
    }
    s->low = power == 2 ? double_mul_add(v.low, v.low, s->low) : double_add(s->low, v.low);
    s->high = power == 2 ? double_mul_add(v.high, v.high, s->high) : double_add(s->high, v.high);
}

INLINE double sum_of(struct twice s[SUMS])
{
    UNROLL for (unsigned width = SUMS / 2; width > 0; width /= 2)
        UNROLL for (unsigned i = 0; i < width; i++) {
            s[i].low = double_add(s[i].low, s[i + width].low);
            s[i].high = double_add(s[i].high, s[i + width].high);
        }
    return doubles_sum(double_add(s[0].low, s[0].high));
}

/* sum of (x - mean)^power, power 1 or 2. */
INLINE double moment(const float *x, size_t n, double mean, int power)
{
    struct twice s[SUMS];
    const vdouble m = double_all(mean);
    UNROLL for (unsigned k = 0; k < SUMS; k++)
        s[k].low = s[k].high = double_all(0);
    size_t i = 0;
    for (; i + KERNEL_LANES <= n; i += KERNEL_LANES)
        UNROLL for (unsigned k = 0; k < SUMS; k++)
            add_powers(&s[k], x + i + k * LANES, LANES, m, power);
    UNROLL for (unsigned k = 0; k < SUMS; k++)
        if (i + k * LANES < n)
            add_powers(&s[k], x + i + k * LANES, n - i - k * LANES, m, power);
    return sum_of(s);
}

/* y = g * (x - mean) * inv + b; b may be NULL for 0. */
INLINE void normalise(float *y, const float *x, const float *g, const float *b, size_t n,
                      double mean, double inv)
{
    const vdouble m = double_all(mean), s = double_all(inv);
    for (size_t i = 0; i < n; i += LANES) {
        struct twice v = widen(load_first(x + i, n - i));
        const struct twice gain = widen(load_first(g + i, n - i));
        const struct twice base = widen(b ? load_first(b + i, n - i) : float_zero());
        v.low = double_mul(double_sub(v.low, m), s);
        v.high = double_mul(double_sub(v.high, m), s);
        v.low = double_mul_add(v.low, gain.low, base.low);
        v.high = double_mul_add(v.high, gain.high, base.high);
        store_first(y + i, n - i, narrow(v.low, v.high));
    }
}

void LEVEL(rmsnorm)(float *y, const float *x, const float *g, size_t n, float eps)
{
    assert(n > 0);
    const double inv = 1.0 / sqrt(moment(x, n, 0, 2) / (double)n + (double)eps);
    normalise(y, x, g, NULL, n, 0, inv);
}

void LEVEL(layernorm)(float *y, const float *x, const float *g, const float *b, size_t n,
                      float eps)
{
    assert(n > 0);
    const double mean = moment(x, n, 0, 1) / (double)n;
    const double inv = 1.0 / sqrt(moment(x, n, mean, 2) / (double)n + (double)eps);
    normalise(y, x, g, b, n, mean, inv);
}

/* ---- with exponentials ---- */
INLINE vfloat largest(const float *x, size_t n)
{
    const vfloat none = float_all(-INFINITY);
    vfloat most = none;
    for (size_t i = 0; i < n; i += LANES) { /* a NaN is passed over; it comes back through exp */
        const vfloat v = load_first(x + i, n - i);
        most = larger(n - i < LANES ? choose(mask_first(n - i), v, none) : v, most);
    }
    return float_all(lanes_max(most));
}

/* e^(x - max): the difference's own rounding error goes into the exponential, where it would
 * otherwise count for as much as the difference is long. */
INLINE vfloat exp_below(vfloat x, vfloat max)
{
    const vfloat d = sub(x, max), back = sub(d, x);
    const vfloat low = sub(sub(x, sub(d, back)), add(max, back));
    return exp_of_sum(d, keep(less(float_all(-104), d), low));
}

void LEVEL(softmax)(float *x, size_t n)
{
    assert(n > 0);
    const vfloat max = largest(x, n);
    struct twice s = {double_all(0), double_all(0)};
    for (size_t i = 0; i < n; i += LANES) {
        const vfloat e = exp_below(load_first(x + i, n - i), max);
        const struct twice v = widen(keep_first(e, n - i));
        s.low = double_add(s.low, v.low);
        s.high = double_add(s.high, v.high);
        store_first(x + i, n - i, e);
    }
    const vfloat sum = float_all((float)doubles_sum(double_add(s.low, s.high)));
    for (size_t i = 0; i < n; i += LANES)
        store_first(x + i, n - i, divide(load_first(x + i, n - i), sum));
}

/* v and up give v / (1 + e^-v) * up. With e = e^-|v| = m 2^n this is v / (1 + e) * up, times e
 * below zero: 2^n is then multiplied in two halves around up, for neither the small factor nor the
 * product without it may leave the range before the result does. */
INLINE vfloat silu_times(vfloat v, vfloat up)
{
    const vfloat zero = float_zero();
    const vmask below = less(v, zero), lost = equal(v, float_all(-INFINITY));
    const struct exp_parts e = exp_parts(clamp(sub(zero, size_of(v)), -300, 0), zero);
    const vfloat whole = add(float_all(1), times_power(e.m, e.n));
    const vfloat m = choose(below, mul(clamp(v, -300, 0), e.m), v), n = keep(below, e.n);
    const vfloat half = round_down(mul(n, float_all(0.5f)));
    const vfloat y = mul(times_power(divide(m, whole), half), up);
    return choose(lost, float_all(NAN), times_power(y, sub(n, half)));
}

void LEVEL(silu_mul)(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store_first(y + i, n - i,
                    silu_times(load_first(gate + i, n - i), load_first(up + i, n - i)));
}

void LEVEL(sigmoid)(float *y, const float *x, size_t n)
{
    const vfloat one = float_all(1), zero = float_zero();
    for (size_t i = 0; i < n; i += LANES) {
        const vfloat v = load_first(x + i, n - i);
        const vfloat e = exp_of(sub(zero, size_of(v)));
        store_first(y + i, n - i, divide(choose(less(v, zero), e, one), add(one, e)));
    }
}

void LEVEL(exp)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store_first(y + i, n - i, exp_of(load_first(x + i, n - i)));
}

/* ---- sums of two ---- */
void LEVEL(add)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store_first(y + i, n - i, add(load_first(y + i, n - i), load_first(x + i, n - i)));
}

void LEVEL(axpy)(float *y, float a, const float *x, size_t n)
{
    const vfloat factor = float_all(a);
    for (size_t i = 0; i < n; i += LANES)
        store_first(y + i, n - i,
                    mul_add(factor, load_first(x + i, n - i), load_first(y + i, n - i)));
}

/* ---- rotations ---- */

/* Pairs stand together, and so do their cos and sin: a c - b s in even lanes, b c + a s in odd. */
static void rope_neighbours(float *x, const float *cos_sin, size_t n)
{
    for (size_t i = 0; i < n; i += LANES) {
        const vfloat v = load_first(x + i, n - i), cs = load_first(cos_sin + i, n - i);
        const vfloat other = mul(neighbours(v), odds_twice(cs));
        store_first(x + i, n - i, mul_sub_add(v, evens_twice(cs), other));
    }
}

static void rope_halves(float *x, const float *cos_sin, size_t n)
{
    const size_t half = n / 2;
    for (size_t i = 0; i < half; i += LANES) {
        const float *const at = cos_sin + 2 * i;
        const size_t rest = n - 2 * i, have = half - i;
        const vfloat cs = load_first(at, rest);
        const vfloat next = load_first(at + LANES, rest > LANES ? rest - LANES : 0);
        const vfloat c = evens_of(cs, next), s = odds_of(cs, next);
        const vfloat a = load_first(x + i, have), b = load_first(x + half + i, have);
        store_first(x + i, have, mul_sub(a, c, mul(b, s)));
        store_first(x + half + i, have, mul_add(b, c, mul(a, s)));
    }
}

void LEVEL(rope)(float *x, const float *cos_sin, size_t n, bool interleaved)
{
    assert(n % 2 == 0);
    if (interleaved)
        rope_neighbours(x, cos_sin, n);
    else
        rope_halves(x, cos_sin, n);
}

/* The stages inside a register: lane l meets lane l ^ half. */
INLINE vfloat butterflies(vfloat v, size_t n)
{
    UNROLL for (int half = 1; half < LANES; half *= 2) {
        if ((size_t)half >= n)
            break;
        const vfloat other = partners(v, half);
        v = choose(mask_with(half), sub(other, v), add(v, other));
    }
    return v;
}

void LEVEL(hadamard)(float *x, size_t n)
{
    assert(n > 0 && (n & (n - 1)) == 0);
    for (size_t i = 0; i < n; i += LANES)
        store_first(x + i, n, butterflies(load_first(x + i, n), n));
    for (size_t half = LANES; half < n; half *= 2)
        for (size_t start = 0; start < n; start += 2 * half)
            for (size_t i = start; i < start + half; i += LANES) {
                const vfloat a = float_load(x + i), b = float_load(x + i + half);
                float_store(x + i, add(a, b));
                float_store(x + i + half, sub(a, b));
            }
    const vfloat scale = float_all((float)(1.0 / sqrt((double)n)));
    for (size_t i = 0; i < n; i += LANES)
        store_first(x + i, n, mul(load_first(x + i, n), scale));
}

#endif
