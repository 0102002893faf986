/* test_vector.c - kernels on one or two vectors against naive sums in long double. */
#include "util/check.h"

static long double abs_sum(const float *a, const float *b, size_t n, long double *dot)
{
    long double sum = 0;
    *dot = 0;
    for (size_t i = 0; i < n; i++) {
        *dot += (long double)a[i] * (long double)b[i];
        sum += fabsl((long double)a[i] * (long double)b[i]);
    }
    return sum;
}

/* ---- dot ---- */
static void dot_of_size(struct check *c, size_t n)
{
    const float *const a = check_random(c, n, 4), *const b = check_random(c, n, 4);
    long double want;
    const long double sum = abs_sum(a, b, n, &want);
    const float y = c->k.dot(a, b, n);
    check_close("dot", n, 0, y, want, check_sum_bound(c, want, sum, n));
    const float other = c->k.dot(check_copy(c, a, n), check_copy(c, b, n), n);
    check_same("dot at another alignment", n, &y, &other, 1);
    check_release(c, "dot");
}

/* Each element arrives exactly once: a bound alone lets the loss of a small term pass. */
static void dot_one_hot(struct check *c, size_t n)
{
    float *const a = check_f32(c, n);
    const float *const b = check_random(c, n, 4);
    for (size_t i = 0; i < n; i++)
        a[i] = 0;
    const size_t step = n <= 2048 ? 1 : 1 + n / 512;
    for (size_t i = n; i > 0; i -= i < step ? i : step) {
        a[i - 1] = 1;
        const float y = c->k.dot(a, b, n);
        check_same("dot with one term", n, &y, b + i - 1, 1);
        a[i - 1] = 0;
    }
    check_release(c, "dot");
}

static void check_dot(struct check *c)
{
    size_t size[CHECK_SIZES];
    const size_t count = check_sizes(c, size, 16384);
    for (size_t i = 0; i < count; i++) {
        dot_of_size(c, size[i]);
        dot_one_hot(c, size[i]);
    }
}

/* ---- normalisations ---- */
static void scale_all(float *x, size_t n, int exponent)
{
    for (size_t i = 0; i < n; i++)
        x[i] = ldexpf(x[i], exponent);
}

static void rmsnorm_of_size(struct check *c, size_t n)
{
    const float eps = rng_below(&c->rng, 2) ? 1e-5f : 1e-6f;
    float *const x = check_random(c, n, 2), *const y = check_f32(c, n);
    const float *const g = check_random(c, n, 2);
    scale_all(x, n, (int)rng_below(&c->rng, 60) - 20);
    long double squares;
    (void)abs_sum(x, x, n, &squares);
    const long double inv = 1 / sqrtl(squares / (long double)n + (long double)eps);
    c->k.rmsnorm(y, x, g, n, eps);
    for (size_t i = 0; i < n; i++)
        check_ulp("rmsnorm", n, i, y[i], (long double)x[i] * inv * (long double)g[i],
                  c->ref ? 0.51 : 4);
    c->k.rmsnorm(x, x, g, n, eps);
    check_same("rmsnorm in place", n, x, y, n);
    check_release(c, "rmsnorm");
}

static void layernorm_of_size(struct check *c, size_t n)
{
    const float eps = 1e-6f;
    float *const x = check_random(c, n, 2), *const y = check_f32(c, n);
    const float *const g = check_random(c, n, 2), *const b = check_random(c, n, 2);
    const float shift = rng_f32(&c->rng) * 16;
    long double mean = 0, var = 0;
    for (size_t i = 0; i < n; i++)
        mean += (long double)(x[i] += shift);
    mean /= (long double)n;
    for (size_t i = 0; i < n; i++)
        var += ((long double)x[i] - mean) * ((long double)x[i] - mean);
    const long double inv = 1 / sqrtl(var / (long double)n + (long double)eps);
    c->k.layernorm(y, x, g, b, n, eps);
    for (size_t i = 0; i < n; i++) {
        const long double gain = inv * (long double)g[i];
        const long double want = ((long double)x[i] - mean) * gain + (long double)b[i];
        const long double parts = (fabsl((long double)x[i]) + fabsl(mean)) * fabsl(gain);
        const long double sizes = parts + fabsl((long double)b[i]);
        const long double tol =
            c->ref ? fabsl(want) * 0x1p-24L + 0x1p-48L * sizes : sizes * 0x1p-21L;
        check_close("layernorm", n, i, y[i], want, tol + 0x1p-149L);
    }
    c->k.layernorm(x, x, g, b, n, eps);
    check_same("layernorm in place", n, x, y, n);
    check_release(c, "layernorm");
}

