/* test_matmul.c - products with stored matrices: every type against naive sums, and the invariances
 * that the engine's determinism rests on: how many vectors, which rows, where in memory.
 */
#include "util/check.h"

#if defined(__aarch64__)
#include "kernels/arm/arm.h"
#elif defined(__x86_64__)
#include "kernels/x86/x86.h"
#endif

struct product {
    struct matrix w;
    float *values; /* [rows, cols] */
    const float *x;
    size_t T, x_stride, y_stride;
};

static const enum kernel_role roles[] = {ROLE_PREFILL, ROLE_DECODE};
static const enum dtype floats[] = {DT_F32, DT_BF16, DT_F16, DT_F8_E4M3};

/* ---- matmul ---- */
static float *matmul(struct check *c, const struct product *p, size_t T, uint64_t r0, uint64_t r1,
                     enum kernel_role role)
{
    float *const scratch = check_f32(c, (size_t)p->w.cols);
    float *const y = check_f32(c, T * p->y_stride);
    const void *const *const x = check_packed(c, p->x, p->x_stride, T, (size_t)p->w.cols, role);
    c->k.matmul(y, p->y_stride, x, T, &p->w, r0, r1, role, scratch);
    return y;
}

/* How products with integer blocks round x: by max|x| of `group` columns / steps; of_itself: both
 * factors also by this part of themselves; least: what is smaller counts as 0. */
struct rounding {
    size_t group;
    long double steps, of_itself, least;
};

/* Do prompts of this level multiply bytes of this type? */
static bool has_quads(const char *level, enum dtype t)
{
#if defined(__x86_64__)
    return (strcmp(level, "avx512") == 0 && quads_known_avx512(t))
        || (strcmp(level, "avx2") == 0 && quads_known_avx2(t));
#else
    (void)level, (void)t;
    return false;
#endif
}

static struct rounding rounding_of(const struct check *c, enum dtype t, enum kernel_role role)
{
    if (role == ROLE_PREFILL && has_quads(c->k.level, t))
        return (struct rounding){32, 254, 0, 0};
    if (role == ROLE_PREFILL && strcmp(c->k.level, "amx") == 0) /* bf16; minima may cancel */
        return (struct rounding){256, 0x1p20L, 0x1p-8L, 0x1p-126L};
    return (struct rounding){256, 16382, 0, 0};
}

/* Sum over groups of sum|w| times the rounding of one element, and of each product's own. */
static long double rounding_bound(const struct check *c, const struct product *p,
                                  enum kernel_role role, size_t t, size_t r)
{
    const size_t cols = (size_t)p->w.cols;
    const struct rounding round = rounding_of(c, p->w.type, role);
    if (c->ref || dtype_info(p->w.type)->block_len == 1)
        return 0;
    long double bound = 0;
    for (size_t g = 0; g < cols; g += round.group) {
        long double most = 0, sum = 0;
        for (size_t i = g; i < g + round.group && i < cols; i++) {
            const long double x = fabsl((long double)p->x[t * p->x_stride + i]);
            const long double w = fabsl((long double)p->values[r * cols + i]);
            most = fmaxl(most, x);
            sum += w;
            bound += w * x * round.of_itself * 1.01L + (x + 1) * round.least;
        }
        bound += most / round.steps * 1.001L * sum;
    }
    return bound;
}

static void near_naive(struct check *c, const struct product *p, enum kernel_role role,
                       const float *y)
{
    const size_t cols = (size_t)p->w.cols;
    for (size_t t = 0; t < p->T; t++)
        for (size_t r = 0; r < p->w.rows; r++) {
            long double want = 0, sum = 0;
            for (size_t i = 0; i < cols; i++) {
                const long double part = (long double)p->values[r * cols + i]
                                       * (long double)p->x[t * p->x_stride + i];
                want += part;
                sum += fabsl(part);
            }
            check_close(dtype_name(p->w.type), cols, t * p->w.rows + r, y[t * p->y_stride + r],
                        want,
                        check_sum_bound(c, want, sum, cols) + rounding_bound(c, p, role, t, r));
        }
}

