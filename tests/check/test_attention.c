/* test_attention.c - what reads cached rows: scores and attention against naive sums in long
 * double.
 */
#include "util/check.h"

static const enum kv_type kinds[] = {KV_F32, KV_F16, KV_BF16, KV_Q8, KV_I8};

/* ---- cached rows with known values ---- */
struct rows {
    const void **at; /* [n], caller frees */
    float *values;   /* [n, dim] as loaded */
    size_t n, dim, split; /* Q8: elements from `split` on are F16 */
    enum kv_type t;
};

static void store_row(const struct rows *r, size_t i, const float *x)
{
    struct kernels ref;
    kernels_ref(&ref);
    uint8_t *const p = (uint8_t *)r->at[i], *const tail = p + kv_row_bytes(r->t, r->split);
    float *const y = r->values + i * r->dim;
    ref.kv_store(p, x, r->split, r->t);
    ref.kv_load(y, p, r->split, r->t);
    ref.kv_store(tail, x + r->split, r->dim - r->split, KV_F16);
    ref.kv_load(y + r->split, tail, r->dim - r->split, KV_F16);
}

/* Rows lie in one guarded block, in random order, at any byte. */
static struct rows random_rows(struct check *c, size_t n, size_t dim, enum kv_type t)
{
    struct rows r = {calloc(n + 1, sizeof *r.at), check_f32(c, n * dim), n, dim, dim, t};
    if (t == KV_Q8)
        r.split = rng_below(&c->rng, dim + 1);
    const size_t bytes =
        kv_row_bytes(t, r.split) + 2 * (dim - r.split) + rng_below(&c->rng, 4);
    uint8_t *const block = check_bytes(c, n * bytes);
    const float *const x = check_random(c, n * dim, 2);
    const size_t first = rng_below(&c->rng, n + 1);
    for (size_t i = 0; i < n; i++) {
        r.at[i] = block + (i + first) % n * bytes;
        store_row(&r, i, x + i * dim);
    }
    return r;
}

