/* tool_grammar.c - the tools of a request -> a grammar of calls in GLM's form, as parse.h reads
 * them:
 *
 *     <tool_call>name(<arg_key>key</arg_key><arg_value>value</arg_value>)*</tool_call>
 *
 * The tags are single tokens. Arguments come in the order of "properties", required ones always.
 * Each value is written so that the parser types it back as its schema says: raw where the parser
 * takes text (args_types has a string), as JSON otherwise. Names that a schema does not list are
 * allowed only if it lists none.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "base/util.h"
#include "text/chat_write.h"
#include "text/grammar.h"
#include "text/parse_args.h"
#include "text/schema.h"

enum { TOOLS_MAX = 256, FREE_KEY_CHARS = 128 };

enum tag { CALL, END_CALL, KEY, END_KEY, VALUE, END_VALUE, TAGS };
static const char *const tag_text[TAGS] = {"<tool_call>", "</tool_call>", "<arg_key>",
                                           "</arg_key>",  "<arg_value>",  "</arg_value>"};

struct tools {
    struct gram_builder b;
    struct schema c;
    const struct tok *t;
    const struct grammar_tools *o;
    int32_t id[TAGS];
    char what[64]; /* "tools[3].function.parameters" */
};

static uint32_t tag(struct tools *x, uint32_t from, enum tag which)
{
    const uint32_t to = gram_node(&x->b);
    gram_token(&x->b, from, x->id[which], to);
    return to;
}

/* Any text of min to max characters. */
static uint32_t free_text(struct tools *x, uint32_t from, uint32_t min, uint32_t max)
{
    struct gram_frag one = {gram_node(&x->b), gram_node(&x->b)};
    const uint32_t rule = schema_common(&x->c, RULE_RAW_CHAR);
    if (schema_ok(&x->c))
        gram_call(&x->b, one.start, rule, one.end);
    return gram_times(&x->b, from, one, min, max);
}

/* ---- values ---- */

/* With what a text may begin beside other types, so that it is not taken for one of them that its
 * schema does not allow: not as an object or array; not as a number, if numbers are bounded. */
static void first_characters(struct charset *set, unsigned types, struct json_object *s)
{
    struct buf json;
    buf_init(&json);
    json_write(&json, s);
    set->failed |= json.failed;
    const char *const text = json.data;
    charset_add(set, '\t', '\r');
    charset_add(set, ' ', ' ');
    if (types & (ARGS_ARRAY | ARGS_OBJECT)) {
        charset_add(set, '[', '[');
        charset_add(set, '{', '{');
    }
    if (types & (ARGS_INTEGER | ARGS_NUMBER)
        && (strstr(text, "imum\"") || strstr(text, "\"enum\"") || strstr(text, "\"const\""))) {
        charset_add(set, '-', '-');
        charset_add(set, '0', '9');
    }
    charset_invert(set);
    buf_deinit(&json);
}

static uint32_t value(struct tools *x, struct json_object *s, unsigned types, uint32_t from)
{
    const unsigned others = types & ~(unsigned)ARGS_STRING;
    struct charset first = {0};
    if (!(types & ARGS_STRING))
        return schema_value(&x->c, s, from, STRING_JSON);
    if (others & ~(unsigned)(ARGS_BOOLEAN | ARGS_NULL)) {
        first_characters(&first, types, s);
        x->c.first = &first;
    }
    const uint32_t to = schema_value(&x->c, s, from, STRING_RAW);
    if (first.failed)
        gram_no_memory(&x->b);
    x->c.first = NULL;
    charset_free(&first);
    return to;
}

/* ---- arguments ---- */

/* Could the parser give this back, which takes white space off the ends? */
static void check_name(struct tools *x, const char *kind, const char *name)
{
    size_t begin = 0, end = strlen(name);
    const size_t len = end;
    if (utf8_valid_len(name, len) == len)
        chat_strip(name, &begin, &end);
    if (len == 0 || begin != 0 || end != len || utf8_valid_len(name, len) != len)
        schema_fault(&x->c, GLIM_EINVAL,
                     "%s \"%.60s\", expected UTF-8 text without white space at its ends", kind,
                     name);
}

