/* gemm_onednn.c - the products of a prompt alone, beside oneDNN's, on GLM-5.2's matrices.
 *
 *   gemm_onednn [LEVEL|best] [SECONDS]     best; 3 seconds a matrix, at least five rounds
 *
 * One random matrix a shape, in all types (gemm.h). All engines run in turn, round after round;
 * each result is held against oneDNN's product of f32, and that one against sums in double, so none
 * can leave out work: over LIMIT apart ends the program.
 *
 * What is timed: glim from vectors in f32 (packing included; `pack` says its share) and weights as
 * the file has them, cut into items as model/ops.c does it; oneDNN from rounded vectors and weights
 * in its own layout, into 32-bit integers without any scale. So all that rounding and scales cost
 * is on our side. Threads of the engine that does not run get the time to fall asleep.
 *
 * Rows for people go to stderr, the same as CSV to stdout; GMAC/s are medians over the rounds,
 * `ratio` the median of the rounds' own: glim over oneDNN with numbers of the same width.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/util.h"
#include "gemm.h"

#define LIMIT 0.02

/* Names are GLM-5.2's; T as a chunk of 512 tokens brings them: all of it, or what the router sends
 * to one of 256 experts, 16 of them on average. */
static const struct shape shapes[] = {
    {"q_a; shared gate/up", 2048, 6144, 512}, {"q_b", 16384, 2048, 512},
    {"kv_a", 576, 6144, 512},                 {"o", 6144, 16384, 512},
    {"shared down", 6144, 2048, 512},         {"expert gate/up", 2048, 6144, 64},
    {"expert down", 6144, 2048, 64},          {"expert gate/up", 2048, 6144, 16},
    {"expert down", 6144, 2048, 16},
};

/* Of oneDNN's, the one with numbers of the same width. */
static const enum onednn_type peers[OURS] = {ONEDNN_INT8, ONEDNN_INT8, ONEDNN_BF16};

/* ---- the engines ---- */

static void pack_item(void *ctx, size_t t, int worker)
{
    struct bench *const b = ctx;
    (void)worker;
    const size_t cols = b->s->cols, bytes = b->k.pack_bytes(cols, ROLE_PREFILL);
    b->k.pack(b->packed + t * bytes, b->x + t * cols, cols, ROLE_PREFILL);
}

struct product {
    struct bench *b;
    size_t i, block; /* which type; rows an item */
};

static void product_item(void *ctx, size_t i, int worker)
{
    const struct product *const p = ctx;
    struct bench *const b = p->b;
    const size_t r0 = i * p->block, r1 = min_u64(r0 + p->block, b->s->rows);
    b->k.matmul(b->y[p->i] + r0, b->s->rows, b->row, b->s->T, &b->m[p->i], r0, r1, ROLE_PREFILL,
                b->scratch[worker]);
}

