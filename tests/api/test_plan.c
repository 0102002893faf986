/* test_plan.c - what glim_model_plan says is what sessions do: the least budget to the byte, what
 * it advises, how many experts stay; and sessions after the first, never above the budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "glim.h"

#define GOLDEN "tests/data/golden/"
#define NANO "models/glm-nano.gguf"

enum { ENOUGH = 1 << 28 };

static glim_model *open_model(const char *path, int threads, uint64_t ram)
{
    struct glim_model_options o = GLIM_MODEL_OPTIONS_INIT;
    struct glim_error e;
    glim_model *m;
    o.threads = threads;
    o.knobs.latent_eps = 1e-6;
    o.ram_bytes = ram;
    if (glim_model_open(&m, path, &o, &e) != 0)
        fail_msg("%s", e.text);
    return m;
}

static int session_of(glim_model *m, const struct glim_session_options *o, glim_session **s,
                      struct glim_error *e)
{
    *s = NULL;
    return glim_session_new(s, m, o, e);
}

static struct glim_plan plan_of(const char *path, int threads, uint64_t ram,
                                const struct glim_session_options *o)
{
    struct glim_plan_request q = GLIM_PLAN_REQUEST_INIT;
    struct glim_plan p;
    struct glim_error e;
    glim_model *const m = open_model(path, threads, 0);
    q.ram_bytes = ram;
    q.context_tok = o->context_tok;
    q.chunk_tok = o->chunk_tok;
    q.kv = o->kv;
    q.mtp = o->mtp;
    if (glim_model_plan(m, &q, &p, &e) != 0)
        fail_msg("%s: %s", path, e.text);
    glim_model_close(m);
    return p;
}

/* Is a session made? If not, the refusal names `least` bytes. */
static bool runs(const char *path, int threads, uint64_t ram, const struct glim_session_options *o,
                 uint64_t least)
{
    struct glim_error e;
    glim_session *s;
    char bytes[64];
    glim_model *const m = open_model(path, threads, ram);
    const int rc = session_of(m, o, &s, &e);
    (void)snprintf(bytes, sizeof bytes, "(%llu bytes)", (unsigned long long)least);
    if (rc != 0) {
        assert_int_equal(rc, GLIM_ELIMIT);
        assert_non_null(strstr(e.text, bytes));
    }
    glim_session_free(s);
    glim_model_close(m);
    return rc == 0;
}

static const struct {
    const char *path;
    uint64_t context, chunk;
    enum glim_kv kv;
    bool mtp;
    int threads;
} cases[] = {
    {GOLDEN "glm52", 64, 16, GLIM_KV_F16, false, 1},
    {GOLDEN "fp8", 100, 512, GLIM_KV_Q8, false, 2},
    {GOLDEN "mid", 64, 7, GLIM_KV_F32, false, 1},
    {GOLDEN "mtp-share", 64, 16, GLIM_KV_F16, true, 2},
    {"models/glm-nano.gguf", 2048, 0, GLIM_KV_F16, true, 2},
    {"models/glm-nano.gguf", 4096, 64, GLIM_KV_BF16, false, 1},
};

static void test_least(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
        o.context_tok = cases[i].context;
        o.chunk_tok = cases[i].chunk;
        o.kv = cases[i].kv;
        o.mtp = cases[i].mtp;
        const char *const path = cases[i].path;
        const struct glim_plan p = plan_of(path, cases[i].threads, 1, &o);
        assert_false(p.runs);
        const uint64_t least = p.least_ram_bytes;
        assert_true(runs(path, cases[i].threads, least, &o, least));
        assert_false(runs(path, cases[i].threads, least - 1, &o, least));
        const struct glim_plan at = plan_of(path, cases[i].threads, least, &o);
        assert_true(at.runs && at.least_ram_bytes == least);
        assert_false(plan_of(path, cases[i].threads, least - 1, &o).runs);
    }
}

/* The room that a model has is the one that was planned, and nothing is above the budget. */
static void test_room(void **state)
{
    (void)state;
    const char *const path = "models/glm-nano.gguf";
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    o.context_tok = 256;
    o.mtp = true;
    const uint64_t least = plan_of(path, 2, 1, &o).least_ram_bytes;
    for (uint64_t ram = least; ram < least + (4 << 20); ram += 1234567) {
        struct glim_error e;
        struct glim_streaming now;
        glim_session *s;
        const struct glim_plan p = plan_of(path, 2, ram, &o);
        glim_model *const m = open_model(path, 2, ram);
        assert_int_equal(session_of(m, &o, &s, &e), 0);
        glim_model_streaming(m, &now);
        assert_true(now.streamed && p.runs && !p.fits);
        assert_true(now.room_bytes >= p.expert_slots * 4096);
        assert_true(p.expert_slots >= 4 && p.expert_slots <= p.experts);
        assert_true(now.always_bytes == p.item[0].bytes);
        assert_true(p.resident_bytes <= ram && p.tok_s > 0 && p.disk_read_per_token > 0);
        glim_session_free(s);
        glim_model_close(m);
    }
    assert_true(plan_of(path, 2, ENOUGH, &o).fits);
}

