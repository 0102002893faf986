/* replay_form.c - see replay_form.h. */
#include "server/replay_form.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/answer.h"
#include "server/emit.h"

enum { KEYS_SORTED_MAX = 256 };

/* ---- values ---- */

static void put_value(struct json_object *v, struct buf *out);

struct pair {
    const char *key;
    struct json_object *value;
};

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct pair *)a)->key, ((const struct pair *)b)->key);
}

static void put_object(struct json_object *o, struct buf *out)
{
    struct pair pair[KEYS_SORTED_MAX];
    size_t n = 0;
    json_object_object_foreach(o, key, value)
    {
        if (n < KEYS_SORTED_MAX)
            pair[n++] = (struct pair){key, value};
    }
    qsort(pair, n, sizeof *pair, by_key);
    buf_addc(out, '{');
    for (size_t i = 0; i < n; i++) {
        emit_key(out, i == 0, pair[i].key);
        put_value(pair[i].value, out);
    }
    buf_addc(out, '}');
}

/* 1.0 and 1 are one number to most clients. */
static void put_number(double d, struct buf *out)
{
    if (d == floor(d) && fabs(d) < 9007199254740992.0)
        buf_addf(out, "%.0f", d == 0 ? 0 : d);
    else
        emit_real(out, d);
}

static void put_value(struct json_object *v, struct buf *out)
{
    switch (json_object_get_type(v)) {
    case json_type_object: put_object(v, out); break;
    case json_type_double: put_number(json_object_get_double(v), out); break;
    case json_type_string:
        emit_text(out, json_object_get_string(v), (size_t)json_object_get_string_len(v));
        break;
    case json_type_array:
        buf_addc(out, '[');
        for (size_t i = 0; i < json_object_array_length(v); i++) {
            if (i)
                buf_addc(out, ',');
            put_value(json_object_array_get_idx(v, i), out);
        }
        buf_addc(out, ']');
        break;
    default: json_write(out, v); break;
    }
}

/* ---- a message ---- */

static void put_stripped(const char *text, size_t n, struct buf *out)
{
    static const char white[] = " \t\r\n\f\v";
    while (n > 0 && memchr(white, text[n - 1], sizeof white - 1))
        n--;
    while (n > 0 && memchr(white, *text, sizeof white - 1)) {
        text++;
        n--;
    }
    emit_text(out, text, n);
}

static void put_call(const char *name, const char *arguments, size_t n, struct buf *out)
{
    struct json_object *o = NULL;
    struct err e;
    emit_key(out, false, name);
    const int rc = n > 0 ? json_read(arguments, n, "arguments", &o, &e) : GLIM_OK;
    out->failed = out->failed || rc == GLIM_ENOMEM;
    if (n == 0)
        buf_adds(out, "{}");
    else if (rc == GLIM_OK)
        put_value(o, out);
    else
        emit_text(out, arguments, n);
    json_object_put(o);
}

/* The text of all parts of a kind. */
static void put_parts(const struct answer *a, enum part_kind kind, struct buf *out)
{
    struct buf text;
    buf_init(&text);
    answer_text(a, kind, &text);
    put_stripped(text.data, text.len, out);
    out->failed = out->failed || text.failed;
    buf_deinit(&text);
}

void form_of_answer(const struct answer *a, struct buf *out)
{
    put_parts(a, PART_CONTENT, out);
    for (size_t i = 0; i < a->parts; i++) {
        const struct part *const p = &a->part[i];
        if (p->kind == PART_TOOL)
            put_call(p->name, p->text.data, p->text.len, out);
    }
}

static void put_string(struct json_object *v, struct buf *out)
{
    if (json_object_is_type(v, json_type_string))
        put_stripped(json_object_get_string(v), (size_t)json_object_get_string_len(v), out);
    else
        put_stripped("", 0, out);
}

static void put_message_call(struct json_object *call, struct buf *out)
{
    struct json_object *const inner = json_object_is_type(call, json_type_object)
                                          ? json_object_object_get(call, "function")
                                          : NULL;
    struct json_object *const fn = json_object_is_type(inner, json_type_object) ? inner : call;
    if (!json_object_is_type(fn, json_type_object))
        return;
    struct json_object *const name = json_object_object_get(fn, "name");
    struct json_object *const arguments = json_object_object_get(fn, "arguments");
    if (!json_object_is_type(name, json_type_string))
        return;
    if (json_object_is_type(arguments, json_type_object)) {
        emit_key(out, false, json_object_get_string(name));
        put_value(arguments, out);
    } else {
        const bool text = json_object_is_type(arguments, json_type_string);
        put_call(json_object_get_string(name), text ? json_object_get_string(arguments) : "",
                 text ? (size_t)json_object_get_string_len(arguments) : 0, out);
    }
}

void form_of_message(struct json_object *message, struct buf *out)
{
    struct json_object *const calls = json_object_object_get(message, "tool_calls");
    put_string(json_object_object_get(message, "content"), out);
    if (!json_object_is_type(calls, json_type_array))
        return;
    for (size_t i = 0; i < json_object_array_length(calls); i++)
        put_message_call(json_object_array_get_idx(calls, i), out);
}

void form_of_reasoning(const struct answer *a, struct buf *out)
{
    put_parts(a, PART_REASONING, out);
}

void form_of_message_reasoning(struct json_object *message, struct buf *out)
{
    put_string(json_object_object_get(message, "reasoning_content"), out);
}
