/* schema_words.c - the keywords of JSON Schema that are known, and which type each is about. */
#include "text/schema.h"

#include <string.h>

#include "base/util.h"

enum shape {
    SHAPE_ANY,
    SHAPE_COUNT,
    SHAPE_NUMBER,
    SHAPE_STRING,
    SHAPE_BOOL,
    SHAPE_LIST,
    SHAPE_OBJECT,
    SHAPE_SCHEMA,
    SHAPE_TYPE,
    SHAPE_FALSE
};

static const struct {
    const char *word;
    unsigned types; /* TYPE_*; 0: it says nothing about the type */
    enum shape shape;
} words[] = {
    {"type", 0, SHAPE_TYPE},
    {"enum", 0, SHAPE_LIST},
    {"const", 0, SHAPE_ANY},
    {"anyOf", 0, SHAPE_LIST},
    {"oneOf", 0, SHAPE_LIST},
    {"allOf", 0, SHAPE_LIST},
    {"$ref", 0, SHAPE_STRING},
    {"$defs", 0, SHAPE_OBJECT},
    {"definitions", 0, SHAPE_OBJECT},
    {"properties", TYPE_OBJECT, SHAPE_OBJECT},
    {"required", TYPE_OBJECT, SHAPE_LIST},
    {"additionalProperties", TYPE_OBJECT, SHAPE_SCHEMA},
    {"patternProperties", TYPE_OBJECT, SHAPE_OBJECT},
    {"minProperties", TYPE_OBJECT, SHAPE_COUNT},
    {"maxProperties", TYPE_OBJECT, SHAPE_COUNT},
    {"items", TYPE_ARRAY, SHAPE_SCHEMA},
    {"prefixItems", TYPE_ARRAY, SHAPE_LIST},
    {"minItems", TYPE_ARRAY, SHAPE_COUNT},
    {"maxItems", TYPE_ARRAY, SHAPE_COUNT},
    {"uniqueItems", TYPE_ARRAY, SHAPE_FALSE},
    {"minLength", TYPE_STRING, SHAPE_COUNT},
    {"maxLength", TYPE_STRING, SHAPE_COUNT},
    {"pattern", TYPE_STRING, SHAPE_STRING},
    {"format", TYPE_STRING, SHAPE_STRING},
    {"minimum", TYPE_INTEGER | TYPE_NUMBER, SHAPE_NUMBER},
    {"maximum", TYPE_INTEGER | TYPE_NUMBER, SHAPE_NUMBER},
    {"exclusiveMinimum", TYPE_INTEGER | TYPE_NUMBER, SHAPE_NUMBER},
    {"exclusiveMaximum", TYPE_INTEGER | TYPE_NUMBER, SHAPE_NUMBER},
};

static const char *const annotations[] = {
    "title",        "description", "default",     "examples",         "example",
    "$schema",      "$id",         "id",          "$comment",         "deprecated",
    "readOnly",     "writeOnly",   "$vocabulary", "contentMediaType", "contentEncoding",
    "contentSchema"};

bool schema_is_annotation(const char *word)
{
    for (size_t i = 0; i < COUNT_OF(annotations); i++) {
        if (strcmp(annotations[i], word) == 0)
            return true;
    }
    return strncmp(word, "x-", 2) == 0;
}

struct json_object *schema_get(struct json_object *s, const char *word)
{
    struct json_object *v = NULL;
    if (json_object_is_type(s, json_type_object))
        json_object_object_get_ex(s, word, &v);
    return v;
}

static bool is_schema(struct json_object *v)
{
    return json_object_is_type(v, json_type_object) || json_object_is_type(v, json_type_boolean);
}

static const char *type_names[] = {"object", "array",   "string", "integer",
                                   "number", "boolean", "null"};

static unsigned type_named(struct json_object *name)
{
    for (size_t i = 0; json_object_is_type(name, json_type_string) && i < COUNT_OF(type_names);
         i++) {
        if (strcmp(json_object_get_string(name), type_names[i]) == 0)
            return i == 4 ? TYPE_NUMBER | TYPE_INTEGER : 1u << i;
    }
    return 0;
}

