/* schema_merge.c - two schemas -> one that means both; what allOf, and keywords beside $ref and
 * anyOf, come down to.
 *
 * Bounds take the tighter one, lists of types and values what is in both, members {"allOf": [x,
 * y]}, which is merged when it is reached. What has no single keyword for both (two patterns) is
 * refused by name. A NULL without a fault: no value matches.
 */
#include "text/schema.h"

#include <stdio.h>
#include <string.h>

#include "base/util.h"

/* Hands o to c, which frees it in the end. NULL without memory. */
static struct json_object *own(struct schema *c, struct json_object *o)
{
    if (!o || json_object_array_add(c->owned, o) != 0) {
        json_object_put(o);
        gram_no_memory(c->b);
        return NULL;
    }
    return o;
}

/* A list that the caller puts; NULL without memory. */
static struct json_object *new_list(struct schema *c)
{
    struct json_object *const list = json_object_new_array();
    if (!list)
        gram_no_memory(c->b);
    return list;
}

/* Another hold of v, which may be NULL. */
static void append(struct schema *c, struct json_object *list, struct json_object *v)
{
    if (json_object_array_add(list, json_object_get(v)) == 0)
        return;
    json_object_put(v);
    gram_no_memory(c->b);
}

static void put(struct schema *c, struct json_object *o, const char *key, struct json_object *v)
{
    if (json_object_object_add(o, key, json_object_get(v)) == 0)
        return;
    json_object_put(v);
    gram_no_memory(c->b);
}

struct json_object *schema_without(struct schema *c, struct json_object *s, const char *key)
{
    struct json_object *const out = own(c, json_object_new_object());
    if (!out)
        return NULL;
    json_object_object_foreach(s, word, v)
    {
        if (strcmp(word, key) != 0)
            put(c, out, word, v);
    }
    return out;
}

static bool is_bool(struct json_object *s, bool value)
{
    return json_object_is_type(s, json_type_boolean) && json_object_get_boolean(s) == value;
}

struct json_object *schema_both(struct schema *c, struct json_object *a, struct json_object *b)
{
    if (is_bool(a, true) || is_bool(b, false))
        return b;
    if (is_bool(b, true) || is_bool(a, false) || json_object_equal(a, b))
        return a;
    struct json_object *const out = own(c, json_object_new_object());
    struct json_object *const list = out ? new_list(c) : NULL;
    if (!list)
        return out;
    append(c, list, a);
    append(c, list, b);
    put(c, out, "allOf", list);
    json_object_put(list);
    return out;
}

/* ---- one keyword in both ---- */

static bool has_value(struct json_object *list, struct json_object *v)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (json_object_equal(json_object_array_get_idx(list, i), v))
            return true;
    }
    return false;
}

struct json_object *schema_common_values(struct schema *c, struct json_object *a,
                                         struct json_object *b)
{
    struct json_object *const out = new_list(c);
    for (size_t i = 0; out && i < json_object_array_length(a); i++) {
        struct json_object *const v = json_object_array_get_idx(a, i);
        if (has_value(b, v))
            append(c, out, v);
    }
    return out;
}

static struct json_object *all_values(struct schema *c, struct json_object *a,
                                      struct json_object *b)
{
    struct json_object *const out = new_list(c), *const list[] = {a, b};
    for (size_t l = 0; out && l < 2; l++) {
        for (size_t i = 0; i < json_object_array_length(list[l]); i++) {
            struct json_object *const v = json_object_array_get_idx(list[l], i);
            if (!has_value(out, v))
                append(c, out, v);
        }
    }
    return out;
}

static struct json_object *common_types(struct schema *c, struct json_object *a,
                                        struct json_object *b)
{
    static const char *const names[] = {"object", "array",   "string", "integer",
                                        "number", "boolean", "null"};
    unsigned types = schema_types(c, a) & schema_types(c, b);
    struct json_object *const out = new_list(c);
    if (types & TYPE_NUMBER)
        types &= ~(unsigned)TYPE_INTEGER;
    for (size_t i = 0; out && i < COUNT_OF(names); i++) {
        if ((types & 1u << i) && !json_append(out, json_object_new_string(names[i])))
            gram_no_memory(c->b);
    }
    return out;
}