static void softmax_of_size(struct check *c, size_t n, bool holes)
{
    float *const x = check_random(c, n, 5);
    for (size_t i = 1; i < n; i++)
        if (holes && rng_below(&c->rng, 3) == 0)
            x[i] = -INFINITY;
    float *const y = check_copy(c, x, n);
    long double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        max = (long double)x[i] > max ? (long double)x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += expl((long double)x[i] - max);
    c->k.softmax(y, n);
    /* Of the reference: the exponential, their sum (each up to 1 ulp of y), the quotient (1/2). */
    for (size_t i = 0; i < n; i++)
        check_ulp("softmax", n, i, y[i], expl((long double)x[i] - max) / sum, c->ref ? 2.51 : 8);
    check_release(c, "softmax");
}

/* A NaN in, NaN everywhere out. */
static void all_nan(const char *what, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isnan(y[i]))
            fail_msg("%s, n = %zu: a NaN came in, but element %zu is %g", what, n, i, (double)y[i]);
}

static float *poisoned(struct check *c, size_t n)
{
    float *const x = check_random(c, n, 1);
    x[rng_below(&c->rng, n)] = NAN;
    return x;
}

static void check_rmsnorm(struct check *c)
{
    size_t size[CHECK_SIZES];
    const size_t count = check_sizes(c, size, 6144);
    for (size_t i = 1; i < count; i++) {
        const size_t n = size[i];
        rmsnorm_of_size(c, n);
        float *const x = poisoned(c, n);
        c->k.rmsnorm(x, x, check_random(c, n, 1), n, 1e-5f);
        all_nan("rmsnorm", x, n);
        check_release(c, "rmsnorm");
    }
}

static void check_layernorm(struct check *c)
{
    size_t size[CHECK_SIZES];
    const size_t count = check_sizes(c, size, 2048);
    for (size_t i = 1; i < count; i++) {
        const size_t n = size[i];
        layernorm_of_size(c, n);
        float *const x = poisoned(c, n);
        c->k.layernorm(x, x, check_random(c, n, 1), check_random(c, n, 1), n, 1e-6f);
        all_nan("layernorm", x, n);
        check_release(c, "layernorm");
    }
}

static void check_softmax(struct check *c)
{
    size_t size[CHECK_SIZES];
    const size_t count = check_sizes(c, size, 6144);
    for (size_t i = 1; i < count; i++) {
        const size_t n = size[i];
        softmax_of_size(c, n, false);
        softmax_of_size(c, n, true);
        float *const x = poisoned(c, n), *const y = check_f32(c, n);
        c->k.softmax(x, n);
        all_nan("softmax", x, n);
        for (size_t j = 0; j < n; j++)
            y[j] = -INFINITY;
        c->k.softmax(y, n);
        all_nan("softmax of -inf only", y, n);
        check_release(c, "softmax");
    }
}

