/* openai.c - see openai.h. */
#include "server/openai.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/constrain.h"
#include "server/emit.h"

enum { STOP_BYTES_MAX = 4096, BIASES_MAX = 1024, ANSWERS_MAX = 8 };

/* ---- errors ---- */

static const struct {
    int status;
    const char *type, *code;
} shape[FAULT_COUNT] = {
    [FAULT_NONE] = {500, "server_error", NULL},
    [FAULT_INVALID] = {400, "invalid_request_error", NULL},
    [FAULT_CONTEXT] = {400, "invalid_request_error", "context_length_exceeded"},
    [FAULT_KEY] = {401, "invalid_request_error", "invalid_api_key"},
    [FAULT_FORBIDDEN] = {403, "permission_error", NULL},
    [FAULT_NOT_FOUND] = {404, "invalid_request_error", "not_found"},
    [FAULT_MODEL] = {404, "invalid_request_error", "model_not_found"},
    [FAULT_METHOD] = {405, "invalid_request_error", "method_not_allowed"},
    [FAULT_TOO_LARGE] = {413, "invalid_request_error", "request_too_large"},
    [FAULT_MEDIA] = {415, "invalid_request_error", "unsupported_media_type"},
    [FAULT_INTERNAL] = {500, "server_error", "internal_error"},
    [FAULT_UNSUPPORTED] = {501, "not_supported_error", "not_supported"},
    [FAULT_LOADING] = {503, "unavailable_error", "model_loading"},
    [FAULT_BUSY] = {503, "server_error", "server_is_overloaded"},
    [FAULT_QUOTA] = {429, "requests", "rate_limit_exceeded"},
    [FAULT_TIMEOUT] = {504, "server_error", "timeout"},
};

void openai_put_message(const struct fault *f, struct buf *out)
{
    if (f->kind != FAULT_CONTEXT) {
        emit_string(out, f->text);
        return;
    }
    buf_addf(out,
             "\"This model's maximum context length is %llu tokens, but the prompt has %llu tokens."
             " Shorten it, or start the server with a larger --ctx.\"",
             (unsigned long long)f->limit, (unsigned long long)f->tokens);
}

void openai_put_error(const struct fault *f, struct buf *out)
{
    buf_adds(out, "\"error\":{\"message\":");
    openai_put_message(f, out);
    emit_key(out, false, "type");
    emit_string(out, shape[f->kind].type);
    emit_key(out, false, "param");
    emit_string(out, *f->param ? f->param : NULL);
    emit_key(out, false, "code");
    emit_string(out, f->code ? f->code : shape[f->kind].code);
    if (f->kind == FAULT_CONTEXT)
        buf_addf(out, ",\"n_prompt_tokens\":%llu,\"n_ctx\":%llu", (unsigned long long)f->tokens,
                 (unsigned long long)f->limit);
    buf_addc(out, '}');
}

int openai_error(const struct fault *f, const char *request_id, struct buf *out)
{
    (void)request_id;
    buf_addc(out, '{');
    openai_put_error(f, out);
    buf_addc(out, '}');
    return shape[f->kind].status;
}

void openai_fail(struct generation *g, const struct fault *f, struct buf *out)
{
    (void)g;
    buf_adds(out, "data: {");
    openai_put_error(f, out);
    buf_adds(out, "}\n\n");
}

/* ---- reading ---- */

static int read_model(struct generation *g, const struct fields *s)
{
    const char *name = NULL;
    if (field_name(s, "model", &name) != 0)
        return -1;
    if (!name || server_knows_model(g->server, name))
        return 0;
    return fault_set(s->f, FAULT_MODEL, "model",
                     "The model \"%.80s\" does not exist; this server has \"%s\"", name,
                     g->server->name);
}

static int read_sampling(struct generation *g, const struct fields *s)
{
    struct glim_sampling *const p = &g->generate.sampling;
    uint64_t top_k = p->top_k, n = 0;
    bool draw = true;
    struct json_object *const seed = field(s, "seed");
    if (field_real(s, "temperature", 0, 100, &p->temperature) != 0
        || field_real(s, "top_p", 0, 1, &p->top_p) != 0
        || field_real(s, "min_p", 0, 1, &p->min_p) != 0
        || field_u64(s, "top_k", 0, UINT32_MAX, &top_k) != 0
        || field_real(s, "presence_penalty", -100, 100, &p->presence_penalty) != 0
        || field_real(s, "frequency_penalty", -100, 100, &p->frequency_penalty) != 0
        || field_real(s, "repetition_penalty", 0.01, 100, &p->repetition_penalty) != 0
        || field_bool(s, "do_sample", &draw) != 0 || field_u64(s, "n", 1, ANSWERS_MAX, &n) != 0
        || field_bool(s, "stream", &g->stream) != 0)
        return -1;
    p->top_k = (uint32_t)top_k;
    if (!draw)
        p->temperature = 0;
    g->n = n;
    if (!seed)
        return 0;
    if (!json_object_is_type(seed, json_type_int))
        return field_fault(s, "seed", "%s, expected an integer", json_type_text(seed));
    /* Negative ones are seeds too; json-c takes both halves of 64 bits. */
    const int64_t low = json_object_get_int64(seed);
    p->seed = low < 0 ? (uint64_t)low : json_object_get_uint64(seed);
    g->seeded = true;
    return 0;
}

