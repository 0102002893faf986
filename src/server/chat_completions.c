/* chat_completions.c - see chat_completions.h: answers as chat.completion objects and chunks.
 *
 * A stream has, for each choice, a chunk with the role, then chunks with reasoning_content, content
 * or fragments of tool calls as they are generated, and one with the finish_reason; then usage
 * where asked for, and [DONE].
 */
#include "server/chat_completions.h"

#include "base/util.h"
#include "server/answer.h"
#include "server/emit.h"
#include "server/logprobs.h"
#include "server/openai.h"

/* ---- chunks ---- */

static void begin_chunk(struct generation *g, const struct choice *c, struct buf *out)
{
    buf_adds(out, "data: ");
    openai_head(g, "chatcmpl-", "chat.completion.chunk", out);
    buf_addf(out, ",\"choices\":[{\"index\":%zu,\"delta\":", c->index);
}

/* All but the end of the object. */
static void end_choice(struct generation *g, struct choice *c, const char *finish, struct buf *out)
{
    const struct chat *const own = g->own;
    buf_adds(out, ",\"logprobs\":");
    if (g->logprobs && c->answer.scores_sent < c->answer.scores)
        logprobs_put_chat(g, c, out);
    else
        buf_adds(out, "null");
    emit_key(out, false, "finish_reason");
    emit_string(out, finish);
    buf_adds(out, own->include_usage ? "}],\"usage\":null" : "}]");
}

static void end_chunk(struct generation *g, struct choice *c, const char *finish, struct buf *out)
{
    end_choice(g, c, finish, out);
    buf_adds(out, "}\n\n");
}

static void chat_progress(struct generation *g, struct choice *c, const struct glim_event *ev,
                          struct buf *out)
{
    begin_chunk(g, c, out);
    buf_adds(out, "{}");
    end_choice(g, c, NULL, out);
    openai_progress(ev, out);
    buf_adds(out, "}\n\n");
}

/* {"reasoning_content":TEXT, under the names that are asked for; first: of the object. */
static void put_reasoning(const struct generation *g, bool first, const char *text, size_t len,
                          struct buf *out)
{
    static const struct {
        enum reasoning_fields field;
        const char *name;
    } all[] = {{FIELD_REASONING_CONTENT, "reasoning_content"}, {FIELD_REASONING, "reasoning"}};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (!(g->server->o.reasoning & all[i].field))
            continue;
        emit_key(out, first, all[i].name);
        emit_text(out, text, len);
        first = false;
    }
}

static void chat_begin(struct generation *g, struct buf *out)
{
    for (size_t i = 0; i < g->choices; i++) {
        begin_chunk(g, &g->choice[i], out);
        buf_adds(out, "{\"role\":\"assistant\",\"content\":\"\"}");
        end_chunk(g, &g->choice[i], NULL, out);
    }
}

static void chat_open(struct generation *g, struct choice *c, const struct part *p, struct buf *out)
{
    if (p->kind != PART_TOOL)
        return;
    begin_chunk(g, c, out);
    buf_addf(out,
             "{\"tool_calls\":[{\"index\":%d,\"id\":\"call_%s\",\"type\":\"function\","
             "\"function\":{\"name\":",
             p->tool, p->id);
    emit_string(out, p->name);
    buf_adds(out, ",\"arguments\":\"\"}}]}");
    end_chunk(g, c, NULL, out);
}

static void chat_delta(struct generation *g, struct choice *c, const struct part *p,
                       const char *text, size_t len, struct buf *out)
{
    if (p->kind == PART_REASONING && !g->server->o.reasoning)
        return;
    begin_chunk(g, c, out);
    switch (p->kind) {
    case PART_REASONING:
        buf_addc(out, '{');
        put_reasoning(g, true, text, len, out);
        buf_addc(out, '}');
        break;
    case PART_CONTENT:
        buf_adds(out, "{\"content\":");
        emit_text(out, text, len);
        buf_addc(out, '}');
        break;
    case PART_TOOL:
        buf_addf(out, "{\"tool_calls\":[{\"index\":%d,\"function\":{\"arguments\":", p->tool);
        emit_text(out, text, len);
        buf_adds(out, "}}]}");
        break;
    }
    end_chunk(g, c, NULL, out);
}