/* ---- element by element ---- */
static void rope_of_size(struct check *c, size_t n, bool interleaved)
{
    float *const x = check_random(c, n, 3), *const cs = check_f32(c, n);
    for (size_t i = 0; i < n / 2; i++) {
        const double angle = (double)rng_f32(&c->rng) * 1e3;
        cs[2 * i] = (float)cos(angle);
        cs[2 * i + 1] = (float)sin(angle);
    }
    float *const y = check_copy(c, x, n);
    c->k.rope(y, cs, n, interleaved);
    for (size_t i = 0; i < n / 2; i++) {
        const size_t p = interleaved ? 2 * i : i, q = interleaved ? 2 * i + 1 : i + n / 2;
        const long double co = (long double)cs[2 * i], si = (long double)cs[2 * i + 1];
        const long double a = (long double)x[p], b = (long double)x[q];
        const long double tp = fabsl(a * co) + fabsl(b * si), tq = fabsl(a * si) + fabsl(b * co);
        check_close("rope", n, p, y[p], a * co - b * si, tp * 0x1p-23L + 0x1p-149L);
        check_close("rope", n, q, y[q], a * si + b * co, tq * 0x1p-23L + 0x1p-149L);
    }
    check_release(c, "rope");
}

static void check_rope(struct check *c)
{
    for (size_t n = 0; n <= 256; n += 2) {
        rope_of_size(c, n, true);
        rope_of_size(c, n, false);
    }
}

static const float special[] = {0.0f,    -0.0f, 1.0f,   -1.0f, 17.0f,   -17.0f,   88.0f,
                                -88.0f,  90.0f, -90.0f, 104.0f, -104.0f, 1000.0f, -1000.0f,
                                1e-30f,  1e-40f, -1e-40f, 3e38f, -3e38f};

static float *activations(struct check *c, size_t n)
{
    float *const x = check_random(c, n, 7);
    for (size_t i = 0; i < n; i += 1 + rng_below(&c->rng, 9))
        x[i] = special[rng_below(&c->rng, COUNT_OF(special))];
    return x;
}

/* Results below the normal range may be flushed by a fast level, not by the reference. */
static void check_tiny_ulp(const struct check *c, const char *what, size_t n, size_t i, float y,
                           long double want)
{
    if (!c->ref && fabsl(want) < 0x1p-125L)
        check_close(what, n, i, y, want, 0x1p-126L);
    else
        check_ulp(what, n, i, y, want, c->ref ? 0.51 : 4);
}

/* up reaches 2^spread: a product may be normal where silu alone is not. */
static void silu_of_size(struct check *c, size_t n, int spread)
{
    float *const g = activations(c, n), *const up = check_random(c, n, spread);
    float *const y = check_f32(c, n);
    c->k.silu_mul(y, g, up, n);
    for (size_t i = 0; i < n; i++) {
        const long double v = (long double)g[i];
        check_tiny_ulp(c, "silu_mul", n, i, y[i], v / (1 + expl(-v)) * (long double)up[i]);
    }
    float *const in_gate = check_copy(c, g, n), *const in_up = check_copy(c, up, n);
    c->k.silu_mul(in_gate, in_gate, up, n);
    c->k.silu_mul(in_up, g, in_up, n);
    check_same("silu_mul in gate", n, in_gate, y, n);
    check_same("silu_mul in up", n, in_up, y, n);
    check_release(c, "silu_mul");
}

static void check_silu(struct check *c)
{
    for (size_t n = 0; n <= 129; n++)
        silu_of_size(c, n, n % 2 ? 3 : 90);
    silu_of_size(c, 2048, 3);
    silu_of_size(c, 2048, 90);
    const float g[4] = {NAN, INFINITY, 1, -INFINITY}, up[4] = {1, 1, NAN, 1};
    float y[4];
    c->k.silu_mul(y, g, up, 4);
    assert_true(isnan(y[0]) && isinf(y[1]) && isnan(y[2]) && isnan(y[3]));
}

static void sigmoid_of_size(struct check *c, size_t n)
{
    float *const x = activations(c, n), *const y = check_f32(c, n);
    c->k.sigmoid(y, x, n);
    for (size_t i = 0; i < n; i++)
        check_tiny_ulp(c, "sigmoid", n, i, y[i], 1 / (1 + expl(-(long double)x[i])));
    c->k.sigmoid(x, x, n);
    check_same("sigmoid in place", n, x, y, n);
    check_release(c, "sigmoid");
}

