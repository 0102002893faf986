/* responses_items.c - the items of a response, and the events that each consists of.
 *
 *   reasoning, message: content_part.added, ...text.delta ..., ...text.done, content_part.done
 *   function_call:      function_call_arguments.delta ..., function_call_arguments.done
 *   custom_tool_call:   custom_tool_call_input.delta, custom_tool_call_input.done
 *
 * between output_item.added and output_item.done.
 */
#include <string.h>

#include "server/fieldlist.h"
#include "server/emit.h"
#include "server/hidden.h"
#include "server/logprobs.h"
#include "server/responses.h"

/* What differs between the kinds of items. */
struct kind {
    const char *prefix, *type;             /* of the item and its id */
    const char *part, *delta, *done, *key; /* of its part; its events; what these call the text */
};
static const struct kind kinds[] = {
    [PART_REASONING] = {"rs", "reasoning", "reasoning_text", "response.reasoning_text.delta",
                        "response.reasoning_text.done", "text"},
    [PART_CONTENT] = {"msg", "message", "output_text", "response.output_text.delta",
                      "response.output_text.done", "text"},
    [PART_TOOL] = {"fc", "function_call", NULL, "response.function_call_arguments.delta",
                   "response.function_call_arguments.done", "arguments"},
};
static const struct kind custom_call = {
    "ctc", "custom_tool_call", NULL, "response.custom_tool_call_input.delta",
    "response.custom_tool_call_input.done", "input"};

/* What the name of a call stands for; or NULL. */
static struct json_object *known_of(const struct generation *g, const struct part *p)
{
    const struct responses *const own = g->own;
    return p->name ? block_get(own->known, p->name) : NULL;
}

static const struct kind *kind_of(const struct generation *g, const struct part *p)
{
    return json_object_get_boolean(block_get(known_of(g, p), "custom")) ? &custom_call
                                                                        : &kinds[p->kind];
}

/* ---- items ---- */

/* The text of an item as the client gets it: of a custom call, its one argument. */
static void put_text(const struct generation *g, const struct part *p, struct buf *out)
{
    struct json_object *arguments = NULL;
    if (kind_of(g, p) != &custom_call) {
        const bool none = p->kind == PART_TOOL && p->text.len == 0;
        emit_text(out, none ? "{}" : p->text.data, none ? 2 : p->text.len);
        return;
    }
    const int rc = json_read(p->text.data, p->text.len, "arguments", &arguments, NULL);
    out->failed = out->failed || rc == GLIM_ENOMEM;
    emit_string(out, rc == GLIM_OK ? block_word(arguments, "input") : "");
    json_object_put(arguments);
}

static void put_begun(const struct generation *g, const struct part *p, bool whole,
                      struct buf *out)
{
    if (whole)
        put_text(g, p, out);
    else
        buf_adds(out, "\"\"");
}

/* "logprobs":[...] of a message's tokens [from, to), with a comma before it. */
static void put_logprobs(const struct generation *g, const struct part *p, size_t from, size_t to,
                         struct buf *out)
{
    if (p->kind != PART_CONTENT)
        return;
    emit_key(out, false, "logprobs");
    logprobs_put_list(g, &g->choice[0].answer, from, to, out);
}

static void put_part(const struct generation *g, const struct part *p, bool whole,
                     struct buf *out)
{
    buf_addf(out, "{\"type\":\"%s\",\"text\":", kinds[p->kind].part);
    put_begun(g, p, whole, out);
    if (p->kind == PART_CONTENT)
        buf_adds(out, ",\"annotations\":[]");
    put_logprobs(g, p, p->scores, whole ? p->scores_end : p->scores, out);
    buf_addc(out, '}');
}

static const char *client_name(const struct generation *g, const struct part *p)
{
    struct json_object *const known = known_of(g, p);
    return known ? block_word(known, "name") : p->name;
}

static void put_call(const struct generation *g, const struct part *p, bool whole,
                     struct buf *out)
{
    const char *const space = block_word(known_of(g, p), "namespace");
    buf_addf(out, ",\"call_id\":\"call_%s\",\"name\":", p->id);
    emit_string(out, client_name(g, p));
    if (*space) {
        buf_adds(out, ",\"namespace\":");
        emit_string(out, space);
    }
    emit_key(out, false, kind_of(g, p)->key);
    put_begun(g, p, whole, out);
}

static void put_sealed(const struct generation *g, const struct part *p, bool whole,
                       struct buf *out)
{
    const struct responses *const own = g->own;
    struct buf sealed;
    buf_init(&sealed);
    if (whole && own->seal)
        hidden_seal(p->text.data, p->text.len, &sealed);
    buf_adds(out, ",\"encrypted_content\":");
    emit_string(out, sealed.len ? sealed.data : NULL);
    out->failed |= sealed.failed;
    buf_deinit(&sealed);
}