static bool is_larger(struct json_object *a, struct json_object *b)
{
    if (json_object_is_type(a, json_type_int) && json_object_is_type(b, json_type_int))
        return json_object_get_int64(a) > json_object_get_int64(b);
    return json_object_get_double(a) > json_object_get_double(b);
}

/* anyOf of both: every pair of branches. */
static struct json_object *product(struct schema *c, struct json_object *a, struct json_object *b)
{
    struct json_object *const out = new_list(c);
    const size_t n = json_object_array_length(a), m = json_object_array_length(b);
    if (n * m > 64)
        schema_fault(c, GLIM_ELIMIT,
                     "\"anyOf\" of %zu and of %zu branches at once, expected at "
                     "most 64 pairs",
                     n, m);
    for (size_t i = 0; out && i < n * m && schema_ok(c); i++)
        append(c, out,
               schema_both(c, json_object_array_get_idx(a, i / m),
                           json_object_array_get_idx(b, i % m)));
    return out;
}

static const char *const lower_bounds[] = {"minimum", "exclusiveMinimum", "minLength", "minItems",
                                           "minProperties"};
static const char *const upper_bounds[] = {"maximum", "exclusiveMaximum", "maxLength", "maxItems",
                                           "maxProperties"};

static bool one_of(const char *word, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(word, list[i]) == 0)
            return true;
    }
    return false;
}

static struct json_object *merge_members(struct schema *c, struct json_object *a,
                                         struct json_object *b)
{
    struct json_object *const out = json_object_new_object();
    if (!out) {
        gram_no_memory(c->b);
        return NULL;
    }
    json_object_object_foreach(a, key, v)
    {
        struct json_object *other;
        put(c, out, key, json_object_object_get_ex(b, key, &other) ? schema_both(c, v, other) : v);
    }
    json_object_object_foreach(b, name, w)
    {
        if (!json_object_object_get_ex(a, name, NULL))
            put(c, out, name, w);
    }
    return out;
}

/* The keyword `word` of both, as a new value; NULL: it cannot be merged. */
static struct json_object *merge_word(struct schema *c, const char *word, struct json_object *x,
                                      struct json_object *y, struct json_object *a,
                                      struct json_object *b)
{
    if (json_object_equal(x, y) || schema_is_annotation(word) || strcmp(word, "$defs") == 0
        || strcmp(word, "definitions") == 0)
        return json_object_get(x);
    if (one_of(word, lower_bounds, COUNT_OF(lower_bounds)))
        return json_object_get(is_larger(x, y) ? x : y);
    if (one_of(word, upper_bounds, COUNT_OF(upper_bounds)))
        return json_object_get(is_larger(x, y) ? y : x);
    if (strcmp(word, "type") == 0)
        return common_types(c, a, b);
    if (strcmp(word, "enum") == 0)
        return schema_common_values(c, x, y);
    if (strcmp(word, "required") == 0)
        return all_values(c, x, y);
    if (strcmp(word, "properties") == 0)
        return merge_members(c, x, y);
    if (strcmp(word, "items") == 0 || strcmp(word, "additionalProperties") == 0)
        return json_object_get(schema_both(c, x, y));
    if (strcmp(word, "anyOf") == 0)
        return product(c, x, y);
    schema_fault(c, GLIM_EUNSUPPORTED, "two different \"%s\" at once are not supported", word);
    return NULL;
}

/* Members that one side names and the other only knows by additionalProperties have to meet both.
 * */
