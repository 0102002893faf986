/* anthropic_messages.c - the system prompt and the messages of Anthropic's API as messages of the
 * template.
 *
 *   system                      -> a system message
 *   user: text, image ...       -> a user message
 *   user: tool_result           -> a tool message each, in their order
 *   assistant: thinking, text, tool_use -> one assistant message
 *   role "system" among them    -> a system message in its place
 *
 * Earlier thinking stays in the prompt, as the client sends it, so that the prompt of a turn begins
 * with that of the turn before; context_management's clear_thinking takes it out.
 */
#include <string.h>

#include "base/util.h"
#include "server/anthropic.h"
#include "server/fieldlist.h"
#include "server/hidden.h"
#include "server/turns.h"

struct reading {
    struct turns *t;
    const char *role; /* of the message that is read; "tool" in a result */
    bool begun;       /* and it has begun */
    bool references;  /* a result that consists of names of tools */
};

static void begin(struct reading *r)
{
    if (!r->begun)
        turns_role(r->t, r->role);
    r->begun = true;
}

static int wrong_place(const struct fields *b, const char *role)
{
    return block_fault(b, "a block \"%.40s\" in a message of \"%s\"", block_word(b->o, "type"),
                       role);
}

/* ---- blocks ---- */

/* Claude Code's system prompt begins with a line that differs from request to request. */
static void skip_billing(const char **text, size_t *len)
{
    static const char head[] = "x-anthropic-billing-header:";
    if (*len < sizeof head - 1 || memcmp(*text, head, sizeof head - 1) != 0)
        return;
    const char *const end = memchr(*text, '\n', *len);
    const size_t line = end ? (size_t)(end - *text) + 1 : *len;
    *text += line;
    *len -= line;
}

static void add_text(struct reading *r, struct json_object *string)
{
    const char *text = json_object_get_string(string);
    size_t len = (size_t)json_object_get_string_len(string);
    if (strcmp(r->role, "system") == 0)
        skip_billing(&text, &len);
    if (len == 0 || r->references)
        return;
    begin(r);
    turns_text(r->t, text, len);
}

static int read_text(void *ctx, const struct fields *b)
{
    struct json_object *text;
    const int rc = block_field(b, "text", json_type_string, true, &text);
    if (rc == 0)
        add_text(ctx, text);
    return rc;
}

static int read_image(void *ctx, const struct fields *b)
{
    struct reading *const r = ctx;
    (void)b;
    begin(r);
    turns_media(r->t, "image");
    return GLIM_OK;
}

/* A string, or blocks; both absent is nothing. */
static int read_content(struct reading *r, const struct fields *o);

static const char no_document[] =
    "<reminder>You are unable to process this document because it was not sent as text. Try "
    "different methods.</reminder>";

static int read_document(void *ctx, const struct fields *b)
{
    struct reading *const r = ctx;
    struct json_object *title, *data;
    struct fields source = {NULL, b->at, b->f};
    if (block_field(b, "title", json_type_string, false, &title) != 0
        || block_field(b, "source", json_type_object, true, &source.o) != 0)
        return -1;
    begin(r);
    if (title)
        add_text(r, title);
    if (block_is(source.o, "content"))
        return read_content(r, &source);
    if (!block_is(source.o, "text")) {
        turns_text(r->t, no_document, sizeof no_document - 1);
        return 0;
    }
    const int rc = block_field(&source, "data", json_type_string, true, &data);
    if (rc == 0)
        add_text(r, data);
    return rc;
}

static int read_search_result(void *ctx, const struct fields *b)
{
    struct json_object *title, *source;
    if (block_field(b, "title", json_type_string, false, &title) != 0
        || block_field(b, "source", json_type_string, false, &source) != 0)
        return -1;
    if (title)
        add_text(ctx, title);
    if (source)
        add_text(ctx, source);
    return read_content(ctx, b);
}

