/* test_kernels.c - the table as a whole: complete at every level; with --bench [LEVEL [TYPE]], how
 * fast it is.
 *
 * The checks of its entries are in test_dequant, test_matmul, test_vector, test_topk and
 * test_attention. --bench prints one line for each distinct entry of each level: ns a call (best of
 * several), GB/s of the stored bytes it reads, and GMAC/s where it multiplies; first what memory
 * gives a single thread that only sums what it reads.
 */
#include <time.h>

#include "util/check.h"

/* ---- complete ---- */
static void test_complete(void **state)
{
    (void)state;
    for (int l = 0; l < CPU_LEVEL_COUNT; l++) {
        struct kernels k;
        memset(&k, 0, sizeof k);
        kernels_init(&k, l <= (int)cpu_detect() ? (enum cpu_level)l : CPU_BASELINE);
        assert_non_null(k.level);
        for (int t = 0; t < DT_COUNT; t++) {
            assert_int_equal(k.dequant[t] != NULL, dtype_info((enum dtype)t)->decodes);
            assert_int_equal(k.product[t] != NULL, dtype_info((enum dtype)t)->decodes);
        }
        const size_t first = offsetof(struct kernels, matrix_row);
        for (size_t at = first; at < sizeof k; at += sizeof(void *)) {
            void *entry;
            memcpy(&entry, (const char *)&k + at, sizeof entry);
            assert_non_null(entry);
        }
    }
}

/* The products are there, all of them, and each counts as two operations. */
static void check_peak(struct check *c)
{
    static const uint64_t rounds[] = {0, 1, 7, 1000, 4096};
    double one = 1;
    const uint64_t each = c->k.peak(1, &one);
    assert_true(each > 0);
    for (size_t i = 0; i < COUNT_OF(rounds); i++) {
        one = 1;
        assert_int_equal(c->k.peak(rounds[i], &one), each * rounds[i]);
        assert_true(one == (double)(each * rounds[i] / 2));
    }
}

static void test_peak(void **state)
{
    (void)state;
    check_levels(check_peak, offsetof(struct kernels, peak));
}

/* A level that the machine has is what multiplies every type: none falls back in silence. */
static void test_products(void **state)
{
    (void)state;
    static const enum cpu_level levels[] = {CPU_BASELINE, CPU_NEON, CPU_AVX2, CPU_AVX512};
    for (size_t i = 0; i < COUNT_OF(levels); i++) {
        struct kernels k;
        if (!cpu_has(levels[i]))
            continue;
        kernels_init(&k, levels[i]);
        assert_string_equal(k.level, cpu_level_name(levels[i]));
        for (int t = 0; t < DT_COUNT; t++)
            if (k.product[t])
                assert_string_equal(k.product[t], k.level);
    }
}

static void test_kv_row_bytes(void **state)
{
    (void)state;
    assert_int_equal(kv_row_bytes(KV_F32, 3), 12);
    assert_int_equal(kv_row_bytes(KV_F16, 3), 6);
    assert_int_equal(kv_row_bytes(KV_BF16, 3), 6);
    assert_int_equal(kv_row_bytes(KV_Q8, 512), 512 + 4 * 4);
    assert_int_equal(kv_row_bytes(KV_Q8, 129), 129 + 2 * 4);
    assert_int_equal(kv_row_bytes(KV_I8, 300), 304);
    for (int t = 0; t < KV_TYPE_COUNT; t++)
        assert_int_equal(kv_row_bytes((enum kv_type)t, 0), 0);
}

/* ---- bench ---- */
enum {
    ROWS = 2048, COLS = 6144, KEYS = 2048, RK = 512, DR = 64, HI = 32, DI = 128, HEADS = 16,
    TOP = 1 << 20, VECTORS = 512, PACKED_MAX = 1 << 16, ATTEND_MAX = 1 << 20,
    NOPE = 192, MEMORY = 256 << 20, PEAK_ROUNDS = 1 << 16, FAR_KEYS = 1 << 17,
    ALL_HEADS = 64
};