static void check_sigmoid(struct check *c)
{
    for (size_t n = 0; n <= 129; n++)
        sigmoid_of_size(c, n);
    sigmoid_of_size(c, 256);
    const float x[3] = {NAN, INFINITY, -INFINITY};
    float y[3];
    c->k.sigmoid(y, x, 3);
    assert_true(isnan(y[0]) && y[1] == 1 && y[2] == 0);
}

static void add_of_size(struct check *c, size_t n)
{
    const float *const x = check_random(c, n, 12);
    float *const y = check_random(c, n, 12), *const want = check_f32(c, n);
    for (size_t i = 0; i < n; i++)
        want[i] = (float)((long double)y[i] + (long double)x[i]);
    c->k.add(y, x, n);
    check_same("add", n, y, want, n);
    check_release(c, "add");
}

static void axpy_of_size(struct check *c, size_t n)
{
    const float *const x = check_random(c, n, 12);
    const float a = rng_f32(&c->rng) * 3;
    float *const y = check_random(c, n, 12), *const old = check_copy(c, y, n);
    c->k.axpy(y, a, x, n);
    for (size_t i = 0; i < n; i++) {
        const long double part = (long double)a * (long double)x[i], before = (long double)old[i];
        const long double sizes = fabsl(part) + fabsl(before);
        const long double tol = c->ref ? fabsl(before + part) * 0x1p-24L + sizes * 0x1p-52L
                                       : sizes * 0x1p-23L;
        check_close("axpy", n, i, y[i], before + part, tol + 0x1p-149L);
    }
    check_release(c, "axpy");
}

static void check_add(struct check *c)
{
    size_t size[CHECK_SIZES];
    const size_t count = check_sizes(c, size, 6144);
    for (size_t i = 0; i < count; i++)
        add_of_size(c, size[i]);
}

static void check_axpy(struct check *c)
{
    size_t size[CHECK_SIZES];
    const size_t count = check_sizes(c, size, 6144);
    for (size_t i = 0; i < count; i++)
        axpy_of_size(c, size[i]);
}

/* y_i = n^-1/2 sum_j (-1)^popcount(i & j) x_j */
static void check_hadamard(struct check *c)
{
    for (size_t n = 1; n <= 1024; n *= 2) {
        const float *const x = check_random(c, n, 3);
        float *const y = check_copy(c, x, n);
        c->k.hadamard(y, n);
        const long double scale = 1 / sqrtl((long double)n);
        for (size_t i = 0; i < n; i++) {
            long double want = 0, sum = 0;
            for (size_t j = 0; j < n; j++) {
                want += __builtin_parityll(i & j) ? -(long double)x[j] : (long double)x[j];
                sum += fabsl((long double)x[j]);
            }
            const long double tol = 4 * sqrtl((long double)n) * 0x1p-24L * sum * scale;
            check_close("hadamard", n, i, y[i], want * scale, tol);
        }
        check_release(c, "hadamard");
    }
}

#define LEVELS(name, entry)                                                                        \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check_levels(check_##name, offsetof(struct kernels, entry));                               \
    }

LEVELS(dot, dot)
LEVELS(rmsnorm, rmsnorm)
LEVELS(layernorm, layernorm)
LEVELS(softmax, softmax)
LEVELS(rope, rope)
LEVELS(silu, silu_mul)
LEVELS(sigmoid, sigmoid)
LEVELS(add, add)
LEVELS(axpy, axpy)
LEVELS(hadamard, hadamard)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot), cmocka_unit_test(test_rmsnorm),
        cmocka_unit_test(test_layernorm), cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_rope), cmocka_unit_test(test_silu),
        cmocka_unit_test(test_sigmoid), cmocka_unit_test(test_add),
        cmocka_unit_test(test_axpy), cmocka_unit_test(test_hadamard),
    };
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