/* Gaps between the T rows of y [T, n] stay what they were (all ones: a NaN). */
static void gaps_untouched(const float *y, size_t T, size_t n, size_t y_stride)
{
    for (size_t t = 0; t < T; t++)
        for (size_t i = n; i < y_stride; i++) {
            uint32_t bits;
            memcpy(&bits, y + t * y_stride + i, sizeof bits);
            assert_int_equal(bits, UINT32_MAX);
        }
}

static void same_alone(struct check *c, const struct product *p, const float *y,
                       enum kernel_role role)
{
    struct product one = *p;
    for (size_t t = 0; t < p->T; t++) {
        one.x = p->x + t * p->x_stride;
        const float *const alone = matmul(c, &one, 1, 0, p->w.rows, role);
        check_same("matmul of one vector and of several", (size_t)p->w.cols, alone,
                   y + t * p->y_stride, (size_t)p->w.rows);
    }
}

static void same_split(struct check *c, const struct product *p, const float *y,
                       enum kernel_role role)
{
    const uint64_t cut = rng_below(&c->rng, (size_t)p->w.rows + 1);
    const float *const low = matmul(c, p, p->T, 0, cut, role);
    const float *const high = matmul(c, p, p->T, cut, p->w.rows, role);
    for (size_t t = 0; t < p->T; t++) {
        const size_t at = t * p->y_stride;
        check_same("rows split: first part", (size_t)p->w.cols, low + at, y + at, (size_t)cut);
        check_same("rows split: second part", (size_t)p->w.cols, high + at, y + at + cut,
                   (size_t)(p->w.rows - cut));
    }
}

static void same_elsewhere(struct check *c, const struct product *p, const float *y,
                           enum kernel_role role)
{
    struct product moved = *p;
    const size_t bytes = (size_t)(p->w.rows * p->w.row_bytes);
    uint8_t *const data = check_bytes(c, bytes);
    memcpy(data, p->w.data, bytes);
    moved.w.data = data;
    moved.x = check_copy(c, p->x, p->T * p->x_stride);
    const float *const other = matmul(c, &moved, p->T, 0, p->w.rows, role);
    for (size_t t = 0; t < p->T; t++)
        check_same("matmul at other addresses", (size_t)p->w.cols, other + t * p->y_stride,
                   y + t * p->y_stride, (size_t)p->w.rows);
}

static struct product random_product(struct check *c, enum dtype t, size_t rows, size_t cols,
                                     size_t T)
{
    struct product p = {.T = T, .x_stride = cols + rng_below(&c->rng, 3),
                        .y_stride = rows + rng_below(&c->rng, 3)};
    p.w = check_matrix(c, t, rows, cols, rng_below(&c->rng, 2) * 7, &p.values);
    p.x = check_random(c, T * p.x_stride, 3);
    return p;
}

static void product_case(struct check *c, enum dtype t, size_t rows, size_t cols, size_t T)
{
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        const struct product p = random_product(c, t, rows, cols, T);
        const float *const y = matmul(c, &p, T, 0, rows, roles[i]);
        near_naive(c, &p, roles[i], y);
        gaps_untouched(y, T, rows, p.y_stride);
        same_alone(c, &p, y, roles[i]);
        same_split(c, &p, y, roles[i]);
        same_elsewhere(c, &p, y, roles[i]);
        check_release(c, "matmul");
    }
}

/* Fewer vectors, and as many as registers have lanes: the same bits as of all. */
static void vectors_case(struct check *c, enum dtype t, size_t cols)
{
    static const size_t some[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 24, 31};
    enum { ROWS = 5, ALL = 37 };
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        const struct product p = random_product(c, t, ROWS, cols, ALL);
        const float *const y = matmul(c, &p, ALL, 0, ROWS, roles[i]);
        for (size_t k = 0; k < COUNT_OF(some); k++) {
            const float *const fewer = matmul(c, &p, some[k], 0, ROWS, roles[i]);
            for (size_t v = 0; v < some[k]; v++)
                check_same("matmul of some and of all vectors", cols, fewer + v * p.y_stride,
                           y + v * p.y_stride, ROWS);
        }
        check_release(c, "matmul");
    }
}

