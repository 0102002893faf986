/* bench_run.c - see bench.h. Opens the model for each thread count and times each test.
 *
 * The prompt is random tokens, so that experts are used as widely as a text could; generation draws
 * at temperature 1 and does not stop at the model's end of answer. Drafts, where --mtp allows them,
 * have a session of their own, so that neither pays for the other; the tokens are the same. Where
 * --ram has no room for two, each is made when its test comes and ended for the other. Each
 * round of generation draws others: what streams would find in memory what the last round has read.
 * Each test runs once before it is timed, which brings its weights into memory. The machine's
 * limits are measured with the same threads right after their tests, but its memory's before there
 * are sessions: they fill what --ram gives, and that takes a block of its own.
 */
#include <stdlib.h>

#include "base/util.h"
#include "cli/bandwidth.h"
#include "cli/bench.h"
#include "cli/load.h"
#include "cli/out.h"

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

/* Adds what the clock of the stages has to a row's sums. */
static void add_stages(struct bench *b, struct bench_row *r, uint64_t tokens)
{
    struct glim_stages now;
    glim_model_stages(b->model, &now);
    for (size_t s = 0; s < now.stages; s++) {
        now.stage[s].work_ns += r->stages.stage[s].work_ns;
        now.stage[s].wait_ns += r->stages.stage[s].wait_ns;
    }
    r->stages = now;
    r->stage_tok += tokens;
    struct glim_streaming disk;
    glim_model_streaming(b->model, &disk);
    r->disk.wanted += disk.wanted - b->disk.wanted;
    r->disk.hits += disk.hits - b->disk.hits;
    r->disk.read_bytes += disk.read_bytes - b->disk.read_bytes;
    r->disk.wait_ns += disk.wait_ns - b->disk.wait_ns;
    for (size_t d = 0; d <= b->o->mirror.n; d++)
        r->disk.drive_bytes[d] += disk.drive_bytes[d] - b->disk.drive_bytes[d];
}

static void start_clock(struct bench *b)
{
    glim_model_clock(b->model, true);
    glim_model_streaming(b->model, &b->disk);
}

/* A prompt behind r->depth tokens. */
static int time_prompt(struct bench *b, struct bench_row *r, double *tok_s, struct glim_error *e)
{
    int rc = glim_session_rewind(b->session, r->depth, e);
    start_clock(b);
    const uint64_t start = now_ns();
    if (rc == GLIM_OK)
        rc = append(b->session, b->token + r->depth, r->tokens, e);
    *tok_s = rate(r->tokens, now_ns() - start);
    add_stages(b, r, r->tokens);
    return rc;
}

/* Generation behind r->depth tokens and one more that yields the first logits. */
static int time_decode(struct bench *b, struct bench_row *r, uint64_t round, double *tok_s,
                       struct glim_error *e)
{
    glim_session *const s = r->kind == BENCH_DRAFTS ? b->drafting : b->session;
    struct glim_usage *const u = &r->usage;
    struct glim_generate g = GLIM_GENERATE_INIT;
    g.sampling.temperature = 1;
    g.sampling.seed = round;
    g.max_tokens = r->tokens;
    g.ignore_eos = g.raw = true;
    g.on_event = on_event;
    g.drafts = r->kind == BENCH_DRAFTS ? model_draft_count(b->o) : GLIM_DRAFTS_OFF;
    int rc = glim_session_rewind(s, r->depth, e);
    if (rc == GLIM_OK)
        rc = append(s, b->token + r->depth, 1, e);
    start_clock(b);
    if (rc == GLIM_OK)
        rc = glim_generate(s, &g, u, e);
    if (rc == GLIM_OK && u->finish == GLIM_FINISH_STOPPED)
        rc = glim_error_set(e, GLIM_ESTOPPED, "interrupted");
    if (rc == GLIM_OK)
        add_stages(b, r, u->output_tok);
    *tok_s = rc == GLIM_OK ? rate(u->output_tok, u->generate_ns) : 0;
    return rc;
}