static struct {
    struct kernels k;
    float *x, *y, *scratch, *scores;
    double *acc;
    uint8_t *weights;
    const void **rows, **far_rows, *packed[VECTORS];
    enum kv_type kv;
    uint8_t *packed_data;
    void *attend;
    uint32_t seen[ALL_HEADS];
    int32_t *idx;
    struct matrix w;
    size_t T, far;
    uint64_t operations;
    enum kernel_role role;
} b;

/* Of this thread's own time: other programs on the machine disturb it less. */
static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of five runs of at least 5 ms each; seconds of processor time a call. */
static double best_time(void (*work)(void))
{
    double best = 1e9;
    size_t calls = 1;
    for (int run = 0; run < 5;) {
        const double start = seconds();
        for (size_t i = 0; i < calls; i++)
            work();
        const double took = seconds() - start;
        if (took < 5e-3) {
            calls *= 2;
            continue;
        }
        best = fmin(best, took / (double)calls);
        run++;
    }
    return best;
}

static void row_of_table(const char *what, void (*work)(void), double bytes, double macs)
{
    const double s = best_time(work);
    printf("%-10s %-24s %12.0f ns %8.2f GB/s", b.k.level, what, s * 1e9, bytes / s * 1e-9);
    if (macs > 0)
        printf(" %8.2f GMAC/s", macs / s * 1e-9);
    printf("\n");
}

static void do_read(void)
{
    uint64_t sum[4] = {0}, word[4];
    for (size_t i = 0; i < MEMORY; i += sizeof word) {
        memcpy(word, b.weights + i, sizeof word);
        for (size_t j = 0; j < COUNT_OF(word); j++)
            sum[j] += word[j];
    }
    static volatile uint64_t sink;
    sink = sum[0] + sum[1] + sum[2] + sum[3];
    (void)sink;
}

static void do_dequant(void)
{
    for (uint64_t r = 0; r < ROWS; r++)
        b.k.dequant[b.w.type](b.y, b.w.data + r * b.w.row_bytes, COLS);
}

static void do_matmul(void)
{
    b.k.matmul(b.y, ROWS, b.packed, b.T, &b.w, 0, ROWS, b.role, b.scratch);
}

/* Another place of the weights in each call: from memory. */
static void do_matmul_far(void)
{
    const size_t bytes = (size_t)b.w.row_bytes * ROWS;
    b.far = b.far + 2 * bytes > MEMORY ? 0 : b.far + bytes;
    struct matrix w = b.w;
    w.data = b.weights + b.far;
    b.k.matmul(b.y, ROWS, b.packed, 1, &w, 0, ROWS, ROLE_DECODE, b.scratch);
}

static void do_peak(void)
{
    double one = 1;
    b.operations = b.k.peak(PEAK_ROUNDS, &one);
}

static void do_pack(void) { b.k.pack(b.packed_data, b.x, COLS, b.role); }

static void do_matmul_t(void)
{
    b.k.matmul_t(b.y, COLS, b.x, NOPE, 1, &b.w, 0, NOPE, ROLE_DECODE, b.acc, b.scratch);
}

/* The keys of a prompt, one head: from its latents. */
static void do_expand_keys(void)
{
    const struct matrix w = {b.weights, DT_BF16, RK, NOPE, NOPE * 2, NULL, "w"};
    b.k.matmul_t(b.y, NOPE, b.x, RK, VECTORS, &w, 0, RK, ROLE_PREFILL, b.acc, b.scratch);
}

static void do_dot(void) { b.y[0] = b.k.dot(b.x, b.x + COLS, COLS); }
static void do_rmsnorm(void) { b.k.rmsnorm(b.y, b.x, b.x + COLS, COLS, 1e-5f); }
static void do_layernorm(void) { b.k.layernorm(b.y, b.x, b.x + COLS, b.x, DI, 1e-6f); }
static void do_rope(void) { b.k.rope(b.y, b.x, DR, true); }
static void do_silu(void) { b.k.silu_mul(b.y, b.x, b.x + COLS, COLS); }
static void do_softmax(void) { b.k.softmax(b.y, KEYS); }
static void do_sigmoid(void) { b.k.sigmoid(b.y, b.x, COLS); }
static void do_add(void) { b.k.add(b.y, b.x, COLS); }
static void do_axpy(void) { b.k.axpy(b.y, 0.5f, b.x, COLS); }
static void do_hadamard(void) { b.k.hadamard(b.y, DI); }
static void do_topk(void) { b.k.topk(b.idx, KEYS, b.scores, TOP, b.y); }
static void do_above(void)
{
    bool finite = true;
    b.far = b.k.above(b.y, b.idx, b.scores, TOP, 0, 0.9f, &finite);
}