static void put_content(const struct generation *g, const struct part *p, bool whole,
                        struct buf *out)
{
    buf_adds(out, p->kind == PART_CONTENT ? ",\"role\":\"assistant\"" : ",\"summary\":[]");
    buf_adds(out, ",\"content\":[");
    if (whole)
        put_part(g, p, true, out);
    buf_addc(out, ']');
    if (p->kind == PART_REASONING)
        put_sealed(g, p, whole, out);
}

bool responses_cut(const struct answer *a) { return a->ended && a->finish == GLIM_FINISH_LENGTH; }

static const char *status_of(const struct answer *a, const struct part *p, bool whole)
{
    if (!whole)
        return "in_progress";
    return responses_cut(a) && p->index + 1 == a->parts ? "incomplete" : "completed";
}

/* An item as it begins, or whole. */
static void put_item(const struct generation *g, const struct answer *a, const struct part *p,
                     bool whole, struct buf *out)
{
    const struct kind *const k = kind_of(g, p);
    buf_addf(out, "{\"id\":\"%s_%s\",\"type\":\"%s\",\"status\":\"%s\"", k->prefix, p->id, k->type,
             status_of(a, p, whole));
    if (p->kind == PART_TOOL)
        put_call(g, p, whole, out);
    else
        put_content(g, p, whole, out);
    buf_addc(out, '}');
}

void responses_output(const struct generation *g, const struct answer *a, struct buf *out)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < a->parts; i++) {
        buf_adds(out, i ? "," : "");
        put_item(g, a, &a->part[i], a->part[i].closed, out);
    }
    buf_addc(out, ']');
}

/* ---- events ---- */

/* An event within an item, to go on. */
static void begin_inside(struct generation *g, const char *type, const struct part *p,
                         struct buf *out)
{
    responses_begin_event(g, type, out);
    buf_addf(out, ",\"item_id\":\"%s_%s\",\"output_index\":%zu", kind_of(g, p)->prefix, p->id,
             p->index);
    if (kinds[p->kind].part)
        buf_adds(out, ",\"content_index\":0");
}

static void item_event(struct generation *g, const struct choice *c, const char *type,
                       const struct part *p, bool whole, struct buf *out)
{
    responses_begin_event(g, type, out);
    buf_addf(out, ",\"output_index\":%zu,\"item\":", p->index);
    put_item(g, &c->answer, p, whole, out);
    responses_end_event(out);
}

static void part_event(struct generation *g, const char *type, const struct part *p, bool whole,
                       struct buf *out)
{
    begin_inside(g, type, p, out);
    buf_adds(out, ",\"part\":");
    put_part(g, p, whole, out);
    responses_end_event(out);
}

void responses_open(struct generation *g, struct choice *c, const struct part *p, struct buf *out)
{
    item_event(g, c, "response.output_item.added", p, false, out);
    if (kinds[p->kind].part)
        part_event(g, "response.content_part.added", p, false, out);
}

void responses_delta(struct generation *g, struct choice *c, const struct part *p,
                     const char *text, size_t len, struct buf *out)
{
    struct answer *const a = &c->answer;
    if (kind_of(g, p) == &custom_call)
        return; /* it comes whole: its text has to be read out of the arguments */
    begin_inside(g, kinds[p->kind].delta, p, out);
    buf_adds(out, ",\"delta\":");
    emit_text(out, text, len);
    put_logprobs(g, p, a->scores_sent, a->scores_sure, out);
    a->scores_sent = a->scores_sure;
    responses_end_event(out);
}

void responses_close(struct generation *g, struct choice *c, const struct part *p,
                     struct buf *out)
{
    const struct kind *const k = kind_of(g, p);
    if (k == &custom_call) {
        begin_inside(g, k->delta, p, out);
        buf_adds(out, ",\"delta\":");
        put_text(g, p, out);
        responses_end_event(out);
    }
    begin_inside(g, k->done, p, out);
    if (p->kind == PART_TOOL) {
        buf_adds(out, ",\"name\":");
        emit_string(out, client_name(g, p));
    }
    emit_key(out, false, k->key);
    put_text(g, p, out);
    put_logprobs(g, p, p->scores, p->scores_end, out);
    responses_end_event(out);
    if (k->part)
        part_event(g, "response.content_part.done", p, true, out);
    item_event(g, c, "response.output_item.done", p, true, out);
}
