/* generation.c - see generation.h.
 *
 * The lock of a generation is held while a dialect writes: by the service's thread for events, by
 * the watcher's for keep-alives, by a worker's while it submits, so that nothing is written before
 * the beginning. Nobody waits for a client with it. The exchange is held until the last choice has
 * ended.
 */
#include "server/generation.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/util.h"
#include "server/answer.h"
#include "server/background.h"
#include "server/constrain.h"
#include "server/dialect.h"
#include "server/replay.h"
#include "server/respond.h"

/* Something comes at least this often: of a stream, and of an answer in one piece, whose beginning
 * is put off as long as clients stand it, since a status is then given away. */
#define STREAM_QUIET_NS 10000000000u
#define WHOLE_QUIET_NS  50000000000u

static const char stream_type[] = "text/event-stream";

/* ---- writing ---- */

/* What the dialect appended goes out; false: the answer is over. Half an event does not. */
static bool flush(struct generation *g)
{
    bool ok = !g->out.failed;
    if (g->out.len > 0 && ok)
        ok = exchange_write(g->x, g->out.data, g->out.len);
    buf_clear(&g->out);
    return ok;
}

/* Whatever of an answer finds no memory says so by g->out.failed. Its end is then an error, for
 * which there is room again. */
static void check_memory(struct generation *g)
{
    if (!g->out.failed)
        return;
    buf_deinit(&g->out);
    if (!g->failed)
        (void)memory_fault(&g->fault);
    g->failed = true;
}

static void close_part(struct generation *g, struct choice *c)
{
    struct part *const p = answer_open_part(&c->answer);
    if (p && g->stream)
        g->dialect->close(g, c, p, &g->out);
    if (p)
        p->closed = true;
}

/* Scores are of the tokens of the content; where nothing is parsed, of all. */
static void settle_scores(const struct generation *g, struct choice *c, enum part_kind kind)
{
    if (kind == PART_CONTENT)
        answer_sure_scores(&c->answer);
    else if (!g->generate.raw)
        answer_drop_scores(&c->answer);
}

static struct part *open_part(struct generation *g, struct choice *c, enum part_kind kind,
                              const char *name)
{
    close_part(g, c);
    const size_t scores = c->answer.scores_sure;
    settle_scores(g, c, kind);
    struct part *const p = answer_add_part(&c->answer, kind, name);
    g->out.failed |= !p;
    if (p)
        p->scores = p->scores_end = scores;
    if (p && g->stream)
        g->dialect->open(g, c, p, &g->out);
    return p;
}

static void add_text(struct generation *g, struct choice *c, struct part *p,
                     const struct glim_event *ev)
{
    if (!p)
        return;
    settle_scores(g, c, p->kind);
    p->scores_end = c->answer.scores_sure;
    buf_add(&p->text, ev->text, ev->len);
    g->out.failed |= p->text.failed;
    if (g->stream)
        g->dialect->delta(g, c, p, ev->text, ev->len, &g->out);
}

static void add_run(struct generation *g, struct choice *c, enum part_kind kind,
                    const struct glim_event *ev)
{
    struct part *p = answer_open_part(&c->answer);
    if (!p || p->kind != kind)
        p = open_part(g, c, kind, NULL);
    add_text(g, c, p, ev);
}

/* A token with its probability, if `wanted`. */
static void add_scored(struct generation *g, struct choice *c, bool wanted,
                       const struct glim_event *ev)
{
    if (wanted && !answer_add_scored(&c->answer, ev))
        g->out.failed = true;
}

/* False: nothing more is wanted. */
static bool take_event(struct generation *g, struct choice *c, const struct glim_event *ev)
{
    switch (ev->kind) {
    case GLIM_EVENT_REASONING: add_run(g, c, PART_REASONING, ev); break;
    case GLIM_EVENT_CONTENT: add_run(g, c, PART_CONTENT, ev); break;
    case GLIM_EVENT_TOOL_BEGIN: (void)open_part(g, c, PART_TOOL, ev->text); break;
    case GLIM_EVENT_TOOL_ARGS: add_text(g, c, answer_open_part(&c->answer), ev); break;
    case GLIM_EVENT_TOOL_END: close_part(g, c); return !g->one_call;
    case GLIM_EVENT_TOKEN:
        c->answer.tokens++;
        add_scored(g, c, g->logprobs && ev->token != g->server->end_think, ev);
        break;
    case GLIM_EVENT_PROMPT_TOKEN: add_scored(g, c, true, ev); break;
    case GLIM_EVENT_END_TOKEN: add_scored(g, c, g->generate.raw, ev); break;
    case GLIM_EVENT_PROMPT:
        if (g->stream && g->progress && g->dialect->progress)
            g->dialect->progress(g, c, ev, &g->out);
        break;
    }
    return true;
}

