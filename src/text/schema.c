/* schema.c - a JSON schema -> rules: alternatives by type, $ref, anyOf, oneOf, enum and const. What
 * is covered: docs/structured-output.md. */
#include "text/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"
#include "text/grammar.h"

/* ---- the compiler's state ---- */

int schema_init(struct schema *c, struct gram_builder *b)
{
    *c = (struct schema){.b = b,
                         .what = "schema",
                         .owned = json_object_new_array(),
                         .refs = json_object_new_object()};
    buf_init(&c->where);
    if (!c->owned || !c->refs)
        gram_no_memory(b);
    return b->rc;
}

void schema_deinit(struct schema *c)
{
    for (size_t i = 0; i < c->todos; i++)
        free(c->todo[i].where);
    free(c->todo);
    json_object_put(c->owned);
    json_object_put(c->refs);
    buf_deinit(&c->where);
}

bool schema_ok(const struct schema *c)
{
    return c->b->rc == GLIM_OK;
}

void schema_fault(struct schema *c, int code, const char *fmt, ...)
{
    char text[320];
    va_list ap;
    if (!schema_ok(c))
        return;
    va_start(ap, fmt);
    err_format(text, sizeof text, fmt, ap);
    va_end(ap);
    gram_fault(c->b, code, "%s at #%.120s: %s", c->what, c->where.data, text);
}

/* "~" and "/" are written as RFC 6901 says. */
size_t schema_down(struct schema *c, const char *word, const char *key)
{
    const size_t mark = c->where.len;
    buf_addf(&c->where, "/%s", word);
    if (key)
        buf_addc(&c->where, '/');
    for (; key && *key; key++) {
        if (*key == '~' || *key == '/')
            buf_adds(&c->where, *key == '~' ? "~0" : "~1");
        else
            buf_addc(&c->where, *key);
    }
    return mark;
}

void schema_up(struct schema *c, size_t mark)
{
    if (c->where.failed) {
        gram_no_memory(c->b);
        return;
    }
    c->where.len = mark;
    c->where.data[mark] = 0;
}

bool schema_step(struct schema *c)
{
    if (++c->steps > SCHEMA_STEPS)
        schema_fault(c, GLIM_ELIMIT, "%d parts, expected at most %d: make the schema smaller",
                     c->steps, SCHEMA_STEPS);
    return schema_ok(c);
}

/* ---- $ref ---- */

/* The member that a part of a JSON pointer [len] names; "~1", "~0" and "%25" are decoded. */
static struct json_object *member(struct json_object *o, const char *part, size_t len)
{
    char key[512];
    size_t n = 0, digits;
    for (size_t i = 0; i < len && n + 1 < sizeof key; i++) {
        char c = part[i];
        if (c == '~' && i + 1 < len && (part[i + 1] == '0' || part[i + 1] == '1'))
            c = part[++i] == '0' ? '~' : '/';
        else if (c == '%' && len - i > 2) {
            const uint32_t value = hex_value(part + i + 1, len - i - 1, 2, &digits);
            c = digits == 2 && value != 0 ? (char)value : c;
            i += digits == 2 && value != 0 ? 2 : 0;
        }
        key[n++] = c;
    }
    key[n] = 0;
    if (json_object_is_type(o, json_type_array)) {
        char *end;
        const unsigned long long at = strtoull(key, &end, 10);
        return *end == 0 && n > 0 && key[0] >= '0' && key[0] <= '9'
                   ? json_object_array_get_idx(o, (size_t)at)
                   : NULL;
    }
    return schema_get(o, key);
}

struct json_object *schema_deref(struct schema *c, const char *ref)
{
    struct json_object *o = c->root;
    if (ref[0] != '#' || (ref[1] != 0 && ref[1] != '/')) {
        schema_fault(c, GLIM_EUNSUPPORTED,
                     "\"$ref\": \"%.100s\" is not supported, expected \"#\" or \"#/...\"", ref);
        return NULL;
    }
    for (const char *p = ref + 1; o && *p == '/';) {
        const size_t len = strcspn(p + 1, "/");
        o = member(o, p + 1, len);
        p += 1 + len;
    }
    if (!json_object_is_type(o, json_type_object) && !json_object_is_type(o, json_type_boolean)) {
        schema_fault(c, GLIM_EINVAL, "\"$ref\": \"%.100s\" leads to no schema", ref);
        return NULL;
    }
    return o;
}

