/* test_topk.c - the exact selection, ties and all, against a full sort. */
#include "util/check.h"

struct scored {
    float s;
    int32_t at;
};

/* Higher scores first, NaN last, equal ones (-0 and +0 are) by position. */
static int better_first(const void *pa, const void *pb)
{
    const struct scored *const a = pa, *const b = pb;
    if (isnan(a->s) != isnan(b->s))
        return isnan(a->s) ? 1 : -1;
    if (!isnan(a->s) && a->s != b->s)
        return a->s > b->s ? -1 : 1;
    return a->at < b->at ? -1 : 1;
}

static int ascending(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void naive_topk(int32_t *idx, size_t k, const float *s, size_t n)
{
    struct scored *const all = calloc(n + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = (struct scored){s[i], (int32_t)i};
    qsort(all, n, sizeof *all, better_first);
    for (size_t i = 0; i < k; i++)
        idx[i] = all[i].at;
    qsort(idx, k, sizeof *idx, ascending);
    free(all);
}

static void topk_equals_sort(struct check *c, const char *what, const float *s, size_t n, size_t k)
{
    int32_t *const idx = (int32_t *)(void *)check_f32(c, k);
    int32_t *const want = calloc(k + 1, sizeof *want);
    float *const copy = check_copy(c, s, n), *const scratch = check_f32(c, n);
    naive_topk(want, k, s, n);
    c->k.topk(idx, k, copy, n, scratch);
    for (size_t i = 0; i < k; i++)
        if (idx[i] != want[i])
            fail_msg("topk of %s, n = %zu, k = %zu: place %zu is position %d, expected %d", what, n,
                     k, i, idx[i], want[i]);
    assert_memory_equal(copy, s, n * sizeof *s);
    free(want);
    check_release(c, "topk");
}

/* Fills s[n] in one of the manners below. */
typedef void fill_fn(struct rng *r, float *s, size_t n);

static void fill_random(struct rng *r, float *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s[i] = ldexpf(rng_f32(r), (int)rng_below(r, 40) - 20);
}

static void fill_specials(struct rng *r, float *s, size_t n)
{
    static const float v[] = {0.0f, -0.0f, 1, -1, NAN, INFINITY, -INFINITY, 1e-45f, -1e-45f, 3e38f};
    for (size_t i = 0; i < n; i++) {
        s[i] = v[rng_below(r, COUNT_OF(v))];
        if (isnan(s[i]) && rng_below(r, 2))
            s[i] = -s[i];
    }
}

/* What a ReLU leaves: a plateau of zeros of both signs and few others. */
static void fill_plateau(struct rng *r, float *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s[i] = rng_below(r, 16) ? (rng_below(r, 2) ? 0.0f : -0.0f) : rng_f32(r);
}

static void fill_equal(struct rng *r, float *s, size_t n)
{
    const float v = rng_f32(r);
    for (size_t i = 0; i < n; i++)
        s[i] = v;
}

static void fill_nan(struct rng *r, float *s, size_t n)
{
    (void)r;
    for (size_t i = 0; i < n; i++)
        s[i] = NAN;
}

static void fill_rising(struct rng *r, float *s, size_t n)
{
    (void)r;
    for (size_t i = 0; i < n; i++)
        s[i] = (float)i;
}

static void fill_falling(struct rng *r, float *s, size_t n)
{
    (void)r;
    for (size_t i = 0; i < n; i++)
        s[i] = -(float)i;
}

/* Neighbouring floats: they differ in their last bits only. */
static void fill_close(struct rng *r, float *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        s[i] = (rng_below(r, 2) ? 1.0f : -1.0f) * (1.0f + 0x1p-23f * (float)rng_below(r, 40));
}

static const struct {
    const char *what;
    fill_fn *fill;
} manner[] = {
    {"random scores", fill_random}, {"special values", fill_specials}, {"a plateau", fill_plateau},
    {"equal scores", fill_equal},   {"NaN only", fill_nan},            {"rising", fill_rising},
    {"falling", fill_falling},      {"close scores", fill_close},
};

static void check_topk(struct check *c)
{
    static float s[300000];
    static const size_t large[][2] = {
        {2049, 2048}, {2048, 2048}, {5000, 2048}, {4096, 1}, {4096, 4095}, {70000, 2048}, {256, 8},
        {300000, 2048}, {8300, 2048}, {40001, 37}};
    for (size_t m = 0; m < COUNT_OF(manner); m++) {
        for (size_t n = 0; n <= 129; n++) {
            manner[m].fill(&c->rng, s, n);
            for (size_t k = 0; k <= n; k += 1 + n / 20)
                topk_equals_sort(c, manner[m].what, s, n, k);
            topk_equals_sort(c, manner[m].what, s, n, n);
        }
        for (size_t i = 0; i < COUNT_OF(large); i++) {
            manner[m].fill(&c->rng, s, large[i][0]);
            topk_equals_sort(c, manner[m].what, s, large[i][0], large[i][1]);
        }
    }
}

/* What enters the buffers, and nothing behind it: exactly as many elements have room. */
static void above_case(struct check *c, const float *s, size_t n, float least)
{
    size_t count = 0;
    bool finite = true, all_finite = true;
    float *const want = check_f32(c, n);
    int32_t *const want_pos = (int32_t *)(void *)check_f32(c, n);
    for (size_t i = 0; i < n; i++) {
        all_finite = all_finite && isfinite(s[i]);
        if (s[i] > least) {
            want[count] = s[i];
            want_pos[count++] = 7000 + (int32_t)i;
        }
    }
    float *const score = check_f32(c, count);
    int32_t *const pos = (int32_t *)(void *)check_f32(c, count);
    assert_int_equal(c->k.above(score, pos, s, n, 7000, least, &finite), count);
    assert_int_equal(finite, all_finite);
    if (count > 0)
        assert_memory_equal(pos, want_pos, count * sizeof *pos);
    check_same("above", n, score, want, count);
    finite = false;
    (void)c->k.above(score, pos, s, n, 7000, least, &finite);
    assert_false(finite);
    check_release(c, "above");
}

static void check_above(struct check *c)
{
    static float s[1024];
    for (size_t m = 0; m < COUNT_OF(manner); m++)
        for (size_t n = 0; n <= 1024; n += n < 70 ? 1 : 53) {
            manner[m].fill(&c->rng, s, n);
            const float least[] = {-INFINITY, INFINITY, 0, n ? s[n / 2] : 1};
            for (size_t i = 0; i < COUNT_OF(least); i++)
                above_case(c, s, n, least[i]);
        }
}

static void test_above(void **state)
{
    (void)state;
    check_levels(check_above, offsetof(struct kernels, above));
}

static void test_topk(void **state)
{
    (void)state;
    check_levels(check_topk, offsetof(struct kernels, topk));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_topk), cmocka_unit_test(test_above)};
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