/* ---- the service's thread ---- */

static int on_event(void *ctx, const struct glim_event *ev)
{
    struct choice *const c = ctx;
    struct generation *const g = c->g;
    if (atomic_load(&g->gone))
        return 1;
    (void)pthread_mutex_lock(&g->lock);
    c->answer.begun = true;
    bool ok = !g->failed && take_event(g, c, ev);
    check_memory(g);
    if (g->stream)
        ok = (flush(g) || g->background) && ok;
    ok = ok && !g->failed;
    (void)pthread_mutex_unlock(&g->lock);
    return !ok;
}

static void remember_failure(struct generation *g, const struct glim_result *r)
{
    struct glim_error e = {.code = r->code};
    if (r->code == 0 || g->failed)
        return;
    g->failed = true;
    memcpy(e.text, r->error, min_u64(strlen(r->error) + 1, sizeof e.text - 1));
    (void)fault_of_error(&g->fault, &e, NULL);
}

/* With the lock held. An end that finds no memory is no end to the client either. */
static void finish_stream(struct generation *g)
{
    if (!g->failed)
        g->dialect->finish(g, &g->out);
    check_memory(g);
    if (g->failed)
        g->dialect->fail(g, &g->fault, &g->out);
    if (flush(g))
        exchange_end(g->x);
    else
        exchange_cut(g->x);
}

/* With the lock held. */
static void finish_whole(struct generation *g)
{
    if (!g->failed)
        g->dialect->whole(g, &g->out);
    check_memory(g);
    if (!exchange_begun(g->x) && g->failed) {
        respond_fault(g->server, g->x, g->dialect, &g->fault);
    } else if (!exchange_begun(g->x)) {
        respond(g->server, g->x, g->dialect, json_media, &g->out);
    } else { /* by keep-alives */
        if (g->failed)
            (void)g->dialect->error(&g->fault, exchange_id(g->x), &g->out);
        if (flush(g))
            exchange_end(g->x);
        else
            exchange_cut(g->x);
    }
}

/* With the lock held, when the last choice has ended. */
static void finish(struct generation *g)
{
    if (g->dialect->keep && !g->forgotten)
        g->dialect->keep(g);
    if (g->background)
        background_remove(g->server->background, g);
    if (g->stream)
        finish_stream(g);
    else if (!g->background)
        finish_whole(g);
}

/* Is it whole, so that a client may send it back as it was sampled? Strings that end an answer are
 * tokens of it, but not of its text. */
static bool is_whole(const struct generation *g, const struct choice *c,
                     const struct glim_result *r)
{
    if (r->code != 0 || !g->messages || c->answer.stop_string >= 0 || r->tokens == 0)
        return false;
    const bool one = g->one_call && r->usage.finish == GLIM_FINISH_STOPPED
                     && r->token[r->tokens - 1] == g->server->end_call;
    return one || r->usage.finish == GLIM_FINISH_STOP || r->usage.finish == GLIM_FINISH_TOOL_CALLS;
}

static void on_done(void *ctx, const struct glim_result *r)
{
    struct choice *const c = ctx;
    struct generation *const g = c->g;
    (void)pthread_mutex_lock(&g->lock);
    answer_take_result(&c->answer, r);
    close_part(g, c);
    if (!g->generate.raw)
        answer_drop_scores(&c->answer);
    remember_failure(g, r);
    if (is_whole(g, c, r) && !atomic_load(&g->gone))
        replay_keep(g->server->replay, exchange_owner(g->x), c->prompt, &c->answer, r->token,
                    r->tokens);
    check_memory(g);
    if (g->stream && !g->failed)
        g->dialect->end(g, c, &g->out);
    const bool last = --g->left == 0;
    if (last)
        finish(g);
    else if (g->stream)
        (void)flush(g);
    (void)pthread_mutex_unlock(&g->lock);
    if (!last)
        return;
    struct server *const s = g->server;
    exchange_release(g->x);              /* g may be gone */
    atomic_fetch_sub(&s->generating, 1); /* and now the server may */
}

/* ---- the HTTP side ---- */

void generation_cancel(struct generation *g)
{
    atomic_store(&g->gone, true);
    for (size_t i = 0; i < g->choices; i++) {
        const uint64_t id = atomic_load(&g->choice[i].id);
        if (id)
            glim_service_cancel(g->server->service, id);
    }
}

static void on_gone(void *ctx)
{
    struct generation *const g = ctx;
    server_log(g->server, 1, "%s: the client left", exchange_id(g->x));
    if (!g->background)
        generation_cancel(g);
}

