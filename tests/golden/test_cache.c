/* test_cache.c - what the types of cached rows change and what they do not: with any of them
 * chunks, threads and the parts that keys are cut into change no bit; and how many positions the
 * indexer chooses otherwise because its keys have 8 bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/util.h"
#include "glim.h"
#include "util/golden.h"
#include "util/heldout.h"

static const struct {
    enum kv_type latent, index;
} kinds[] = {{KV_F16, KV_I8}, {KV_BF16, KV_F16}, {KV_Q8, KV_I8}, {KV_Q8, KV_F16}};

/* ---- the same bits ---- */

/* The prompt in steps of `chunk`, the keys of a row in parts of at least part_keys. */
static void same_bits(struct golden *g, size_t chunk, enum kernel_role role, size_t part_keys,
                      const float *want)
{
    const size_t n = g->T * g->model.cfg.vocab;
    float *const got = calloc(n, sizeof *got);
    kv_truncate(&g->kv, 0);
    g->forward.part_keys = part_keys;
    golden_run(g, g->ids, g->T, chunk, role, got);
    assert_memory_equal(got, want, n * sizeof *got);
    free(got);
}

static void keeps_bits(const char *name, enum kv_type latent, enum kv_type index)
{
    struct golden one, three;
    golden_open(&one, name, NULL, NULL, 1);
    golden_open(&three, name, NULL, NULL, 3);
    golden_cache(&one, latent, index);
    golden_cache(&three, latent, index);
    for (int r = ROLE_PREFILL; r <= ROLE_DECODE; r++) {
        const enum kernel_role role = (enum kernel_role)r;
        kv_truncate(&one.kv, 0);
        golden_run(&one, one.ids, one.T, one.T, role, one.logits);
        same_bits(&three, three.T, role, 4096, one.logits);
        same_bits(&three, 5, role, 4, one.logits);
        same_bits(&three, 1, role, 1, one.logits);
        same_bits(&three, 1, role, 7, one.logits);
        same_bits(&one, 9, role, 3, one.logits);
    }
    golden_close(&one);
    golden_close(&three);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const cases[] = {"glm52", "odd-sizes", "tie-index", "glm5-all-full"};
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        for (size_t k = 0; k < COUNT_OF(kinds); k++)
            keeps_bits(cases[i], kinds[k].latent, kinds[k].index);
}

/* ---- chosen positions ---- */

enum { PROMPT = 2048, PICKS = 64, KEPT = PROMPT * PICKS };

struct lists { /* of layer 0: what it chooses depends on its own keys alone */
    struct golden *g;
    int32_t *pick; /* [PROMPT, PICKS], -1 behind the last */
};

static void keep_lists(void *ctx, enum tap_point p, uint64_t layer, const void *values, size_t rows,
                       size_t cols)
{
    struct lists *const l = ctx;
    const struct forward *const f = &l->g->forward;
    (void)values;
    (void)cols;
    for (size_t t = 0; t < rows && p == TAP_ATTN && layer == 0; t++)
        if (f->picked[t] != PICK_ALL)
            memcpy(l->pick + f->row[t].pos * PICKS, f->pick + t * f->picks_max,
                   f->picked[t] * sizeof *l->pick);
}

static void add_text(void *ctx, struct json_object *c)
{
    buf_adds(ctx, heldout_text(c, "prompt"));
    buf_adds(ctx, heldout_text(c, "reference"));
}

/* The first tokens of the held-out conversations, one behind the other. */
static void read_tokens(int32_t token[PROMPT])
{
    struct glim_error e;
    glim_tokenizer *tok;
    int32_t *ids;
    size_t n;
    struct buf b;
    buf_init(&b);
    heldout_each(add_text, &b);
    assert_int_equal(glim_tokenizer_open(&tok, "models/glm-nano.gguf", &e), 0);
    assert_int_equal(glim_tokenize(tok, b.data, b.len, GLIM_TOKENIZE_SPECIAL, &ids, &n, &e), 0);
    buf_deinit(&b);
    assert_true(n >= PROMPT);
    memcpy(token, ids, PROMPT * sizeof *token);
    glim_free(ids);
    glim_tokenizer_close(tok);
}

static void choose(const int32_t *token, enum kv_type index, int32_t *pick)
{
    struct golden g;
    struct err e;
    static struct row row[PROMPT];
    golden_nano(&g, &(struct model_knobs){0}, 2, PROMPT, PROMPT);
    assert_int_equal(g.model.cfg.index_topk, PICKS);
    golden_cache(&g, KV_F32, index);
    struct lists l = {&g, pick};
    g.forward.tap = keep_lists;
    g.forward.tap_ctx = &l;
    memset(pick, 0xff, KEPT * sizeof *pick);
    for (size_t t = 0; t < PROMPT; t++)
        row[t] = (struct row){&g.kv, t, token[t]};
    if (forward_rows(&g.forward, row, PROMPT, ROLE_PREFILL, &e) != 0)
        fail_msg("%s", e.text);
    golden_close(&g);
}

/* Both lists rise. */
static size_t common(const int32_t *a, const int32_t *b)
{
    size_t n = 0;
    for (size_t i = 0, j = 0; i < PICKS && j < PICKS;) {
        const int32_t x = a[i], y = b[j];
        n += x == y;
        i += x <= y;
        j += y <= x;
    }
    return n;
}

static void test_lists(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum kv_type t;
        double same;
    } types[] = {{"f16", KV_F16, 0.999}, {"bf16", KV_BF16, 0.99}, {"i8", KV_I8, 0.99}};
    static int32_t token[PROMPT], want[KEPT], got[KEPT];
    read_tokens(token);
    choose(token, KV_F32, want);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        size_t n = 0, of = 0;
        choose(token, types[i].t, got);
        for (size_t t = 0; t < PROMPT; t++) {
            if (want[t * PICKS] < 0)
                continue;
            n += common(want + t * PICKS, got + t * PICKS);
            of += PICKS;
        }
        printf("  keys in %-4s %.3f %% of %zu positions chosen as with f32\n", types[i].name,
               100 * (double)n / (double)of, of);
        assert_true(of > KEPT / 2);
        assert_true((double)n >= types[i].same * (double)of);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits),
                                       cmocka_unit_test(test_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
