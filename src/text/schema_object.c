/* schema_object.c - objects of JSON schemas.
 *
 * The members of "properties" come in their order there, each at most once; then those that only
 * patternProperties or additionalProperties allow, in any order (an equal name may come twice among
 * them). Names are written in one way only (schema_string.c), so that none of the others can be one
 * of "properties" in disguise.
 */
#include "text/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static bool is_bool(struct json_object *s, bool value)
{
    return json_object_is_type(s, json_type_boolean) && json_object_get_boolean(s) == value;
}

/* ---- names that are not given ones ---- */

/* Names are sorted, those with a common beginning stand together: [lo, hi) agree on `depth` bytes.
 * */
struct names {
    struct schema *c;
    const char **name;
    uint32_t inside, end; /* behind a character that none of them has; behind the closing quote */
};

/* The characters that no name has at this place lead inside. */
static void others(struct names *x, uint32_t from, size_t lo, size_t hi, size_t depth)
{
    struct charset set = {0};
    for (size_t i = lo; i < hi; i++) {
        size_t n;
        if (x->name[i][depth] == 0)
            continue;
        const uint32_t ch = utf8_decode_valid(x->name[i] + depth, &n);
        charset_add(&set, ch, ch);
    }
    charset_invert(&set);
    if (set.failed)
        gram_no_memory(x->c->b);
    schema_chars(x->c, from, &set, x->inside, STRING_JSON);
    charset_free(&set);
}

static void branch(struct names *x, uint32_t from, size_t lo, size_t hi, size_t depth)
{
    others(x, from, lo, hi, depth);
    const bool whole = lo < hi && x->name[lo][depth] == 0; /* a name ends here: no quote */
    while (lo < hi && x->name[lo][depth] == 0)
        lo++;
    if (!whole)
        gram_bytes(x->c->b, from, '"', '"', x->end);
    while (lo < hi && schema_ok(x->c)) {
        size_t n, same = lo + 1;
        const uint32_t ch = utf8_decode_valid(x->name[lo] + depth, &n), next = gram_node(x->c->b);
        struct gram_range only = {ch, ch};
        const struct charset one = {.r = &only, .n = 1};
        while (same < hi && memcmp(x->name[same] + depth, x->name[lo] + depth, n) == 0)
            same++;
        schema_chars(x->c, from, &one, next, STRING_JSON);
        branch(x, next, lo, same, depth + n); /* as deep as a name is long: NAME_MAX_BYTES */
        lo = same;
    }
}

enum { NAME_MAX_BYTES = 500 };

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

uint32_t schema_other_string(struct schema *c, uint32_t from, const char *const * not, size_t n)
{
    static const struct gram_range everything = {0, GRAM_CHAR_MAX};
    struct names x = {.c = c, .name = malloc((n + 1) * sizeof *x.name)};
    const uint32_t open = gram_string(c->b, from, "\"");
    const struct charset all = {.r = (struct gram_range *)&everything, .n = 1};
    if (!x.name) {
        gram_no_memory(c->b);
        return open;
    }
    for (size_t i = 0; i < n; i++) {
        x.name[i] = not [i];
        if (strlen(not [i]) > NAME_MAX_BYTES)
            schema_fault(c, GLIM_ELIMIT, "a name of %zu bytes, expected at most %d",
                         strlen(not [i]), NAME_MAX_BYTES);
    }
    qsort(x.name, n, sizeof *x.name, by_text);
    x.inside = gram_node(c->b);
    x.end = gram_node(c->b);
    schema_chars(c, x.inside, &all, x.inside, STRING_JSON);
    gram_bytes(c->b, x.inside, '"', '"', x.end);
    if (schema_ok(c))
        branch(&x, open, 0, n, 0);
    free(x.name);
    return x.end;
}

/* ---- members ---- */

struct object {
    struct schema *c;
    struct json_object *properties, *required, *patterns, *rest; /* keywords; NULL if absent */
    uint32_t none;     /* no member yet: behind the brace and white space */
    uint32_t some;     /* behind a member */
    const char **name; /* [names] of the properties */
    size_t names;
};

static bool is_required(const struct object *o, const char *name)
{
    for (size_t i = 0; o->required && i < json_object_array_length(o->required); i++) {
        const char *const one = json_object_get_string(json_object_array_get_idx(o->required, i));
        if (one && strcmp(one, name) == 0)
            return true;
    }
    return false;
}

uint32_t schema_comma(struct schema *c, uint32_t from)
{
    return schema_call(c, RULE_SPACE, gram_string(c->b, from, ","));
}

