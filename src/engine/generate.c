/* generate.c - the loop of an answer: sample, hand the text out, append, until something says
 * stop. */
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "engine/engine.h"
#include "engine/speculate.h"
#include "engine/stopper.h"
#include "text/parse.h"

enum { PENALTY_WINDOW = 256 };

struct generation {
    struct glim_session *s;
    const struct glim_generate *g;
    const struct tok *tok;
    struct sample_params params;
    struct json_object *tools;
    struct parse *parse;      /* NULL when raw */
    struct tok_stream stream; /* raw only */
    struct stopper stopper;
    struct buf text;
    struct drawing drawing;
    struct speculation speculation;
    bool stopped;             /* the caller said so */
};

static struct sample_params params_of(const struct glim_sampling *p)
{
    _Static_assert(sizeof(struct sample_bias) == sizeof(struct glim_logit_bias), "same layout");
    return (struct sample_params){
        .temperature = p->temperature, .top_p = p->top_p, .min_p = p->min_p, .top_k = p->top_k,
        .repetition_penalty = p->repetition_penalty, .presence_penalty = p->presence_penalty,
        .frequency_penalty = p->frequency_penalty, .seed = p->seed,
    };
}

/* The generated part of the timeline begins at `start`; the params are borrowed. */
static struct drawing drawing_of(const struct glim_sampling *g, const struct sample_params *p,
                                 uint64_t start)
{
    return (struct drawing){p, start, g->penalty_window ? g->penalty_window : PENALTY_WINDOW};
}

int32_t session_draw(struct glim_session *s, const struct drawing *d, const float *logits,
                     uint64_t n)
{
    const uint64_t recent = n < d->window ? n : d->window;
    return sample_token(&s->sampler, d->params, logits, s->token + (n - recent), recent,
                        s->token + d->start, n - d->start, n);
}

/* Draws from the session's logits. */
static int pick(struct glim_session *s, const struct drawing *d, int32_t *token, struct err *e)
{
    if (!s->logits_valid)
        return err_set(e, GLIM_EINVAL,
                       "sample: no logits (the timeline is empty or was just rewound)");
    *token = session_draw(s, d, s->logits, s->kv.length);
    return GLIM_OK;
}

static int prepare(struct glim_session *s, const struct glim_sampling *g, struct sample_params *p,
                   struct sample_bias *bias, size_t max_biases, struct err *e)
{
    *p = params_of(g);
    if (g->biases > max_biases)
        return err_set(e, GLIM_ELIMIT, "logit_bias: %zu entries, expected at most %zu", g->biases,
                       max_biases);
    for (size_t i = 0; i < g->biases; i++)
        bias[i] = (struct sample_bias){g->bias[i].token, g->bias[i].bias};
    p->bias = bias;
    p->biases = g->biases;
    return sample_check(p, s->model->model.cfg.vocab, e);
}

enum { BIASES_MAX = 1024 };

int glim_session_sample(glim_session *s, const struct glim_sampling *g, int32_t *token,
                        struct glim_error *err)
{
    struct err e = {0};
    struct glim_sampling full = GLIM_SAMPLING_INIT;
    memcpy(&full, g, g->size < sizeof full ? g->size : sizeof full);
    struct sample_params p;
    struct sample_bias bias[BIASES_MAX];
    int rc = prepare(s, &full, &p, bias, BIASES_MAX, &e);
    const struct drawing d = drawing_of(&full, &p, s->kv.length);
    if (rc == 0)
        rc = pick(s, &d, token, &e);
    return give(err, &e, rc);
}

static void emit(struct generation *x, enum glim_event_kind kind, const char *text, size_t len,
                 int32_t token, int tool)
{
    if (x->stopped || !x->g->on_event)
        return;
    const struct glim_event ev = {kind, text, len, token, tool};
    x->stopped = x->g->on_event(x->g->ctx, &ev) != 0;
}

/* Content passes the stop strings first. */
static void content(struct generation *x, const char *text, size_t len, bool flush)
{
    buf_clear(&x->text);
    stopper_add(&x->stopper, text, len, &x->text);
    if (flush)
        stopper_flush(&x->stopper, &x->text);
    if (x->text.len)
        emit(x, GLIM_EVENT_CONTENT, x->text.data, x->text.len, -1, -1);
}

static int on_parsed(void *ctx, const struct parse_event *ev)
{
    struct generation *const x = ctx;
    static const enum glim_event_kind kind[] = {
        [PARSE_REASONING] = GLIM_EVENT_REASONING, [PARSE_CONTENT] = GLIM_EVENT_CONTENT,
        [PARSE_TOOL_BEGIN] = GLIM_EVENT_TOOL_BEGIN, [PARSE_TOOL_ARGS] = GLIM_EVENT_TOOL_ARGS,
        [PARSE_TOOL_END] = GLIM_EVENT_TOOL_END,
    };
    if (ev->kind == PARSE_CONTENT)
        content(x, ev->text, ev->len, false);
    else
        emit(x, kind[ev->kind], ev->text, ev->len, -1, ev->tool);
    return x->stopped;
}

static int show_raw(struct generation *x, const char *bytes, size_t len, bool flush, struct err *e)
{
    struct buf whole;
    buf_init(&whole);
    tok_stream_add(&x->stream, bytes, len, flush, &whole);
    content(x, whole.data, whole.len, flush);
    const bool failed = whole.failed;
    buf_deinit(&whole);
    return failed ? err_nomem(e, "text", len) : GLIM_OK;
}

