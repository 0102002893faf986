/* test_attention.c - cached rows and what reads them: conversions by search among all values,
 * scores and attention against naive sums in long double.
 */
#include "util/check.h"

static const enum kv_type kinds[] = {KV_F32, KV_F16, KV_BF16};

/* ---- conversions ---- */
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
        for (size_t i = 1; i < COUNT_OF(kinds); i++) {
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
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
            const float *const x = check_random(c, n, 6);
            uint8_t *const row = check_bytes(c, n * kv_type_bytes(kinds[i]));
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

/* ---- cached rows with known values ---- */
struct rows {
    const void **at; /* [n], caller frees */
    float *values;   /* [n, dim] as loaded */
    size_t n, dim;
    enum kv_type t;
};

/* Rows lie in one guarded block, in random order, at any byte. */
static struct rows random_rows(struct check *c, size_t n, size_t dim, enum kv_type t)
{
    struct kernels ref;
    kernels_ref(&ref);
    const size_t bytes = dim * kv_type_bytes(t) + rng_below(&c->rng, 4);
    uint8_t *const block = check_bytes(c, n * bytes);
    const float *const x = check_random(c, n * dim, 2);
    struct rows r = {calloc(n + 1, sizeof *r.at), check_f32(c, n * dim), n, dim, t};
    const size_t first = rng_below(&c->rng, n + 1);
    for (size_t i = 0; i < n; i++) {
        uint8_t *const p = block + (i + first) % n * bytes;
        ref.kv_store(p, x + i * dim, dim, t);
        ref.kv_load(r.values + i * dim, p, dim, t);
        r.at[i] = p;
    }
    return r;
}

/* Overwrites one value of a row; the block that rows lie in is ours. */
static void set_value(const struct rows *r, size_t i, size_t at, float v)
{
    struct kernels ref;
    kernels_ref(&ref);
    ref.kv_store((uint8_t *)r->at[i] + at * kv_type_bytes(r->t), &v, 1, r->t);
    r->values[i * r->dim + at] = v;
}

static long double dot_of(const float *a, const float *b, size_t n, long double *abs_sum)
{
    long double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (long double)a[i] * (long double)b[i];
        *abs_sum += fabsl((long double)a[i] * (long double)b[i]);
    }
    return sum;
}

/* ---- indexer ---- */
static void index_one(const struct check *c, const struct rows *k, const float *q, const float *w,
                      size_t Hi, float scale, size_t i, float got)
{
    long double want = 0, sum = 0, tol = 0x1p-149L;
    for (size_t h = 0; h < Hi; h++) {
        long double parts = 0;
        const long double d = dot_of(q + h * k->dim, k->values + i * k->dim, k->dim, &parts);
        const long double weight = (long double)w[h] * (long double)scale;
        want += d > 0 ? weight * d : 0;
        sum += d > 0 ? fabsl(weight * d) : 0;
        tol += fabsl(weight) * check_sum_bound(c, 0, parts, k->dim);
    }
    check_close("index_score", k->dim, i, got, want, tol + check_sum_bound(c, want, sum, Hi));
}

/* T rows of queries against n keys; the last alone, and against each key alone, gives its bits. */
static void index_case(struct check *c, size_t T, size_t n, size_t Hi, size_t Di, enum kv_type t)
{
    const struct rows k = random_rows(c, n, Di, t);
    const float *const q = check_random(c, T * Hi * Di, 2), *const w = check_random(c, T * Hi, 2);
    const size_t stride = n + rng_below(&c->rng, 3);
    float *const s = check_f32(c, T * stride), *const again = check_f32(c, n);
    void *const scratch = check_scratch(c, c->k.index_bytes(Di));
    const float scale = 1.0f / sqrtf((float)Di);
    c->k.index_score(s, stride, q, w, T, k.at, n, Hi, Di, scale, t, scratch);
    for (size_t r = 0; r < T; r++)
        for (size_t i = 0; i < n; i++)
            index_one(c, &k, q + r * Hi * Di, w + r * Hi, Hi, scale, i, s[r * stride + i]);
    const float *const last_q = q + (T - 1) * Hi * Di, *const last_w = w + (T - 1) * Hi;
    for (size_t i = 0; i < n; i++)
        c->k.index_score(again + i, 1, last_q, last_w, 1, k.at + i, 1, Hi, Di, scale, t, scratch);
    check_same("index_score of one key", n, again, s + (T - 1) * stride, n);
    free(k.at);
    check_release(c, "index_score");
}