static void do_store(void) { b.k.kv_store(b.weights, b.x, COLS, b.kv); }
static void do_load(void) { b.k.kv_load(b.y, b.weights, COLS, b.kv); }

static void do_index(void)
{
    b.k.index_score(b.y, KEYS, b.x, b.x, b.T, b.rows, KEYS, HI, DI, 0.1f, b.kv, b.attend);
}

/* One row of queries over keys that lie in memory, in the order and portions of a decode step. */
static void do_index_far(void)
{
    enum { PORTION = 2048 };
    const size_t bytes = kv_row_bytes(b.kv, DI);
    b.far = b.far + 2 * bytes * FAR_KEYS > MEMORY ? 0 : b.far + bytes * FAR_KEYS;
    for (size_t i = 0; i < FAR_KEYS; i++)
        b.far_rows[i] = b.weights + b.far + i * bytes;
    for (size_t i = 0; i < FAR_KEYS; i += PORTION)
        b.k.index_score(b.y, PORTION, b.x, b.x, 1, b.far_rows + i, PORTION, HI, DI, 0.1f, b.kv,
                        b.attend);
}

/* One row of a decode step: all heads over the rows of its list. */
static void do_absorbed(void)
{
    const struct attend a = {b.x, HEADS, RK + DR, b.rows, b.seen, RK + DR, 0, RK, b.kv, 0.06f, RK};
    b.k.attend(b.y, RK, &a, b.attend);
}

/* One row of a prompt at a depth of 32,768: its list lies all over the cache. */
static void do_absorbed_far(void)
{
    enum { DEPTH = 32768, STEP = DEPTH / KEYS };
    const size_t bytes = kv_row_bytes(b.kv, RK) + kv_row_bytes(b.kv == KV_Q8 ? KV_F16 : b.kv, DR);
    b.far = (b.far + 7) % STEP;
    for (size_t i = 0; i < KEYS; i++)
        b.far_rows[i] = b.weights + (i * STEP + (b.far + i * 5) % STEP) * bytes;
    const struct attend a = {b.x, ALL_HEADS, RK + DR, b.far_rows, b.seen, RK + DR, 0, RK, b.kv,
                             0.06f, RK};
    b.k.attend(b.y, RK, &a, b.attend);
}

/* One head of a prompt: many rows over expanded keys. */
static void do_expanded(void)
{
    const struct attend a = {b.x, HEADS, 256, b.rows, b.seen, 256, 256, 256, KV_F32, 0.06f, 0};
    b.k.attend(b.y, 256, &a, b.attend);
}

/* Random bytes would decode to infinities; zero bytes with small numbers here and there do not. */
static void bench_init(void)
{
    struct rng r = {1};
    b.x = calloc((size_t)VECTORS * COLS, sizeof *b.x);
    b.y = calloc(TOP, sizeof *b.y);
    b.packed_data = aligned_alloc(64, (size_t)VECTORS * PACKED_MAX);
    b.scores = calloc(TOP, sizeof *b.scores);
    b.scratch = calloc((size_t)NOPE * COLS, sizeof *b.scratch);
    b.acc = calloc((size_t)KERNEL_LANES * COLS, sizeof *b.acc);
    b.weights = malloc(MEMORY);
    b.rows = calloc(KEYS, sizeof *b.rows);
    b.far_rows = calloc(FAR_KEYS, sizeof *b.far_rows);
    b.idx = calloc(TOP, sizeof *b.idx);
    b.attend = aligned_alloc(64, ATTEND_MAX);
    assert_true(b.x && b.y && b.packed_data && b.scores && b.scratch && b.acc);
    assert_true(b.weights && b.rows && b.far_rows && b.idx);
    for (size_t i = 0; i < (size_t)VECTORS * COLS; i++)
        b.x[i] = rng_f32(&r);
    for (size_t i = 0; i < TOP; i++)
        b.scores[i] = rng_f32(&r);
    rng_bytes(&r, b.weights, MEMORY);
    for (size_t i = 0; i < MEMORY; i++)
        b.weights[i] &= 0x3b; /* no type's exponent is all ones */
    for (size_t m = 0; m < ALL_HEADS; m++)
        b.seen[m] = KEYS;
    for (size_t i = 0; i < KEYS; i++)
        b.rows[i] = b.weights + (i * 7919 % KEYS) * 2 * (RK + DR);
}

