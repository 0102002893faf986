/* cmd_bench.c - glim bench: prompt and generation speed, beside the memory bandwidth measured in
 * the same run.
 *
 * The prompt is random tokens, so that experts are used as widely as a text could; generation draws
 * at temperature 1 and does not stop at the model's end of answer. It is timed without drafts, and
 * with them where --mtp allows, in a session of their own, so that neither pays for the other; the
 * tokens are the same. One untimed round comes first and brings the weights into memory. Tokens a
 * second of generation without drafts times the weight bytes of a token, over the bandwidth, is the
 * share of the machine's limit; the cache's own reads are not counted.
 */
#include <stdlib.h>

#include "base/util.h"
#include "cli/bandwidth.h"
#include "cli/cmd.h"
#include "cli/input.h"
#include "cli/load.h"
#include "cli/out.h"

struct bench {
    const struct opts *o;
    glim_model *model;
    glim_session *session, *drafting; /* drafting: NULL = no drafts */
    int32_t *token;           /* [depth + prompt + 1] */
    double *prefill, *decode, *drafts; /* [reps] tokens a second */
    struct glim_usage usage;  /* of the last answer with drafts */
    double bandwidth;         /* 1e9 bytes a second */
};

/* xorshift64*: the same tokens in every run. */
static int32_t random_token(uint64_t *state, uint64_t vocab)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (int32_t)((*state * 0x2545f4914f6cdd1du >> 32) % vocab);
}

static int on_step(void *ctx, size_t done, size_t n)
{
    (void)ctx;
    (void)done;
    (void)n;
    return interrupted();
}

static int append(glim_session *s, const int32_t *token, size_t n, struct glim_error *e)
{
    struct glim_append a = GLIM_APPEND_INIT;
    a.tokens = token;
    a.n = n;
    a.progress = on_step;
    return n ? glim_session_append(s, &a, e) : GLIM_OK;
}

static int on_event(void *ctx, const struct glim_event *ev)
{
    (void)ctx;
    (void)ev;
    return interrupted();
}

static double rate(uint64_t n, uint64_t ns) { return ns ? (double)n * 1e9 / (double)ns : 0; }

/* A prompt behind `depth` tokens. */
static int time_prefill(struct bench *b, double *tok_s, struct glim_error *e)
{
    int rc = glim_session_rewind(b->session, b->o->depth_tok, e);
    const uint64_t start = now_ns();
    if (rc == GLIM_OK)
        rc = append(b->session, b->token + b->o->depth_tok, b->o->prompt_tok, e);
    *tok_s = rate(b->o->prompt_tok, now_ns() - start);
    return rc;
}

/* Generation behind `depth` tokens and one more that yields the first logits. */
static int time_decode(struct bench *b, glim_session *s, int drafts, double *tok_s,
                       struct glim_error *e)
{
    struct glim_usage *const u = &b->usage;
    struct glim_generate g = GLIM_GENERATE_INIT;
    g.sampling.temperature = 1;
    g.max_tokens = b->o->decode_tok;
    g.ignore_eos = g.raw = true;
    g.on_event = on_event;
    g.drafts = drafts;
    int rc = glim_session_rewind(s, b->o->depth_tok, e);
    if (rc == GLIM_OK)
        rc = append(s, b->token + b->o->depth_tok, 1, e);
    if (rc == GLIM_OK)
        rc = glim_generate(s, &g, u, e);
    if (rc == GLIM_OK && u->finish == GLIM_FINISH_STOPPED)
        rc = glim_error_set(e, GLIM_ESTOPPED, "interrupted");
    *tok_s = u->output_tok > 1 ? rate(u->output_tok - 1, u->generate_ns) : 0;
    return rc;
}

static int run_reps(struct bench *b, struct glim_error *e)
{
    double prefill, decode, drafts = 0;
    const uint64_t rounds = b->o->reps + 1;
    int rc = append(b->session, b->token, b->o->depth_tok, e);
    if (rc == GLIM_OK && b->drafting)
        rc = append(b->drafting, b->token, b->o->depth_tok, e);
    for (uint64_t i = 0; rc == GLIM_OK && i < rounds; i++) {
        progress_show("round", i + 1, rounds);
        rc = time_prefill(b, &prefill, e);
        if (rc == GLIM_OK)
            rc = time_decode(b, b->session, GLIM_DRAFTS_OFF, &decode, e);
        if (rc == GLIM_OK && b->drafting)
            rc = time_decode(b, b->drafting, model_draft_count(b->o), &drafts, e);
        if (rc == GLIM_OK && i > 0) {
            b->prefill[i - 1] = prefill;
            b->decode[i - 1] = decode;
            b->drafts[i - 1] = drafts;
        }
    }
    progress_end();
    return rc;
}

static int open_sessions(struct bench *b, struct glim_error *e)
{
    const struct opts *const o = b->o;
    struct opts plain = *o;
    plain.drafts = DRAFTS_OFF;
    const uint64_t context = o->depth_tok + max_u64(o->prompt_tok, o->decode_tok + 1);
    int rc = model_open(o, &b->model, e);
    if (rc == GLIM_OK)
        rc = model_session(&plain, b->model, context, &b->session, e);
    if (rc == GLIM_OK && model_drafts(o, b->model))
        rc = model_session(o, b->model, context, &b->drafting, e);
    return rc;
}