/* A NaN in a key shows in its score and in no other. */
static void index_poison(struct check *c)
{
    float key[2][4] = {{1, 2, 3, 4}, {1, NAN, 3, 4}}, s[2];
    const float q[8] = {1, 1, 1, 1, -1, -1, -1, -1}, w[2] = {1, -1};
    const void *const row[2] = {key[0], key[1]};
    void *const scratch = check_scratch(c, c->k.index_bytes(4));
    c->k.index_score(s, 2, q, w, 1, row, 2, 2, 4, 0.5f, KV_F32, scratch);
    assert_true(s[0] == 5 && isnan(s[1]));
    check_release(c, "index_score");
}

static void check_index(struct check *c)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (size_t Di = 1; Di <= 129; Di++)
            index_case(c, 1 + rng_below(&c->rng, 3), rng_below(&c->rng, 40),
                       rng_below(&c->rng, 5), Di, kinds[i]);
        index_case(c, 1, 100, 32, 128, kinds[i]);
        index_case(c, 4, 70, 64, 128, kinds[i]);
    }
    index_poison(c);
}

/* ---- attention ---- */
enum { KEYS_MAX = 512 };

struct naive {
    long double score[KEYS_MAX], p[KEYS_MAX];
    long double worst; /* possible deviation of a score */
};

static void naive_weights(const struct check *c, struct naive *a, const struct rows *r,
                          const float *q, size_t n, size_t Dk, float scale)
{
    long double max = -INFINITY, sum = 0;
    a->worst = 0;
    for (size_t i = 0; i < n; i++) {
        long double parts = 0;
        const long double dot = dot_of(q, r->values + i * r->dim, Dk, &parts);
        const long double error = (long double)scale * check_sum_bound(c, dot, parts, Dk);
        a->score[i] = (long double)scale * dot;
        max = a->score[i] > max ? a->score[i] : max;
        a->worst = error > a->worst ? error : a->worst;
    }
    for (size_t i = 0; i < n; i++)
        sum += a->p[i] = expl(a->score[i] - max);
    for (size_t i = 0; i < n; i++)
        a->p[i] /= sum;
}

/* A score off by d moves its weight by the factor e^d, and the sum by no more. */
static void check_output(const struct check *c, const struct naive *a, const struct rows *r,
                         const float *o, size_t n, size_t v_at, size_t Dv)
{
    for (size_t d = 0; d < Dv; d++) {
        long double want = 0, sum = 0;
        for (size_t i = 0; i < n; i++) {
            const long double v = (long double)r->values[i * r->dim + v_at + d];
            want += a->p[i] * v;
            sum += a->p[i] * fabsl(v);
        }
        const long double weights = sum * (2.5L * a->worst + 0x1p-21L);
        check_close("attend", n, d, o[d], want, weights + check_sum_bound(c, want, sum, n));
    }
}

/* A case: M queries over at most n rows, the value at v_at of a row of max(Dk, v_at + Dv). */
struct shape {
    size_t M, n, Dk, v_at, Dv;
    enum kv_type t;
    bool rising; /* query m sees more than the one before */
};