static void bench_free(void)
{
    free(b.x);
    free(b.y);
    free(b.packed_data);
    free(b.scores);
    free(b.scratch);
    free(b.acc);
    free(b.weights);
    free(b.rows);
    free(b.far_rows);
    free(b.attend);
    free(b.idx);
}

static void bench_pack(void)
{
    const size_t bytes = b.k.pack_bytes(COLS, b.role);
    assert_true(bytes <= PACKED_MAX);
    for (size_t t = 0; t < VECTORS; t++) {
        b.packed[t] = b.packed_data + t * bytes;
        b.k.pack(b.packed_data + t * bytes, b.x + t * COLS, COLS, b.role);
    }
}

static void bench_type(enum dtype t)
{
    const struct dtype_info *const d = dtype_info(t);
    static const float scale[ROWS / F8_BLOCK * COLS / F8_BLOCK];
    const uint64_t row_bytes = COLS / d->block_len * d->block_bytes;
    const double bytes = (double)row_bytes * ROWS, macs = (double)ROWS * COLS;
    b.w = (struct matrix){b.weights, t, ROWS, COLS, row_bytes, t == DT_F8_E4M3 ? scale : NULL, "w"};
    char what[40];
    (void)snprintf(what, sizeof what, "dequant %s", d->name);
    row_of_table(what, do_dequant, bytes, 0);
    static const size_t rows[] = {1, 2, 4, 8, 16, 32, 128, VECTORS};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        b.T = rows[i];
        if (b.T == VECTORS && strcmp(b.k.level, cpu_level_name(CPU_BASELINE)) == 0)
            continue; /* minutes */
        b.role = b.T <= 32 ? ROLE_DECODE : ROLE_PREFILL;
        bench_pack();
        (void)snprintf(what, sizeof what, "matmul %s T=%zu", d->name, b.T);
        row_of_table(what, do_matmul, bytes, macs * (double)b.T);
    }
    (void)snprintf(what, sizeof what, "matmul %s far", d->name);
    b.role = ROLE_DECODE;
    bench_pack();
    row_of_table(what, do_matmul_far, bytes, macs);
}

static const struct {
    enum kv_type t;
    const char *name;
} cached[] = {{KV_BF16, "bf16"}, {KV_F16, "f16"}, {KV_Q8, "q8"}, {KV_I8, "i8"}};

/* Rows of the cache of one type, and what reads them. */
static void bench_cached(enum kv_type t, const char *name)
{
    const double row = COLS * 4, keys = (double)kv_row_bytes(t, DI), macs = (double)HI * DI;
    char what[40];
    b.kv = t;
    b.T = 1;
    (void)snprintf(what, sizeof what, "kv_store %s 6144", name);
    row_of_table(what, do_store, row, 0);
    (void)snprintf(what, sizeof what, "kv_load %s 6144", name);
    row_of_table(what, do_load, (double)kv_row_bytes(t, COLS), 0);
    if (t != KV_Q8) {
        (void)snprintf(what, sizeof what, "index_score %s 2048", name);
        row_of_table(what, do_index, KEYS * keys, KEYS * macs);
        b.T = 4;
        (void)snprintf(what, sizeof what, "index_score %s T=4", name);
        row_of_table(what, do_index, KEYS * keys, 4 * KEYS * macs);
        (void)snprintf(what, sizeof what, "index_score %s far", name);
        row_of_table(what, do_index_far, FAR_KEYS * keys, FAR_KEYS * macs);
    }
    if (t == KV_I8)
        return;
    (void)snprintf(what, sizeof what, "attend 16 heads %s", name);
    row_of_table(what, do_absorbed, KEYS * (double)(kv_row_bytes(t, RK) + DR * 2),
                 (double)HEADS * KEYS * (2 * RK + DR));
    (void)snprintf(what, sizeof what, "attend 64 heads %s far", name);
    row_of_table(what, do_absorbed_far, KEYS * (double)(kv_row_bytes(t, RK) + DR * 2),
                 (double)ALL_HEADS * KEYS * (2 * RK + DR));
}

