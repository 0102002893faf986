/* check.c - see check.h. */
#include "util/check.h"

enum { GUARD = 64, GUARD_BYTE = 0xa5 };

static uint64_t seed = 1;

bool check_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") != 0 || i + 1 == argc)
            return false;
        seed = strtoull(argv[++i], NULL, 0);
    }
    printf("seed %llu\n", (unsigned long long)seed);
    return true;
}

static bool same_entry(const struct kernels *a, const struct kernels *b, size_t entry)
{
    return memcmp((const char *)a + entry, (const char *)b + entry, sizeof(void (*)(void))) == 0;
}

void check_levels(check_fn *fn, size_t entry)
{
    struct kernels done[CPU_LEVEL_COUNT];
    for (int l = 0; l <= (int)cpu_detect(); l++) {
        bool seen = false;
        kernels_init(&done[l], (enum cpu_level)l);
        for (int m = 0; m < l; m++)
            seen = seen || same_entry(&done[l], &done[m], entry);
        if (seen)
            continue;
        struct check c = {.k = done[l], .ref = l == 0, .rng = {seed}};
        fn(&c);
        check_release(&c, "at the end");
    }
}

static uint8_t *buffer_new(struct check *c, size_t n, size_t offset)
{
    assert_true(c->buffers < CHECK_BUFFERS);
    uint8_t *const raw = aligned_alloc(64, (GUARD + offset + n + GUARD + 63) / 64 * 64);
    assert_non_null(raw);
    memset(raw, GUARD_BYTE, GUARD + offset);
    memset(raw + GUARD + offset, 0xff, n);
    memset(raw + GUARD + offset + n, GUARD_BYTE, GUARD);
    const int i = c->buffers++;
    c->buffer[i].raw = raw;
    c->buffer[i].data = raw + GUARD + offset;
    c->buffer[i].bytes = n;
    return c->buffer[i].data;
}

float *check_f32(struct check *c, size_t n)
{
    return (float *)(void *)buffer_new(c, n * sizeof(float), rng_below(&c->rng, 16) * 4);
}

double *check_f64(struct check *c, size_t n)
{
    return (double *)(void *)buffer_new(c, n * sizeof(double), rng_below(&c->rng, 8) * 8);
}

const void *const *check_packed(struct check *c, const float *x, size_t x_stride, size_t T,
                                size_t n, enum kernel_role role)
{
    const size_t bytes = c->k.pack_bytes(n, role);
    assert_int_equal(bytes % 64, 0);
    const void **const row = (const void **)(void *)buffer_new(c, T * sizeof *row, 0);
    uint8_t *const data = buffer_new(c, T * bytes, 0);
    for (size_t t = 0; t < T; t++) {
        c->k.pack(data + t * bytes, x + t * x_stride, n, role);
        row[t] = data + t * bytes;
    }
    return row;
}

uint8_t *check_bytes(struct check *c, size_t n) { return buffer_new(c, n, rng_below(&c->rng, 64)); }

void *check_scratch(struct check *c, size_t n) { return buffer_new(c, n, 0); }

static void guard_intact(const uint8_t *from, const uint8_t *to, const char *what)
{
    for (; from < to; from++)
        if (*from != GUARD_BYTE)
            fail_msg("%s: wrote outside of its array", what);
}

void check_release(struct check *c, const char *what)
{
    for (int i = 0; i < c->buffers; i++) {
        const uint8_t *const end = c->buffer[i].data + c->buffer[i].bytes;
        guard_intact(c->buffer[i].raw, c->buffer[i].data, what);
        guard_intact(end, end + GUARD, what);
        free(c->buffer[i].raw);
    }
    c->buffers = 0;
}

float *check_random(struct check *c, size_t n, int spread)
{
    float *const x = check_f32(c, n);
    for (size_t i = 0; i < n; i++)
        x[i] = ldexpf(rng_f32(&c->rng), (int)rng_below(&c->rng, 2 * (size_t)spread + 1) - spread);
    return x;
}

