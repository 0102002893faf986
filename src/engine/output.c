/* output.c - see output.h. */
#include "engine/output.h"

#include <string.h>

#include "base/json.h"
#include "base/util.h"

enum { PENALTY_WINDOW = 256 };

static struct sample_params params_of(const struct glim_sampling *p)
{
    _Static_assert(sizeof(struct sample_bias) == sizeof(struct glim_logit_bias), "same layout");
    return (struct sample_params){
        .temperature = p->temperature, .top_p = p->top_p, .min_p = p->min_p, .top_k = p->top_k,
        .repetition_penalty = p->repetition_penalty, .presence_penalty = p->presence_penalty,
        .frequency_penalty = p->frequency_penalty, .seed = p->seed,
    };
}

struct drawing drawing_of(const struct glim_sampling *g, const struct sample_params *p,
                          uint64_t start)
{
    return (struct drawing){
        .params = p, .start = start,
        .window = g->penalty_window ? g->penalty_window : PENALTY_WINDOW,
    };
}

/* It may have ended by itself. */
static bool reasoning_ends_at(const struct drawing *d, const int32_t *token, uint64_t n)
{
    if (d->reasoning_end == 0 || n != d->reasoning_end || d->end < 0)
        return false;
    for (uint64_t i = d->start; i < n; i++) {
        if (token[i] == d->end || token[i] == d->call)
            return false;
    }
    return true;
}

int32_t session_draw(struct glim_session *s, struct sampler *sampler, const struct drawing *d,
                     const float *logits, uint64_t n)
{
    const uint64_t recent = n < d->window ? n : d->window;
    struct sample_params p = *d->params;
    if (reasoning_ends_at(d, s->token, n))
        return d->end;
    if (d->constraint) {
        p.mask = constraint_mask(d->constraint, s->token, n);
        p.mask_tokens = d->constraint->tokens;
    }
    return sample_token(sampler, &p, logits, s->token + (n - recent), recent,
                        s->token + d->start, n - d->start, n);
}

int sampling_read(const struct glim_sampling *g, uint64_t vocab, struct sample_params *p,
                  struct sample_bias *bias, struct err *e)
{
    *p = params_of(g);
    if (g->biases > BIASES_MAX)
        return err_set(e, GLIM_ELIMIT, "logit_bias: %zu entries, expected at most %d", g->biases,
                       BIASES_MAX);
    for (size_t i = 0; i < g->biases; i++)
        bias[i] = (struct sample_bias){g->bias[i].token, g->bias[i].bias};
    p->bias = bias;
    p->biases = g->biases;
    return sample_check(p, vocab, e);
}

static void emit_event(struct output *x, const struct glim_event *ev)
{
    if (!x->stopped && x->g->on_event)
        x->stopped = x->g->on_event(x->g->ctx, ev) != 0;
}

static void emit(struct output *x, enum glim_event_kind kind, const char *text, size_t len,
                 int tool)
{
    emit_event(x, &(struct glim_event){
                      .kind = kind, .text = text, .len = len, .token = -1, .tool = tool});
}

/* Content passes the stop strings first. */
static void content(struct output *x, const char *text, size_t len, bool flush)
{
    buf_clear(&x->text);
    stopper_add(&x->stopper, text, len, &x->text);
    if (flush)
        stopper_flush(&x->stopper, &x->text);
    if (x->text.len)
        emit(x, GLIM_EVENT_CONTENT, x->text.data, x->text.len, -1);
}

static int on_parsed(void *ctx, const struct parse_event *ev)
{
    struct output *const x = ctx;
    static const enum glim_event_kind kind[] = {
        [PARSE_REASONING] = GLIM_EVENT_REASONING, [PARSE_CONTENT] = GLIM_EVENT_CONTENT,
        [PARSE_TOOL_BEGIN] = GLIM_EVENT_TOOL_BEGIN, [PARSE_TOOL_ARGS] = GLIM_EVENT_TOOL_ARGS,
        [PARSE_TOOL_END] = GLIM_EVENT_TOOL_END,
    };
    if (ev->kind == PARSE_CONTENT)
        content(x, ev->text, ev->len, false);
    else
        emit(x, kind[ev->kind], ev->text, ev->len, ev->tool);
    return x->stopped;
}

static int show_raw(struct output *x, const char *bytes, size_t len, bool flush, struct err *e)
{
    struct buf whole;
    buf_init(&whole);
    tok_stream_add(&x->stream, bytes, len, flush, &whole);
    content(x, whole.data, whole.len, flush);
    const bool failed = whole.failed;
    buf_deinit(&whole);
    return failed ? err_nomem(e, "text", len) : GLIM_OK;
}

static int show_token(struct output *x, int32_t token, struct err *e)
{
    size_t len;
    const char *const bytes = tok_bytes(x->tok, token, &len);
    emit_event(x, &(struct glim_event){.kind = GLIM_EVENT_TOKEN, .text = bytes ? bytes : "",
                                       .len = len, .token = token, .tool = -1,
                                       .logprob = x->logprob, .top = x->top, .tops = x->tops});
    if (x->parse) {
        const int rc = parse_token(x->parse, token, e);
        return rc == GLIM_ESTOPPED ? GLIM_OK : rc;
    }
    return show_raw(x, bytes ? bytes : "", len, false, e);
}