static struct json_object *spread_additional(struct schema *c, struct json_object *s,
                                             struct json_object *other)
{
    struct json_object *const rest = schema_get(s, "additionalProperties");
    struct json_object *const theirs = schema_get(other, "properties");
    struct json_object *const ours = schema_get(s, "properties");
    if (!rest || is_bool(rest, true) || !theirs)
        return s;
    if (schema_get(s, "patternProperties"))
        schema_fault(c, GLIM_EUNSUPPORTED,
                     "\"patternProperties\" with \"additionalProperties\" in "
                     "a part of \"allOf\" is not supported");
    struct json_object *const out = schema_without(c, s, "properties");
    struct json_object *const members = out ? merge_members(c, ours ? ours : theirs, theirs) : NULL;
    if (!members)
        return s;
    json_object_object_foreach(theirs, name, v)
    {
        (void)v;
        if (!schema_get(ours, name))
            put(c, members, name, rest);
        else
            put(c, members, name, schema_get(ours, name));
    }
    put(c, out, "properties", members);
    json_object_put(members);
    return out;
}

struct json_object *schema_merge(struct schema *c, struct json_object *a, struct json_object *b)
{
    if (!schema_step(c) || is_bool(a, false) || is_bool(b, false))
        return NULL;
    if (is_bool(a, true) || is_bool(b, true))
        return is_bool(a, true) ? b : a;
    struct json_object *const x = spread_additional(c, a, b), *const y = spread_additional(c, b, a);
    struct json_object *const out = schema_without(c, x, "");
    if (!out || !schema_ok(c))
        return NULL;
    json_object_object_foreach(y, word, v)
    {
        struct json_object *have;
        if (!json_object_object_get_ex(x, word, &have)) {
            put(c, out, word, v);
            continue;
        }
        if (strcmp(word, "const") == 0 && !json_object_equal(have, v))
            return NULL;
        struct json_object *const merged = merge_word(c, word, have, v, x, y);
        if (!schema_ok(c)) {
            json_object_put(merged);
            return NULL;
        }
        if (json_object_is_type(merged, json_type_array) && json_object_array_length(merged) == 0
            && strcmp(word, "required") != 0) { /* no type, or no value, is in both */
            json_object_put(merged);
            return NULL;
        }
        put(c, out, word, merged);
        json_object_put(merged);
    }
    return schema_ok(c) ? out : NULL;
}

/* ---- $ref and allOf ---- */

static struct json_object *flatten_all(struct schema *c, struct json_object *s)
{
    struct json_object *const ref = schema_get(s, "$ref"), *const all = schema_get(s, "allOf");
    struct json_object *flat = schema_without(c, s, "allOf");
    if (flat)
        json_object_object_del(flat, "$ref");
    if (flat && ref) {
        struct json_object *const target = schema_deref(c, json_object_get_string(ref));
        struct json_object *const other = target ? schema_flatten(c, target) : NULL;
        flat = other ? schema_merge(c, other, flat) : NULL;
    }
    for (size_t i = 0; flat && all && i < json_object_array_length(all); i++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%zu", i);
        const size_t mark = schema_down(c, "allOf", number);
        struct json_object *const other = schema_flatten(c, json_object_array_get_idx(all, i));
        flat = other ? schema_merge(c, flat, other) : NULL;
        schema_up(c, mark);
    }
    return flat;
}

struct json_object *schema_flatten(struct schema *c, struct json_object *s)
{
    struct json_object *flat = s;
    if (is_bool(s, false))
        return NULL;
    if (!json_object_is_type(s, json_type_object)) {
        if (!is_bool(s, true))
            schema_fault(c, GLIM_EINVAL, "expected a schema (an object, true or false)");
        return schema_ok(c) ? s : NULL;
    }
    if (!schema_step(c))
        return NULL;
    if (++c->depth > SCHEMA_DEPTH)
        schema_fault(c, GLIM_ELIMIT,
                     "more than %d levels of \"$ref\" and \"allOf\", expected at "
                     "most that: does it refer to itself?",
                     SCHEMA_DEPTH);
    schema_check_words(c, s);
    if (schema_ok(c) && (schema_get(s, "$ref") || schema_get(s, "allOf")))
        flat = flatten_all(c, s);
    c->depth--;
    return schema_ok(c) ? flat : NULL;
}