/* The processor's time with one thread, so that other programs do not count; else what passed. */
static double clock_ns(const struct bench *b)
{
    struct timespec t;
    clock_gettime(b->threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Items as in op_products of model/ops.c: 16 a thread, whole panels. */
static double run_glim(struct bench *b, size_t i)
{
    enum { ITEMS = 16, PANEL_ROWS = 32 };
    const size_t part = ceil_div_u64(b->s->rows, ITEMS * (size_t)b->threads);
    struct product p = {b, i, ceil_div_u64(part, PANEL_ROWS) * PANEL_ROWS};
    const double begin = clock_ns(b);
    pool_for(b->pool, b->s->T, pack_item, b);
    const double packed = clock_ns(b) - begin;
    pool_for(b->pool, ceil_div_u64(b->s->rows, p.block), product_item, &p);
    return packed;
}

static void rest(void)
{
    const struct timespec pause = {0, 8000000};
    nanosleep(&pause, NULL);
}

/* Engine e, as often as makes 4 ms; nanoseconds of one. */
static void run_engine(struct bench *b, size_t e, size_t times)
{
    double packed = 0;
    rest();
    if (e >= OURS && !b->peer[e - OURS])
        return;
    const double begin = clock_ns(b);
    for (size_t i = 0; i < times; i++) {
        if (e < OURS)
            packed += run_glim(b, e);
        else
            onednn_run(b->peer[e - OURS]);
    }
    b->ns[e][b->rounds] = (clock_ns(b) - begin) / (double)times;
    if (e < OURS)
        b->pack_ns[e][b->rounds] = packed / (double)times;
}

static void run_rounds(struct bench *b)
{
    size_t times[ENGINES];
    b->rounds = 0;
    for (size_t e = 0; e < ENGINES; e++) { /* a first one to warm up */
        run_engine(b, e, 1);
        times[e] = 1 + (size_t)(4e6 / fmax(b->ns[e][0], 1));
    }
    const uint64_t end = now_ns() + (uint64_t)(b->seconds * 1e9);
    while (b->rounds < ROUNDS_MAX && (b->rounds < 5 || now_ns() < end)) {
        for (size_t e = 0; e < ENGINES; e++)
            run_engine(b, e, times[e]);
        b->rounds++;
    }
}

/* ---- the results ---- */

static void fail(const struct bench *b, const char *engine, double off)
{
    fprintf(stderr, "gemm_onednn: %s, %s: %.4f of the product's size apart, at most %g\n",
            b->s->name, engine, off, LIMIT);
    exit(1);
}

/* oneDNN's f32 at places all over against sums in double. */
static void check_f32(struct bench *b)
{
    const size_t cols = b->s->cols;
    const float *const y = b->y[OURS + ONEDNN_F32];
    for (size_t i = 0; i < 200; i++) {
        const size_t t = rng_below(&b->rng, b->s->T), r = rng_below(&b->rng, b->s->rows);
        double want = 0, size = 0;
        for (size_t c = 0; c < cols; c++) {
            const double v = (double)b->x[t * cols + c] * (double)b->w[r * cols + c];
            want += v;
            size += v * v;
        }
        const double off = fabs((double)y[t * b->s->rows + r] - want) / sqrt(size);
        if (!(off < 1e-4))
            fail(b, "f32", off);
    }
}

static double apart(const struct bench *b, size_t e)
{
    const float *const y = b->y[OURS + ONEDNN_F32];
    double off = 0, size = 0;
    for (size_t i = 0; i < b->s->T * b->s->rows; i++) {
        const double want = (double)y[i], d = (double)b->y[e][i] - want;
        off += d * d;
        size += want * want;
    }
    return sqrt(off / size);
}

static const char *engine_name(size_t e)
{
    return e < OURS ? dtype_name(gemm_types[e]) : onednn_names[e - OURS];
}

static void check_all(struct bench *b)
{
    check_f32(b);
    if (b->peer[ONEDNN_INT8])
        gemm_scale(b);
    for (size_t e = 0; e < ENGINES; e++) {
        const double off = apart(b, e);
        if ((e < OURS || b->peer[e - OURS]) && !(off <= LIMIT))
            fail(b, engine_name(e), off);
    }
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *x, size_t n)
{
    double v[ROUNDS_MAX];
    memcpy(v, x, n * sizeof *v);
    qsort(v, n, sizeof *v, rising);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double least(const double *x, size_t n)
{
    double v = x[0];
    for (size_t i = 1; i < n; i++)
        v = fmin(v, x[i]);
    return v;
}

static void print_row(const struct bench *b, size_t i)
{
    const struct shape *const s = b->s;
    const size_t n = b->rounds, peer = OURS + peers[i];
    const double macs = (double)(s->rows * s->cols * s->T);
    double ratio[ROUNDS_MAX], share[ROUNDS_MAX];
    for (size_t r = 0; r < n; r++) {
        ratio[r] = b->ns[peer][r] / b->ns[i][r];
        share[r] = b->pack_ns[i][r] / b->ns[i][r];
    }
    const double by = b->ns[peer][0] > 0 ? median(ratio, n) : 0;
    fprintf(stderr, "%-20s %6zu %6zu %4zu  %-5s %6.0f %5.1f %% ", s->name, s->rows, s->cols, s->T,
            engine_name(i), macs / median(b->ns[i], n), 100 * median(share, n));
    printf("%s,%d,%s,%zu,%zu,%zu,%s,%.1f,%.1f,%.3f", b->k.level, b->threads, s->name, s->rows,
           s->cols, s->T, engine_name(i), macs / median(b->ns[i], n), macs / least(b->ns[i], n),
           median(share, n));
    for (size_t e = OURS; e < ENGINES; e++) {
        const bool there = b->peer[e - OURS];
        fprintf(stderr, "%6.0f ", there ? macs / median(b->ns[e], n) : 0);
        printf(",%.1f,%.1f", there ? macs / median(b->ns[e], n) : 0,
               there ? macs / least(b->ns[e], n) : 0);
    }
    fprintf(stderr, " %5.2f\n", by);
    printf(",%s,%.3f,%zu\n", onednn_names[peers[i]], by, n);
}

static void measure(struct bench *b)
{
    fprintf(stderr, "\n%d thread%s\n%-20s %6s %6s %4s  %-5s %6s %7s %6s %6s %6s  ratio\n",
            b->threads, b->threads > 1 ? "s" : "", "matrix", "rows", "cols", "T", "type", "glim",
            "pack", "int8", "bf16", "f32");
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        gemm_prepare(b, &shapes[i]);
        for (size_t p = 0; i == 0 && p < ONEDNN_TYPES; p++)
            fprintf(stderr, "oneDNN %s: %s\n", onednn_names[p],
                    b->peer[p] ? onednn_how(b->peer[p]) : "none");
        run_rounds(b);
        check_all(b);
        for (size_t t = 0; t < OURS; t++)
            print_row(b, t);
        fflush(stdout);
        gemm_forget(b);
    }
}

/* What the level's multiplier does on registers alone, one thread. */
static void print_peak(const struct kernels *k)
{
    double best = 0;
    for (int i = 0; i < 20; i++) {
        double one = 1;
        const uint64_t begin = now_ns(), ops = k->peak(1u << 20, &one);
        best = fmax(best, (double)ops / 2 / (double)(now_ns() - begin));
    }
    fprintf(stderr, "glim %s, oneDNN %s; GMAC/s; peak of glim's multiplier on registers %.0f\n",
            k->level, onednn_version(), best);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct err e;
    enum cpu_level level = cpu_detect();
    if (argc > 1 && strcmp(argv[1], "best") != 0 && cpu_level_parse(argv[1], &level, &e) != 0) {
        fprintf(stderr, "gemm_onednn: %s\n", e.text);
        return 2;
    }
    b.seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    b.rng.state = 1;
    kernels_init(&b.k, level);
    print_peak(&b.k);
    puts("level,threads,matrix,rows,cols,tokens,type,glim_gmac_s,glim_best,pack_share,int8_gmac_s,"
         "int8_best,bf16_gmac_s,bf16_best,f32_gmac_s,f32_best,peer,ratio,n");
    for (b.threads = 1; b.threads <= 2; b.threads++) {
        onednn_threads(b.threads);
        if (pool_new(&b.pool, b.threads, &e) != 0) {
            fprintf(stderr, "gemm_onednn: %s\n", e.text);
            return 1;
        }
        measure(&b);
        pool_free(b.pool);
    }
    return 0;
}