/* Overwrites one value of a row (and rounds the others again, by its block's new scale). */
static void set_value(struct check *c, const struct rows *r, size_t i, size_t at, float v)
{
    float *const x = check_copy(c, r->values + i * r->dim, r->dim);
    x[at] = v;
    store_row(r, i, x);
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
typedef void index_one_fn(const struct check *c, const struct rows *k, const float *q,
                          const float *w, size_t Hi, float scale, size_t i, float got);

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

/* The same of blocks: products of bytes are exact. */
static void index_bytes_one(const struct check *c, const struct rows *k, const float *q,
                            const float *w, size_t Hi, float scale, size_t i, float got)
{
    struct kernels ref;
    float s, key;
    uint8_t head[sizeof(float) + 129];
    const uint8_t *const row = k->at[i];
    long double want = 0, sum = 0;
    kernels_ref(&ref);
    assert_true(k->dim <= 129);
    memcpy(&key, row, sizeof key);
    for (size_t h = 0; h < Hi; h++) {
        int dot = 0;
        ref.kv_store(head, q + h * k->dim, k->dim, KV_I8);
        memcpy(&s, head, sizeof s);
        for (size_t d = 0; d < k->dim; d++)
            dot += (int8_t)head[sizeof s + d] * (int8_t)row[sizeof key + d];
        const long double scales = (long double)scale * (long double)s * (long double)key;
        const long double part = dot > 0 ? (long double)w[h] * scales * dot : 0;
        want += part;
        sum += fabsl(part);
    }
    const long double factors = c->ref ? 0 : 4 * 0x1p-24L * sum; /* of w, s, scale and key */
    check_close("index_score of bytes", k->dim, i, got, want,
                factors + check_sum_bound(c, want, sum, Hi));
}

/* T rows of queries against n keys; the last alone, and against each key alone, gives its bits. */
static void index_case(struct check *c, size_t T, size_t n, size_t Hi, size_t Di, enum kv_type t)
{
    const struct rows k = random_rows(c, n, Di, t);
    const float *const q = check_random(c, T * Hi * Di, 2), *const w = check_random(c, T * Hi, 2);
    const size_t stride = n + rng_below(&c->rng, 3);
    float *const s = check_f32(c, T * stride), *const again = check_f32(c, n);
    void *const scratch = check_scratch(c, c->k.index_bytes(T, Hi, Di));
    const float scale = 1.0f / sqrtf((float)Di);
    index_one_fn *const one = t == KV_I8 ? index_bytes_one : index_one;
    c->k.index_score(s, stride, q, w, T, k.at, n, Hi, Di, scale, t, scratch);
    for (size_t r = 0; r < T; r++)
        for (size_t i = 0; i < n; i++)
            one(c, &k, q + r * Hi * Di, w + r * Hi, Hi, scale, i, s[r * stride + i]);
    const float *const last_q = q + (T - 1) * Hi * Di, *const last_w = w + (T - 1) * Hi;
    for (size_t i = 0; i < n; i++)
        c->k.index_score(again + i, 1, last_q, last_w, 1, k.at + i, 1, Hi, Di, scale, t, scratch);
    check_same("index_score of one key", n, again, s + (T - 1) * stride, n);
    free(k.at);
    check_release(c, "index_score");
}

/* A NaN in a key shows in its score and in no other; one in a query or weight in all of its row. */
static void index_poison(struct check *c, enum kv_type t)
{
    const float key[2][4] = {{1, 2, 3, 4}, {1, NAN, 3, 4}};
    float q[8] = {1, 1, 1, 1, -1, -1, -1, -1}, w[2] = {1, -1}, s[2];
    uint8_t stored[2][16];
    const void *const row[2] = {stored[0], stored[1]};
    void *const scratch = check_scratch(c, c->k.index_bytes(1, 2, 4));
    for (size_t i = 0; i < 2; i++)
        c->k.kv_store(stored[i], key[i], 4, t);
    c->k.index_score(s, 2, q, w, 1, row, 2, 2, 4, 0.5f, t, scratch);
    assert_true(fabsf(s[0] - 5) < 0.05f && isnan(s[1]));
    q[2] = INFINITY;
    c->k.index_score(s, 2, q, w, 1, row, 2, 2, 4, 0.5f, t, scratch);
    assert_true(!isfinite(s[0]));
    q[2] = 1;
    w[1] = NAN;
    c->k.index_score(s, 2, q, w, 1, row, 2, 2, 4, 0.5f, t, scratch);
    assert_true(isnan(s[0]));
    check_release(c, "index_score");
}

static void check_index(struct check *c)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (kinds[i] == KV_Q8)
            continue;
        index_poison(c, kinds[i]);
        for (size_t Di = 1; Di <= 129; Di++)
            index_case(c, 1 + rng_below(&c->rng, 3), rng_below(&c->rng, 40),
                       rng_below(&c->rng, 5), Di, kinds[i]);
        index_case(c, 1, 100, 32, 128, kinds[i]);
        index_case(c, 4, 70, 64, 128, kinds[i]);
    }
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
                       1.0f / sqrtf((float)x.Dk), r.split};
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
    set_value(c, &r, best, DK - 1, 256); /* all others are below 4 */
    const struct attend a = {q, 1, DK, r.at, &seen, DK, 0, DV, t, 1, r.split};
    c->k.attend(o, DV, &a, scratch);
    check_same("attend with one choice", n, o, r.values + best * r.dim, DV);
    free(r.at);
    check_release(c, "attend");
}

/* A NaN in one row must reach every output that attends to it, and where it is not among the
 * values (in a block all are) no other. */
static void attend_poison(struct check *c, enum kv_type t)
{
    static const float value[2][4] = {{1, 2, 3, 4}, {1, 2, NAN, 4}};
    uint8_t stored[2][16];
    const void *const at[2] = {stored[0], stored[1]};
    const float q[8] = {1, -1, 1, -1, 1, -1, 1, -1};
    const uint32_t n[2] = {1, 2};
    float o[4];
    void *const scratch = check_scratch(c, c->k.attend_bytes(4, 2));
    const struct attend a = {q, 2, 4, at, n, 4, 0, 2, t, 1, 4};
    for (size_t i = 0; i < 2; i++)
        c->k.kv_store(stored[i], value[i], 4, t);
    c->k.attend(o, 2, &a, scratch);
    assert_true(isnan(o[2]) && isnan(o[3]));
    if (t != KV_Q8 && t != KV_I8)
        assert_true(o[0] == 1 && o[1] == 2);
    check_release(c, "attend");
}

/* Latent rows (value inside the key) and expanded ones (value behind it). */
static void check_attend(struct check *c)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        attend_poison(c, kinds[i]);
        for (size_t n = 1; n <= 129; n++) {
            const size_t Dk = 1 + rng_below(&c->rng, 70), M = 1 + rng_below(&c->rng, 9);
            const size_t inside = 1 + rng_below(&c->rng, Dk), behind = 1 + rng_below(&c->rng, 70);
            attend_case(c, (struct shape){M, n, Dk, 0, inside, kinds[i], false});
            attend_case(c, (struct shape){M, n, Dk, Dk, behind, kinds[i], true});
        }
        attend_case(c, (struct shape){70, 300, 576, 0, 512, kinds[i], false});
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

LEVELS(index, check_index, index_score)
LEVELS(attend, check_attend, attend)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),       cmocka_unit_test(test_attend),
    };
    return check_options(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