static void type_cases(struct check *c, enum dtype t)
{
    static const size_t model[] = {192, 256, 512, 576, 2048, 6144, 16384};
    const size_t len = dtype_info(t)->block_len;
    for (size_t blocks = 1; blocks <= (len == 1 ? 129 : 5); blocks++)
        product_case(c, t, 1 + rng_below(&c->rng, 9), blocks * len, 1 + rng_below(&c->rng, 4));
    for (size_t i = 0; i < COUNT_OF(model); i++)
        if (model[i] % len == 0)
            product_case(c, t, 3, model[i], 1 + rng_below(&c->rng, 2));
    product_case(c, t, 131, len == 1 ? 300 : 3 * len, 4); /* more rows than a panel of any level */
    product_case(c, t, 40, len == 1 ? 77 : 2 * len, 37);  /* more vectors than a tile */
    product_case(c, t, 261, len == 1 ? 77 : len, 16);     /* more rows than a turn is for */
    vectors_case(c, t, len == 1 ? 77 : 9 * len);
    vectors_case(c, t, 2048);
}

/* Around the sizes of panels, tiles and registers of matrices that are multiplied in f32. */
static void float_cases(struct check *c, enum dtype t)
{
    static const size_t rows[] = {1, 31, 33, 129}, cols[] = {1, 7, 255, 257, 511, 513};
    static const size_t vectors[] = {1, 2, 5, 6, 7, 13};
    for (size_t i = 0; i < COUNT_OF(cols); i++)
        for (size_t j = 0; j < COUNT_OF(rows); j++)
            product_case(c, t, rows[j], cols[i], vectors[(i + j) % COUNT_OF(vectors)]);
    for (size_t i = 0; i < COUNT_OF(vectors); i++)
        product_case(c, t, 33, 513, vectors[i]);
    product_case(c, t, 17, 6144, 7);
    product_case(c, t, 33, 257, 64);
}

/* 128 x 128 scales with ragged edges, as in the 576 rows of kv_a_proj_with_mqa. */
static void f8_grid_cases(struct check *c)
{
    static const size_t shape[][2] = {{1, 1},     {127, 129}, {128, 128}, {129, 127},
                                      {300, 257}, {576, 64},  {576, 300}};
    for (size_t i = 0; i < COUNT_OF(shape); i++)
        product_case(c, DT_F8_E4M3, shape[i][0], shape[i][1], 1);
}

static void check_matmul(struct check *c)
{
    for (int t = 0; t < DT_COUNT; t++)
        if (dtype_info((enum dtype)t)->decodes)
            type_cases(c, (enum dtype)t);
    for (size_t i = 0; i < COUNT_OF(floats); i++)
        float_cases(c, floats[i]);
    f8_grid_cases(c);
}

/* Each weight arrives exactly once: x has a single 1. */
static void check_one_hot(struct check *c)
{
    for (size_t cols = 1; cols <= 129; cols++) {
        struct product p = random_product(c, DT_F32, 2, cols, 1);
        float *const x = check_f32(c, cols), *const y = check_f32(c, p.y_stride);
        float *const scratch = check_f32(c, cols);
        void *const packed = check_scratch(c, 64 + c->k.pack_bytes(cols, ROLE_DECODE)
                                                  + c->k.pack_bytes(cols, ROLE_PREFILL));
        const void *const in = packed;
        memset(x, 0, cols * sizeof *x);
        for (size_t i = 0; i < 2 * cols; i++) {
            x[i / 2] = 1;
            c->k.pack(packed, x, cols, roles[i % 2]);
            c->k.matmul(y, p.y_stride, &in, 1, &p.w, 0, 2, roles[i % 2], scratch);
            check_same("row 0", cols, y, p.values + i / 2, 1);
            check_same("row 1", cols, y + 1, p.values + cols + i / 2, 1);
            x[i / 2] = 0;
        }
        check_release(c, "matmul");
    }
}

