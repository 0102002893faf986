/* parse_args.c - see parse_args.h. A string's text is escaped and handed on as it comes; any other
 * value is kept until it is complete, because only then is it known whether it is JSON. */
#include "text/parse_args.h"

#include <string.h>

#include "base/util.h"
#include "text/chat_write.h"

int args_init(struct args *a, struct json_object *tools, struct err *e)
{
    *a = (struct args){.tools = json_object_is_type(tools, json_type_array) ? tools : NULL};
    buf_init(&a->value);
    a->seen = json_object_new_object();
    return a->seen ? GLIM_OK : err_nomem(e, "output parser", 0);
}

void args_deinit(struct args *a)
{
    buf_deinit(&a->value);
    json_object_put(a->seen);
    a->seen = NULL;
}

static struct json_object *member(struct json_object *o, const char *key, json_type type)
{
    struct json_object *const v =
        json_object_is_type(o, json_type_object) ? json_object_object_get(o, key) : NULL;
    return json_object_is_type(v, type) ? v : NULL;
}

/* parameters.properties of the tool with this name, or NULL. */
static struct json_object *find_properties(struct json_object *tools, const char *name)
{
    for (size_t i = 0; tools && i < json_object_array_length(tools); i++) {
        struct json_object *tool = json_object_array_get_idx(tools, i);
        struct json_object *const inner = member(tool, "function", json_type_object);
        if (inner)
            tool = inner;
        struct json_object *const have = member(tool, "name", json_type_string);
        if (have && strcmp(json_object_get_string(have), name) == 0)
            return member(member(tool, "parameters", json_type_object), "properties",
                          json_type_object);
    }
    return NULL;
}

int args_begin(struct args *a, const char *name, struct err *e)
{
    a->properties = find_properties(a->tools, name);
    a->open = false;
    json_object_put(a->seen);
    a->seen = json_object_new_object();
    return a->seen ? GLIM_OK : err_nomem(e, "output parser", 0);
}

/* ---- what the schema allows ---- */

static unsigned type_named(struct json_object *name)
{
    static const char *const names[] = {"string", "number", "integer", "boolean",
                                        "null",   "array",  "object"};
    for (size_t i = 0; json_object_is_type(name, json_type_string) && i < COUNT_OF(names); i++) {
        if (strcmp(json_object_get_string(name), names[i]) == 0)
            return 1u << i;
    }
    return 0;
}

static unsigned type_of_value(struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_null: return ARGS_NULL;
    case json_type_boolean: return ARGS_BOOLEAN;
    case json_type_double: return ARGS_NUMBER;
    case json_type_int: return ARGS_INTEGER;
    case json_type_string: return ARGS_STRING;
    case json_type_array: return ARGS_ARRAY;
    case json_type_object: return ARGS_OBJECT;
    }
    return 0;
}

/* "type": a name or a list of names; else the values of "enum". 0 if neither says it. */
static unsigned own_types(struct json_object *schema)
{
    struct json_object *const type = json_object_object_get(schema, "type");
    unsigned mask = type_named(type);
    for (size_t i = 0;
         json_object_is_type(type, json_type_array) && i < json_object_array_length(type); i++)
        mask |= type_named(json_object_array_get_idx(type, i));
    struct json_object *const values = type ? NULL : member(schema, "enum", json_type_array);
    for (size_t i = 0; values && i < json_object_array_length(values); i++)
        mask |= type_of_value(json_object_array_get_idx(values, i));
    return mask;
}

unsigned args_types(struct json_object *schema)
{
    static const char *const choices[] = {"anyOf", "oneOf"};
    if (!json_object_is_type(schema, json_type_object))
        return 0;
    unsigned mask = own_types(schema);
    for (size_t c = 0; mask == 0 && c < COUNT_OF(choices); c++) {
        struct json_object *const list = member(schema, choices[c], json_type_array);
        for (size_t i = 0; list && i < json_object_array_length(list); i++) {
            struct json_object *const branch = json_object_array_get_idx(list, i);
            const unsigned one =
                json_object_is_type(branch, json_type_object) ? own_types(branch) : 0;
            if (one == 0)
                return 0;
            mask |= one;
        }
    }
    return mask;
}

