/* Drafts where experts are streamed: with as many as pay (GLIM_DRAFTS_AUTO), answers of the bundled
 * model are the same bit for bit, never more than 3 % slower than without drafts, and faster where
 * drafts pay, whatever a read costs and however much is found in memory.
 *
 * Which experts are read is true: the store's, in so many slots. What reads, rows and drafts cost
 * is the test's: the program is linked with the calls that take time, the clock and the store's
 * counts led through here (the Makefile's WRAP). One test has a simulated drive and true time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"
#include "util/answer.h"
#include "util/heldout.h"
#include "weights/store.h"

#define NANO "models/glm-nano.gguf"

/* Slots are multiples of 64 KiB; this model has 112 experts, and 16 in the draft layer. */
enum { SLOT_BYTES = 1 << 17, PROMPT_TOK = 160, ANSWER_TOK = 220, EVERY = 30 };

/* GB/s: a simulated drive whose reads take less than a nanosecond, as the test's clock stands still
 * while one waits for them. */
static const double AT_ONCE = 999999;

/* ---- the clock ---- */

static struct {
    bool real;
    double row, draft, read; /* prices, in steps of one row that reads nothing */
    double now, waited;      /* the same */
} world;

uint64_t __real_now_ns(void);
uint64_t __wrap_now_ns(void);
uint64_t __wrap_now_ns(void) { return world.real ? __real_now_ns() : (uint64_t)(world.now * 1e6); }

void __real_store_count(const struct store *s, struct store_counts *out);
void __wrap_store_count(const struct store *s, struct store_counts *out);
void __wrap_store_count(const struct store *s, struct store_counts *out)
{
    __real_store_count(s, out);
    if (!world.real)
        out->wait_ns = (uint64_t)(world.waited * 1e6);
}

static uint64_t reads_of(const struct glim_session *s)
{
    struct store_counts c;
    __real_store_count(s->model->model.experts.store, &c);
    return c.wanted - c.hits;
}

/* Something that took so long without its reads, of which there were `before` before it. */
static void pass(const struct glim_session *s, double work, uint64_t before)
{
    const double wait = world.read * (double)(reads_of(s) - before);
    world.now += work + wait;
    world.waited += wait;
}

int __real_session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                        struct err *e);
int __wrap_session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                        struct err *e);
int __wrap_session_look(struct glim_session *s, const int32_t *token, size_t n, bool paired,
                        struct err *e)
{
    const uint64_t before = reads_of(s);
    const int rc = __real_session_look(s, token, n, paired, e);
    pass(s, 1 + world.row * (double)(n - 1), before);
    return rc;
}

typedef int draft_fn(struct glim_session *s, int32_t next, size_t n, draft_choose_fn *choose,
                     void *ctx, int32_t *draft, float *logits, struct err *e);
draft_fn __real_session_draft, __wrap_session_draft;
int __wrap_session_draft(struct glim_session *s, int32_t next, size_t n, draft_choose_fn *choose,
                         void *ctx, int32_t *draft, float *logits, struct err *e)
{
    const uint64_t before = reads_of(s);
    const int rc = __real_session_draft(s, next, n, choose, ctx, draft, logits, e);
    pass(s, world.draft * (double)n, before);
    return rc;
}

/* ---- the answers ---- */

struct run {
    glim_tokenizer *tok;
    glim_session *s;
    int drafts;
    double temperature, time;
    uint64_t cases, every, tokens, verifications, drafted, accepted;
    uint64_t wanted, hits, draft_uses; /* experts; rows that used one of the draft layer */
    uint64_t hash;                     /* of timelines and logits */
};

static void hash(struct run *r, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        r->hash = (r->hash ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
}

static void one_case(void *ctx, struct json_object *c)
{
    struct run *const r = ctx;
    struct glim_generate g = GLIM_GENERATE_INIT;
    struct glim_usage u = {0};
    struct glim_error e;
    const char *const text = heldout_text(c, "prompt");
    int32_t *ids;
    size_t n;
    assert_int_equal(
        glim_tokenize(r->tok, text, strlen(text), GLIM_TOKENIZE_SPECIAL, &ids, &n, NULL), 0);
    if (n < PROMPT_TOK && r->cases++ % r->every == 0) {
        g.raw = g.ignore_eos = true;
        g.max_tokens = ANSWER_TOK;
        g.sampling.temperature = r->temperature;
        g.drafts = r->drafts;
        assert_int_equal(glim_session_rewind(r->s, 0, NULL), 0);
        answer_append(r->s, ids, n, 0);
        if (glim_generate(r->s, &g, &u, &e) != 0)
            fail_msg("%s", e.text);
        r->tokens += u.output_tok;
        r->verifications += u.verifications;
        r->drafted += u.drafted_tok;
        r->accepted += u.accepted_tok;
        r->time += (double)u.generate_ns / 1e6;
        hash(r, glim_session_tokens(r->s), glim_session_length(r->s) * sizeof *ids);
        hash(r, glim_session_logits(r->s), r->s->model->model.cfg.vocab * sizeof(float));
    }
    glim_free(ids);
}

/* A model with room for so many experts, of which a simulated drive brings the others. */
static glim_model *model_of(uint64_t slots, double gb_s)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_plan_request q = GLIM_PLAN_REQUEST_INIT;
    struct glim_plan p;
    glim_model *m = answer_model(NANO);
    q.context_tok = 1024;
    q.mtp = true;
    q.ram_bytes = 1;
    assert_int_equal(glim_model_plan(m, &q, &p, NULL), 0);
    glim_model_close(m);
    o.threads = 1;
    o.knobs.stream_always = true;
    o.drive.gb_s = gb_s;
    o.ram_bytes = p.least_ram_bytes + (slots - 4) * SLOT_BYTES;
    assert_int_equal(glim_model_open(&m, NANO, &o, NULL), 0);
    return m;
}