static uint32_t colon(struct schema *c, uint32_t from)
{
    return schema_call(c, RULE_GAP, gram_string(c->b, from, ":"));
}

/* The node where a member may begin. */
static uint32_t member_begins(struct object *o)
{
    const uint32_t at = gram_node(o->c->b);
    gram_empty(o->c->b, o->none, at);
    gram_empty(o->c->b, schema_comma(o->c, o->some), at);
    return at;
}

static void property(struct object *o, const char *name, struct json_object *s)
{
    struct schema *const c = o->c;
    const bool required = is_required(o, name);
    const uint32_t begins = member_begins(o), none = gram_node(c->b), some = gram_node(c->b);
    const size_t mark = schema_down(c, "properties", name);
    uint32_t n = schema_text(c, begins, name, strlen(name), STRING_JSON);
    n = schema_value(c, s, colon(c, n), STRING_JSON);
    schema_up(c, mark);
    gram_empty(c->b, n, some);
    if (!required) {
        gram_empty(c->b, o->none, none);
        gram_empty(c->b, o->some, some);
    }
    o->none = none;
    o->some = some;
}

/* A member of a name that matches the pattern: from `from` to `to`. */
static void patterned(struct object *o, const char *pattern, struct json_object *s, uint32_t from,
                      uint32_t to)
{
    struct schema *const c = o->c;
    struct regex x;
    if (!schema_pattern(c, pattern, &x))
        return;
    for (size_t i = 0; i < o->names; i++) {
        if (schema_matches(c, &x, o->name[i], strlen(o->name[i])))
            schema_fault(c, GLIM_EUNSUPPORTED,
                         "\"patternProperties\": \"%.60s\" also matches the property \"%.60s\": "
                         "not supported",
                         pattern, o->name[i]);
    }
    const size_t mark = schema_down(c, "patternProperties", pattern);
    uint32_t n = schema_regex(c, &x, gram_string(c->b, from, "\""), 0, GRAM_UNBOUNDED, STRING_JSON);
    n = schema_value(c, s, colon(c, gram_string(c->b, n, "\"")), STRING_JSON);
    gram_empty(c->b, n, to);
    schema_up(c, mark);
    regex_free(&x);
}

/* Members that "properties" does not name; false: there cannot be any. With patterns, none but
 * those of a pattern: others are allowed by the schema, but never made. */
static bool unnamed(struct object *o, uint32_t from, uint32_t to)
{
    struct schema *const c = o->c;
    if (o->patterns && json_object_object_length(o->patterns) > 0) {
        if (json_object_object_length(o->patterns) > 1)
            schema_fault(c, GLIM_EUNSUPPORTED,
                         "\"patternProperties\" with %d patterns, expected one",
                         json_object_object_length(o->patterns));
        json_object_object_foreach(o->patterns, pattern, s) patterned(o, pattern, s, from, to);
        return true;
    }
    if (is_bool(o->rest, false))
        return false;
    const size_t mark = schema_down(c, "additionalProperties", NULL);
    uint32_t n = schema_other_string(c, from, o->name, o->names);
    n = colon(c, n);
    n = o->rest ? schema_value(c, o->rest, n, STRING_JSON) : schema_call(c, RULE_VALUE, n);
    gram_empty(c->b, n, to);
    schema_up(c, mark);
    return true;
}

static bool has_name(const struct object *o, const char *name)
{
    for (size_t i = 0; i < o->names; i++) {
        if (strcmp(o->name[i], name) == 0)
            return true;
    }
    return false;
}

/* Required names that "properties" does not have are as if it had them. */
static void required_others(struct object *o)
{
    struct json_object *const any = o->rest ? o->rest : json_object_new_boolean(true);
    if (!any) {
        gram_no_memory(o->c->b);
        return;
    }
    for (size_t i = 0; o->required && i < json_object_array_length(o->required); i++) {
        struct json_object *const v = json_object_array_get_idx(o->required, i);
        if (!json_object_is_type(v, json_type_string))
            schema_fault(o->c, GLIM_EINVAL, "\"required\": expected strings");
        else if (!has_name(o, json_object_get_string(v)) && o->names < SCHEMA_PROPERTIES_MAX) {
            if (o->patterns)
                schema_fault(o->c, GLIM_EUNSUPPORTED,
                             "\"required\": \"%.60s\", which is not among the properties, beside "
                             "\"patternProperties\" is not supported",
                             json_object_get_string(v));
            o->name[o->names++] = json_object_get_string(v);
            property(o, json_object_get_string(v), any);
        }
    }
    if (!o->rest)
        json_object_put(any);
}