static void attend_case(struct check *c, struct shape x)
{
    static struct naive naive;
    const struct rows r = random_rows(c, x.n, x.v_at + x.Dv > x.Dk ? x.v_at + x.Dv : x.Dk, x.t);
    const size_t q_stride = x.Dk + rng_below(&c->rng, 5), o_stride = x.Dv + rng_below(&c->rng, 5);
    const float *const q = check_random(c, x.M * q_stride, 1);
    float *const o = check_f32(c, x.M * o_stride), *const again = check_f32(c, x.Dv);
    uint32_t *const n = calloc(x.M, sizeof *n);
    void *const scratch = check_scratch(c, c->k.attend_bytes(r.dim, x.n));
    for (size_t m = 0; m < x.M; m++)
        n[m] = (uint32_t)(x.rising ? 1 + (x.n - 1) * m / x.M : x.n);
    struct attend a = {q, x.M, q_stride, r.at, n, x.Dk, x.v_at, x.Dv, x.t,
                       1.0f / sqrtf((float)x.Dk)};
    c->k.attend(o, o_stride, &a, scratch);
    for (size_t m = 0; m < x.M; m++) {
        naive_weights(c, &naive, &r, q + m * q_stride, n[m], x.Dk, a.scale);
        check_output(c, &naive, &r, o + m * o_stride, n[m], x.v_at, x.Dv);
        a.q = q + m * q_stride; /* alone: the same bits */
        a.M = 1;
        a.n = n + m;
        c->k.attend(again, x.Dv, &a, scratch);
        check_same("attend of one query", n[m], again, o + m * o_stride, x.Dv);
    }
    free(n);
    free(r.at);
    check_release(c, "attend");
}

/* One score far above all others: its weight is exactly 1, the output exactly its row. */
static void attend_chooses(struct check *c, size_t n, enum kv_type t)
{
    enum { DK = 37, DV = 33 };
    const struct rows r = random_rows(c, n, DK, t);
    float *const q = check_f32(c, DK), *const o = check_f32(c, DV);
    void *const scratch = check_scratch(c, c->k.attend_bytes(DK, n));
    memset(q, 0, DK * sizeof *q);
    q[DK - 1] = 1;
    const size_t best = rng_below(&c->rng, n);
    const uint32_t seen = (uint32_t)n;
    set_value(&r, best, DK - 1, 256); /* all others are below 4 */
    const struct attend a = {q, 1, DK, r.at, &seen, DK, 0, DV, t, 1};
    c->k.attend(o, DV, &a, scratch);
    check_same("attend with one choice", n, o, r.values + best * r.dim, DV);
    free(r.at);
    check_release(c, "attend");
}

/* A NaN in one row must reach every output that attends to it, and no other. */
static void attend_poison(struct check *c)
{
    static const float good[4] = {1, 2, 3, 4}, bad[4] = {1, 2, NAN, 4};
    const void *const at[2] = {good, bad};
    const float q[8] = {1, -1, 1, -1, 1, -1, 1, -1};
    const uint32_t n[2] = {1, 2};
    float o[4];
    void *const scratch = check_scratch(c, c->k.attend_bytes(4, 2));
    const struct attend a = {q, 2, 4, at, n, 4, 0, 2, KV_F32, 1};
    c->k.attend(o, 2, &a, scratch);
    assert_true(o[0] == 1 && o[1] == 2 && isnan(o[2]) && isnan(o[3]));
    check_release(c, "attend");
}

/* Latent rows (value inside the key) and expanded ones (value behind it). */
static void check_attend(struct check *c)
{
    attend_poison(c);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (size_t n = 1; n <= 129; n++) {
            const size_t Dk = 1 + rng_below(&c->rng, 70), M = 1 + rng_below(&c->rng, 9);
            const size_t inside = 1 + rng_below(&c->rng, Dk), behind = 1 + rng_below(&c->rng, 70);
            attend_case(c, (struct shape){M, n, Dk, 0, inside, kinds[i], false});
            attend_case(c, (struct shape){M, n, Dk, Dk, behind, kinds[i], true});
        }
        attend_case(c, (struct shape){16, 300, 576, 0, 512, kinds[i], false});
        attend_case(c, (struct shape){40, 300, 256, 256, 256, kinds[i], true});
        for (size_t n = 1; n <= 20; n++)
            attend_chooses(c, n, kinds[i]);
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
LEVELS(index, check_index, index_score)
LEVELS(attend, check_attend, attend)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),       cmocka_unit_test(test_load),
        cmocka_unit_test(test_rows_stored), cmocka_unit_test(test_rows_loaded),
        cmocka_unit_test(test_index),       cmocka_unit_test(test_attend),
    };
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