static uint64_t draft_uses(const glim_model *m)
{
    const struct uses *const u = &m->model.experts.uses;
    uint64_t n = 0;
    for (uint64_t x = 0; x < u->per_layer; x++)
        n += u->count[(u->layers - 1) * u->per_layer + x];
    return n;
}

static struct run answers(uint64_t slots, double gb_s, int drafts, double temperature,
                          uint64_t every)
{
    struct run r = {.drafts = drafts, .temperature = temperature, .every = every, .hash = 1};
    struct glim_streaming now;
    glim_model *const m = model_of(slots, gb_s);
    world.now = 1;
    world.waited = 0;
    assert_int_equal(glim_model_tokenizer(m, &r.tok, NULL), 0);
    r.s = answer_session(m, 1024, 0, true);
    glim_model_streaming(m, &now);
    assert_int_equal(now.room_bytes, slots * SLOT_BYTES);
    heldout_each(one_case, &r);
    glim_model_streaming(m, &now);
    r.wanted = now.wanted;
    r.hits = now.hits;
    r.draft_uses = draft_uses(m);
    glim_session_free(r.s);
    glim_model_close(m);
    return r;
}

/* Times as fast as without drafts. */
static double gain(uint64_t slots, double read, double temperature, uint64_t *verifications)
{
    world.real = false;
    world.row = 0.15;
    world.draft = 0.1;
    world.read = read;
    const struct run off = answers(slots, AT_ONCE, GLIM_DRAFTS_OFF, temperature, EVERY),
                     on = answers(slots, AT_ONCE, GLIM_DRAFTS_AUTO, temperature, EVERY);
    assert_int_equal(off.draft_uses, 0); /* a draft layer that makes none reads none */
    assert_int_equal(on.draft_uses, on.drafted * 4);
    assert_int_equal(on.tokens, off.tokens);
    assert_true(on.hash == off.hash);
    printf("  room for %3llu, a read %.2f, T = %g: %2.0f %% found; %llu tokens, %llu "
           "verifications, %llu of %llu drafts right; %.3f times as fast\n",
           (unsigned long long)slots, read, temperature,
           100 * (double)off.hits / (double)off.wanted, (unsigned long long)on.tokens,
           (unsigned long long)on.verifications, (unsigned long long)on.accepted,
           (unsigned long long)on.drafted, off.time / on.time);
    *verifications = on.verifications;
    return off.time / on.time;
}

/* Reads are cheap, or everything is found: drafts pay as if all were in memory. */
static void test_on(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(gain(40, 0.03, 0, &n) > 1.2);
    assert_true(gain(110, 0.12, 0, &n) > 1.3);
}

/* Rows of one step share experts, which counts most where nothing is found. */
static void test_on_where_nothing_is_found(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(gain(5, 0.8, 0, &n) > 1.1);
}

/* Most is found and a read costs as much as a step: what drafts read, and push out, is dearer than
 * what they save. Steps without drafts that stand among steps with them are slower too. */
static void test_off(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(gain(70, 0.8, 0, &n) > 0.97);
    assert_true(n < 50);
    assert_true(gain(70, 0.3, 0, &n) > 0.97);
    assert_true(gain(110, 2, 1, &n) > 0.97);
    assert_true(n < 20);
}

static void test_never_right(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(gain(100, 2, 3, &n) > 0.97);
    assert_true(gain(16, 0.3, 3, &n) > 0.97);
}

/* True time, a drive that takes a step's time for a read. */
static void test_simulated_drive(void **state)
{
    (void)state;
    world.real = true;
    const struct run off = answers(70, 0.1, GLIM_DRAFTS_OFF, 3, 100),
                     on = answers(70, 0.1, GLIM_DRAFTS_AUTO, 3, 100);
    printf("  %llu tokens, %llu verifications\n", (unsigned long long)on.tokens,
           (unsigned long long)on.verifications);
    assert_true(on.hash == off.hash);
    assert_true(on.verifications * 20 < on.tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on),
        cmocka_unit_test(test_on_where_nothing_is_found),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_never_right),
        cmocka_unit_test(test_simulated_drive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