/* The types of a "type": 0 if it is none. */
static unsigned types_of(struct json_object *v)
{
    if (!json_object_is_type(v, json_type_array))
        return type_named(v);
    unsigned types = 0;
    for (size_t i = 0; i < json_object_array_length(v); i++) {
        const unsigned one = type_named(json_object_array_get_idx(v, i));
        if (one == 0)
            return 0;
        types |= one;
    }
    return types;
}

/* What a value of this shape is called; NULL if v is one. */
static const char *misses(enum shape shape, struct json_object *v)
{
    const bool number =
        json_object_is_type(v, json_type_int) || json_object_is_type(v, json_type_double);
    switch (shape) {
    case SHAPE_ANY: return NULL;
    case SHAPE_COUNT:
        return json_object_is_type(v, json_type_int) && json_object_get_int64(v) >= 0
                   ? NULL
                   : "an integer of at least 0";
    case SHAPE_NUMBER: return number ? NULL : "a number";
    case SHAPE_STRING: return json_object_is_type(v, json_type_string) ? NULL : "a string";
    case SHAPE_BOOL: return json_object_is_type(v, json_type_boolean) ? NULL : "true or false";
    case SHAPE_LIST: return json_object_is_type(v, json_type_array) ? NULL : "an array";
    case SHAPE_OBJECT: return json_object_is_type(v, json_type_object) ? NULL : "an object";
    case SHAPE_SCHEMA: return is_schema(v) ? NULL : "a schema (an object, true or false)";
    case SHAPE_TYPE: return types_of(v) ? NULL : "the name of a type or a list of them";
    case SHAPE_FALSE:
        return json_object_is_type(v, json_type_boolean) && !json_object_get_boolean(v)
                   ? NULL
                   : "false: true is not supported";
    }
    return NULL;
}

static void check_word(struct schema *c, const char *word, struct json_object *v)
{
    if (strcmp(word, "nullable") == 0 && json_object_get_boolean(v)) {
        schema_fault(c, GLIM_EUNSUPPORTED,
                     "keyword \"nullable\" is not supported: say \"type\": [..., \"null\"]");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (strcmp(words[i].word, word) != 0)
            continue;
        const char *const expected = misses(words[i].shape, v);
        if (expected)
            schema_fault(c, words[i].shape == SHAPE_FALSE ? GLIM_EUNSUPPORTED : GLIM_EINVAL,
                         "keyword \"%s\": %.60s, expected %s", word,
                         json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN), expected);
        return;
    }
    if (!schema_is_annotation(word) && strcmp(word, "nullable") != 0)
        schema_fault(c, GLIM_EUNSUPPORTED, "keyword \"%.60s\" is not supported", word);
}

void schema_check_words(struct schema *c, struct json_object *s)
{
    json_object_object_foreach(s, word, v) check_word(c, word, v);
}

unsigned schema_types(struct schema *c, struct json_object *s)
{
    struct json_object *const type = schema_get(s, "type");
    unsigned types = 0;
    (void)c;
    if (type)
        return types_of(type);
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (words[i].types && schema_get(s, words[i].word))
            types |= words[i].types;
    }
    return types ? types : TYPE_ANY;
}

unsigned schema_type_of(struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_null: return TYPE_NULL;
    case json_type_boolean: return TYPE_BOOLEAN;
    case json_type_double: {
        const double x = json_object_get_double(v);
        return x >= -1e15 && x <= 1e15 && x == (double)(int64_t)x ? TYPE_INTEGER : TYPE_NUMBER;
    }
    case json_type_int: return TYPE_INTEGER;
    case json_type_string: return TYPE_STRING;
    case json_type_array: return TYPE_ARRAY;
    case json_type_object: return TYPE_OBJECT;
    }
    return 0;
}

uint32_t schema_count(struct schema *c, struct json_object *s, const char *word, uint32_t otherwise)
{
    struct json_object *const v = schema_get(s, word);
    if (!v)
        return otherwise;
    const int64_t n = json_object_get_int64(v);
    if (n > GRAM_REPEAT_MAX)
        schema_fault(c, GLIM_ELIMIT, "keyword \"%s\": %lld, expected at most %d", word,
                     (long long)n, GRAM_REPEAT_MAX);
    return (uint32_t)n;
}
