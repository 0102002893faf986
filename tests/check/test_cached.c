/* test_cached.c - rows of the cache to and from f32: conversions by search among all values, blocks
 * of bytes against their definition.
 */
#include <float.h>

#include "util/check.h"

static const enum kv_type kinds[] = {KV_F32, KV_F16, KV_BF16, KV_Q8, KV_I8};
enum { ELEMENTS = 3 }; /* of the kinds; the others are blocks */

/* ---- elements ---- */
static double f16_value(unsigned h)
{
    const double sign = h & 0x8000 ? -1 : 1;
    const int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
    if (e == 31)
        return m ? NAN : sign * INFINITY;
    return sign * (e ? ldexp(1024 + m, e - 25) : ldexp(m, -24));
}

static double bf16_value(unsigned h)
{
    const uint32_t bits = (uint32_t)h << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return (double)v;
}

/* The pattern (of positive numbers, in order up to `inf`) nearest to v >= 0, ties to even; infinity
 * stands for the next power of two. */
static unsigned nearest(double v, unsigned inf, double (*value)(unsigned))
{
    unsigned low = 0, high = inf;
    while (high - low > 1) {
        const unsigned mid = (low + high) / 2;
        *(value(mid) <= v ? &low : &high) = mid;
    }
    const double above = high == inf ? 2 * value(inf - 1) - value(inf - 2) : value(high);
    if (v >= above)
        return inf;
    const double down = v - value(low), up = above - v;
    return down < up || (down == up && low % 2 == 0) ? low : high;
}

static unsigned stored_bits(struct check *c, float x, enum kv_type t)
{
    uint8_t two[2];
    c->k.kv_store(two, &x, 1, t);
    return two[0] | (unsigned)two[1] << 8;
}

static void rounds_right(struct check *c, float x, enum kv_type t)
{
    const unsigned inf = t == KV_F16 ? 0x7c00 : 0x7f80;
    const unsigned got = stored_bits(c, x, t), sign = signbit(x) ? 0x8000 : 0;
    if (isnan(x)) {
        assert_true((got & 0x7fff) > inf);
        return;
    }
    const unsigned want = sign | (isinf(x) ? inf : nearest(fabs((double)x), inf,
                                                           t == KV_F16 ? f16_value : bf16_value));
    if (got != want)
        fail_msg("kv_store type %d: %a becomes 0x%04x, expected 0x%04x", (int)t, (double)x, got,
                 want);
}

/* Every 16-bit pattern, and halfway between it and the next, and that a little off. */
static void check_store(struct check *c)
{
    for (unsigned h = 0; h < 0x10000; h++)
        for (size_t i = 1; i < ELEMENTS; i++) {
            double (*const value)(unsigned) = kinds[i] == KV_F16 ? f16_value : bf16_value;
            const float x = (float)value(h);
            const float half = (float)((value(h) + value(h + 1 < 0x10000 ? h + 1 : h)) / 2);
            rounds_right(c, x, kinds[i]);
            rounds_right(c, half, kinds[i]);
            rounds_right(c, nextafterf(half, 0), kinds[i]);
            rounds_right(c, nextafterf(half, INFINITY), kinds[i]);
        }
    for (int i = 0; i < 100000; i++) {
        const uint32_t bits = (uint32_t)rng_u64(&c->rng);
        float x;
        memcpy(&x, &bits, sizeof x);
        rounds_right(c, x, KV_F16);
        rounds_right(c, x, KV_BF16);
    }
    const uint32_t quiet_me = 0x7f800001; /* the payload is lost with the lower half */
    float nan;
    memcpy(&nan, &quiet_me, sizeof nan);
    rounds_right(c, nan, KV_F16);
    rounds_right(c, nan, KV_BF16);
}

static void check_load(struct check *c)
{
    for (unsigned h = 0; h < 0x10000; h++) {
        const uint8_t two[2] = {(uint8_t)(h & 255), (uint8_t)(h >> 8)};
        float y;
        c->k.kv_load(&y, two, 1, KV_F16);
        const float f16 = (float)f16_value(h), bf16 = (float)bf16_value(h);
        check_same("f16", h, &y, &f16, 1);
        c->k.kv_load(&y, two, 1, KV_BF16);
        check_same("bf16", h, &y, &bf16, 1);
    }
}

