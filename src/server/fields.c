/* fields.c - see fields.h. */
#include "server/fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct json_object *field(const struct fields *s, const char *key)
{
    return json_object_object_get(s->o, key);
}

const char *json_type_text(struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_boolean: return "a boolean";
    case json_type_double: return "a number";
    case json_type_int: return "an integer";
    case json_type_object: return "an object";
    case json_type_array: return "an array";
    case json_type_string: return "a string";
    default: return "null";
    }
}

bool json_is(struct json_object *v, const char *text)
{
    const size_t n = strlen(text); /* "user\0" is not "user" */
    return json_object_is_type(v, json_type_string)
           && (size_t)json_object_get_string_len(v) == n
           && memcmp(json_object_get_string(v), text, n) == 0;
}

int field_fault(const struct fields *s, const char *key, const char *fmt, ...)
{
    char param[sizeof s->f->param], text[512];
    va_list ap;
    (void)snprintf(param, sizeof param, "%s%s%s", s->at, *s->at ? "." : "", key);
    va_start(ap, fmt);
    err_format(text, sizeof text, fmt, ap);
    va_end(ap);
    return fault_set(s->f, FAULT_INVALID, param, "%s: %s", param, text);
}

static int wrong_type(const struct fields *s, const char *key, const char *expected)
{
    return field_fault(s, key, "%s, expected %s", json_type_text(field(s, key)), expected);
}

int field_text(const struct fields *s, const char *key, const char **out)
{
    struct json_object *const v = field(s, key);
    if (v && !json_object_is_type(v, json_type_string))
        return wrong_type(s, key, "a string");
    if (v)
        *out = json_object_get_string(v);
    return 0;
}

int field_name(const struct fields *s, const char *key, const char **out)
{
    if (field_text(s, key, out) != 0)
        return -1;
    if (field(s, key) && strlen(*out) != (size_t)json_object_get_string_len(field(s, key)))
        return field_fault(s, key, "a string with a character 0, expected a name");
    return 0;
}

int field_bool(const struct fields *s, const char *key, bool *out)
{
    struct json_object *const v = field(s, key);
    if (v && !json_object_is_type(v, json_type_boolean))
        return wrong_type(s, key, "true or false");
    if (v)
        *out = json_object_get_boolean(v);
    return 0;
}

int field_u64(const struct fields *s, const char *key, uint64_t low, uint64_t high, uint64_t *out)
{
    struct json_object *const v = field(s, key);
    if (!v)
        return 0;
    const double d = json_object_get_double(v);
    const bool whole = json_object_is_type(v, json_type_int)
                       || (json_object_is_type(v, json_type_double) && d == floor(d));
    if (!whole)
        return json_object_is_type(v, json_type_double)
                   ? field_fault(s, key, "%g, expected a whole number", d)
                   : wrong_type(s, key, "a whole number");
    const bool negative =
        json_object_is_type(v, json_type_int) ? json_object_get_int64(v) < 0 : d < 0;
    const uint64_t n = json_object_is_type(v, json_type_int)  ? json_object_get_uint64(v)
                       : d < 0 || d >= 18446744073709551615.0 ? UINT64_MAX
                                                              : (uint64_t)d;
    if (negative || n < low || n > high)
        return field_fault(s, key, "%.20s, expected %llu to %llu", json_object_get_string(v),
                           (unsigned long long)low, (unsigned long long)high);
    *out = n;
    return 0;
}

int field_real(const struct fields *s, const char *key, double low, double high, double *out)
{
    struct json_object *const v = field(s, key);
    if (v && !json_object_is_type(v, json_type_double) && !json_object_is_type(v, json_type_int))
        return wrong_type(s, key, "a number");
    if (!v)
        return 0;
    const double d = json_object_get_double(v);
    if (!(d >= low && d <= high))
        return field_fault(s, key, "%g, expected %g to %g", d, low, high);
    *out = d;
    return 0;
}

int field_object(const struct fields *s, const char *key, struct json_object **out)
{
    struct json_object *const v = field(s, key);
    if (v && !json_object_is_type(v, json_type_object))
        return wrong_type(s, key, "an object");
    if (v)
        *out = v;
    return 0;
}

int field_array(const struct fields *s, const char *key, struct json_object **out)
{
    struct json_object *const v = field(s, key);
    if (v && !json_object_is_type(v, json_type_array))
        return wrong_type(s, key, "an array");
    if (v)
        *out = v;
    return 0;
}