static void bench_rest(void)
{
    const double row = COLS * 4;
    row_of_table("matmul_t BF16", do_matmul_t, (double)b.w.row_bytes * NOPE, (double)NOPE * COLS);
    row_of_table("matmul_t BF16 T=512", do_expand_keys, RK * NOPE * 2.0,
                 (double)VECTORS * RK * NOPE);
    row_of_table("pack 6144", do_pack, row, 0);
    row_of_table("dot 6144", do_dot, 2 * row, COLS);
    row_of_table("rmsnorm 6144", do_rmsnorm, 2 * row, 0);
    row_of_table("layernorm 128", do_layernorm, 3 * DI * 4, 0);
    row_of_table("rope 64", do_rope, 2 * DR * 4, 0);
    row_of_table("silu_mul 6144", do_silu, 2 * row, 0);
    row_of_table("softmax 2048", do_softmax, KEYS * 4, 0);
    row_of_table("sigmoid 6144", do_sigmoid, row, 0);
    row_of_table("add 6144", do_add, 2 * row, 0);
    row_of_table("axpy 6144", do_axpy, 2 * row, COLS);
    row_of_table("hadamard 128", do_hadamard, DI * 4, 0);
    row_of_table("topk 2048 of 1048576", do_topk, TOP * 4.0, 0);
    row_of_table("above 0.9 of 1048576", do_above, TOP * 4.0, 0);
    for (size_t i = 0; i < COUNT_OF(cached); i++)
        bench_cached(cached[i].t, cached[i].name);
    row_of_table("attend 16 rows, expanded", do_expanded, KEYS * 512 * 4.0,
                 (double)HEADS * KEYS * 512);
}

/* level, type ("rest": entries without one): NULL for all */
static int bench(const char *level, const char *type)
{
    bench_init();
    for (int l = 0; l <= (int)cpu_detect(); l++) {
        const char *const before = b.k.level;
        kernels_init(&b.k, (enum cpu_level)l);
        if ((l > 0 && strcmp(before, b.k.level) == 0) || (level && strcmp(level, b.k.level) != 0))
            continue;
        bench_pack();
        assert_true(b.k.attend_bytes(RK + DR, KEYS) <= ATTEND_MAX);
        assert_true(b.k.index_bytes(4, HI, DI) <= ATTEND_MAX);
        row_of_table("read 256 MiB", do_read, MEMORY, 0);
        do_peak();
        row_of_table("peak on registers", do_peak, 0, (double)b.operations / 2);
        for (int t = 0; t < DT_COUNT; t++)
            if (dtype_info((enum dtype)t)->decodes
                && (!type || strcmp(type, dtype_info((enum dtype)t)->name) == 0))
                bench_type((enum dtype)t);
        b.w = (struct matrix){b.weights, DT_BF16, ROWS, COLS, COLS * 2, NULL, "w"};
        if (!type || strcmp(type, "rest") == 0)
            bench_rest();
    }
    bench_free();
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_complete),
                                       cmocka_unit_test(test_peak),
                                       cmocka_unit_test(test_products),
                                       cmocka_unit_test(test_kv_row_bytes)};
    if (argc >= 2 && argc <= 4 && strcmp(argv[1], "--bench") == 0)
        return bench(argc > 2 ? argv[2] : NULL, argc > 3 ? argv[3] : NULL);
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
