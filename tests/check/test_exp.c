/* test_exp.c - the fast levels' own exponential over all floats: every 509th pattern, and every one
 * where the result leaves the normal range. */
#include "util/check.h"

#if defined(__x86_64__)
#include "kernels/x86/x86.h"
#elif defined(__aarch64__)
#include "kernels/arm/arm.h"
#endif

enum { BATCH = 1000, STRIDE = 509 };

typedef void exp_fn(float *y, const float *x, size_t n);

static const struct {
    enum cpu_level level;
    exp_fn *exp;
} own[] = {
    {CPU_BASELINE, NULL},
#if defined(__x86_64__)
    {CPU_AVX2, exp_avx2},
    {CPU_AVX512, exp_avx512},
#elif defined(__aarch64__)
    {CPU_NEON, exp_neon},
#endif
};

static exp_fn *tested;
static double worst_ulp;

static void batch_right(const float *x, size_t n)
{
    float y[BATCH];
    tested(y, x, n);
    for (size_t i = 0; i < n; i++) {
        const double want = exp((double)x[i]);
        int e;
        (void)frexp(want, &e);
        const double ulp = ldexp(1, (e < -125 ? -125 : e) - 24);
        if (isfinite(x[i]) && want < 0x1.fffffep+127)
            worst_ulp = fmax(worst_ulp, fabs((double)y[i] - want) / ulp);
        check_ulp("exp", n, i, y[i], (long double)want, 1.1);
    }
}

/* All patterns from `from` to `to`, `step` apart. */
static void patterns_right(uint64_t from, uint64_t to, uint64_t step)
{
    float x[BATCH];
    size_t n = 0;
    for (uint64_t u = from; u <= to; u += step) {
        const uint32_t bits = (uint32_t)u;
        memcpy(&x[n++], &bits, sizeof bits);
        if (n == BATCH || u + step > to) {
            batch_right(x, n);
            n = 0;
        }
    }
}

static uint64_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static void exp_right(void)
{
    static const float x[] = {0, -0.0f, INFINITY, -INFINITY, NAN, 1e-45f, -1e-45f, 3e38f, -3e38f};
    static const float want[] = {1, 1, INFINITY, 0, NAN, 1, 1, INFINITY, 0};
    float y[COUNT_OF(x)];
    worst_ulp = 0;
    patterns_right(0, UINT32_MAX, STRIDE);
    patterns_right(bits_of(88.5f), bits_of(89.0f), 1);
    patterns_right(bits_of(-87.0f), bits_of(-104.5f), 3);
    tested(y, x, COUNT_OF(x));
    check_same("exp", COUNT_OF(x), y, want, COUNT_OF(x));
}

static void test_exp(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(own); i++)
        if (own[i].exp && cpu_has(own[i].level)) {
            tested = own[i].exp;
            exp_right();
            printf("%s: worst %.3f ulp\n", cpu_level_name(own[i].level), worst_ulp);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exp)};
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