/* More room, more found in it; uneven use finds more than even. */
static void test_hits(void **state)
{
    (void)state;
    const char *const path = "models/glm-nano.gguf";
    struct glim_plan_request q = GLIM_PLAN_REQUEST_INIT;
    struct glim_plan p;
    struct glim_error e;
    double last[2] = {0};
    glim_model *const m = open_model(path, 1, 0);
    q.context_tok = 64;
    q.chunk_tok = 16;
    q.ram_bytes = 1;
    assert_int_equal(glim_model_plan(m, &q, &p, &e), 0);
    q.ram_bytes = p.least_ram_bytes;
    for (int i = 0; i < 8; i++, q.ram_bytes += 1 << 20) {
        for (q.use = GLIM_USE_MEASURED; q.use <= GLIM_USE_UNIFORM; q.use++) {
            assert_int_equal(glim_model_plan(m, &q, &p, &e), 0);
            assert_true(p.runs && !p.fits);
            assert_true(p.expert_hit_rate >= last[q.use] - 0.02 && p.expert_hit_rate <= 1);
            assert_true(i > 0 || p.expert_hit_rate < 0.3);
            last[q.use] = p.expert_hit_rate;
        }
        assert_true(last[GLIM_USE_MEASURED] > last[GLIM_USE_UNIFORM] - 0.02);
    }
    assert_true(last[GLIM_USE_UNIFORM] > 0.4);
    glim_model_close(m);
}

/* What is advised runs, and the next larger does not. */
static void test_advice(void **state)
{
    (void)state;
    const char *const path = "models/glm-nano.gguf";
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT, less;
    o.context_tok = 8192;
    o.chunk_tok = 512;
    o.mtp = true;
    const uint64_t least = plan_of(path, 1, 1, &o).least_ram_bytes;
    const uint64_t ram = least - (2 << 20);
    const struct glim_plan p = plan_of(path, 1, ram, &o);
    assert_false(p.runs);
    assert_true(p.advice.context_tok > 0 && p.advice.context_tok < 8192);
    assert_true(p.advice.kv_q8 && p.advice.no_drafts && p.advice.chunk_tok > 0);
    less = o;
    less.context_tok = p.advice.context_tok;
    assert_true(runs(path, 1, ram, &less, 0));
    less.context_tok += 256;
    assert_false(plan_of(path, 1, ram, &less).runs);
    less = o;
    less.chunk_tok = p.advice.chunk_tok;
    assert_true(runs(path, 1, ram, &less, 0));
    less.chunk_tok *= 2;
    assert_false(plan_of(path, 1, ram, &less).runs);
    less = o;
    less.kv = GLIM_KV_Q8;
    assert_true(runs(path, 1, ram, &less, 0));
    less = o;
    less.mtp = false;
    assert_true(runs(path, 1, ram, &less, 0));
    const struct glim_plan none = plan_of(path, 1, 1, &o);
    assert_true(none.advice.context_tok == 0 && none.advice.chunk_tok == 0);
    assert_false(none.advice.kv_q8 || none.advice.no_drafts);
}

static void say(glim_session *s, struct glim_error *e)
{
    static const int32_t token[] = {3, 1, 4, 1, 5, 9, 2, 6};
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = token;
    a.n = sizeof token / sizeof *token;
    if (glim_session_append(s, &a, e) != 0)
        fail_msg("%s", e->text);
}

/* A second session takes of the experts' room, gives it back, and is refused where that is not
 * enough; both go on with the same answers. */
static void test_second_session(void **state)
{
    (void)state;
    const char *const path = "models/glm-nano.gguf";
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT, large = o;
    struct glim_error e;
    struct glim_streaming before, with, after;
    glim_session *first, *second, *third;
    o.context_tok = 64;
    o.chunk_tok = 16;
    const struct glim_plan one = plan_of(path, 1, 1, &o);
    const uint64_t session = one.cache_bytes + one.item[3].bytes;
    glim_model *const m = open_model(path, 1, one.least_ram_bytes + session + (1 << 20));
    assert_int_equal(session_of(m, &o, &first, &e), 0);
    glim_model_streaming(m, &before);
    assert_true(before.streamed);
    say(first, &e);
    assert_int_equal(session_of(m, &o, &second, &e), 0);
    glim_model_streaming(m, &with);
    assert_true(with.room_bytes < before.room_bytes && with.room_bytes > 0);
    say(second, &e);
    const uint64_t bytes = glim_model_info(m)->vocab * sizeof(float);
    assert_memory_equal(glim_session_logits(first), glim_session_logits(second), bytes);
    large.context_tok = 8192;
    assert_int_equal(session_of(m, &large, &third, &e), GLIM_ELIMIT);
    assert_non_null(strstr(e.text, "this one needs"));
    glim_model_streaming(m, &after);
    assert_true(after.room_bytes == with.room_bytes);
    glim_session_free(second);
    glim_model_streaming(m, &after);
    assert_true(after.room_bytes == before.room_bytes);
    assert_int_equal(session_of(m, &o, &second, &e), 0);
    say(second, &e);
    assert_memory_equal(glim_session_logits(first), glim_session_logits(second), bytes);
    glim_session_free(first);
    glim_session_free(second);
    glim_model_close(m);
}