static int add_stop(struct generation *g, const struct fields *s, const char *key,
                    struct json_object *v)
{
    if (!json_object_is_type(v, json_type_string))
        return field_fault(s, key, "%s, expected strings", json_type_text(v));
    const size_t len = (size_t)json_object_get_string_len(v);
    if (len == 0 || len > STOP_BYTES_MAX || strlen(json_object_get_string(v)) != len)
        return field_fault(s, key, "a string of %zu bytes, expected 1 to %d, none of them 0",
                           len, STOP_BYTES_MAX);
    if (g->generate.stops == STOPS_MAX)
        return field_fault(s, key, "more than %d strings", STOPS_MAX);
    g->stop[g->generate.stops++] = json_object_get_string(v);
    return 0;
}

int openai_read_stop(struct generation *g, const struct fields *s, const char *key)
{
    struct json_object *const v = field(s, key);
    if (!v || !json_object_is_type(v, json_type_array))
        return v ? add_stop(g, s, key, v) : 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < json_object_array_length(v); i++)
        rc = add_stop(g, s, key, json_object_array_get_idx(v, i));
    return rc;
}

static int read_bias(struct generation *g, const struct fields *s)
{
    struct json_object *map = NULL;
    if (field_object(s, "logit_bias", &map) != 0)
        return -1;
    const size_t n = map ? (size_t)json_object_object_length(map) : 0;
    if (n == 0)
        return 0;
    if (n > BIASES_MAX)
        return field_fault(s, "logit_bias", "%zu entries, expected at most %d", n, BIASES_MAX);
    g->bias = mem_zalloc(n, sizeof *g->bias);
    if (!g->bias)
        return memory_fault(s->f);
    const struct fields of = {map, "logit_bias", s->f};
    size_t at = 0;
    json_object_object_foreach(map, key, value)
    {
        char *end;
        const unsigned long token = strtoul(key, &end, 10);
        double bias = 0;
        (void)value;
        if (key[0] < '0' || key[0] > '9' || *end
            || token >= glim_tokenizer_size(g->server->tokenizer))
            return field_fault(s, "logit_bias", "\"%.40s\", expected token ids below %llu", key,
                               (unsigned long long)glim_tokenizer_size(g->server->tokenizer));
        if (field_real(&of, key, -1000, 1000, &bias) != 0)
            return -1;
        g->bias[at++] = (struct glim_logit_bias){(int32_t)token, (float)bias};
    }
    g->generate.sampling.bias = g->bias;
    g->generate.sampling.biases = at;
    return 0;
}

static int unsupported(const struct fields *s, const char *key, const char *text)
{
    (void)field_fault(s, key, "%s", text);
    s->f->code = "unsupported_parameter";
    return -1;
}

/* {"type":"json_schema","json_schema":{"schema":{...}}} */
static int read_schema(struct generation *g, const struct fields *s, struct json_object *format)
{
    const struct fields of = {format, "response_format", s->f};
    struct json_object *inner = NULL;
    if (field_object(&of, "json_schema", &inner) != 0)
        return -1;
    struct json_object *const schema = inner ? json_object_object_get(inner, "schema") : NULL;
    if (!schema)
        return field_fault(&of, "json_schema.schema", "expected a JSON schema");
    return constrain_schema(g, schema, "response_format.json_schema.schema", s->f);
}

static int read_format(struct generation *g, const struct fields *s)
{
    struct glim_grammar_options any = GLIM_GRAMMAR_OPTIONS_INIT;
    struct json_object *format = NULL;
    if (field_object(s, "response_format", &format) != 0)
        return -1;
    struct json_object *const type = format ? json_object_object_get(format, "type") : NULL;
    if (!format || json_is(type, "text"))
        return 0;
    if (json_is(type, "json_schema"))
        return read_schema(g, s, format);
    any.kind = GLIM_GRAMMAR_JSON_OBJECT;
    if (json_is(type, "json_object"))
        return constrain(g, &any, "response_format", s->f);
    return field_fault(s, "response_format.type",
                       "\"%.40s\", expected \"text\", \"json_object\" or \"json_schema\"",
                       type ? json_object_get_string(type) : "null");
}