/* Thinking that was not shown comes back in its signature. */
static int read_thinking(void *ctx, const struct fields *b)
{
    struct reading *const r = ctx;
    struct json_object *text;
    if (strcmp(r->role, "assistant") != 0)
        return wrong_place(b, r->role);
    if (block_field(b, "thinking", json_type_string, false, &text) != 0)
        return -1;
    begin(r);
    if (text && json_object_get_string_len(text) > 0) {
        turns_reasoning(r->t, json_object_get_string(text),
                        (size_t)json_object_get_string_len(text));
        return 0;
    }
    struct buf hidden;
    buf_init(&hidden);
    if (hidden_open(block_get(b->o, "signature"), &hidden))
        turns_reasoning(r->t, hidden.data, hidden.len);
    r->t->failed |= hidden.failed;
    buf_deinit(&hidden);
    return 0;
}

static int read_call(void *ctx, const struct fields *b)
{
    struct reading *const r = ctx;
    struct json_object *id, *name, *input;
    if (strcmp(r->role, "assistant") != 0)
        return wrong_place(b, r->role);
    if (block_field(b, "id", json_type_string, false, &id) != 0
        || block_field(b, "name", json_type_string, true, &name) != 0
        || block_field(b, "input", json_type_object, false, &input) != 0)
        return -1;
    begin(r);
    turns_call(r->t, id, json_object_get_string(name), input);
    return 0;
}

static int read_reference(void *ctx, const struct fields *b)
{
    struct reading *const r = ctx;
    struct json_object *name;
    const int rc = block_field(b, "tool_name", json_type_string, true, &name);
    if (rc == 0 && r->references)
        turns_reference(r->t, json_object_get_string(name));
    return rc;
}

/* The template prints a result as names of tools if it begins with one. */
static bool begins_with_reference(struct json_object *block)
{
    struct json_object *const content = block_get(block, "content");
    return json_object_is_type(content, json_type_array) && json_object_array_length(content) > 0
        && block_is(json_object_array_get_idx(content, 0), "tool_reference");
}

static int read_result(void *ctx, const struct fields *b)
{
    struct reading *const r = ctx;
    struct json_object *failed, *id;
    if (strcmp(r->role, "user") != 0)
        return wrong_place(b, r->role);
    if (block_field(b, "tool_use_id", json_type_string, false, &id) != 0
        || block_field(b, "is_error", json_type_boolean, false, &failed) != 0)
        return -1;
    struct reading result = {r->t, "tool", true, begins_with_reference(b->o)};
    turns_result(r->t, id);
    if (failed && json_object_get_boolean(failed))
        turns_text(r->t, "Error: ", sizeof "Error: " - 1);
    r->begun = false; /* what follows it is a message of its own */
    return read_content(&result, b);
}

/* Instructions among the blocks of a user. */
static int read_system(void *ctx, const struct fields *b)
{
    struct reading *const r = ctx;
    struct reading system = {r->t, "system", false, false};
    struct json_object *const text = block_get(b->o, "text");
    r->begun = false;
    if (!json_object_is_type(text, json_type_string))
        return read_content(&system, b);
    add_text(&system, text);
    return 0;
}

/* Blocks of other types (what the provider's own tools did, and what is not known) print
 * nothing. */
static int read_block(void *ctx, const struct fields *b)
{
    static const struct {
        const char *type;
        block_fn *read;
    } kinds[] = {
        {"text", read_text},           {"image", read_image},
        {"document", read_document},   {"search_result", read_search_result},
        {"thinking", read_thinking},   {"tool_use", read_call},
        {"tool_result", read_result},  {"tool_reference", read_reference},
        {"mid_conv_system", read_system},
    };
    struct json_object *type;
    const int rc = block_field(b, "type", json_type_string, true, &type);
    for (size_t i = 0; rc == 0 && i < COUNT_OF(kinds); i++) {
        if (block_is(b->o, kinds[i].type))
            return kinds[i].read(ctx, b);
    }
    return rc;
}

static int read_content(struct reading *r, const struct fields *o)
{
    struct json_object *const content = block_get(o->o, "content");
    if (content && !json_object_is_type(content, json_type_string)
        && !json_object_is_type(content, json_type_array))
        return field_fault(o, "content", "%s, expected a string or an array",
                           json_type_text(content));
    if (!json_object_is_type(content, json_type_string))
        return block_each(o, "content", read_block, r);
    add_text(r, content);
    return 0;
}

