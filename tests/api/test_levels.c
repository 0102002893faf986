/* Every instruction-set level of this machine computes the bundled model as the reference level
 * does: the divergence of next-token distributions over held-out conversations.
 *
 * The cache is f32, so nothing but the level differs. Weights of 8 bits have a bound of their own.
 * Weights of 4 bits (Q4_0, rounded here) may add a twentieth to what they cost themselves. Most of
 * what a level costs comes from choices (64 keys, 4 experts) that fall the other way on a near tie.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/buf.h"
#include "base/cpu.h"
#include "formats/tensorfile.h"
#include "glim.h"
#include "sample/sample.h"
#include "util/files.h"
#include "util/heldout.h"

#define MODEL "models/glm-nano.gguf"

static const double KL_MAX = 1e-4, SAME_MIN = 0.99, RATIO_MAX = 1.05;

/* Every so many-th conversation of up to 1,000 bytes, prompt and answer, as tokens. */
enum { EVERY = 4, EVERY_OF_Q4 = 12, BYTES_MAX = 1000, CONVERSATIONS_MAX = 48 };

struct conversation {
    int32_t *ids;
    size_t n;
};

struct scores {
    float *logit; /* [room, vocab] */
    size_t n, room, vocab;
};

static void tokens_of(glim_model *m, struct json_object *o, struct conversation *c)
{
    struct glim_error e;
    glim_tokenizer *tok;
    struct buf text;
    buf_init(&text);
    buf_adds(&text, heldout_text(o, "prompt"));
    buf_adds(&text, heldout_text(o, "reference"));
    assert_int_equal(glim_model_tokenizer(m, &tok, &e), 0);
    assert_int_equal(
        glim_tokenize(tok, text.data, text.len, GLIM_TOKENIZE_SPECIAL, &c->ids, &c->n, &e), 0);
    buf_deinit(&text);
}

struct conversations {
    glim_model *m; /* whose tokenizer */
    struct conversation c[CONVERSATIONS_MAX];
    size_t n, seen, every;
};

static void take(void *ctx, struct json_object *o)
{
    struct conversations *const all = ctx;
    if (strlen(heldout_text(o, "prompt")) > BYTES_MAX || all->seen++ % all->every != 0)
        return;
    assert_true(all->n < CONVERSATIONS_MAX);
    tokens_of(all->m, o, &all->c[all->n++]);
}

static int keep(void *ctx, size_t index, const float *logits, const float *mtp)
{
    struct scores *const s = ctx;
    (void)mtp;
    assert_true(s->n < s->room);
    assert_int_equal(index, s->n);
    memcpy(s->logit + s->n++ * s->vocab, logits, s->vocab * sizeof *logits);
    return 0;
}

/* How the tokens are read: the types of the cache, and the role (0 or GLIM_APPEND_DECODE). */
struct way {
    const char *name;
    enum glim_kv kv;
    enum glim_kv_index keys;
    unsigned role;
};

static const struct way exact[] = {{"prompt", GLIM_KV_F32, GLIM_KV_INDEX_AUTO, 0},
                                   {"decode", GLIM_KV_F32, GLIM_KV_INDEX_AUTO, GLIM_APPEND_DECODE}};

static struct scores score(glim_model *m, const struct conversation *c, const struct way *way)
{
    struct glim_error e;
    glim_session *s;
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    struct glim_append a = GLIM_APPEND_INIT;
    struct scores out = {.room = c->n, .vocab = glim_model_info(m)->vocab};
    out.logit = calloc(out.room * out.vocab, sizeof *out.logit);
    assert_non_null(out.logit);
    so.kv = way->kv;
    so.kv_index = way->keys;
    assert_int_equal(glim_session_new(&s, m, &so, &e), 0);
    a.tokens = c->ids;
    a.n = c->n;
    a.flags = GLIM_APPEND_ALL_LOGITS | way->role;
    a.on_logits = keep;
    a.ctx = &out;
    if (glim_session_append(s, &a, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(out.n, c->n);
    glim_session_free(s);
    return out;
}

static double log_sum(const float *l, size_t n, float best)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)(l[i] - best));
    return log(sum) + (double)best;
}

/* KL(p || q) of two rows of logits. */
static double divergence(const float *p, const float *q, size_t n)
{
    const double zp = log_sum(p, n, p[sample_argmax(p, n)]);
    const double zq = log_sum(q, n, q[sample_argmax(q, n)]);
    double kl = 0;
    for (size_t i = 0; i < n; i++)
        kl += exp((double)p[i] - zp) * (((double)p[i] - zp) - ((double)q[i] - zq));
    return kl;
}