static void on_tick(void *ctx, bool probe)
{
    struct generation *const g = ctx;
    const uint64_t quiet = exchange_quiet_ns(g->x);
    if (!probe && quiet < (g->stream ? STREAM_QUIET_NS : WHOLE_QUIET_NS))
        return;
    (void)pthread_mutex_lock(&g->lock);
    if (g->left > 0 && g->stream) {
        g->dialect->keepalive(g, &g->out);
        (void)flush(g);
    } else if (g->left > 0) {
        exchange_begin(g->x, 200, json_media);
        (void)exchange_write(g->x, " ", 1);
    }
    (void)pthread_mutex_unlock(&g->lock);
}

static void on_free(void *ctx)
{
    struct generation *const g = ctx;
    for (size_t i = 0; i < g->choices; i++)
        answer_clear(&g->choice[i].answer);
    free(g->choice);
    for (size_t i = 0; i < g->prompts; i++) {
        free(g->prompt[i].id);
        free(g->prompt[i].sampled);
    }
    free(g->prompt);
    free(g->bias);
    free(g->tools);
    constrain_release(g);
    if (g->free_own)
        g->free_own(g->own);
    buf_deinit(&g->out);
    (void)pthread_mutex_destroy(&g->lock);
    json_object_put(g->body);
    free(g);
}

static const struct exchange_hooks hooks = {.gone = on_gone, .tick = on_tick, .free = on_free};

/* ---- submitting ---- */

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = now_ns();
    return seed;
}

static int submit_one(struct generation *g, struct choice *c, struct fault *f)
{
    struct glim_request r = GLIM_REQUEST_INIT;
    struct glim_error e;
    uint64_t id = 0;
    r.prompt = c->prompt->id;
    r.prompts = c->prompt->n;
    r.sampled = c->prompt->sampled;
    r.generate = g->generate;
    r.generate.stop = g->generate.stops ? g->stop : NULL;
    r.generate.thinking = c->prompt->thinking;
    r.generate.stop_string = &c->answer.stop_string;
    r.timeout_ns = g->server->o.timeout_s * 1000000000u;
    r.generate.sampling.seed += c->index;
    r.owner = exchange_owner(g->x);
    r.secret = exchange_key(g->x);
    r.secret_bytes = r.secret ? strlen(r.secret) : 0;
    r.logprobs = g->logprobs;
    r.top_logprobs = g->top_logprobs;
    r.prompt_logprobs = g->prompt_logprobs;
    r.no_answer = g->no_answer;
    r.on_event = on_event;
    r.on_done = on_done;
    r.ctx = c;
    if (glim_service_submit(g->server->service, &r, &id, &e) != 0)
        return fault_of_error(f, &e, NULL);
    atomic_store(&c->id, id);
    return 0;
}

/* With the lock held. On a fault those that were submitted are cancelled, and the last of them to
 * end answers with it. */
static int submit(struct generation *g, struct fault *f)
{
    size_t done = 0;
    g->left = g->choices;
    while (done < g->choices && submit_one(g, &g->choice[done], f) == 0)
        done++;
    if (done == g->choices)
        return 0;
    g->left = done;
    g->failed = true;
    g->fault = *f;
    g->stream = g->background = false; /* it is answered in one piece */
    generation_cancel(g);
    return -1;
}

static int make_choices(struct generation *g, struct fault *f)
{
    const uint64_t n = g->n ? g->n : 1, all = n * g->prompts;
    if (all == 0 || all > CHOICES_MAX)
        return fault_set(f, FAULT_INVALID, "n", "%llu answers, expected 1 to %d",
                         (unsigned long long)all, CHOICES_MAX);
    g->choice = mem_zalloc(all, sizeof *g->choice);
    if (!g->choice)
        return memory_fault(f);
    for (; g->choices < all; g->choices++)
        g->choice[g->choices] = (struct choice){.g = g,
                                                .index = g->choices,
                                                .prompt = &g->prompt[g->choices / n],
                                                .answer.stop_string = -1};
    return 0;
}

static int check_context(const struct generation *g, struct fault *f)
{
    for (size_t i = 0; i < g->prompts; i++) {
        if (g->prompt[i].n < g->server->context_tok)
            continue;
        f->tokens = g->prompt[i].n;
        f->limit = g->server->context_tok;
        return fault_set(f, FAULT_CONTEXT, NULL,
                         "prompt of %llu tokens, the context has room for "
                         "%llu",
                         (unsigned long long)f->tokens, (unsigned long long)f->limit);
    }
    return 0;
}

static int read_prompt(struct generation *g, struct fault *f)
{
    if (respond_body(g->x, &g->body, f) != 0)
        return -1;
    glim_model_sampling(g->server->model, &g->generate.sampling);
    return g->dialect->read(g, f);
}