/* Any length at any byte: what went in comes out, f32 unchanged. */
static void check_rows(struct check *c)
{
    for (size_t n = 0; n <= 600; n += n < 130 ? 1 : 223)
        for (size_t i = 0; i < ELEMENTS; i++) {
            const float *const x = check_random(c, n, 6);
            uint8_t *const row = check_bytes(c, kv_row_bytes(kinds[i], n));
            float *const y = check_f32(c, n), *const again = check_f32(c, n);
            c->k.kv_store(row, x, n, kinds[i]);
            c->k.kv_load(y, row, n, kinds[i]);
            if (kinds[i] == KV_F32)
                check_same("f32 row", n, y, x, n);
            c->k.kv_store(row, y, n, kinds[i]);
            c->k.kv_load(again, row, n, kinds[i]);
            check_same("row stored twice", n, again, y, n);
            check_release(c, "cached row");
        }
}

/* ---- blocks ---- */

/* One block against its definition: every byte, and what it says of the values. */
static void block_right(const uint8_t *block, const float *x, size_t n)
{
    float most = 0, s;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        finite = finite && isfinite(x[i]);
        most = fmaxf(most, fabsf(x[i]));
    }
    memcpy(&s, block, sizeof s);
    if (!finite) {
        assert_true(isnan(s));
        return;
    }
    const float want = most / 127 < FLT_MIN ? 0 : most / 127;
    check_same("scale of a block", n, &s, &want, 1);
    for (size_t i = 0; i < n; i++) {
        const int v = (int8_t)block[sizeof s + i];
        const float near = s > 0 ? rintf(x[i] * (127 / most)) : 0;
        if ((float)v != near)
            fail_msg("block of %zu: %g with the scale %g became %d, expected %g", n, (double)x[i],
                     (double)s, v, (double)near);
        assert_true(fabs((double)s * v - (double)x[i]) <= 0.5001 * (double)s || s == 0);
    }
}

/* Stores a row, looks at its blocks, loads it whole and in part. */
static void blocks_case(struct check *c, const float *x, size_t n, enum kv_type t)
{
    const size_t length = t == KV_Q8 ? KV_BLOCK : n;
    uint8_t *const row = check_bytes(c, kv_row_bytes(t, n));
    float *const y = check_f32(c, n), *const want = check_f32(c, n);
    const size_t part = n ? rng_below(&c->rng, n + 1) : 0;
    float *const some = check_f32(c, part);
    c->k.kv_store(row, x, n, t);
    const uint8_t *p = row;
    for (size_t i = 0; i < n; i += length, p += sizeof(float) + length) {
        const size_t have = n - i < length ? n - i : length;
        float s;
        memcpy(&s, p, sizeof s);
        block_right(p, x + i, have);
        for (size_t j = 0; j < have; j++)
            want[i + j] = s * (float)(int8_t)p[sizeof s + j];
    }
    c->k.kv_load(y, row, n, t);
    check_same("blocks loaded", n, y, want, n);
    c->k.kv_load(some, row, part, t);
    check_same("blocks loaded in part", n, some, want, part);
    check_release(c, "blocks");
}

static void check_blocks(struct check *c)
{
    static const float odd[] = {0, -0.0f, NAN, INFINITY, -INFINITY, 0x1p-149f, 0x1p-126f, 0x1p-119f,
                                0x1.fcp-120f, FLT_MAX, -FLT_MAX, 127, 126.5f, -0.5f};
    for (size_t i = ELEMENTS; i < COUNT_OF(kinds); i++) {
        for (size_t n = 0; n <= 700; n += n < 140 ? 1 : 187)
            blocks_case(c, check_random(c, n, n % 3 ? 6 : 0), n, kinds[i]);
        for (size_t a = 0; a < COUNT_OF(odd); a++)
            for (size_t b = 0; b < COUNT_OF(odd); b++) {
                float *const x = check_f32(c, 40);
                memset(x, 0, 40 * sizeof *x);
                x[3] = odd[a];
                x[33] = odd[b];
                blocks_case(c, x, 40, kinds[i]);
            }
    }
}

#define LEVELS(name, check, entry)                                                                 \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check_levels(check, offsetof(struct kernels, entry));                                      \
    }

LEVELS(store, check_store, kv_store)
LEVELS(load, check_load, kv_load)
LEVELS(rows_stored, check_rows, kv_store)
LEVELS(rows_loaded, check_rows, kv_load)
LEVELS(blocks_stored, check_blocks, kv_store)
LEVELS(blocks_loaded, check_blocks, kv_load)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),         cmocka_unit_test(test_load),
        cmocka_unit_test(test_rows_stored),   cmocka_unit_test(test_rows_loaded),
        cmocka_unit_test(test_blocks_stored), cmocka_unit_test(test_blocks_loaded),
    };
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