static glim_model *open_at(const char *file, const char *level)
{
    struct glim_error e;
    glim_model *m;
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    o.isa = level;
    if (glim_model_open(&m, file, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

/* Everything that the comparisons start from: the conversations' logits with an f32 cache. */
struct baseline {
    struct conversations all;
    struct scores want[CONVERSATIONS_MAX];
};

static void baseline_init(struct baseline *b, glim_model *m, size_t every)
{
    b->all = (struct conversations){.m = m, .every = every};
    heldout_each(take, &b->all);
    for (size_t i = 0; i < b->all.n; i++)
        b->want[i] = score(m, &b->all.c[i], &exact[0]);
}

static void baseline_deinit(struct baseline *b)
{
    for (size_t i = 0; i < b->all.n; i++) {
        glim_free(b->all.c[i].ids);
        free(b->want[i].logit);
    }
}

struct difference {
    double kl, same; /* mean over all tokens; share of tokens with the same likeliest next one */
};

/* d[n]: how far m is from each of b[n], which hold the same conversations. */
static void compare_all(glim_model *m, const struct way *way, const struct baseline *b, size_t n,
                        struct difference *d)
{
    size_t rows = 0;
    memset(d, 0, n * sizeof *d);
    for (size_t i = 0; i < b->all.n; i++) {
        struct scores got = score(m, &b->all.c[i], way);
        for (size_t at = 0; at < got.n * n; at++) {
            const float *const p = b[at % n].want[i].logit + at / n * got.vocab;
            const float *const q = got.logit + at / n * got.vocab;
            d[at % n].kl += divergence(p, q, got.vocab);
            d[at % n].same += sample_argmax(p, got.vocab) == sample_argmax(q, got.vocab);
        }
        rows += got.n;
        free(got.logit);
    }
    assert_true(rows > 4800 / b->all.every);
    for (size_t i = 0; i < n; i++) {
        d[i].kl /= (double)rows;
        d[i].same /= (double)rows;
    }
}

static struct difference compare(glim_model *m, const struct way *way, const struct baseline *b)
{
    struct difference d;
    compare_all(m, way, b, 1, &d);
    return d;
}

static void test_levels(void **state)
{
    (void)state;
    struct baseline b;
    glim_model *m = open_at(MODEL, "baseline");
    baseline_init(&b, m, EVERY);
    glim_model_close(m);
    for (int l = CPU_BASELINE + 1; l <= (int)cpu_detect(); l++) {
        if (!cpu_has((enum cpu_level)l))
            continue;
        m = open_at(MODEL, cpu_level_name((enum cpu_level)l));
        const struct difference d = compare(m, &exact[0], &b);
        glim_model_close(m);
        printf("%-8s mean KL %.2g, same first %.2f %%\n", cpu_level_name((enum cpu_level)l), d.kl,
               100 * d.same);
        assert_true(d.kl <= KL_MAX);
        assert_true(d.same >= SAME_MIN);
    }
    baseline_deinit(&b);
}

/* What the types of the cache cost against f32: stated, and bounded so that a change shows. */
static void test_cache_types(void **state)
{
    (void)state;
    static const struct way types[] = {
        {"f16, keys f16", GLIM_KV_F16, GLIM_KV_INDEX_F16, 0},
        {"f16, keys i8", GLIM_KV_F16, GLIM_KV_INDEX_AUTO, 0},
        {"bf16, keys i8", GLIM_KV_BF16, GLIM_KV_INDEX_AUTO, 0},
        {"q8, keys f16", GLIM_KV_Q8, GLIM_KV_INDEX_F16, 0},
        {"q8, keys i8", GLIM_KV_Q8, GLIM_KV_INDEX_AUTO, 0},
    };
    struct baseline b;
    glim_model *const m = open_at(MODEL, NULL);
    baseline_init(&b, m, EVERY);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct difference d = compare(m, &types[i], &b);
        printf("cache %-14s mean KL %.2g, same first %.2f %%\n", types[i].name, d.kl,
               100 * d.same);
        assert_true(d.kl <= KL_MAX);
    }
    baseline_deinit(&b);
    glim_model_close(m);
}

/* ---- weights below 8 bits ---- */

enum { Q8_0_BYTES = 34, Q4_0_BYTES = 18, Q4_0_ID = 2, BLOCK = 32 };

static uint8_t q4_of(uint8_t q8)
{
    const int v = (int)lround((double)(int8_t)q8 / 16) + 8;
    return (uint8_t)(v < 15 ? v : 15);
}

/* Q8_0 blocks rounded to Q4_0 where they stand. 16 times the f16 scale is another exponent. */
static void round_blocks(uint8_t *data, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++) {
        uint8_t in[Q8_0_BYTES], *const out = data + b * Q4_0_BYTES;
        memcpy(in, data + b * Q8_0_BYTES, sizeof in);
        const unsigned exponent = in[1] & 0x7cu;
        assert_true(exponent == 0 || exponent < 0x68);
        out[0] = in[0];
        out[1] = exponent ? (uint8_t)(in[1] + 0x10) : 0;
        for (size_t i = 0; i < BLOCK / 2; i++)
            out[2 + i] = (uint8_t)(q4_of(in[2 + i]) | q4_of(in[2 + i + BLOCK / 2]) << 4);
    }
}

/* The type of this tensor in a GGUF header: it stands behind the name, the rank, and the sizes. */
static void set_type(uint8_t *head, size_t n, const struct tensor *t, uint8_t id)
{
    struct buf name;
    buf_init(&name);
    put_str(&name, t->name);
    uint8_t *const at = memmem(head, n, name.data, name.len);
    assert_non_null(at);
    at[name.len + 4 + 8 * (size_t)t->rank] = id;
    buf_deinit(&name);
}

/* The bundled model with all its Q8_0 matrices as Q4_0, at the same places: the rest of each
 * matrix's bytes is read by nobody. */
static void write_q4(const char *path)
{
    struct err e;
    struct tensorfile *f;
    assert_int_equal(tensorfile_open(&f, MODEL, &e), 0);
    const struct io_map *const map = tensorfile_map(f, 0);
    uint8_t *const copy = malloc(map->size);
    assert_non_null(copy);
    memcpy(copy, map->data, map->size);
    size_t head = map->size, rounded = 0;
    for (size_t i = 0; i < tensorfile_count(f); i++)
        if (tensorfile_at(f, i)->offset < head)
            head = tensorfile_at(f, i)->offset;
    for (size_t i = 0; i < tensorfile_count(f); i++) {
        const struct tensor *const t = tensorfile_at(f, i);
        if (t->type != DT_Q8_0)
            continue;
        round_blocks(copy + t->offset, t->bytes / Q8_0_BYTES);
        set_type(copy, head, t, Q4_0_ID);
        rounded++;
    }
    assert_true(rounded > 100);
    write_file(path, copy, map->size);
    free(copy);
    tensorfile_close(f);
}

enum { TRUE_WEIGHTS, OWN_WEIGHTS };

static void check_four_bits(const char *file, const char *level, const struct way *way,
                            const struct baseline b[2], double own)
{
    struct difference d[2];
    glim_model *const m = open_at(file, level);
    compare_all(m, way, b, 2, d);
    glim_model_close(m);
    printf("Q4_0 %-8s %s mean KL %.4g, %.4f times its weights'; against them %.2g\n", level,
           way->name, d[TRUE_WEIGHTS].kl, d[TRUE_WEIGHTS].kl / own, d[OWN_WEIGHTS].kl);
    assert_true(d[TRUE_WEIGHTS].kl <= RATIO_MAX * own);
    assert_true(d[OWN_WEIGHTS].kl <= KL_MAX);
}

/* Against the true weights, a level costs no more than 1.05 times what their rounding costs. That
 * alone would let pass what happens to fall to the right side (5 bits of x instead of 8 made it
 * 0.92), so what the level adds by itself has the bound of 8 bits. */
static void test_four_bits(void **state)
{
    (void)state;
    struct baseline b[2];
    const char *const file = path_in(scratch, "q4_0.gguf");
    write_q4(file);
    glim_model *const truth = open_at(MODEL, "baseline"), *const m = open_at(file, "baseline");
    baseline_init(&b[TRUE_WEIGHTS], truth, EVERY_OF_Q4);
    baseline_init(&b[OWN_WEIGHTS], m, EVERY_OF_Q4);
    const double own = compare(m, &exact[0], &b[TRUE_WEIGHTS]).kl;
    assert_true(own > 100 * KL_MAX);
    for (int l = CPU_BASELINE + 1; l <= (int)cpu_detect(); l++)
        for (size_t i = 0; cpu_has((enum cpu_level)l) && i < sizeof exact / sizeof *exact; i++)
            check_four_bits(file, cpu_level_name((enum cpu_level)l), &exact[i], b, own);
    for (size_t i = 0; i < 2; i++)
        baseline_deinit(&b[i]);
    glim_model_close(m);
    glim_model_close(truth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_levels),
                                       cmocka_unit_test(test_cache_types),
                                       cmocka_unit_test(test_four_bits)};
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