static int prepare(struct bench *b, struct glim_error *e)
{
    uint64_t state = 0x9e3779b97f4a7c15u;
    const struct opts *const o = b->o;
    const uint64_t tokens = o->depth_tok + o->prompt_tok + 1;
    const int rc = open_sessions(b, e);
    if (rc != GLIM_OK)
        return rc;
    b->token = mem_zalloc(tokens, sizeof *b->token);
    b->prefill = mem_zalloc(o->reps, sizeof *b->prefill);
    b->decode = mem_zalloc(o->reps, sizeof *b->decode);
    b->drafts = mem_zalloc(o->reps, sizeof *b->drafts);
    if (!b->token || !b->prefill || !b->decode || !b->drafts)
        return glim_error_set(e, GLIM_ENOMEM, "out of memory");
    for (uint64_t i = 0; i < tokens; i++)
        b->token[i] = random_token(&state, glim_model_info(b->model)->vocab);
    return GLIM_OK;
}

/* ---- results ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts v. */
static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static double bandwidth_share(const struct bench *b, double decode)
{
    return decode * (double)glim_model_info(b->model)->bytes_per_token / 1e9 / b->bandwidth;
}

/* Drafts that became part of the answer, a verification. */
static double accepted_each(const struct bench *b)
{
    const struct glim_usage *const u = &b->usage;
    return u->verifications ? (double)u->accepted_tok / (double)u->verifications : 0;
}

static void print_rate(const char *what, uint64_t n, uint64_t depth, double middle, const double *v,
                       size_t reps)
{
    out_text("%-10s %8llu %8llu %12.1f   %.1f - %.1f\n", what, (unsigned long long)n,
             (unsigned long long)depth, middle, v[0], v[reps - 1]);
}

static void bench_text(struct bench *b)
{
    char n[HUMAN_LEN];
    const struct glim_model_info *const i = glim_model_info(b->model);
    const double prefill = median(b->prefill, b->o->reps), decode = median(b->decode, b->o->reps);
    out_text("%s, %s, %d threads, %llu rounds\n\n", i->name, i->isa, i->threads,
             (unsigned long long)b->o->reps);
    out_text("%-10s %8s %8s %12s   %s\n", "", "tokens", "behind", "tokens/s", "least - most");
    print_rate("prompt", b->o->prompt_tok, b->o->depth_tok, prefill, b->prefill, b->o->reps);
    print_rate("generate", b->o->decode_tok, b->o->depth_tok, decode, b->decode, b->o->reps);
    if (b->drafting) {
        const double drafts = median(b->drafts, b->o->reps);
        print_rate("drafting", b->o->decode_tok, b->o->depth_tok, drafts, b->drafts, b->o->reps);
        out_text("\nwith drafts %.2f times the speed; in the last round %llu verifications, %.2f "
                 "drafts accepted in each\n",
                 drafts / decode, (unsigned long long)b->usage.verifications, accepted_each(b));
    }
    out_text("\nmemory reads at %.1f GB/s; a token reads %s of weights: generation uses %.0f%% of "
             "that\n",
             b->bandwidth, human_bytes(n, i->bytes_per_token), 100 * bandwidth_share(b, decode));
}

static struct json_object *reals_json(const double *v, size_t n)
{
    struct json_object *const list = json_object_new_array();
    for (size_t i = 0; i < n; i++)
        json_object_array_add(list, json_real(v[i]));
    return list;
}

static void bench_json(struct bench *b)
{
    const struct glim_model_info *const i = glim_model_info(b->model);
    const double prefill = median(b->prefill, b->o->reps), decode = median(b->decode, b->o->reps);
    struct json_object *const j = json_object_new_object();
    struct glim_machine machine;
    glim_machine(&machine);
    json_add_text(j, "model", i->name);
    json_add_text(j, "cpu", machine.cpu);
    json_add_text(j, "isa", i->isa);
    json_add_u64(j, "threads", (uint64_t)i->threads);
    json_add_u64(j, "prompt_tokens", b->o->prompt_tok);
    json_add_u64(j, "decode_tokens", b->o->decode_tok);
    json_add_u64(j, "depth_tokens", b->o->depth_tok);
    json_add_u64(j, "reps", b->o->reps);
    json_add_real(j, "prefill_tok_s", prefill);
    json_add_real(j, "decode_tok_s", decode);
    json_add_u64(j, "bytes_per_token", i->bytes_per_token);
    json_add_real(j, "read_bandwidth_gb_s", b->bandwidth);
    json_add_real(j, "decode_bandwidth_share", bandwidth_share(b, decode));
    json_object_object_add(j, "prefill_runs", reals_json(b->prefill, b->o->reps));
    json_object_object_add(j, "decode_runs", reals_json(b->decode, b->o->reps));
    if (b->drafting) {
        json_add_real(j, "drafting_tok_s", median(b->drafts, b->o->reps));
        json_add_u64(j, "verifications", b->usage.verifications);
        json_add_real(j, "accepted_per_verification", accepted_each(b));
        json_object_object_add(j, "drafting_runs", reals_json(b->drafts, b->o->reps));
    }
    out_json(j);
}

static int bench_all(struct bench *b)
{
    struct glim_error ge;
    struct err e;
    if (prepare(b, &ge) != GLIM_OK || run_reps(b, &ge) != GLIM_OK)
        return fail_glim(&ge);
    if (bandwidth_measure(glim_model_info(b->model)->threads, &b->bandwidth, &e) != GLIM_OK)
        return fail_err(&e);
    if (b->o->json)
        bench_json(b);
    else
        bench_text(b);
    return EXIT_OK;
}

int cmd_bench(const struct opts *o)
{
    struct bench b = {.o = o};
    const int code = bench_all(&b);
    free(b.token);
    free(b.prefill);
    free(b.decode);
    free(b.drafts);
    glim_session_free(b.session);
    glim_session_free(b.drafting);
    glim_model_close(b.model);
    return code;
}