static int show_token(struct generation *x, int32_t token, struct err *e)
{
    size_t len;
    const char *const bytes = tok_bytes(x->tok, token, &len);
    emit(x, GLIM_EVENT_TOKEN, bytes ? bytes : "", len, token, -1);
    if (x->parse) {
        const int rc = parse_token(x->parse, token, e);
        return rc == GLIM_ESTOPPED ? GLIM_OK : rc;
    }
    return show_raw(x, bytes ? bytes : "", len, false, e);
}

static int show_end(struct generation *x, struct err *e)
{
    if (!x->parse)
        return show_raw(x, "", 0, true, e);
    const int rc = parse_end(x->parse, e);
    content(x, "", 0, true);
    return rc == GLIM_ESTOPPED ? GLIM_OK : rc;
}

static bool is_stop(const struct generation *x, int32_t token)
{
    const struct glim_model *const m = x->s->model;
    for (size_t i = 0; i < x->g->stop_tokens; i++) {
        if (x->g->stop_token[i] == token)
            return true;
    }
    for (size_t i = 0; i < m->stop_tokens; i++) {
        if (m->stop_token[i] == token)
            return !x->g->ignore_eos;
    }
    return false;
}

static int loop(struct generation *x, struct glim_usage *u, struct err *e)
{
    struct glim_session *const s = x->s;
    const uint64_t begin = now_ns(),
                   most = x->g->max_tokens ? x->g->max_tokens : UINT64_MAX;
    int rc = GLIM_OK;
    u->finish = GLIM_FINISH_LENGTH;
    while (rc == 0 && u->output_tok < most) {
        int32_t token = -1;
        if ((rc = pick(s, &x->drawing, &token, e)) != 0)
            break;
        u->last_token = token;
        if (is_stop(x, token)) {
            u->finish = GLIM_FINISH_STOP;
            break;
        }
        u->output_tok++;
        u->reasoning_tok += x->parse && parse_in_reasoning(x->parse);
        rc = show_token(x, token, e);
        if (rc != 0 || x->stopped || x->stopper.hit) {
            u->finish = x->stopped ? GLIM_FINISH_STOPPED : GLIM_FINISH_STOP;
            break;
        }
        if (s->kv.length == s->kv.capacity)
            break;
        rc = speculate_append(&x->speculation, token, most - u->output_tok, e);
        u->generate_ns = now_ns() - begin;
    }
    speculate_end(&x->speculation);
    if (rc == 0)
        rc = show_end(x, e);
    if (x->parse && u->finish == GLIM_FINISH_STOP && parse_tool_calls(x->parse) > 0)
        u->finish = GLIM_FINISH_TOOL_CALLS;
    return rc;
}

static int open_generation(struct generation *x, struct err *e)
{
    struct glim_error ge;
    glim_tokenizer *t;
    if (glim_model_tokenizer(x->s->model, &t, &ge) != 0)
        return err_set(e, ge.code, "%s", ge.text);
    x->tok = t->tok;
    if (x->g->tools && json_read(x->g->tools, strlen(x->g->tools), "tools", &x->tools, e) != 0)
        return e->code;
    if (x->g->raw)
        return GLIM_OK;
    return parse_new(&x->parse, x->tok, x->g->thinking, x->tools, on_parsed, x, e);
}

static int generate(struct glim_session *s, const struct glim_generate *g, struct glim_usage *u,
                    struct err *e)
{
    struct generation x = {.s = s, .g = g};
    struct sample_bias bias[BIASES_MAX];
    *u = (struct glim_usage){.prompt_tok = s->kv.length, .last_token = -1};
    stopper_init(&x.stopper, g->stop, g->stops);
    buf_init(&x.text);
    int rc = prepare(s, &g->sampling, &x.params, bias, BIASES_MAX, e);
    x.drawing = drawing_of(&g->sampling, &x.params, s->kv.length);
    if (rc == 0)
        rc = speculate_begin(&x.speculation, s, &x.drawing, g->drafts, e);
    if (rc == 0 && (rc = open_generation(&x, e)) == 0)
        rc = loop(&x, u, e);
    u->verifications = x.speculation.verifications;
    u->drafted_tok = x.speculation.drafted;
    u->accepted_tok = x.speculation.accepted;
    if (rc == 0 && (x.text.failed || x.stopper.held.failed))
        rc = err_nomem(e, "text", x.text.len);
    parse_free(x.parse);
    json_object_put(x.tools);
    buf_deinit(&x.text);
    stopper_deinit(&x.stopper);
    return rc;
}

int glim_generate(glim_session *s, const struct glim_generate *g, struct glim_usage *usage,
                  struct glim_error *err)
{
    struct err e = {0};
    struct glim_generate full = GLIM_GENERATE_INIT;
    memcpy(&full, g, g->size < sizeof full ? g->size : sizeof full);
    struct glim_usage u;
    const int rc = generate(s, &full, &u, &e);
    /* A program from before there were drafts has a usage that ends where theirs begin. */
    const bool old = g->size <= offsetof(struct glim_generate, drafts);
    if (usage)
        memcpy(usage, &u, old ? offsetof(struct glim_usage, verifications) : sizeof u);
    return give(err, &e, rc);
}