static void put_off(struct schema *c, struct json_object *s, uint32_t rule, const char *ref)
{
    char *const where = strdup(ref[0] == '#' ? ref + 1 : ref);
    if (!where || mem_grow(&c->todo, &c->todo_cap, c->todos + 1, sizeof *c->todo) != GLIM_OK) {
        free(where);
        gram_no_memory(c->b);
        return;
    }
    c->todo[c->todos++] = (struct schema_todo){s, c->root, rule, where};
}

uint32_t schema_ref(struct schema *c, const char *ref, uint32_t from)
{
    char key[600];
    struct json_object *have;
    struct json_object *const target = schema_deref(c, ref);
    if (!target)
        return from;
    const int n = snprintf(key, sizeof key, "%p%s", (void *)c->root, ref);
    if (n < 0 || (size_t)n >= sizeof key) {
        schema_fault(c, GLIM_ELIMIT, "\"$ref\" of %zu bytes, expected at most 500", strlen(ref));
        return from;
    }
    if (!json_object_object_get_ex(c->refs, key, &have)) {
        const uint32_t rule = gram_rule(c->b, ref, strlen(ref));
        have = json_object_new_int64(rule);
        if (schema_ok(c))
            put_off(c, target, rule, ref);
        if (!json_put(c->refs, key, have))
            gram_no_memory(c->b);
    }
    const uint32_t to = gram_node(c->b);
    if (schema_ok(c))
        gram_call(c->b, from, (uint32_t)json_object_get_int64(have), to);
    return to;
}

void schema_finish(struct schema *c)
{
    while (c->todos > 0 && schema_ok(c)) {
        const struct schema_todo t = c->todo[--c->todos];
        const struct gram_frag frag = gram_rule_frag(c->b, t.rule);
        c->root = t.root;
        buf_clear(&c->where);
        buf_adds(&c->where, t.where);
        free(t.where);
        gram_empty(c->b, schema_value(c, t.schema, frag.start, STRING_JSON), frag.end);
    }
}

/* ---- alternatives ---- */

/* No value: a node that nothing leads to. */
static uint32_t nothing(struct schema *c)
{
    return gram_node(c->b);
}

static uint32_t flat_value(struct schema *c, struct json_object *s, uint32_t from,
                           enum string_form form);

static bool only_annotations(struct json_object *s, const char *but)
{
    json_object_object_foreach(s, word, v)
    {
        (void)v;
        if (strcmp(word, but) != 0 && strcmp(word, "$defs") != 0 && strcmp(word, "definitions") != 0
            && !schema_is_annotation(word))
            return false;
    }
    return true;
}

static void check_disjoint(struct schema *c, struct json_object *rest, struct json_object *list)
{
    const size_t n = json_object_array_length(list);
    (void)rest;
    for (size_t i = 0; i < n && schema_ok(c); i++) {
        for (size_t k = i + 1; k < n && schema_step(c); k++) {
            if (!schema_disjoint(c, json_object_array_get_idx(list, i),
                                 json_object_array_get_idx(list, k)))
                schema_fault(c, GLIM_EUNSUPPORTED,
                             "\"oneOf\": branches %zu and %zu may both match: use \"anyOf\", or "
                             "give them a required property with different \"const\"",
                             i, k);
        }
    }
}

static uint32_t branches(struct schema *c, struct json_object *s, const char *word, uint32_t from,
                         enum string_form form)
{
    struct json_object *const list = schema_get(s, word);
    struct json_object *const rest = schema_without(c, s, word);
    const bool alone = only_annotations(s, word);
    const uint32_t to = gram_node(c->b);
    if (strcmp(word, "oneOf") == 0)
        check_disjoint(c, rest, list);
    for (size_t i = 0; i < json_object_array_length(list) && schema_ok(c); i++) {
        struct json_object *const branch = json_object_array_get_idx(list, i);
        char number[24];
        (void)snprintf(number, sizeof number, "%zu", i);
        const size_t mark = schema_down(c, word, number);
        if (alone) {
            gram_empty(c->b, schema_value(c, branch, from, form), to);
        } else {
            struct json_object *const flat = schema_flatten(c, branch);
            struct json_object *const both = flat ? schema_merge(c, rest, flat) : NULL;
            if (both)
                gram_empty(c->b, schema_value(c, both, from, form), to);
        }
        schema_up(c, mark);
    }
    return to;
}

