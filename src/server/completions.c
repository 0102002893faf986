/* completions.c - POST /v1/completions: text or tokens are continued as they are.
 *
 * A prompt is a string, a list of tokens, or a list of either; strings become tokens without
 * special ones. With echo the answer's text begins with the prompt's. Strings that end the answer,
 * and the text of answers, are matched on text; logprobs are of tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/answer.h"
#include "server/emit.h"
#include "server/logprobs.h"
#include "server/openai.h"

struct completions {
    bool echo, include_usage;
};

/* ---- reading ---- */

static int add_text(struct generation *g, const struct fields *s, struct json_object *v)
{
    int32_t *id = NULL;
    size_t n = 0;
    struct glim_error e;
    if (glim_tokenize(g->server->tokenizer, json_object_get_string(v),
                      (size_t)json_object_get_string_len(v), 0, &id, &n, &e)
        != 0)
        return fault_of_error(s->f, &e, "prompt");
    if (n == 0) {
        glim_free(id);
        return field_fault(s, "prompt", "no text, expected some");
    }
    return generation_add_prompt(g, (struct prompt){.id = id, .n = n}, s->f);
}

static int add_tokens(struct generation *g, const struct fields *s, struct json_object *list)
{
    const size_t n = json_object_array_length(list);
    const uint64_t limit = glim_tokenizer_size(g->server->tokenizer);
    if (n == 0)
        return field_fault(s, "prompt", "no tokens, expected some");
    int32_t *const id = mem_zalloc(n, sizeof *id);
    if (!id)
        return memory_fault(s->f);
    for (size_t i = 0; i < n; i++) {
        struct json_object *const v = json_object_array_get_idx(list, i);
        const int64_t token = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
        if (token < 0 || (uint64_t)token >= limit) {
            free(id);
            return field_fault(s, "prompt", "token %zu is %.40s, expected 0 to %llu", i,
                               v ? json_object_get_string(v) : "null",
                               (unsigned long long)limit - 1);
        }
        id[i] = (int32_t)token;
    }
    return generation_add_prompt(g, (struct prompt){.id = id, .n = n}, s->f);
}

static int add_prompt(struct generation *g, const struct fields *s, struct json_object *v)
{
    if (json_object_is_type(v, json_type_string))
        return add_text(g, s, v);
    if (json_object_is_type(v, json_type_array))
        return add_tokens(g, s, v);
    return field_fault(s, "prompt", "%s, expected text or a list of tokens", json_type_text(v));
}

static int read_prompt(struct generation *g, const struct fields *s)
{
    struct json_object *const v = field(s, "prompt");
    if (!v)
        return field_fault(s, "prompt", "is missing");
    struct json_object *const first =
        json_object_is_type(v, json_type_array) ? json_object_array_get_idx(v, 0) : NULL;
    if (!first || json_object_is_type(first, json_type_int))
        return add_prompt(g, s, v);
    const size_t n = json_object_array_length(v);
    if (n > CHOICES_MAX)
        return field_fault(s, "prompt", "%zu prompts, expected at most %d", n, CHOICES_MAX);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = add_prompt(g, s, json_object_array_get_idx(v, i));
    return rc;
}

static int refuse(const struct fields *s)
{
    uint64_t best = 1;
    const char *suffix = NULL;
    if (field_text(s, "suffix", &suffix) != 0 || field_u64(s, "best_of", 1, 20, &best) != 0)
        return -1;
    if (suffix && *suffix)
        return field_fault(s, "suffix", "this server does not insert text, expected none");
    if (best != 1 && best != json_object_get_uint64(field(s, "n")))
        return field_fault(s, "best_of", "expected the value of n, or none");
    return 0;
}

static int read_scores(struct generation *g, const struct fields *s, struct completions *c)
{
    uint64_t top = UINT64_MAX;
    if (json_object_is_type(field(s, "logprobs"), json_type_boolean)) {
        if (json_object_get_boolean(field(s, "logprobs")))
            top = 0;
    } else if (field_u64(s, "logprobs", 0, GLIM_TOP_LOGPROBS_MAX, &top) != 0) {
        return -1;
    }
    if (field_bool(s, "echo", &c->echo) != 0)
        return -1;
    g->logprobs = top != UINT64_MAX;
    g->top_logprobs = g->logprobs ? (uint32_t)top : 0;
    g->prompt_logprobs = g->logprobs && c->echo;
    return 0;
}

static int completions_read(struct generation *g, struct fault *f)
{
    const struct fields s = {g->body, "", f};
    struct completions *const c = mem_zalloc(1, sizeof *c);
    struct json_object *options = NULL;
    if (!c)
        return memory_fault(f);
    g->own = c;
    g->free_own = free;
    g->generate.raw = true;
    g->generate.max_tokens = 16;
    if (openai_read_common(g, f) != 0 || refuse(&s) != 0 || read_scores(g, &s, c) != 0
        || field_bool(&s, "ignore_eos", &g->generate.ignore_eos) != 0
        || field_object(&s, "stream_options", &options) != 0)
        return -1;
    const struct fields of = {options, "stream_options", f};
    if (options && field_bool(&of, "include_usage", &c->include_usage) != 0)
        return -1;
    struct json_object *const max = field(&s, "max_tokens");
    g->no_answer = max && g->generate.max_tokens == 0;
    if (!max)
        g->generate.max_tokens = 16; /* the API's default */
    if (g->no_answer && !c->echo)
        return field_fault(&s, "max_tokens", "0 without echo: nothing to answer");
    return read_prompt(g, &s);
}