float *check_copy(struct check *c, const float *x, size_t n)
{
    float *const y = check_f32(c, n);
    memcpy(y, x, n * sizeof *x);
    return y;
}

long double check_sum_bound(const struct check *c, long double want, long double sum_abs, size_t n)
{
    if (c->ref)
        return fabsl(want) * 0x1p-24L + (long double)(n + 8) * 0x1p-53L * sum_abs + 0x1p-149L;
    return 4 * sqrtl((long double)n) * 0x1p-24L * sum_abs + 0x1p-149L;
}

void check_close(const char *what, size_t n, size_t i, float y, long double want, long double tol)
{
    if (!(fabsl((long double)y - want) <= tol))
        fail_msg("%s, n = %zu: element %zu is %.9g, expected %.9Lg within %.3Lg", what, n, i,
                 (double)y, want, tol);
}

void check_ulp(const char *what, size_t n, size_t i, float y, long double want, double ulp)
{
    if (isnan(want) || isinf(want) || fabsl(want) > 0x1.fffffep+127L) {
        const float rounded = (float)want;
        if (isnan(want) ? !isnan(y) : y != rounded)
            fail_msg("%s, n = %zu: element %zu is %g, expected %g", what, n, i, (double)y,
                     (double)rounded);
        return;
    }
    int e;
    (void)frexpl(want, &e);
    check_close(what, n, i, y, want, ulp * ldexpl(1, (e < -125 ? -125 : e) - 24));
}

void check_same(const char *what, size_t n, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0 && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("%s, n = %zu: element %zu is %a one way and %a the other", what, n, i,
                     (double)a[i], (double)b[i]);
}

/* ---- matrices ---- */
static bool all_small(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(v[i]) < 1024))
            return false;
    return true;
}

/* Random bytes until they decode to small finite numbers. */
static void random_block(struct check *c, enum dtype t, uint8_t *p, float *values)
{
    const struct dtype_info *const d = dtype_info(t);
    struct kernels ref;
    kernels_ref(&ref);
    do {
        rng_bytes(&c->rng, p, d->block_bytes);
        ref.dequant[t](values, p, d->block_len);
    } while (!all_small(values, d->block_len));
}

static float *f8_scales(struct check *c, size_t rows, size_t cols, float *values)
{
    const size_t blocks = (cols + F8_BLOCK - 1) / F8_BLOCK;
    float *const scale = check_random(c, (rows + F8_BLOCK - 1) / F8_BLOCK * blocks, 3);
    for (size_t r = 0; r < rows; r++)
        for (size_t col = 0; col < cols; col++)
            values[r * cols + col] *= scale[r / 128 * blocks + col / 128];
    return scale;
}

struct matrix check_matrix(struct check *c, enum dtype t, size_t rows, size_t cols, size_t gap,
                           float **values)
{
    const struct dtype_info *const d = dtype_info(t);
    const size_t row_bytes = cols / d->block_len * d->block_bytes + gap;
    uint8_t *const data = check_bytes(c, rows * row_bytes);
    float *const v = check_f32(c, rows * cols);
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < cols / d->block_len; b++)
            random_block(c, t, data + r * row_bytes + b * d->block_bytes,
                         v + r * cols + b * d->block_len);
    *values = v;
    const float *const scale = t == DT_F8_E4M3 ? f8_scales(c, rows, cols, v) : NULL;
    return (struct matrix){data, t, rows, cols, row_bytes, scale, "random"};
}

size_t check_sizes(struct check *c, size_t *out, size_t max)
{
    static const size_t model[] = {192, 256, 512, 576, 1536, 2048, 6144, 12288, 16384};
    size_t n = 0;
    for (size_t i = 0; i <= 129 && i <= max; i++)
        out[n++] = i;
    for (size_t i = 0; i < sizeof model / sizeof *model; i++)
        if (model[i] <= max)
            out[n++] = model[i];
    for (size_t i = 0; i < 16; i++)
        out[n++] = 1 + rng_below(&c->rng, max);
    return n;
}
