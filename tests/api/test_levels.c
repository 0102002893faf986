/* Every instruction-set level of this machine computes the bundled model as the reference level
 * does: the divergence of next-token distributions over held-out conversations, read as a prompt.
 *
 * The bound is for weights of 8 bits and an f32 cache, so nothing but the level differs. Most of
 * what remains comes from choices (64 keys, 4 experts) that fall the other way on a near tie.
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
#include "glim.h"
#include "sample/sample.h"
#include "util/heldout.h"

#define MODEL "models/glm-nano.gguf"

static const double KL_MAX = 1e-4, SAME_MIN = 0.99;

/* Every fourth conversation of up to 1,000 bytes, prompt and answer, as tokens. */
enum { EVERY = 4, BYTES_MAX = 1000, CONVERSATIONS_MAX = 48 };

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
    size_t n, seen;
};

static void take(void *ctx, struct json_object *o)
{
    struct conversations *const all = ctx;
    if (strlen(heldout_text(o, "prompt")) > BYTES_MAX || all->seen++ % EVERY != 0)
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

static struct scores score(glim_model *m, const struct conversation *c, enum glim_kv kv,
                           enum glim_kv_index keys)
{
    struct glim_error e;
    glim_session *s;
    struct glim_session_options so = GLIM_SESSION_OPTIONS_INIT;
    struct glim_append a = GLIM_APPEND_INIT;
    struct scores out = {.room = c->n, .vocab = glim_model_info(m)->vocab};
    out.logit = calloc(out.room * out.vocab, sizeof *out.logit);
    assert_non_null(out.logit);
    so.kv = kv;
    so.kv_index = keys;
    assert_int_equal(glim_session_new(&s, m, &so, &e), 0);
    a.tokens = c->ids;
    a.n = c->n;
    a.flags = GLIM_APPEND_ALL_LOGITS;
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

static glim_model *open_at(const char *level)
{
    struct glim_error e;
    glim_model *m;
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    o.isa = level;
    if (glim_model_open(&m, MODEL, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

/* Everything that the comparisons start from: the conversations' logits with an f32 cache. */
struct baseline {
    struct conversations all;
    struct scores want[CONVERSATIONS_MAX];
};

static void baseline_init(struct baseline *b, glim_model *m)
{
    b->all = (struct conversations){.m = m};
    heldout_each(take, &b->all);
    for (size_t i = 0; i < b->all.n; i++)
        b->want[i] = score(m, &b->all.c[i], GLIM_KV_F32, GLIM_KV_INDEX_AUTO);
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

static struct difference compare(glim_model *m, enum glim_kv kv, enum glim_kv_index keys,
                                 const struct baseline *b)
{
    struct difference d = {0, 0};
    size_t rows = 0;
    for (size_t i = 0; i < b->all.n; i++) {
        struct scores got = score(m, &b->all.c[i], kv, keys);
        for (size_t t = 0; t < got.n; t++, rows++) {
            const float *const p = b->want[i].logit + t * got.vocab;
            const float *const q = got.logit + t * got.vocab;
            d.kl += divergence(p, q, got.vocab);
            d.same += sample_argmax(p, got.vocab) == sample_argmax(q, got.vocab);
        }
        free(got.logit);
    }
    assert_true(rows > 1200);
    d.kl /= (double)rows;
    d.same /= (double)rows;
    return d;
}

static void test_levels(void **state)
{
    (void)state;
    struct baseline b;
    glim_model *m = open_at("baseline");
    baseline_init(&b, m);
    glim_model_close(m);
    for (int l = CPU_BASELINE + 1; l <= (int)cpu_detect(); l++) {
        if (!cpu_has((enum cpu_level)l))
            continue;
        m = open_at(cpu_level_name((enum cpu_level)l));
        const struct difference d = compare(m, GLIM_KV_F32, GLIM_KV_INDEX_AUTO, &b);
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
    static const struct {
        const char *name;
        enum glim_kv kv;
        enum glim_kv_index keys;
    } types[] = {
        {"f16, keys f16", GLIM_KV_F16, GLIM_KV_INDEX_F16},
        {"f16, keys i8", GLIM_KV_F16, GLIM_KV_INDEX_AUTO},
        {"bf16, keys i8", GLIM_KV_BF16, GLIM_KV_INDEX_AUTO},
        {"q8, keys f16", GLIM_KV_Q8, GLIM_KV_INDEX_F16},
        {"q8, keys i8", GLIM_KV_Q8, GLIM_KV_INDEX_AUTO},
    };
    struct baseline b;
    glim_model *const m = open_at(NULL);
    baseline_init(&b, m);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const struct difference d = compare(m, types[i].kv, types[i].keys, &b);
        printf("cache %-14s mean KL %.2g, same first %.2f %%\n", types[i].name, d.kl,
               100 * d.same);
        assert_true(d.kl <= KL_MAX);
    }
    baseline_deinit(&b);
    glim_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_levels),
                                       cmocka_unit_test(test_cache_types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