/* ---- writing ---- */

static void put_prompt_text(struct generation *g, const struct choice *c, struct buf *to)
{
    const struct completions *const own = g->own;
    char *text = NULL;
    size_t len = 0;
    struct glim_error e;
    if (!own->echo)
        return;
    if (glim_detokenize(g->server->tokenizer, c->prompt->id, c->prompt->n, 0, &text, &len, &e) == 0)
        buf_add(to, text, len);
    else
        to->failed = true;
    glim_free(text);
}

static void begin_chunk(struct generation *g, const struct choice *c, struct buf *out)
{
    buf_adds(out, "data: ");
    openai_head(g, "cmpl-", "text_completion", out);
    buf_addf(out, ",\"choices\":[{\"index\":%zu,\"text\":", c->index);
}

/* All but the end of the object. */
static void end_choice(struct generation *g, struct choice *c, const char *finish,
                       struct buf *out)
{
    const struct completions *const own = g->own;
    buf_adds(out, ",\"logprobs\":");
    if (g->logprobs && c->answer.scores_sent < c->answer.scores)
        logprobs_put_completion(g, c, SIZE_MAX, out);
    else
        buf_adds(out, "null");
    emit_key(out, false, "finish_reason");
    emit_string(out, finish);
    buf_adds(out, own->include_usage ? "}],\"usage\":null" : "}]");
}

static void end_chunk(struct generation *g, struct choice *c, const char *finish,
                      struct buf *out)
{
    end_choice(g, c, finish, out);
    buf_adds(out, "}\n\n");
}

static void completions_progress(struct generation *g, struct choice *c,
                                 const struct glim_event *ev, struct buf *out)
{
    begin_chunk(g, c, out);
    buf_adds(out, "\"\"");
    end_choice(g, c, NULL, out);
    openai_progress(ev, out);
    buf_adds(out, "}\n\n");
}

static void completions_begin(struct generation *g, struct buf *out)
{
    const struct completions *const own = g->own;
    for (size_t i = 0; own->echo && i < g->choices; i++) {
        struct buf text;
        buf_init(&text);
        put_prompt_text(g, &g->choice[i], &text);
        begin_chunk(g, &g->choice[i], out);
        emit_text(out, text.data, text.len);
        end_chunk(g, &g->choice[i], NULL, out);
        out->failed = out->failed || text.failed;
        buf_deinit(&text);
    }
}

static void completions_delta(struct generation *g, struct choice *c, const struct part *p,
                              const char *text, size_t len, struct buf *out)
{
    (void)p;
    begin_chunk(g, c, out);
    emit_text(out, text, len);
    end_chunk(g, c, NULL, out);
}

static void completions_part(struct generation *g, struct choice *c, const struct part *p,
                             struct buf *out)
{
    (void)g;
    (void)c;
    (void)p;
    (void)out;
}

static void completions_end(struct generation *g, struct choice *c, struct buf *out)
{
    begin_chunk(g, c, out);
    buf_adds(out, "\"\"");
    end_chunk(g, c, openai_finish_reason(&c->answer), out);
}

static void completions_finish(struct generation *g, struct buf *out)
{
    const struct completions *const own = g->own;
    if (own->include_usage) {
        buf_adds(out, "data: ");
        openai_head(g, "cmpl-", "text_completion", out);
        buf_adds(out, ",\"choices\":[]");
        openai_usage(g, out);
        openai_timings(g, out);
        buf_adds(out, "}\n\n");
    }
    buf_adds(out, "data: [DONE]\n\n");
}

static void completions_keepalive(struct generation *g, struct buf *out)
{
    (void)g;
    buf_adds(out, ": ping\n\n");
}

static void completions_whole(struct generation *g, struct buf *out)
{
    openai_head(g, "cmpl-", "text_completion", out);
    buf_adds(out, ",\"choices\":[");
    for (size_t i = 0; i < g->choices; i++) {
        struct choice *const c = &g->choice[i];
        struct buf text;
        buf_init(&text);
        put_prompt_text(g, c, &text);
        answer_text(&c->answer, PART_CONTENT, &text);
        buf_addf(out, "%s{\"index\":%zu,\"text\":", i ? "," : "", i);
        emit_text(out, text.data, text.len);
        buf_adds(out, ",\"logprobs\":");
        if (g->logprobs)
            logprobs_put_completion(g, c, text.len, out);
        else
            buf_adds(out, "null");
        emit_key(out, false, "finish_reason");
        emit_string(out, g->no_answer ? "length" : openai_finish_reason(&c->answer));
        buf_addc(out, '}');
        out->failed = out->failed || text.failed;
        buf_deinit(&text);
    }
    buf_addc(out, ']');
    openai_usage(g, out);
    openai_timings(g, out);
    buf_addc(out, '}');
}

const struct dialect dialect_completions = {
    .name = "completions",
    .read = completions_read,
    .begin = completions_begin,
    .open = completions_part,
    .delta = completions_delta,
    .close = completions_part,
    .end = completions_end,
    .finish = completions_finish,
    .fail = openai_fail,
    .keepalive = completions_keepalive,
    .progress = completions_progress,
    .whole = completions_whole,
    .error = openai_error,
    .id_header = "x-request-id",
};