#if defined(__aarch64__)
/* A processor without some instructions computes the same bits with others. */
static void same_with(struct check *c, unsigned extras)
{
    for (int t = 0; t < DT_COUNT; t++)
        for (size_t i = 0; dtype_info((enum dtype)t)->decodes && i < COUNT_OF(roles); i++) {
            const struct product p = random_product(c, (enum dtype)t, 9, 768, 5);
            kernels_neon(&c->k, cpu_extras());
            const float *const y = matmul(c, &p, 5, 0, 9, roles[i]);
            kernels_neon(&c->k, extras);
            const float *const z = matmul(c, &p, 5, 0, 9, roles[i]);
            for (size_t v = 0; v < 5; v++)
                check_same("matmul with fewer instructions", 768, z + v * p.y_stride,
                           y + v * p.y_stride, 9);
            check_release(c, "matmul");
        }
}

static void check_extras(struct check *c)
{
    static const unsigned fewer[] = {0, CPU_DOTPROD};
    for (size_t i = 0; i < COUNT_OF(fewer) && !c->ref; i++)
        if ((cpu_extras() & fewer[i]) == fewer[i])
            same_with(c, fewer[i]);
}
#endif

/* ---- rows ---- */
static void check_rows(struct check *c)
{
    for (int t = 0; t < DT_COUNT; t++) {
        if (!dtype_info((enum dtype)t)->decodes)
            continue;
        const size_t len = dtype_info((enum dtype)t)->block_len, cols = len == 1 ? 201 : 3 * len;
        float *values;
        const struct matrix w = check_matrix(c, (enum dtype)t, 131, cols, 3, &values);
        float *const y = check_f32(c, cols);
        for (size_t r = 0; r < 131; r++) {
            c->k.matrix_row(y, &w, r);
            check_same("matrix_row", cols, y, values + r * cols, cols);
        }
        check_release(c, "matrix_row");
    }
}

/* ---- the transposed product ---- */
static float *matmul_t(struct check *c, const struct product *p, size_t T, uint64_t r0, uint64_t r1,
                       enum kernel_role role)
{
    const size_t cols = (size_t)p->w.cols;
    float *const y = check_f32(c, T * p->y_stride);
    float *const scratch = check_f32(c, (size_t)(r1 - r0) * cols);
    double *const acc = check_f64(c, KERNEL_LANES * cols);
    c->k.matmul_t(y, p->y_stride, p->x, p->x_stride, T, &p->w, r0, r1, role, acc, scratch);
    return y;
}

static void near_naive_t(struct check *c, const struct product *p, uint64_t r0, uint64_t r1,
                         const float *y)
{
    const size_t cols = (size_t)p->w.cols, n = (size_t)(r1 - r0);
    for (size_t t = 0; t < p->T; t++)
        for (size_t i = 0; i < cols; i++) {
            long double want = 0, sum = 0;
            for (size_t r = 0; r < n; r++) {
                const long double part = (long double)p->values[(r0 + r) * cols + i]
                                       * (long double)p->x[t * p->x_stride + r];
                want += part;
                sum += fabsl(part);
            }
            check_close("matmul_t", n, t * cols + i, y[t * p->y_stride + i], want,
                        check_sum_bound(c, want, sum, n));
        }
}

/* The same bits as matmul with the transpose, when that is stored as f32. */
static void same_as_transposed(struct check *c, const struct product *p, const float *y,
                               enum kernel_role role)
{
    const size_t rows = (size_t)p->w.rows, cols = (size_t)p->w.cols;
    float *const turned = check_f32(c, rows * cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < cols; i++)
            turned[i * rows + r] = p->values[r * cols + i];
    struct product q = *p;
    q.w = (struct matrix){(const uint8_t *)turned, DT_F32, cols, rows, rows * 4, NULL, "turned"};
    const float *const z = matmul(c, &q, q.T, 0, cols, role);
    for (size_t t = 0; t < p->T; t++)
        check_same("matmul_t and matmul with the transpose", rows, y + t * p->y_stride,
                   z + t * p->y_stride, cols);
}