/* ---- JSON text ---- */

static void escape(struct buf *out, const char *text, size_t len)
{
    static const char *const short_form[] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\b'] = "\\b", ['\f'] = "\\f",
        ['\n'] = "\\n", ['\r'] = "\\r",  ['\t'] = "\\t"};
    size_t done = 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(out, text + done, i - done);
        done = i + 1;
        if (short_form[c])
            buf_adds(out, short_form[c]);
        else
            buf_addf(out, "\\u%04x", c);
    }
    buf_add(out, text + done, len - done);
}

void args_key(struct args *a, const char *key, size_t len, struct buf *out)
{
    a->skips = json_object_object_get_ex(a->seen, key, NULL);
    buf_clear(&a->value);
    if (a->skips)
        return;
    if (json_object_object_add(a->seen, key, NULL) != 0)
        out->failed = true;
    a->types = a->properties ? args_types(json_object_object_get(a->properties, key)) : 0;
    a->streams = a->types == ARGS_STRING;
    buf_adds(out, a->open ? ",\"" : "{\"");
    a->open = true;
    escape(out, key, len);
    buf_adds(out, a->streams ? "\":\"" : "\":");
}

void args_text(struct args *a, const char *text, size_t len, struct buf *out)
{
    if (a->skips)
        return;
    if (a->streams)
        escape(out, text, len);
    else
        buf_add(&a->value, text, len);
    if (a->value.failed)
        out->failed = true;
}

static unsigned type_of_kind(enum json_kind k)
{
    switch (k) {
    case JSON_OBJECT: return ARGS_OBJECT;
    case JSON_ARRAY: return ARGS_ARRAY;
    case JSON_STRING: return ARGS_STRING;
    case JSON_UINT:
    case JSON_NEG: return ARGS_INTEGER | ARGS_NUMBER;
    case JSON_REAL: return ARGS_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE: return ARGS_BOOLEAN;
    case JSON_NULL: return ARGS_NULL;
    default: return 0;
    }
}

/* The type of the one JSON value that the text is; 0 if it is none. */
static unsigned json_type_in(const char *text, size_t len)
{
    struct json_scan s;
    struct json_token t;
    json_scan_init(&s, text, len, "argument", 0);
    int rc = json_scan_next(&s, &t, NULL);
    const unsigned type = rc == GLIM_OK ? type_of_kind(t.kind) : 0;
    while (rc == GLIM_OK && t.kind != JSON_END)
        rc = json_scan_next(&s, &t, NULL);
    json_scan_deinit(&s);
    return rc == GLIM_OK ? type : 0;
}

static const char *python_literal(const char *text, size_t len)
{
    static const char *const literal[][2] = {{"True", "true"},
                                             {"False", "false"},
                                             {"None", "null"}};
    for (size_t i = 0; i < COUNT_OF(literal); i++) {
        if (strlen(literal[i][0]) == len && memcmp(literal[i][0], text, len) == 0)
            return literal[i][1];
    }
    return NULL;
}

/* Where a string is allowed too, JSON counts only if it is of another type that is allowed. */
static bool counts_as_json(const struct args *a, unsigned type)
{
    return type != 0 && (!(a->types & ARGS_STRING) || (type & a->types & ~(unsigned)ARGS_STRING));
}

static void put_value(const struct args *a, struct buf *out)
{
    size_t begin = 0, end = a->value.len;
    chat_strip(a->value.data, &begin, &end);
    const char *text = a->value.data + begin;
    size_t len = end - begin;
    const char *const literal = python_literal(text, len);
    if (literal) {
        text = literal;
        len = strlen(literal);
    }
    if (counts_as_json(a, json_type_in(text, len))) {
        buf_add(out, text, len);
    } else {
        buf_addc(out, '"');
        escape(out, a->value.data, a->value.len);
        buf_addc(out, '"');
    }
}

void args_value_end(struct args *a, struct buf *out)
{
    if (a->skips)
        return;
    if (a->streams)
        buf_addc(out, '"');
    else
        put_value(a, out);
}

void args_end(struct args *a, struct buf *out) { buf_adds(out, a->open ? "}" : "{}"); }