static int show_end(struct output *x, struct err *e)
{
    if (!x->parse)
        return show_raw(x, "", 0, true, e);
    const int rc = parse_end(x->parse, e);
    content(x, "", 0, true);
    return rc == GLIM_ESTOPPED ? GLIM_OK : rc;
}

static bool is_stop(const struct output *x, int32_t token)
{
    const struct glim_model *const m = x->s->model;
    for (size_t i = 0; i < x->g->stop_tokens; i++) {
        if (x->g->stop_token[i] == token)
            return true;
    }
    for (size_t i = 0; i < m->stop_tokens; i++) {
        if (m->stop_token[i] == token)
            return !x->g->ignore_eos || x->constraint.active;
    }
    return false;
}

int32_t output_draw(struct output *x, struct sampler *sampler, const float *logits)
{
    return session_draw(x->s, sampler, &x->drawing, logits, x->s->kv.length);
}

/* The reasoning is over: by its own end, or by a call, which counts. */
static int begin_constraint(struct output *x, int32_t token, struct err *e)
{
    struct constraint *const c = &x->constraint;
    if (!c->run || c->active || parse_in_reasoning(x->parse))
        return GLIM_OK;
    const bool call = token == tok_find(x->tok, "<tool_call>", strlen("<tool_call>"));
    const uint64_t pos = x->s->kv.length;
    constraint_begin(c, call ? pos : pos + 1);
    return call ? constraint_take(c, token, pos, e) : GLIM_OK;
}

int output_take(struct output *x, int32_t token, bool *keep, bool *more, struct err *e)
{
    struct glim_usage *const u = &x->usage;
    *keep = *more = false;
    u->last_token = token;
    if (is_stop(x, token)) {
        u->finish = GLIM_FINISH_STOP;
        return GLIM_OK;
    }
    if (constraint_take(&x->constraint, token, x->s->kv.length, e) != 0)
        return e->code;
    *keep = true;
    u->output_tok++;
    u->reasoning_tok += x->parse && parse_in_reasoning(x->parse);
    int rc = show_token(x, token, e);
    if (rc == 0)
        rc = begin_constraint(x, token, e);
    if (rc != 0 || x->stopped || x->stopper.hit) {
        u->finish = x->stopped ? GLIM_FINISH_STOPPED : GLIM_FINISH_STOP;
        return rc;
    }
    *more = x->s->kv.length < x->s->kv.capacity;
    return GLIM_OK;
}

int output_end(struct output *x, struct err *e)
{
    struct glim_usage *const u = &x->usage;
    const int rc = show_end(x, e);
    if (x->g->stop_string)
        *x->g->stop_string = x->stopper.hit ? (int)x->stopper.which : -1;
    if (x->parse && u->finish == GLIM_FINISH_STOP && parse_tool_calls(x->parse) > 0)
        u->finish = GLIM_FINISH_TOOL_CALLS;
    if (rc == 0 && (x->text.failed || x->stopper.held.failed))
        return err_nomem(e, "text", x->text.len);
    return rc;
}

static int open_parser(struct output *x, struct err *e)
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

static int open_constraint(struct output *x, struct err *e)
{
    struct constraint *const c = &x->constraint;
    const struct glim_model *const m = x->s->model;
    const uint64_t pos = x->s->kv.length;
    if (constraint_open(c, x->g->grammar, pos, e) != 0)
        return e->code;
    c->eos = m->stop_token;
    c->eoses = m->stop_tokens;
    c->own_stop = x->g->stop_token;
    c->own_stops = x->g->stop_tokens;
    c->ignore_eos = x->g->ignore_eos;
    x->drawing.constraint = c;
    if (!x->parse || !x->g->thinking)
        constraint_begin(c, pos);
    return GLIM_OK;
}

static void bound_reasoning(struct output *x)
{
    struct drawing *const d = &x->drawing;
    d->reasoning_end = plan_add(d->start, x->g->max_reasoning_tok - 1);
    d->end = tok_find(x->tok, "</think>", strlen("</think>"));
    d->call = tok_find(x->tok, "<tool_call>", strlen("<tool_call>"));
}

int output_open(struct output *x, struct glim_session *s, const struct glim_generate *g,
                struct err *e)
{
    x->s = s;
    x->g = g;
    x->tok = NULL;
    x->tools = NULL;
    x->parse = NULL;
    x->stream = (struct tok_stream){0};
    x->stopped = false;
    x->tops = 0;
    x->most = g->max_tokens ? g->max_tokens : UINT64_MAX;
    x->begin_ns = now_ns();
    x->usage = (struct glim_usage){
        .prompt_tok = s->kv.length, .last_token = -1, .finish = GLIM_FINISH_LENGTH};
    stopper_init(&x->stopper, g->stop, g->stops);
    buf_init(&x->text);
    x->constraint = (struct constraint){0};
    x->drawing = drawing_of(&g->sampling, &x->params, s->kv.length);
    if (sampling_read(&g->sampling, s->model->model.cfg.vocab, &x->params, x->bias, e) != 0
        || open_parser(x, e) != 0)
        return e->code;
    if (g->max_reasoning_tok > 0 && x->parse && g->thinking)
        bound_reasoning(x);
    return g->grammar ? open_constraint(x, e) : GLIM_OK;
}

void output_close(struct output *x)
{
    constraint_close(&x->constraint);
    parse_free(x->parse);
    json_object_put(x->tools);
    buf_deinit(&x->text);
    stopper_deinit(&x->stopper);
}
