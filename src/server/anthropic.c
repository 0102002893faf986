/* anthropic.c - the replies of Anthropic's Messages API, as events or whole, and its errors.
 *
 *   message_start, ping
 *   for each block: content_block_start, content_block_delta ..., content_block_stop
 *   message_delta (why it stopped, what it used), message_stop
 *
 * A block of thinking closes with a signature; where the client does not want to see the thinking,
 * that holds it (hidden.h). Tokens found in the cache are counted apart from input_tokens.
 */
#include "server/anthropic.h"

#include <inttypes.h>
#include <string.h>

#include "server/dialect.h"
#include "server/emit.h"
#include "server/hidden.h"

static void put_string(struct buf *out, const char *key, const char *value)
{
    emit_key(out, false, key);
    emit_string(out, value);
}

static void begin_event(struct buf *out, const char *type)
{
    buf_addf(out, "event: %s\ndata: {\"type\":\"%s\"", type, type);
}

static void begin_block_event(struct buf *out, const char *type, const struct part *p)
{
    begin_event(out, type);
    buf_addf(out, ",\"index\":%zu", p->index);
}

static void end_event(struct buf *out) { buf_adds(out, "}\n\n"); }

/* ---- blocks ---- */

static void put_signature(const struct generation *g, const struct part *p, struct buf *out)
{
    const struct anthropic *const own = g->own;
    struct buf sealed;
    buf_init(&sealed);
    hidden_seal(p->text.data, own->hide_thinking ? p->text.len : 0, &sealed);
    emit_key(out, false, "signature");
    emit_text(out, sealed.data, sealed.len);
    out->failed |= sealed.failed;
    buf_deinit(&sealed);
}

/* A block as it begins, or whole. */
static void put_block(const struct generation *g, const struct part *p, bool whole,
                      struct buf *out)
{
    const struct anthropic *const own = g->own;
    const size_t len = whole ? p->text.len : 0;
    switch (p->kind) {
    case PART_REASONING:
        buf_adds(out, "{\"type\":\"thinking\",\"thinking\":");
        emit_text(out, p->text.data, own->hide_thinking ? 0 : len);
        if (whole)
            put_signature(g, p, out);
        else
            put_string(out, "signature", "");
        break;
    case PART_CONTENT:
        buf_adds(out, "{\"type\":\"text\",\"text\":");
        emit_text(out, p->text.data, len);
        break;
    case PART_TOOL:
        buf_addf(out, "{\"type\":\"tool_use\",\"id\":\"toolu_%s\"", p->id);
        put_string(out, "name", p->name);
        buf_addf(out, ",\"input\":%s", len ? p->text.data : "{}");
        break;
    }
    buf_addc(out, '}');
}

static void anthropic_open(struct generation *g, struct choice *c, const struct part *p,
                           struct buf *out)
{
    (void)c;
    begin_block_event(out, "content_block_start", p);
    buf_adds(out, ",\"content_block\":");
    put_block(g, p, false, out);
    end_event(out);
}

static void anthropic_delta(struct generation *g, struct choice *c, const struct part *p,
                            const char *text, size_t len, struct buf *out)
{
    static const char *const delta[][2] = {
        [PART_REASONING] = {"thinking_delta", "thinking"},
        [PART_CONTENT] = {"text_delta", "text"},
        [PART_TOOL] = {"input_json_delta", "partial_json"},
    };
    const struct anthropic *const own = g->own;
    (void)c;
    if (p->kind == PART_REASONING && own->hide_thinking)
        return;
    begin_block_event(out, "content_block_delta", p);
    buf_addf(out, ",\"delta\":{\"type\":\"%s\",\"%s\":", delta[p->kind][0], delta[p->kind][1]);
    emit_text(out, text, len);
    buf_addc(out, '}');
    end_event(out);
}

static void anthropic_close(struct generation *g, struct choice *c, const struct part *p,
                            struct buf *out)
{
    (void)c;
    if (p->kind == PART_REASONING) {
        begin_block_event(out, "content_block_delta", p);
        buf_adds(out, ",\"delta\":{\"type\":\"signature_delta\"");
        put_signature(g, p, out);
        buf_addc(out, '}');
        end_event(out);
    }
    begin_block_event(out, "content_block_stop", p);
    end_event(out);
}

/* ---- the message ---- */

static void put_head(const struct generation *g, struct buf *out)
{
    const struct anthropic *const own = g->own;
    /* The request's own id, so that logs and answers can be brought together. */
    buf_addf(out, "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\"",
             exchange_id(g->x) + 4);
    put_string(out, "model", own->model);
    buf_adds(out, ",\"content\":[");
}

static void put_usage(uint64_t prompt_tok, const struct answer *a, uint64_t output_tok,
                      struct buf *out)
{
    buf_addf(out,
             ",\"usage\":{\"input_tokens\":%" PRIu64 ",\"cache_creation_input_tokens\":0,"
             "\"cache_read_input_tokens\":%" PRIu64 ",\"output_tokens\":%" PRIu64
             ",\"output_tokens_details\":{\"thinking_tokens\":%" PRIu64 "}}",
             prompt_tok - a->cached_tok, a->cached_tok, output_tok, a->usage.reasoning_tok);
}

static void anthropic_keepalive(struct generation *g, struct buf *out)
{
    (void)g;
    begin_event(out, "ping");
    end_event(out);
}