/* The same where all weights are mapped. */
static void test_second_mapped(void **state)
{
    (void)state;
    const char *const path = "models/glm-nano.gguf";
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT, large = o;
    struct glim_error e;
    glim_session *first, *second;
    o.context_tok = 64;
    large.context_tok = 8192;
    glim_model *const m = open_model(path, 1, 60 << 20);
    assert_int_equal(session_of(m, &o, &first, &e), 0);
    struct glim_streaming now;
    glim_model_streaming(m, &now);
    assert_false(now.streamed);
    assert_int_equal(session_of(m, &large, &second, &e), GLIM_ELIMIT);
    assert_int_equal(session_of(m, &o, &second, &e), 0);
    say(second, &e);
    glim_session_free(first);
    glim_session_free(second);
    glim_model_close(m);
}

/* A drive that is simulated, slow and late, changes no bit. */
static void test_simulated_drive(void **state)
{
    (void)state;
    struct glim_model_options mo = GLIM_MODEL_OPTIONS_INIT;
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_streaming now;
    struct glim_error e;
    glim_session *mapped, *streamed;
    o.context_tok = 64;
    o.chunk_tok = 16;
    glim_model *const m = open_model(NANO, 1, 0);
    mo.threads = 1;
    mo.knobs.latent_eps = 1e-6;
    mo.ram_bytes = plan_of(NANO, 1, 1, &o).least_ram_bytes;
    mo.drive = (struct glim_drive_model){.gb_s = 0.5, .latency_us = 200, .depth = 1};
    glim_model *late;
    assert_int_equal(glim_model_open(&late, NANO, &mo, &e), 0);
    assert_int_equal(session_of(m, &o, &mapped, &e), 0);
    assert_int_equal(session_of(late, &o, &streamed, &e), 0);
    say(mapped, &e);
    say(streamed, &e);
    glim_model_streaming(late, &now);
    assert_true(now.streamed && now.read_bytes > 0);
    assert_string_equal(now.reads, "simulated drive");
    assert_memory_equal(glim_session_logits(mapped), glim_session_logits(streamed),
                        glim_model_info(m)->vocab * sizeof(float));
    glim_session_free(mapped);
    glim_session_free(streamed);
    glim_model_close(m);
    glim_model_close(late);
    mo.drive.gb_s = -1;
    assert_int_equal(glim_model_open(&late, NANO, &mo, &e), GLIM_EINVAL);
}

/* A session's chunk where the caller names none: a prompt goes through in such steps. */
static uint64_t chosen_chunk(uint64_t ram, uint64_t context)
{
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    struct glim_error e;
    glim_session *s, *second;
    o.context_tok = context;
    glim_model *const m = open_model(NANO, 2, ram);
    assert_int_equal(session_of(m, &o, &s, &e), 0);
    const uint64_t chunk = glim_session_chunk(s);
    if (session_of(m, &o, &second, &e) == 0)
        assert_int_equal(glim_session_chunk(second), chunk);
    glim_session_free(second);
    glim_session_free(s);
    glim_model_close(m);
    return chunk;
}

/* 512, or all that there can be, where nothing is streamed and where memory is short; what is named
 * is kept. What a large model takes: tests/cli/streamed.py. */
static void test_chunk(void **state)
{
    (void)state;
    struct glim_session_options o = GLIM_SESSION_OPTIONS_INIT;
    o.context_tok = 2048;
    const struct glim_plan p = plan_of(NANO, 2, 1, &o), fits = plan_of(NANO, 2, ENOUGH, &o);
    const struct glim_plan least = plan_of(NANO, 2, p.least_ram_bytes, &o);
    assert_true(fits.fits && fits.chunk_tok == 512 && fits.chunk_read_s == 0);
    assert_true(least.runs && least.chunk_tok == 512 && least.chunk_read_s > 0);
    assert_true(least.chunk_compute_s > 0);
    assert_int_equal(chosen_chunk(ENOUGH, 2048), 512);
    assert_int_equal(chosen_chunk(ENOUGH, 100), 100);
    assert_int_equal(chosen_chunk(p.least_ram_bytes, 2048), 512);
    o.chunk_tok = 64;
    assert_int_equal(plan_of(NANO, 2, p.least_ram_bytes, &o).chunk_tok, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_least),          cmocka_unit_test(test_room),
        cmocka_unit_test(test_hits),           cmocka_unit_test(test_advice),
        cmocka_unit_test(test_second_session),
        cmocka_unit_test(test_second_mapped),  cmocka_unit_test(test_simulated_drive),
        cmocka_unit_test(test_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