/* One more than --reps times: the first does not count. */
static int time_row(struct bench *b, struct bench_row *r, struct glim_error *e)
{
    const uint64_t rounds = b->o->reps + 1;
    char name[BENCH_NAME_LEN];
    int rc = GLIM_OK;
    for (uint64_t i = 0; rc == GLIM_OK && i < rounds; i++) {
        double tok_s;
        progress_note("%s on %d threads, round %llu / %llu", bench_name(r, name), r->threads,
                      (unsigned long long)i, (unsigned long long)b->o->reps);
        if (i == 1) {
            r->stages = (struct glim_stages){0};
            r->stage_tok = 0;
            r->disk = (struct glim_streaming){0};
        }
        rc = r->kind == BENCH_PROMPT ? time_prompt(b, r, &tok_s, e)
                                     : time_decode(b, r, i, &tok_s, e);
        glim_model_clock(b->model, false);
        if (i > 0)
            r->tok_s[i - 1] = tok_s;
        if (rc == GLIM_OK && interrupted()) /* a prompt of one chunk does not ask while it runs */
            rc = glim_error_set(e, GLIM_ESTOPPED, "interrupted");
    }
    return rc;
}

static int make_session(struct bench *b, bool drafts, struct glim_error *e)
{
    struct opts o = *b->o;
    if (!drafts)
        o.drafts = DRAFTS_OFF;
    return model_session(&o, b->model, b->context, drafts ? &b->drafting : &b->session, e);
}

/* The session of that kind is there, behind `depth` tokens; the other one may be gone. */
static int take_turn(struct bench *b, bool drafts, uint64_t depth, struct glim_error *e)
{
    glim_session **const mine = drafts ? &b->drafting : &b->session;
    glim_session **const other = drafts ? &b->session : &b->drafting;
    if (!b->in_turn || *mine)
        return GLIM_OK;
    glim_session_free(*other);
    *other = NULL;
    const int rc = make_session(b, drafts, e);
    return rc == GLIM_OK ? append(*mine, b->token, depth, e) : rc;
}

static int add_row(struct bench *b, enum bench_kind kind, uint64_t tokens, uint64_t depth,
                   struct glim_error *e)
{
    if (tokens == 0)
        return GLIM_OK;
    if (take_turn(b, kind == BENCH_DRAFTS, depth, e) != GLIM_OK)
        return e->code;
    struct bench_row *const r = &b->row[b->done++];
    *r = (struct bench_row){.kind = kind,
                            .threads = glim_model_info(b->model)->threads,
                            .tokens = tokens,
                            .depth = depth};
    r->tok_s = mem_zalloc(b->o->reps, sizeof *r->tok_s);
    return r->tok_s ? time_row(b, r, e) : glim_error_set(e, GLIM_ENOMEM, "out of memory");
}

/* The first `depth` tokens on a timeline whose first b->on_timeline tokens are right. */
static int go_to_depth(struct bench *b, glim_session *s, uint64_t depth, struct glim_error *e)
{
    const uint64_t keep = min_u64(depth, b->on_timeline);
    const int rc = s ? glim_session_rewind(s, keep, e) : GLIM_OK;
    return s && rc == GLIM_OK ? append(s, b->token + keep, depth - keep, e) : rc;
}

static int run_depth(struct bench *b, uint64_t depth, struct glim_error *e)
{
    const struct opts *const o = b->o;
    if (depth)
        progress_note("%llu tokens before the clock starts", (unsigned long long)depth);
    int rc = go_to_depth(b, b->session, depth, e);
    if (rc == GLIM_OK)
        rc = go_to_depth(b, b->drafting, depth, e);
    b->on_timeline = depth;
    for (size_t i = 0; rc == GLIM_OK && i < o->prompt_tok.n; i++)
        rc = add_row(b, BENCH_PROMPT, o->prompt_tok.v[i], depth, e);
    for (size_t i = 0; rc == GLIM_OK && i < o->decode_tok.n; i++) {
        rc = add_row(b, BENCH_DECODE, o->decode_tok.v[i], depth, e);
        if (rc == GLIM_OK && b->drafts)
            rc = add_row(b, BENCH_DRAFTS, o->decode_tok.v[i], depth, e);
    }
    return rc;
}

static uint64_t most_of(const struct opt_list *l)
{
    uint64_t most = 0;
    for (size_t i = 0; i < l->n; i++)
        most = max_u64(most, l->v[i]);
    return most;
}

