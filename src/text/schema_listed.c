/* schema_listed.c - "enum" and "const": the given values that the other keywords allow. */
#include "text/schema.h"

#include <string.h>

#include "base/util.h"

static uint32_t literal(struct schema *c, struct json_object *v, uint32_t from,
                        enum string_form form);

static uint32_t literal_list(struct schema *c, struct json_object *v, uint32_t from)
{
    const size_t n = json_object_array_length(v);
    from = gram_string(c->b, from, "[");
    for (size_t i = 0; i < n && schema_ok(c); i++) {
        if (i > 0)
            from = gram_string(c->b, from, ",");
        from = schema_call(c, RULE_SPACE, from);
        from = literal(c, json_object_array_get_idx(v, i), from, STRING_JSON);
    }
    return gram_string(c->b, n > 0 ? schema_call(c, RULE_SPACE, from) : from, "]");
}

static uint32_t literal_members(struct schema *c, struct json_object *v, uint32_t from)
{
    size_t n = 0;
    from = gram_string(c->b, from, "{");
    json_object_object_foreach(v, key, member_value)
    {
        if (n++ > 0)
            from = gram_string(c->b, from, ",");
        from = schema_text(c, schema_call(c, RULE_SPACE, from), key, strlen(key), STRING_JSON);
        from = schema_call(c, RULE_GAP, gram_string(c->b, from, ":"));
        from = literal(c, member_value, from, STRING_JSON);
    }
    return gram_string(c->b, n > 0 ? schema_call(c, RULE_SPACE, from) : from, "}");
}

/* A number, true, false, null. */
static uint32_t literal_word(struct schema *c, struct json_object *v, uint32_t from)
{
    struct buf text;
    buf_init(&text);
    json_write(&text, v);
    if (text.failed)
        gram_no_memory(c->b);
    const uint32_t to = gram_string(c->b, from, text.data);
    buf_deinit(&text);
    return to;
}

static uint32_t literal(struct schema *c, struct json_object *v, uint32_t from,
                        enum string_form form)
{
    uint32_t to = from;
    if (!schema_step(c))
        return from;
    if (++c->depth > SCHEMA_DEPTH)
        schema_fault(c, GLIM_ELIMIT, "more than %d levels, expected at most that", SCHEMA_DEPTH);
    else if (json_object_is_type(v, json_type_string))
        to = schema_text(c, from, json_object_get_string(v), (size_t)json_object_get_string_len(v),
                         form);
    else if (json_object_is_type(v, json_type_object))
        to = literal_members(c, v, from);
    else if (json_object_is_type(v, json_type_array))
        to = literal_list(c, v, from);
    else
        to = literal_word(c, v, from);
    c->depth--;
    return to;
}

/* Is the listed value one that the other keywords allow? What they say about objects and arrays is
 * not looked into, but refused. */
static bool listed_fits(struct schema *c, struct json_object *s, struct json_object *v)
{
    static const char *const inside[] = {
        "properties",    "required", "additionalProperties", "patternProperties", "minProperties",
        "maxProperties", "items",    "prefixItems",          "minItems",          "maxItems"};
    const unsigned type = schema_type_of(v);
    if (schema_get(s, "type") && !(schema_types(c, s) & type))
        return false;
    for (size_t i = 0; (type & (TYPE_OBJECT | TYPE_ARRAY)) && i < COUNT_OF(inside); i++) {
        if (schema_get(s, inside[i]))
            schema_fault(
                c, GLIM_EUNSUPPORTED,
                "\"%s\" beside \"enum\" or \"const\" of objects or arrays is not supported",
                inside[i]);
    }
    if (type & (TYPE_INTEGER | TYPE_NUMBER))
        return schema_number_fits(c, s, v);
    return !(type & TYPE_STRING) || schema_string_fits(c, s, v);
}

static bool is_listed(struct json_object *list, struct json_object *v)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (json_object_equal(json_object_array_get_idx(list, i), v))
            return true;
    }
    return false;
}

uint32_t schema_listed(struct schema *c, struct json_object *s, uint32_t from,
                       enum string_form form)
{
    struct json_object *list = schema_get(s, "enum"), *only = NULL;
    const bool has_const = json_object_object_get_ex(s, "const", &only);
    const uint32_t to = gram_node(c->b);
    const size_t n = has_const ? 1 : json_object_array_length(list);
    for (size_t i = 0; i < n && schema_ok(c); i++) {
        struct json_object *const v = has_const ? only : json_object_array_get_idx(list, i);
        if ((!has_const || !list || is_listed(list, v)) && listed_fits(c, s, v))
            gram_empty(c->b, literal(c, v, from, form), to);
    }
    return to;
}