/* One way for each type. */
static uint32_t typed(struct schema *c, struct json_object *s, uint32_t from, enum string_form form)
{
    const unsigned types = schema_types(c, s);
    const uint32_t to = gram_node(c->b);
    if (types & TYPE_OBJECT)
        gram_empty(c->b, schema_object(c, s, from), to);
    if (types & TYPE_ARRAY)
        gram_empty(c->b, schema_array(c, s, from), to);
    if (types & TYPE_STRING)
        gram_empty(c->b, schema_string(c, s, from, form), to);
    if (types & (TYPE_INTEGER | TYPE_NUMBER))
        gram_empty(c->b, schema_number(c, s, from, !(types & TYPE_NUMBER)), to);
    if (types & TYPE_BOOLEAN) {
        gram_empty(c->b, gram_string(c->b, from, "true"), to);
        gram_empty(c->b, gram_string(c->b, from, "false"), to);
    }
    if (types & TYPE_NULL)
        gram_empty(c->b, gram_string(c->b, from, "null"), to);
    return to;
}

static uint32_t flat_value(struct schema *c, struct json_object *s, uint32_t from,
                           enum string_form form)
{
    if (json_object_is_type(s, json_type_boolean) && !json_object_get_boolean(s))
        return nothing(c);
    if (schema_get(s, "anyOf"))
        return branches(c, s, "anyOf", from, form);
    if (schema_get(s, "oneOf"))
        return branches(c, s, "oneOf", from, form);
    if (schema_get(s, "enum") || json_object_object_get_ex(s, "const", NULL))
        return schema_listed(c, s, from, form);
    if (form == STRING_JSON
        && (json_object_is_type(s, json_type_boolean) || only_annotations(s, "")))
        return schema_call(c, RULE_VALUE, from);
    return typed(c, s, from, form);
}

uint32_t schema_value(struct schema *c, struct json_object *s, uint32_t from, enum string_form form)
{
    struct json_object *const ref = schema_get(s, "$ref");
    uint32_t to = from;
    if (!schema_step(c))
        return from;
    if (++c->depth > SCHEMA_DEPTH)
        schema_fault(c, GLIM_ELIMIT, "more than %d levels, expected at most that", SCHEMA_DEPTH);
    if (json_object_is_type(s, json_type_object))
        schema_check_words(c, s);
    else if (!json_object_is_type(s, json_type_boolean))
        schema_fault(c, GLIM_EINVAL, "expected a schema (an object, true or false)");
    if (schema_ok(c) && ref && form == STRING_JSON && only_annotations(s, "$ref")) {
        to = schema_ref(c, json_object_get_string(ref), from);
    } else if (schema_ok(c)) {
        struct json_object *const flat = schema_flatten(c, s);
        to = flat ? flat_value(c, flat, from, form) : nothing(c);
    }
    c->depth--;
    return to;
}

/* ---- the whole text ---- */

static void compile(struct schema *c, struct json_object *s)
{
    const uint32_t rule = gram_rule(c->b, "#", 1);
    const struct gram_frag whole = gram_rule_frag(c->b, rule);
    struct buf text;
    buf_init(&text);
    json_write(&text, s);
    c->root = s;
    if (text.failed)
        gram_no_memory(c->b);
    if (text.len > GRAMMAR_TEXT_MAX)
        schema_fault(c, GLIM_ELIMIT, "%zu bytes, expected at most %d", text.len, GRAMMAR_TEXT_MAX);
    buf_deinit(&text);
    gram_empty(c->b, schema_value(c, s, whole.start, STRING_JSON), whole.end);
    schema_finish(c);
}

int grammar_from_schema(struct grammar **out, const struct tok *t, struct json_object *schema,
                        struct err *e)
{
    struct gram_builder b;
    struct schema c;
    *out = NULL;
    gram_builder_init(&b, e);
    int rc = schema_init(&c, &b);
    if (rc == GLIM_OK)
        compile(&c, schema);
    rc = gram_finish(&b, tok_count(t), out);
    schema_deinit(&c);
    gram_builder_deinit(&b);
    return rc;
}

int grammar_from_json(struct grammar **out, const struct tok *t, struct err *e)
{
    struct json_object *const s = json_object_new_object();
    struct json_object *const type = json_object_new_string("object");
    *out = NULL;
    if (!json_put(s, "type", type)) {
        json_object_put(s);
        return err_nomem(e, "grammar", 0);
    }
    const int rc = grammar_from_schema(out, t, s, e);
    json_object_put(s);
    return rc;
}
