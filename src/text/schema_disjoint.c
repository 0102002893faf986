/* schema_disjoint.c - can no value match two schemas? What oneOf needs to be an anyOf. */
#include "text/schema.h"

#include <string.h>

static bool is_closed(struct json_object *s)
{
    struct json_object *const rest = schema_get(s, "additionalProperties");
    return json_object_is_type(rest, json_type_boolean) && !json_object_get_boolean(rest);
}

/* The values that are listed, as an array that the caller puts; NULL: any. */
static struct json_object *listed_values(struct schema *c, struct json_object *s)
{
    struct json_object *only, *list = NULL;
    if (json_object_object_get_ex(s, "const", &only)) {
        list = json_object_new_array();
        if (list && json_object_array_add(list, only) == 0) {
            (void)json_object_get(only);
            return list;
        }
        json_object_put(list);
        gram_no_memory(c->b);
        return NULL;
    }
    return json_object_get(schema_get(s, "enum"));
}

static bool lists_differ(struct schema *c, struct json_object *a, struct json_object *b)
{
    struct json_object *const x = listed_values(c, a), *const y = listed_values(c, b);
    struct json_object *const both = x && y ? schema_common_values(c, x, y) : NULL;
    const bool differ = both && json_object_array_length(both) == 0;
    json_object_put(x);
    json_object_put(y);
    json_object_put(both);
    return differ;
}

/* The types of the values that match; stated: as the specification has it, where a keyword about
 * objects lets everything else pass; else those that we make. */
static unsigned possible_types(struct schema *c, struct json_object *s, bool stated)
{
    struct json_object *const list = listed_values(c, s);
    unsigned types = list ? 0 : stated && !schema_get(s, "type") ? TYPE_ANY : schema_types(c, s);
    for (size_t i = 0; list && i < json_object_array_length(list); i++)
        types |= schema_type_of(json_object_array_get_idx(list, i));
    json_object_put(list);
    return !list && (schema_get(s, "anyOf") || schema_get(s, "oneOf")) && !schema_get(s, "type")
               ? TYPE_ANY
               : types;
}

static bool requires(struct json_object *s, const char *name)
{
    struct json_object *const list = schema_get(s, "required");
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *const v = json_object_array_get_idx(list, i);
        if (json_object_is_type(v, json_type_string)
            && strcmp(json_object_get_string(v), name) == 0)
            return true;
    }
    return false;
}

/* Is there a member that one of them needs and that tells them apart? */
static bool told_apart(struct schema *c, struct json_object *a, struct json_object *b)
{
    struct json_object *const x = schema_get(a, "properties"), *const y =
                                                                   schema_get(b, "properties");
    if (!x)
        return false;
    json_object_object_foreach(x, name, v)
    {
        struct json_object *const other = schema_get(y, name);
        if (!requires(a, name))
            continue;
        if (!other && is_closed(b) && !schema_get(b, "patternProperties"))
            return true;
        struct json_object *const p = other ? schema_flatten(c, v) : NULL;
        struct json_object *const q = p && requires(b, name) ? schema_flatten(c, other) : NULL;
        if (q && lists_differ(c, p, q))
            return true;
    }
    return false;
}

bool schema_disjoint(struct schema *c, struct json_object *a, struct json_object *b)
{
    struct json_object *const x = schema_flatten(c, a), *const y = schema_flatten(c, b);
    if (!x || !y)
        return true;
    if (!json_object_is_type(x, json_type_object) || !json_object_is_type(y, json_type_object))
        return false;
    const unsigned types = (possible_types(c, x, false) & possible_types(c, y, true))
                           | (possible_types(c, x, true) & possible_types(c, y, false));
    if (types == 0 || lists_differ(c, x, y))
        return true;
    return types == TYPE_OBJECT && (told_apart(c, x, y) || told_apart(c, y, x));
}