static uint32_t key_begins(struct tools *x, uint32_t from)
{
    return tag(x, from, KEY);
}

static uint32_t value_begins(struct tools *x, uint32_t from)
{
    return tag(x, tag(x, from, END_KEY), VALUE);
}

static bool is_required(struct json_object *required, const char *name)
{
    for (size_t i = 0; required && i < json_object_array_length(required); i++) {
        const char *const one = json_object_get_string(json_object_array_get_idx(required, i));
        if (one && strcmp(one, name) == 0)
            return true;
    }
    return false;
}

/* given: "properties" as the request has it, which is what the parser looks at. */
static uint32_t argument(struct tools *x, const char *name, struct json_object *s,
                         struct json_object *given, bool required, uint32_t from)
{
    struct json_object *const own = schema_get(given, name);
    const size_t mark = schema_down(&x->c, "properties", name);
    check_name(x, "argument", name);
    uint32_t n = gram_string(&x->b, key_begins(x, from), name);
    n = value(x, s, own ? args_types(own) : 0, value_begins(x, n));
    schema_up(&x->c, mark);
    n = tag(x, n, END_VALUE);
    if (!required)
        gram_empty(&x->b, from, n);
    return n;
}

/* Any names, any number of them. values: the schema of each, or NULL: raw text. */
static uint32_t free_arguments(struct tools *x, struct json_object *values, uint32_t from)
{
    struct gram_frag one = {.start = gram_node(&x->b)};
    uint32_t n = free_text(x, key_begins(x, one.start), 1, FREE_KEY_CHARS);
    n = value_begins(x, n);
    n = values ? schema_value(&x->c, values, n, STRING_JSON) : free_text(x, n, 0, GRAM_UNBOUNDED);
    one.end = tag(x, n, END_VALUE);
    return gram_times(&x->b, from, one, 0, GRAM_UNBOUNDED);
}

static void refuse_words(struct tools *x, struct json_object *s)
{
    static const char *const words[] = {
        "anyOf", "oneOf", "enum", "const", "patternProperties", "minProperties", "maxProperties"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (json_object_object_get_ex(s, words[i], NULL))
            schema_fault(&x->c, GLIM_EUNSUPPORTED,
                         "\"%s\" of all arguments of a tool is not supported", words[i]);
    }
    if (!(schema_types(&x->c, s) & TYPE_OBJECT))
        schema_fault(&x->c, GLIM_EINVAL, "expected a schema of an object");
}

static void check_required(struct tools *x, struct json_object *required,
                           struct json_object *properties)
{
    for (size_t i = 0; required && i < json_object_array_length(required); i++) {
        const char *const one = json_object_get_string(json_object_array_get_idx(required, i));
        if (!one || !schema_get(properties, one))
            schema_fault(&x->c, GLIM_EINVAL, "\"required\": \"%.60s\" is not among the properties",
                         one ? one : "");
    }
}

static uint32_t arguments(struct tools *x, struct json_object *s, uint32_t from)
{
    struct json_object *const flat = schema_flatten(&x->c, s);
    struct json_object *const given = schema_get(s, "properties");
    if (!flat || !json_object_is_type(flat, json_type_object)) {
        schema_fault(&x->c, GLIM_EINVAL, "expected a schema of an object");
        return from;
    }
    refuse_words(x, flat);
    struct json_object *const properties = schema_get(flat, "properties");
    struct json_object *const rest = schema_get(flat, "additionalProperties");
    struct json_object *const required = schema_get(flat, "required");
    check_required(x, required, properties);
    if (!properties || json_object_object_length(properties) == 0) {
        struct json_object *const any = rest ? json_object_get(rest) : json_object_new_object();
        if (!any)
            gram_no_memory(&x->b);
        else
            from = free_arguments(x, any, from);
        json_object_put(any);
        return from;
    }
    json_object_object_foreach(properties, name, one)
    {
        if (schema_ok(&x->c))
            from = argument(x, name, one, given, is_required(required, name), from);
    }
    return from;
}

/* ---- tools ---- */

