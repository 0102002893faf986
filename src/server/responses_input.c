/* responses_input.c - the items of OpenAI's Responses API as messages of the template.
 *
 *   message (or no type)                       -> a message of its role; developer is system
 *   reasoning, message of the assistant,
 *       function_call, custom_tool_call        -> one assistant message
 *   function_call_output, custom_tool_call_output -> a tool message
 *
 * Items of other types (what OpenAI's own tools did) print nothing.
 */
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "server/fieldlist.h"
#include "server/hidden.h"
#include "server/responses.h"
#include "server/turns.h"

static void add_string(struct turns *t, struct json_object *text)
{
    turns_text(t, json_object_get_string(text), (size_t)json_object_get_string_len(text));
}

/* ---- content ---- */

static const char no_file[] =
    "<reminder>You are unable to process this file because it was not sent as text. Try different "
    "methods.</reminder>";

static int read_part(void *ctx, const struct fields *b)
{
    struct turns *const t = ctx;
    const bool refusal = block_is(b->o, "refusal");
    struct json_object *text;
    if (refusal || block_is(b->o, "input_text") || block_is(b->o, "output_text")
        || block_is(b->o, "text")) {
        const int rc =
            block_field(b, refusal ? "refusal" : "text", json_type_string, true, &text);
        if (rc == 0)
            add_string(t, text);
        return rc;
    }
    if (block_is(b->o, "input_image"))
        turns_media(t, "image");
    if (block_is(b->o, "input_audio"))
        turns_media(t, "audio");
    if (block_is(b->o, "input_file"))
        turns_text(t, no_file, sizeof no_file - 1);
    return 0;
}

/* o[key]: a string or parts. */
static int read_content(struct turns *t, const struct fields *o, const char *key)
{
    struct json_object *const content = block_get(o->o, key);
    if (content && !json_object_is_type(content, json_type_string)
        && !json_object_is_type(content, json_type_array))
        return field_fault(o, key, "%s, expected a string or an array", json_type_text(content));
    if (!json_object_is_type(content, json_type_string))
        return block_each(o, key, read_part, t);
    add_string(t, content);
    return 0;
}

/* ---- items ---- */

static int read_message(struct turns *t, const struct fields *b)
{
    static const char *const roles[][2] = {
        {"user", "user"}, {"assistant", "assistant"}, {"system", "system"},
        {"developer", "system"}};
    for (size_t i = 0; i < COUNT_OF(roles); i++) {
        if (strcmp(block_word(b->o, "role"), roles[i][0]) == 0) {
            turns_role(t, roles[i][1]);
            return read_content(t, b, "content");
        }
    }
    return field_fault(b, "role", "expected \"user\", \"assistant\", \"system\" or "
                       "\"developer\", found \"%.40s\"", block_word(b->o, "role"));
}

static int read_thought(void *ctx, const struct fields *b)
{
    struct json_object *text;
    const int rc = block_field(b, "text", json_type_string, false, &text);
    if (rc == 0 && text)
        turns_reasoning(ctx, json_object_get_string(text),
                        (size_t)json_object_get_string_len(text));
    return rc;
}

/* Reasoning that was not shown comes back in encrypted_content. */
static int read_reasoning(struct turns *t, const struct fields *b)
{
    struct json_object *const content = block_get(b->o, "content");
    turns_role(t, "assistant");
    if (content
        && (!json_object_is_type(content, json_type_array) || json_object_array_length(content)))
        return block_each(b, "content", read_thought, t);
    struct buf hidden;
    buf_init(&hidden);
    if (hidden_open(block_get(b->o, "encrypted_content"), &hidden))
        turns_reasoning(t, hidden.data, hidden.len);
    t->failed |= hidden.failed;
    buf_deinit(&hidden);
    return 0;
}

static struct json_object *string_or_null(struct json_object *v)
{
    return json_object_is_type(v, json_type_string) ? v : NULL;
}

static void add_call(struct turns *t, struct json_object *item, struct json_object *arguments)
{
    struct buf full;
    buf_init(&full);
    responses_tool_name(block_word(item, "namespace"), block_word(item, "name"), &full);
    turns_role(t, "assistant");
    turns_call(t, string_or_null(block_get(item, "call_id")), full.data, arguments);
    t->failed |= full.failed;
    buf_deinit(&full);
}