/* What an answer must match, in OpenAI's, llama.cpp's and vLLM's fields. */
static int read_constraints(struct generation *g, const struct fields *s)
{
    static const char *const refused[] = {"guided_regex", "guided_choice", "structured_outputs"};
    static const char *const schemas[] = {"json_schema", "guided_json"};
    static const char *const grammars[] = {"grammar", "guided_grammar"};
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        if (field(s, refused[i]))
            return unsupported(s, refused[i],
                               "not understood, expected response_format, json_schema or grammar");
    }
    for (size_t i = 0; i < COUNT_OF(schemas); i++) {
        struct json_object *const schema = field(s, schemas[i]);
        if (schema && constrain_schema(g, schema, schemas[i], s->f) != 0)
            return -1;
    }
    for (size_t i = 0; i < COUNT_OF(grammars); i++) {
        struct glim_grammar_options o = GLIM_GRAMMAR_OPTIONS_INIT;
        o.kind = GLIM_GRAMMAR_GBNF;
        if (field_text(s, grammars[i], &o.text) != 0)
            return -1;
        if (o.text && *o.text && constrain(g, &o, grammars[i], s->f) != 0)
            return -1;
    }
    return read_format(g, s);
}

int openai_read_common(struct generation *g, struct fault *f)
{
    const struct fields s = {g->body, "", f};
    uint64_t max = 0;
    if (field_u64(&s, "max_tokens", 0, UINT32_MAX, &max) != 0
        || field_u64(&s, "max_completion_tokens", 0, UINT32_MAX, &max) != 0
        || field_bool(&s, "return_progress", &g->progress) != 0)
        return -1;
    g->generate.max_tokens = max;
    if (read_model(g, &s) != 0 || read_sampling(g, &s) != 0 || openai_read_stop(g, &s, "stop") != 0
        || read_bias(g, &s) != 0)
        return -1;
    return read_constraints(g, &s);
}

/* ---- writing ---- */

const char *openai_finish_reason(const struct answer *a)
{
    if (a->calls > 0 && a->finish != GLIM_FINISH_LENGTH)
        return "tool_calls";
    return a->finish == GLIM_FINISH_LENGTH ? "length" : "stop";
}

void openai_usage(const struct generation *g, struct buf *out)
{
    struct totals t;
    generation_totals(g, &t);
    buf_addf(out,
             ",\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
             "\"prompt_tokens_details\":{\"cached_tokens\":%llu},"
             "\"completion_tokens_details\":{\"reasoning_tokens\":%llu,"
             "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
             (unsigned long long)t.prompt_tok, (unsigned long long)t.output_tok,
             (unsigned long long)(t.prompt_tok + t.output_tok), (unsigned long long)t.cached_tok,
             (unsigned long long)t.reasoning_tok);
}

static void put_rate(struct buf *out, const char *prefix, uint64_t n, uint64_t ns)
{
    buf_addf(out, ",\"%s_n\":%llu,\"%s_ms\":", prefix, (unsigned long long)n, prefix);
    emit_real(out, (double)ns / 1e6);
    buf_addf(out, ",\"%s_per_second\":", prefix);
    emit_real(out, ns ? (double)n * 1e9 / (double)ns : 0);
}

void openai_timings(const struct generation *g, struct buf *out)
{
    struct totals t;
    generation_totals(g, &t);
    buf_addf(out, ",\"timings\":{\"cache_n\":%llu", (unsigned long long)t.cached_tok);
    put_rate(out, "prompt", t.prompt_tok - t.cached_tok, t.prompt_ns);
    put_rate(out, "predicted", t.output_tok, t.generate_ns);
    buf_addf(out, ",\"draft_n_accepted\":%llu}", (unsigned long long)t.accepted_tok);
}

void openai_progress(const struct glim_event *ev, struct buf *out)
{
    buf_addf(out,
             ",\"prompt_progress\":{\"total\":%llu,\"cache\":%llu,\"processed\":%llu,"
             "\"time_ms\":%llu}",
             (unsigned long long)ev->total, (unsigned long long)ev->cached,
             (unsigned long long)ev->done, (unsigned long long)(ev->ns / 1000000));
}

void openai_head(const struct generation *g, const char *prefix, const char *object,
                 struct buf *out)
{
    /* The request's own id, so that logs and answers can be brought together. */
    buf_addf(out, "{\"id\":\"%s%s\",\"object\":\"%s\",\"created\":%llu,\"model\":", prefix,
             exchange_id(g->x) + 4, object, (unsigned long long)g->seconds);
    emit_string(out, g->server->name);
    buf_addf(out, ",\"system_fingerprint\":\"%s\"", g->server->fingerprint);
}