static void transposed_role(struct check *c, enum dtype t, size_t rows, size_t cols, size_t T,
                            enum kernel_role role)
{
    struct product p = {.T = T, .x_stride = rows + rng_below(&c->rng, 3),
                        .y_stride = cols + rng_below(&c->rng, 3)};
    p.w = check_matrix(c, t, rows, cols, rng_below(&c->rng, 2) * 5, &p.values);
    p.x = check_random(c, T * p.x_stride, 3);
    const float *const y = matmul_t(c, &p, T, 0, rows, role);
    near_naive_t(c, &p, 0, rows, y);
    gaps_untouched(y, T, cols, p.y_stride);
    same_as_transposed(c, &p, y, role);
    for (size_t v = 0; v < T; v++) {
        struct product one = p;
        one.x = p.x + v * p.x_stride;
        check_same("matmul_t of one vector and of several", rows,
                   matmul_t(c, &one, 1, 0, rows, role), y + v * p.y_stride, cols);
    }
    const size_t r0 = rng_below(&c->rng, rows), r1 = r0 + rng_below(&c->rng, rows - r0 + 1);
    near_naive_t(c, &p, r0, r1, matmul_t(c, &p, T, r0, r1, role));
    check_release(c, "matmul_t");
}

static void transposed_case(struct check *c, enum dtype t, size_t rows, size_t cols, size_t T)
{
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        transposed_role(c, t, rows, cols, T, roles[i]);
}

/* Large terms that cancel leave little but rounding: a sum in any other order has other bits, even
 * in double. */
static void order_case(struct check *c, size_t rows, size_t cols)
{
    struct product p = {.T = 2, .x_stride = rows, .y_stride = cols};
    p.values = check_random(c, rows * cols, 30);
    float *const x = check_random(c, 2 * rows, 8);
    for (size_t r = 1; r < rows; r += 2) {
        x[r] = -x[r - 1];
        x[rows + r] = -x[rows + r - 1];
        memcpy(p.values + r * cols, p.values + (r - 1) * cols, cols * sizeof *p.values);
    }
    p.x = x;
    p.w = (struct matrix){(const uint8_t *)p.values, DT_F32, rows, cols, cols * 4, NULL, "order"};
    for (size_t i = 0; i < COUNT_OF(roles); i++)
        same_as_transposed(c, &p, matmul_t(c, &p, 2, 0, rows, roles[i]), roles[i]);
    check_release(c, "matmul_t");
}

static void check_matmul_t(struct check *c)
{
    for (size_t n = 1; n <= 129; n++)
        order_case(c, n, 1 + rng_below(&c->rng, 9));
    for (size_t n = 1; n <= 129; n++)
        transposed_case(c, floats[n % COUNT_OF(floats)], n, 1 + rng_below(&c->rng, 129), 1 + n % 5);
    for (size_t i = 0; i < COUNT_OF(floats); i++) {
        transposed_case(c, floats[i], 513, 33, 13);
        transposed_case(c, floats[i], 1025, 131, 5);
    }
    transposed_case(c, DT_BF16, 192, 512, 19);
    transposed_case(c, DT_F8_E4M3, 256, 512, 1);
    transposed_case(c, DT_Q8_0, 192, 512, 3);
    transposed_case(c, DT_Q4_K, 192, 512, 1);
}

#define LEVELS(name, entry)                                                                        \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        check_levels(check_##name, offsetof(struct kernels, entry));                               \
    }

LEVELS(matmul, matmul)
LEVELS(one_hot, matmul)
#if defined(__aarch64__)
LEVELS(extras, matmul)
#endif
LEVELS(rows, matrix_row)
LEVELS(matmul_t, matmul_t)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_one_hot),
#if defined(__aarch64__)
        cmocka_unit_test(test_extras),
#endif
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_matmul_t),
    };
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