/* Arguments are the text of a JSON object; none are "". */
static int read_arguments(const struct fields *b, struct json_object *text,
                          struct json_object **out)
{
    struct err e;
    *out = NULL;
    if (json_object_get_string_len(text) == 0)
        return 0;
    const int rc = json_read(json_object_get_string(text),
                             (size_t)json_object_get_string_len(text), "JSON", out, &e);
    if (rc != 0)
        return rc == GLIM_ENOMEM ? memory_fault(b->f) : field_fault(b, "arguments", "%s", e.text);
    if (json_object_is_type(*out, json_type_object))
        return 0;
    json_object_put(*out);
    *out = NULL;
    return field_fault(b, "arguments", "expected the text of a JSON object");
}

static int read_call(struct turns *t, const struct fields *b)
{
    struct json_object *name, *text, *arguments;
    if (block_field(b, "name", json_type_string, true, &name) != 0
        || block_field(b, "arguments", json_type_string, true, &text) != 0
        || read_arguments(b, text, &arguments) != 0)
        return -1;
    add_call(t, b->o, arguments);
    json_object_put(arguments);
    return 0;
}

static int read_custom_call(struct turns *t, const struct fields *b)
{
    struct json_object *name, *input;
    if (block_field(b, "name", json_type_string, true, &name) != 0
        || block_field(b, "input", json_type_string, true, &input) != 0)
        return -1;
    struct json_object *const arguments = json_object_new_object();
    if (json_put(arguments, "input", json_object_get(input)))
        add_call(t, b->o, arguments);
    else
        t->failed = true;
    json_object_put(arguments);
    return 0;
}

static int read_output(struct turns *t, const struct fields *b)
{
    turns_result(t, string_or_null(block_get(b->o, "call_id")));
    return read_content(t, b, "output");
}

static int refuse_reference(struct turns *t, const struct fields *b)
{
    (void)t;
    return block_fault(
        b, "item \"%.40s\" is not kept (any more); send the item itself",
        block_word(b->o, "id"));
}

static int read_item(void *ctx, const struct fields *b)
{
    static const struct {
        const char *type;
        int (*read)(struct turns *, const struct fields *);
    } kinds[] = {
        {"", read_message},
        {"message", read_message},
        {"reasoning", read_reasoning},
        {"function_call", read_call},
        {"function_call_output", read_output},
        {"custom_tool_call", read_custom_call},
        {"custom_tool_call_output", read_output},
        {"item_reference", refuse_reference},
    };
    struct json_object *type;
    const int rc = block_field(b, "type", json_type_string, false, &type);
    for (size_t i = 0; rc == 0 && i < COUNT_OF(kinds); i++) {
        if (block_is(b->o, kinds[i].type))
            return kinds[i].read(ctx, b);
    }
    return rc;
}

/* ---- the whole ---- */

static int read_past(struct turns *t, struct json_object *past, struct fault *f)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && past && i < json_object_array_length(past); i++) {
        const struct fields item = {json_object_array_get_idx(past, i), "previous_response_id", f};
        rc = read_item(t, &item);
    }
    return rc;
}

static int read_input(struct turns *t, const struct fields *s, bool needed)
{
    struct json_object *const input = block_get(s->o, "input");
    if (json_object_is_type(input, json_type_string)) {
        turns_role(t, "user");
        add_string(t, input);
        return 0;
    }
    if (input ? !json_object_is_type(input, json_type_array) : needed)
        return field_fault(s, "input", "%s, expected a string or an array",
                           input ? json_type_text(input) : "is missing");
    return block_each(s, "input", read_item, t);
}

int responses_messages(const struct fields *s, struct json_object *past, struct json_object **out)
{
    struct turns t;
    struct json_object *instructions;
    *out = NULL;
    turns_init(&t);
    int rc = block_field(s, "instructions", json_type_string, false, &instructions);
    if (rc == 0 && instructions && json_object_get_string_len(instructions) > 0) {
        turns_role(&t, "system");
        add_string(&t, instructions);
    }
    if (rc == 0)
        rc = read_past(&t, past, s->f);
    if (rc == 0)
        rc = read_input(&t, s, !past);
    if (rc == 0 && !turns_take(&t, out))
        rc = memory_fault(s->f);
    turns_deinit(&t);
    return rc;
}