static void close_model(struct bench *b)
{
    glim_session_free(b->session);
    glim_session_free(b->drafting);
    glim_model_close(b->model);
    b->session = b->drafting = NULL;
    b->model = NULL;
    b->on_timeline = 0;
}

static int measure_memory(struct bench *b, struct glim_error *ge)
{
    struct err e;
    progress_note("the machine's memory");
    const int rc = bandwidth_measure(glim_model_info(b->model)->threads, &b->memory_gb_s, &e);
    return rc == GLIM_OK ? GLIM_OK : glim_error_set(ge, e.code, "%s", e.text);
}

/* threads: 0 = the library's choice */
static int open_model(struct bench *b, uint64_t threads, struct glim_error *e)
{
    struct opts o = *b->o;
    close_model(b);
    b->context =
        most_of(&o.depth_tok) + max_u64(most_of(&o.prompt_tok), most_of(&o.decode_tok) + 1);
    o.threads = threads;
    int rc = model_open(&o, &b->model, e);
    if (rc == GLIM_OK)
        rc = measure_memory(b, e);
    struct glim_plan_request q;
    model_plan_request(&o, b->context, &q);
    b->drafts =
        rc == GLIM_OK && most_of(&o.decode_tok) && model_drafts_fit(&o, b->model, &q);
    if (b->drafts)
        rc = make_session(b, true, e);
    if (rc == GLIM_OK)
        rc = make_session(b, false, e);
    b->in_turn = b->drafting && rc == GLIM_ELIMIT;
    return b->in_turn ? GLIM_OK : rc;
}

static int make_tokens(struct bench *b, struct glim_error *e)
{
    uint64_t state = 0x9e3779b97f4a7c15u;
    const uint64_t n = most_of(&b->o->depth_tok) + most_of(&b->o->prompt_tok) + 1;
    b->token = b->token ? b->token : mem_zalloc(n, sizeof *b->token);
    if (!b->token)
        return glim_error_set(e, GLIM_ENOMEM, "out of memory");
    for (uint64_t i = 0; i < n; i++)
        b->token[i] = random_token(&state, glim_model_info(b->model)->vocab);
    return GLIM_OK;
}

static int measure_limits(struct bench *b, size_t first, struct glim_error *e)
{
    double drive = 0;
    progress_note("the machine's limits");
    const double flop_s = glim_model_peak_flop_s(b->model);
    glim_model_streaming(b->model, &b->disk);
    if (b->disk.streamed && glim_model_drive(b->model, &drive, e) != GLIM_OK)
        return e->code;
    for (size_t i = first; i < b->done; i++) {
        b->row[i].read_bandwidth_gb_s = b->memory_gb_s;
        b->row[i].peak_flop_s = flop_s;
        b->row[i].drive_gb_s = drive;
    }
    return GLIM_OK;
}

static int run_threads(struct bench *b, uint64_t threads, struct glim_error *e)
{
    const size_t first = b->done;
    int rc = open_model(b, threads, e);
    if (rc == GLIM_OK)
        rc = make_tokens(b, e);
    for (size_t i = 0; rc == GLIM_OK && i < b->o->depth_tok.n; i++)
        rc = run_depth(b, b->o->depth_tok.v[i], e);
    return rc == GLIM_OK ? measure_limits(b, first, e) : rc;
}

int bench_run(struct bench *b, struct glim_error *e)
{
    const struct opts *const o = b->o;
    const size_t counts = o->thread_list.n ? o->thread_list.n : 1;
    b->rows = counts * o->depth_tok.n * (o->prompt_tok.n + 2 * o->decode_tok.n);
    b->row = mem_zalloc(b->rows, sizeof *b->row);
    if (!b->row)
        return glim_error_set(e, GLIM_ENOMEM, "out of memory");
    int rc = GLIM_OK;
    for (size_t i = 0; rc == GLIM_OK && i < counts; i++)
        rc = run_threads(b, o->thread_list.n ? o->thread_list.v[i] : 0, e);
    progress_end();
    return rc;
}

void bench_deinit(struct bench *b)
{
    close_model(b);
    for (size_t i = 0; i < b->done; i++)
        free(b->row[i].tok_s);
    free(b->row);
    free(b->token);
}