static int read_request(struct generation *g, struct fault *f)
{
    if (read_prompt(g, f) != 0 || make_choices(g, f) != 0 || check_context(g, f) != 0)
        return -1;
    if (!g->seeded)
        g->generate.sampling.seed = random_seed();
    return 0;
}

/* NULL: memory is out, and x is told so. */
static struct generation *generation_new(struct server *s, struct exchange *x,
                                         const struct dialect *d)
{
    struct generation *const g = mem_zalloc(1, sizeof *g);
    if (!g) {
        struct fault f = {0};
        (void)memory_fault(&f);
        respond_fault(s, x, d, &f);
        return NULL;
    }
    g->server = s;
    g->x = x;
    g->dialect = d;
    g->generate = (struct glim_generate)GLIM_GENERATE_INIT;
    g->seconds = (uint64_t)time(NULL);
    (void)pthread_mutex_init(&g->lock, NULL);
    buf_init(&g->out);
    return g;
}

/* With the lock held. */
static void begin_stream(struct generation *g)
{
    respond_times(g->x);
    exchange_begin(g->x, 200, stream_type);
    g->dialect->begin(g, &g->out);
    (void)flush(g);
}

/* With the lock held. */
static void begin(struct generation *g)
{
    if (g->background)
        background_add(g->server->background, g);
    if (g->stream) {
        begin_stream(g);
    } else if (g->background) {
        g->dialect->whole(g, &g->out);
        if (g->out.failed)
            generation_cancel(g); /* nobody would know its id */
        respond(g->server, g->x, g->dialect, json_media, &g->out);
    }
}

/* Before anything was submitted. */
static void refuse(struct generation *g, const struct fault *f)
{
    if (f->kind != FAULT_CONTEXT || !g->stream || !g->dialect->overflow_in_stream) {
        respond_fault(g->server, g->x, g->dialect, f);
        return;
    }
    respond_count(g->server, g->x, 400, f);
    (void)pthread_mutex_lock(&g->lock);
    begin_stream(g);
    g->failed = true;
    g->fault = *f;
    finish_stream(g);
    (void)pthread_mutex_unlock(&g->lock);
}

void generation_serve(struct server *s, struct exchange *x, const struct dialect *d)
{
    struct fault f = {0};
    struct generation *const g = generation_new(s, x, d);
    if (!g)
        return;
    const bool there = exchange_hook(x, &hooks, g);
    if (!there)
        return;
    if (read_request(g, &f) != 0) {
        refuse(g, &f);
        return;
    }
    exchange_hold(x);
    atomic_fetch_add(&s->generating, 1);
    (void)pthread_mutex_lock(&g->lock);
    const int rc = submit(g, &f);
    const bool none = rc != 0 && g->left == 0;
    if (rc == 0)
        begin(g);
    (void)pthread_mutex_unlock(&g->lock);
    if (atomic_load(&g->gone))
        generation_cancel(g);
    if (none) {
        respond_fault(s, x, d, &f);
        exchange_release(x);
        atomic_fetch_sub(&s->generating, 1);
    }
}

void generation_count(struct server *s, struct exchange *x, const struct dialect *d)
{
    struct fault f = {0};
    struct generation *const g = generation_new(s, x, d);
    if (!g)
        return;
    g->counting = true;
    if (read_prompt(g, &f) != 0) {
        respond_fault(s, x, d, &f);
    } else {
        d->count(g, &g->out);
        respond(s, x, d, json_media, &g->out);
    }
    on_free(g);
}

/* ---- for dialects ---- */

int generation_add_prompt(struct generation *g, struct prompt p, struct fault *f)
{
    if (mem_grow(&g->prompt, &g->prompt_cap, g->prompts + 1, sizeof *g->prompt) != 0) {
        free(p.id);
        free(p.sampled);
        return memory_fault(f);
    }
    p.thinking = p.n > 0 && p.id[p.n - 1] == g->server->think && !g->generate.raw;
    g->prompt[g->prompts++] = p;
    return 0;
}

void generation_totals(const struct generation *g, struct totals *out)
{
    *out = (struct totals){0};
    for (size_t i = 0; i < g->choices; i++) {
        const struct answer *const a = &g->choice[i].answer;
        const bool again = i > 0 && g->choice[i].prompt == g->choice[i - 1].prompt;
        out->prompt_tok += again ? 0 : g->choice[i].prompt->n;
        out->cached_tok += again ? 0 : a->cached_tok;
        out->output_tok += a->usage.output_tok;
        out->reasoning_tok += a->usage.reasoning_tok;
        out->accepted_tok += a->usage.accepted_tok;
        out->prompt_ns += a->prompt_ns;
        out->generate_ns += a->usage.generate_ns;
    }
}