static bool is_strict(struct json_object *outer, struct json_object *inner)
{
    return json_object_get_boolean(schema_get(outer, "strict"))
           || json_object_get_boolean(schema_get(inner, "strict"));
}

/* What stands between <tool_call> and the node that is returned. */
static uint32_t body(struct tools *x, struct json_object *tool, const char *name, uint32_t from)
{
    struct json_object *const inner = schema_get(tool, "function");
    struct json_object *const s = schema_get(inner ? inner : tool, "parameters");
    check_name(x, "name", name);
    from = gram_string(&x->b, from, name);
    if (x->o->lenient && !is_strict(tool, inner))
        return free_arguments(x, NULL, from);
    if (!s)
        return from;
    x->c.root = s;
    buf_clear(&x->c.where);
    return arguments(x, s, from);
}

static const char *name_of(struct json_object *tool)
{
    struct json_object *const inner = schema_get(tool, "function");
    struct json_object *const name = schema_get(inner ? inner : tool, "name");
    return json_object_is_type(name, json_type_string) ? json_object_get_string(name) : NULL;
}

/* The tools that may be called, from `from` to `to`. */
static void all_bodies(struct tools *x, uint32_t from, uint32_t to)
{
    struct json_object *const tools = x->o->tools;
    const size_t n =
        json_object_is_type(tools, json_type_array) ? json_object_array_length(tools) : 0;
    size_t found = 0;
    if (n > TOOLS_MAX)
        gram_fault(&x->b, GLIM_ELIMIT, "tools: %zu, expected at most %d", n, TOOLS_MAX);
    for (size_t i = 0; i < n && schema_ok(&x->c); i++) {
        struct json_object *const tool = json_object_array_get_idx(tools, i);
        const char *const name = name_of(tool);
        (void)snprintf(x->what, sizeof x->what, "tools[%zu].function.parameters", i);
        if (!name)
            gram_fault(&x->b, GLIM_EINVAL, "tools[%zu].function.name: expected a string", i);
        else if (!x->o->only || strcmp(x->o->only, name) == 0) {
            gram_empty(&x->b, body(x, tool, name, from), to);
            found++;
        }
    }
    if (found == 0 && x->o->only)
        gram_fault(&x->b, GLIM_EINVAL, "tools: there is no \"%.60s\", which is to be called",
                   x->o->only);
    else if (found == 0)
        gram_fault(&x->b, GLIM_EINVAL, "tools: none, expected one to call");
}

static void compile(struct tools *x)
{
    const struct gram_frag whole = gram_rule_frag(&x->b, gram_rule(&x->b, "calls", 5));
    struct gram_frag call = {.start = gram_node(&x->b)};
    const uint32_t ends = gram_node(&x->b);
    uint32_t n = whole.start;
    for (int i = 0; i < TAGS; i++) {
        x->id[i] = tok_find(x->t, tag_text[i], strlen(tag_text[i]));
        if (x->id[i] < 0)
            gram_fault(&x->b, GLIM_EUNSUPPORTED,
                       "tools: this model has no token %s, which its calls are made of",
                       tag_text[i]);
    }
    if (x->o->text)
        n = free_text(x, n, 0, GRAM_UNBOUNDED);
    if (schema_ok(&x->c))
        all_bodies(x, tag(x, call.start, CALL), ends);
    call.end = tag(x, ends, END_CALL);
    n = gram_times(&x->b, n, call, x->o->required, x->o->parallel ? GRAM_UNBOUNDED : 1);
    gram_empty(&x->b, n, whole.end);
    schema_finish(&x->c);
}

int grammar_from_tools(struct grammar **out, const struct tok *t,
                       const struct grammar_tools *options, struct err *e)
{
    struct tools x = {.t = t, .o = options};
    *out = NULL;
    gram_builder_init(&x.b, e);
    if (schema_init(&x.c, &x.b) == GLIM_OK) {
        x.c.what = x.what;
        compile(&x);
    }
    const int rc = gram_finish(&x.b, tok_count(t), out);
    schema_deinit(&x.c);
    gram_builder_deinit(&x.b);
    return rc;
}