static void chat_close(struct generation *g, struct choice *c, const struct part *p,
                       struct buf *out)
{
    (void)g;
    (void)c;
    (void)p;
    (void)out;
}

static void chat_end(struct generation *g, struct choice *c, struct buf *out)
{
    begin_chunk(g, c, out);
    buf_adds(out, "{}");
    end_chunk(g, c, openai_finish_reason(&c->answer), out);
}

static void chat_finish(struct generation *g, struct buf *out)
{
    const struct chat *const own = g->own;
    if (own->include_usage) {
        buf_adds(out, "data: ");
        openai_head(g, "chatcmpl-", "chat.completion.chunk", out);
        buf_adds(out, ",\"choices\":[]");
        openai_usage(g, out);
        openai_timings(g, out);
        buf_adds(out, "}\n\n");
    }
    buf_adds(out, "data: [DONE]\n\n");
}

/* A comment, and every third time a chunk: some clients take comments for silence. */
static void chat_keepalive(struct generation *g, struct buf *out)
{
    struct chat *const own = g->own;
    buf_adds(out, ": ping\n\n");
    if (++own->pings % 3 != 0)
        return;
    begin_chunk(g, &g->choice[0], out);
    buf_adds(out, "{}");
    end_chunk(g, &g->choice[0], NULL, out);
}

/* ---- in one piece ---- */

static void put_joined(const struct generation *g, const struct answer *a, enum part_kind kind,
                       struct buf *out)
{
    struct buf text;
    buf_init(&text);
    answer_text(a, kind, &text);
    if (kind == PART_REASONING)
        put_reasoning(g, false, text.data, text.len, out);
    else
        emit_text(out, text.data, text.len);
    out->failed = out->failed || text.failed;
    buf_deinit(&text);
}

static void put_calls(const struct answer *a, struct buf *out)
{
    bool first = true;
    for (size_t i = 0; i < a->parts; i++) {
        const struct part *const p = &a->part[i];
        if (p->kind != PART_TOOL)
            continue;
        buf_addf(out, "%s{\"id\":\"call_%s\",\"type\":\"function\",\"function\":{\"name\":",
                 first ? "" : ",", p->id);
        emit_string(out, p->name);
        emit_key(out, false, "arguments");
        emit_text(out, p->text.data, p->text.len);
        buf_adds(out, "}}");
        first = false;
    }
}

static void put_message(const struct generation *g, const struct answer *a, struct buf *out)
{
    buf_adds(out, "{\"role\":\"assistant\",\"content\":");
    if (answer_has(a, PART_CONTENT) || a->calls == 0)
        put_joined(g, a, PART_CONTENT, out);
    else
        buf_adds(out, "null");
    buf_adds(out, ",\"refusal\":null");
    if (answer_has(a, PART_REASONING))
        put_joined(g, a, PART_REASONING, out);
    if (a->calls > 0) {
        buf_adds(out, ",\"tool_calls\":[");
        put_calls(a, out);
        buf_addc(out, ']');
    }
    buf_addc(out, '}');
}

static void chat_whole(struct generation *g, struct buf *out)
{
    openai_head(g, "chatcmpl-", "chat.completion", out);
    buf_adds(out, ",\"choices\":[");
    for (size_t i = 0; i < g->choices; i++) {
        struct choice *const c = &g->choice[i];
        buf_addf(out, "%s{\"index\":%zu,\"message\":", i ? "," : "", i);
        put_message(g, &c->answer, out);
        buf_adds(out, ",\"logprobs\":");
        if (g->logprobs)
            logprobs_put_chat(g, c, out);
        else
            buf_adds(out, "null");
        emit_key(out, false, "finish_reason");
        emit_string(out, openai_finish_reason(&c->answer));
        buf_addc(out, '}');
    }
    buf_addc(out, ']');
    openai_usage(g, out);
    openai_timings(g, out);
    buf_addc(out, '}');
}

const struct dialect dialect_chat = {
    .name = "chat",
    .read = chat_read,
    .begin = chat_begin,
    .open = chat_open,
    .delta = chat_delta,
    .close = chat_close,
    .end = chat_end,
    .finish = chat_finish,
    .fail = openai_fail,
    .keepalive = chat_keepalive,
    .progress = chat_progress,
    .whole = chat_whole,
    .error = openai_error,
    .id_header = "x-request-id",
};
