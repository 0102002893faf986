/* turns.c - see turns.h. */
#include "server/turns.h"

#include <limits.h>
#include <string.h>

void turns_init(struct turns *t)
{
    *t = (struct turns){.list = json_object_new_array()};
    t->failed = !t->list;
    buf_init(&t->reasoning);
}

void turns_deinit(struct turns *t)
{
    json_object_put(t->list);
    buf_deinit(&t->reasoning);
    *t = (struct turns){0};
}

/* o[key] = value, which o owns then. False, and value is gone, if that fails. */
static bool put(struct turns *t, struct json_object *o, const char *key, struct json_object *value)
{
    if (!json_put(t->failed ? NULL : o, key, value))
        t->failed = true;
    return !t->failed;
}

static bool append(struct turns *t, struct json_object *array, struct json_object *value)
{
    if (!json_append(t->failed ? NULL : array, value))
        t->failed = true;
    return !t->failed;
}

static struct json_object *string_of(const char *text, size_t len)
{
    return len > INT_MAX ? NULL : json_object_new_string_len(text, (int)len);
}

/* Many blocks of one message become one string, once. */
static void end_reasoning(struct turns *t)
{
    const struct buf *const b = &t->reasoning;
    t->failed |= b->failed;
    if (!t->failed && t->last && b->len > 0)
        put(t, t->last, "reasoning_content", string_of(b->data, b->len));
    buf_clear(&t->reasoning);
}

bool turns_take(struct turns *t, struct json_object **out)
{
    *out = NULL;
    end_reasoning(t);
    if (t->failed)
        return false;
    *out = t->list;
    buf_deinit(&t->reasoning);
    turns_init(t);
    return true;
}

void turns_role(struct turns *t, const char *role)
{
    const bool assistant = strcmp(role, "assistant") == 0;
    if (t->failed || (assistant && t->last && t->assistant))
        return;
    end_reasoning(t);
    struct json_object *const m = json_object_new_object();
    t->last = append(t, t->list, m) ? m : NULL;
    t->assistant = assistant;
    t->text_ends = true;
    if (t->last && put(t, m, "role", json_object_new_string(role)))
        put(t, m, "content", json_object_new_array());
}

/* The message's array of that name, made if it is not there; NULL after a failure. */
static struct json_object *array_of(struct turns *t, const char *key)
{
    struct json_object *list = NULL;
    if (t->failed || !t->last || json_object_object_get_ex(t->last, key, &list))
        return list;
    list = json_object_new_array();
    return put(t, t->last, key, list) ? list : NULL;
}

/* key "": a part of a type alone. */
static void add_part(struct turns *t, const char *type, const char *key, struct json_object *value)
{
    struct json_object *const content = array_of(t, "content"), *const part =
                                                                    json_object_new_object();
    if (part && put(t, part, "type", json_object_new_string(type)) && *key)
        put(t, part, key, value);
    else
        json_object_put(value);
    if (content)
        append(t, content, part);
    else
        json_object_put(part);
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

void turns_text(struct turns *t, const char *text, size_t len)
{
    if (len == 0)
        return;
    if (!t->text_ends)
        add_part(t, "text", "text", json_object_new_string("\n"));
    add_part(t, "text", "text", string_of(text, len));
    t->text_ends = is_space(text[len - 1]);
}

void turns_media(struct turns *t, const char *type)
{
    if (!t->text_ends)
        add_part(t, "text", "text", json_object_new_string("\n"));
    add_part(t, type, "", NULL);
    t->text_ends = false;
}

void turns_reference(struct turns *t, const char *name)
{
    add_part(t, "tool_reference", "name", json_object_new_string(name));
}

void turns_reasoning(struct turns *t, const char *text, size_t len)
{
    if (!t->failed && t->last)
        buf_add(&t->reasoning, text, len);
}

void turns_result(struct turns *t, struct json_object *id)
{
    turns_role(t, "tool");
    if (!t->failed && id)
        put(t, t->last, "tool_call_id", json_object_get(id));
}

void turns_call(struct turns *t, struct json_object *id, const char *name,
                struct json_object *arguments)
{
    struct json_object *const calls = array_of(t, "tool_calls"), *const call =
                                                                     json_object_new_object();
    if (call && id)
        put(t, call, "id", json_object_get(id));
    if (call && put(t, call, "name", json_object_new_string(name)) && arguments)
        put(t, call, "arguments", json_object_get(arguments));
    if (calls)
        append(t, calls, call);
    else
        json_object_put(call);
}