static void anthropic_begin(struct generation *g, struct buf *out)
{
    begin_event(out, "message_start");
    buf_adds(out, ",\"message\":");
    put_head(g, out);
    buf_adds(out, "],\"stop_reason\":null,\"stop_sequence\":null");
    put_usage(g->prompt[0].n, &g->choice[0].answer, 1, out);
    buf_addc(out, '}');
    end_event(out);
    anthropic_keepalive(g, out);
}

/* The stop sequence that ended the answer, or NULL. */
static const char *stop_of(const struct generation *g, const struct answer *a)
{
    const int i = a->stop_string;
    return a->finish == GLIM_FINISH_STOP && i >= 0 && (size_t)i < g->generate.stops ? g->stop[i]
                                                                                    : NULL;
}

static void put_stop(const struct generation *g, const struct answer *a, struct buf *out)
{
    const bool cut = a->finish == GLIM_FINISH_LENGTH,
               full = cut && a->usage.output_tok < g->generate.max_tokens;
    const char *const stop = stop_of(g, a);
    const char *const reason = full          ? "model_context_window_exceeded"
                               : cut         ? "max_tokens"
                               : stop        ? "stop_sequence"
                               : a->calls    ? "tool_use"
                               : g->no_answer ? "max_tokens"
                                             : "end_turn";
    buf_addf(out, "\"stop_reason\":\"%s\"", reason);
    put_string(out, "stop_sequence", stop);
}

static void anthropic_end(struct generation *g, struct choice *c, struct buf *out)
{
    const struct answer *const a = &c->answer;
    begin_event(out, "message_delta");
    buf_adds(out, ",\"delta\":{");
    put_stop(g, a, out);
    buf_addc(out, '}');
    put_usage(g->prompt[0].n, a, a->usage.output_tok, out);
    end_event(out);
}

static void anthropic_finish(struct generation *g, struct buf *out)
{
    (void)g;
    begin_event(out, "message_stop");
    end_event(out);
}

static void anthropic_whole(struct generation *g, struct buf *out)
{
    const struct answer *const a = &g->choice[0].answer;
    put_head(g, out);
    for (size_t i = 0; i < a->parts; i++) {
        buf_adds(out, i ? "," : "");
        put_block(g, &a->part[i], true, out);
    }
    buf_adds(out, "],");
    put_stop(g, a, out);
    put_usage(g->prompt[0].n, a, a->usage.output_tok, out);
    buf_addc(out, '}');
}

static void anthropic_count(const struct generation *g, struct buf *out)
{
    buf_addf(out, "{\"input_tokens\":%zu}", g->prompt[0].n);
}

/* ---- errors ---- */

static const struct {
    int status;
    const char *type;
} shape[FAULT_COUNT] = {
    [FAULT_NONE] = {500, "api_error"},
    [FAULT_INVALID] = {400, "invalid_request_error"},
    [FAULT_CONTEXT] = {400, "invalid_request_error"},
    [FAULT_KEY] = {401, "authentication_error"},
    [FAULT_FORBIDDEN] = {403, "permission_error"},
    [FAULT_NOT_FOUND] = {404, "not_found_error"},
    [FAULT_MODEL] = {404, "not_found_error"},
    [FAULT_METHOD] = {405, "invalid_request_error"},
    [FAULT_TOO_LARGE] = {413, "request_too_large"},
    [FAULT_MEDIA] = {415, "invalid_request_error"},
    [FAULT_INTERNAL] = {500, "api_error"},
    [FAULT_UNSUPPORTED] = {400, "invalid_request_error"},
    [FAULT_LOADING] = {503, "api_error"},
    [FAULT_BUSY] = {529, "overloaded_error"},
    [FAULT_QUOTA] = {429, "rate_limit_error"},
    [FAULT_TIMEOUT] = {504, "timeout_error"},
};

/* The wording of an overflow is what clients look for. */
static int anthropic_error(const struct fault *f, const char *request_id, struct buf *out)
{
    buf_addf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\"", shape[f->kind].type);
    if (f->kind == FAULT_CONTEXT)
        buf_addf(out,
                 ",\"message\":\"prompt is too long: %" PRIu64 " tokens > %" PRIu64 " maximum\"",
                 f->tokens, f->limit);
    else
        put_string(out, "message", f->text);
    buf_addc(out, '}');
    put_string(out, "request_id", request_id);
    buf_addc(out, '}');
    return shape[f->kind].status;
}

static void anthropic_fail(struct generation *g, const struct fault *f, struct buf *out)
{
    buf_adds(out, "event: error\ndata: ");
    (void)anthropic_error(f, exchange_id(g->x), out);
    buf_adds(out, "\n\n");
}

const struct dialect dialect_anthropic = {
    .name = "messages",
    .read = anthropic_read,
    .begin = anthropic_begin,
    .open = anthropic_open,
    .delta = anthropic_delta,
    .close = anthropic_close,
    .end = anthropic_end,
    .finish = anthropic_finish,
    .fail = anthropic_fail,
    .keepalive = anthropic_keepalive,
    .whole = anthropic_whole,
    .count = anthropic_count,
    .error = anthropic_error,
    .spare = SPARE_ANTHROPIC,
    .id_header = "request-id",
};