/* min to max unnamed members and nothing else. */
static void counted(struct object *o, uint32_t min, uint32_t max, uint32_t to)
{
    struct schema *const c = o->c;
    struct gram_frag pair = {gram_node(c->b), gram_node(c->b)};
    struct gram_frag more = {gram_node(c->b), gram_node(c->b)};
    const uint32_t rule = gram_rule(c->b, NULL, 0), first = gram_node(c->b);
    const bool any = unnamed(o, pair.start, pair.end);
    if (!schema_ok(c))
        return;
    gram_empty(c->b, gram_rule_frag(c->b, rule).start, pair.start);
    gram_empty(c->b, pair.end, gram_rule_frag(c->b, rule).end);
    if (min == 0)
        gram_empty(c->b, o->none, to);
    if (!any || max == 0)
        return;
    gram_call(c->b, o->none, rule, first);
    gram_call(c->b, schema_comma(c, more.start), rule, more.end);
    const uint32_t last =
        gram_times(c->b, first, more, min > 0 ? min - 1 : 0, max == GRAM_UNBOUNDED ? max : max - 1);
    gram_empty(c->b, schema_call(c, RULE_SPACE, last), to);
}

static void members(struct object *o, uint32_t to)
{
    struct schema *const c = o->c;
    if (o->properties) {
        json_object_object_foreach(o->properties, name, s)
        {
            if (schema_ok(c))
                property(o, name, s);
        }
    }
    required_others(o);
    const uint32_t begins = member_begins(o), some = gram_node(c->b);
    if (unnamed(o, begins, some))
        gram_empty(c->b, some, o->some);
    gram_empty(c->b, o->none, to);
    gram_empty(c->b, schema_call(c, RULE_SPACE, o->some), to);
}

/* Are there as many members as the bounds ask for, whatever is chosen? */
static bool counts_hold(const struct object *o, uint32_t min, uint32_t max)
{
    const bool closed = is_bool(o->rest, false) && !o->patterns;
    const size_t needed = o->required ? json_object_array_length(o->required) : 0;
    const size_t all = o->properties ? (size_t)json_object_object_length(o->properties) : 0;
    return min <= needed && (max == GRAM_UNBOUNDED || (closed && all <= max));
}

static void collect_names(struct object *o)
{
    const size_t n = o->properties ? (size_t)json_object_object_length(o->properties) : 0;
    o->name = malloc((SCHEMA_PROPERTIES_MAX + 1) * sizeof *o->name);
    if (!o->name)
        gram_no_memory(o->c->b);
    if (n > SCHEMA_PROPERTIES_MAX)
        schema_fault(o->c, GLIM_ELIMIT, "%zu properties, expected at most %d", n,
                     SCHEMA_PROPERTIES_MAX);
    if (!schema_ok(o->c) || !o->properties)
        return;
    json_object_object_foreach(o->properties, name, s)
    {
        (void)s;
        o->name[o->names++] = name;
    }
}

static bool is_any_object(const struct object *o)
{
    return !o->properties && !o->required && !o->patterns && (!o->rest || is_bool(o->rest, true));
}

uint32_t schema_object(struct schema *c, struct json_object *s, uint32_t from)
{
    struct object o = {.c = c,
                       .properties = schema_get(s, "properties"),
                       .required = schema_get(s, "required"),
                       .patterns = schema_get(s, "patternProperties"),
                       .rest = schema_get(s, "additionalProperties")};
    const uint32_t min = schema_count(c, s, "minProperties", 0), ends = gram_node(c->b);
    const uint32_t max = schema_count(c, s, "maxProperties", GRAM_UNBOUNDED);
    if (is_any_object(&o) && min == 0 && max == GRAM_UNBOUNDED)
        return schema_call(c, RULE_OBJECT, from);
    collect_names(&o);
    o.none = schema_call(c, RULE_SPACE, gram_string(c->b, from, "{"));
    o.some = gram_node(c->b);
    if (schema_ok(c) && !o.names && !o.required && min <= max)
        counted(&o, min, max, ends);
    else if (schema_ok(c) && counts_hold(&o, min, max))
        members(&o, ends);
    else if (min <= max)
        schema_fault(c, GLIM_EUNSUPPORTED,
                     "\"minProperties\" or \"maxProperties\" beside \"properties\" is not "
                     "supported");
    free(o.name);
    return gram_string(c->b, ends, "}");
}