/* ---- messages ---- */

static const char *role_of(struct json_object *m)
{
    static const char *const roles[] = {"user", "assistant", "system"};
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        if (strcmp(block_word(m, "role"), roles[i]) == 0)
            return roles[i];
    }
    return NULL;
}

static int read_message(void *ctx, const struct fields *m)
{
    struct reading r = {.t = ctx, .role = role_of(m->o)};
    if (!r.role)
        return field_fault(m, "role", "expected \"user\", \"assistant\" or \"system\", found "
                           "\"%.40s\"", block_word(m->o, "role"));
    if (!block_get(m->o, "content"))
        return field_fault(m, "content", "is missing, expected a string or an array");
    const size_t before = json_object_array_length(r.t->list);
    const int rc = read_content(&r, m);
    /* An empty message is one too, but for the system's. */
    if (rc == 0 && json_object_array_length(r.t->list) == before && strcmp(r.role, "system") != 0)
        begin(&r);
    return rc;
}

static int read_system_prompt(const struct fields *s, struct turns *t)
{
    struct reading system = {.t = t, .role = "system"};
    struct json_object *const text = block_get(s->o, "system");
    if (!json_object_is_type(text, json_type_string))
        return block_each(s, "system", read_block, &system);
    add_text(&system, text);
    return 0;
}

static int read_prompt(const struct fields *s, struct turns *t)
{
    struct json_object *list;
    if (read_system_prompt(s, t) != 0
        || block_field(s, "messages", json_type_array, true, &list) != 0)
        return -1;
    if (json_object_array_length(list) == 0)
        return field_fault(s, "messages", "at least one message is required");
    return block_each(s, "messages", read_message, t);
}

/* ---- what is taken out of it again ---- */

/* How many turns of the assistant keep their thinking, as the request's clear_thinking edit says;
 * -1: all. */
static long turns_that_think(struct json_object *body)
{
    struct json_object *const edits = block_get(block_get(body, "context_management"), "edits");
    if (!json_object_is_type(edits, json_type_array))
        return -1;
    for (size_t i = 0; i < json_object_array_length(edits); i++) {
        struct json_object *const edit = json_object_array_get_idx(edits, i);
        struct json_object *const keep = block_get(edit, "keep");
        if (!block_is(edit, "clear_thinking_20251015"))
            continue;
        if (strcmp(block_word(edit, "keep"), "all") == 0 || block_is(keep, "all"))
            return -1;
        struct json_object *const value = block_get(keep, "value");
        const int64_t n = json_object_is_type(value, json_type_int) ? json_object_get_int64(value)
                                                                    : 1;
        return n < 0 ? 0 : n > 1000000 ? -1 : (long)n;
    }
    return -1;
}

static bool has_role(struct json_object *messages, size_t i, const char *role)
{
    return strcmp(block_word(json_object_array_get_idx(messages, i), "role"), role) == 0;
}

/* A turn of the assistant reaches from one message of the user's to the next; the last may be going
 * on. What a user's message says beside results does not end a turn. */
static void forget_thinking(struct json_object *messages, long keep)
{
    long turn = 1;
    const size_t n = json_object_array_length(messages);
    for (size_t i = n; keep >= 0 && i-- > 0;) {
        if (has_role(messages, i, "user"))
            turn += i + 1 < n && (i == 0 || !has_role(messages, i - 1, "tool"));
        else if (turn > keep)
            json_object_object_del(json_object_array_get_idx(messages, i), "reasoning_content");
    }
}

int anthropic_messages(const struct fields *s, struct json_object **out, bool *prefill)
{
    struct turns t;
    turns_init(&t);
    *out = NULL;
    int rc = t.failed ? 0 : read_prompt(s, &t);
    *prefill = t.last && t.assistant && !block_get(t.last, "tool_calls");
    if (rc == 0 && !turns_take(&t, out))
        rc = memory_fault(s->f);
    if (rc == 0)
        forget_thinking(*out, turns_that_think(s->o));
    turns_deinit(&t);
    return rc;
}
