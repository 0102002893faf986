/* fieldlist.c - see fieldlist.h. */
#include "server/fieldlist.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PATH_MAX_BYTES = 128 };

struct json_object *block_get(struct json_object *o, const char *key)
{
    return json_object_is_type(o, json_type_object) ? json_object_object_get(o, key) : NULL;
}

const char *block_word(struct json_object *o, const char *key)
{
    struct json_object *const v = block_get(o, key);
    return json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

bool block_is(struct json_object *o, const char *type)
{
    struct json_object *const v = block_get(o, "type");
    return v ? json_is(v, type) : *type == 0;
}

int block_fault(const struct fields *s, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    err_format(text, sizeof text, fmt, ap);
    va_end(ap);
    return fault_set(s->f, FAULT_INVALID, s->at, "%s: %s", s->at, text);
}

static const char *type_name(enum json_type type)
{
    switch (type) {
    case json_type_boolean: return "true or false";
    case json_type_object: return "an object";
    case json_type_array: return "an array";
    default: return "a string";
    }
}

int block_field(const struct fields *s, const char *key, enum json_type type, bool needed,
                struct json_object **out)
{
    *out = block_get(s->o, key);
    if (!*out && needed)
        return field_fault(s, key, "is missing, expected %s", type_name(type));
    if (!*out || json_object_is_type(*out, type))
        return 0;
    return field_fault(s, key, "%s, expected %s", json_type_text(*out), type_name(type));
}

int block_each(const struct fields *s, const char *key, block_fn *each, void *ctx)
{
    struct json_object *list;
    int rc = block_field(s, key, json_type_array, false, &list);
    for (size_t i = 0; rc == 0 && list && i < json_object_array_length(list); i++) {
        char at[PATH_MAX_BYTES];
        (void)snprintf(at, sizeof at, "%s%s%s[%zu]", s->at, *s->at ? "." : "", key, i);
        const struct fields block = {json_object_array_get_idx(list, i), at, s->f};
        rc = json_object_is_type(block.o, json_type_object)
                 ? each(ctx, &block)
                 : block_fault(&block, "%s, expected an object", json_type_text(block.o));
    }
    return rc;
}
