/* schema_string.c - strings of JSON schemas, in quotes and escaped, or raw.
 *
 * A JSON string without a pattern may use every escape of RFC 8259 but halves of surrogate pairs.
 * One with a pattern, a format or given values is written in one way only: each character as it is,
 * but '"', '\' and controls, which have their short escape or else \u00xx.
 *
 * Lengths count characters. With a pattern or format they are counted along: an automaton of
 * (node, characters so far).
 */
#include "text/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

enum { PRODUCT_MAX = 200000 }; /* nodes times lengths */
#define MATCH_WORK_MAX UINT64_C(300000000)

/* ---- characters ---- */

static const char *short_escape(uint32_t c)
{
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\b': return "\\b";
    case '\f': return "\\f";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: return NULL;
    }
}

static void escaped(struct schema *c, uint32_t from, uint32_t ch, uint32_t to)
{
    char text[8];
    const char *const form = short_escape(ch);
    (void)snprintf(text, sizeof text, "\\u%04x", ch & 0xFFFF);
    gram_empty(c->b, gram_string(c->b, from, form ? form : text), to);
}

static bool must_escape(uint32_t ch)
{
    return ch < 0x20 || ch == '"' || ch == '\\';
}

static bool covers(const struct charset *set, uint32_t lo, uint32_t hi)
{
    for (size_t i = 0; i < set->n; i++) {
        if (set->r[i].lo <= lo && hi <= set->r[i].hi)
            return true;
    }
    return false;
}

/* The members of the set that are at most `last`, each as JSON writes it. */
static void json_chars(struct schema *c, uint32_t from, const struct charset *set, uint32_t last,
                       bool escapes, uint32_t to)
{
    struct charset plain = {0};
    for (size_t i = 0; i < set->n && set->r[i].lo <= last && schema_ok(c); i++) {
        const uint32_t hi = set->r[i].hi < last ? set->r[i].hi : last;
        uint32_t lo = set->r[i].lo;
        for (uint32_t ch = lo; ch <= hi && ch <= '\\'; ch++) {
            if (!must_escape(ch))
                continue;
            if (escapes)
                escaped(c, from, ch, to);
            if (ch > lo)
                charset_add(&plain, lo, ch - 1);
            lo = ch + 1;
        }
        if (lo <= hi)
            charset_add(&plain, lo, hi);
    }
    if (plain.failed)
        gram_no_memory(c->b);
    gram_chars(c->b, from, plain.r, plain.n, to);
    charset_free(&plain);
}

void schema_make_odd(struct schema *c, struct gram_frag f)
{
    static struct gram_range odd[] = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}, {0x80, GRAM_CHAR_MAX}};
    const struct charset set = {.r = odd, .n = COUNT_OF(odd)};
    json_chars(c, f.start, &set, GRAM_CHAR_MAX, true, f.end);
}

/* Sets that take all but some ASCII are common: what they share is one rule. */
void schema_chars(struct schema *c, uint32_t from, const struct charset *set, uint32_t to,
                  enum string_form form)
{
    const bool odd = covers(set, 0, 0x1F) && covers(set, '"', '"') && covers(set, '\\', '\\')
                     && covers(set, 0x80, GRAM_CHAR_MAX);
    if (form == STRING_RAW)
        gram_chars(c->b, from, set->r, set->n, to);
    else
        json_chars(c, from, set, odd ? 0x7F : GRAM_CHAR_MAX, !odd, to);
    if (form == STRING_JSON && odd)
        gram_empty(c->b, schema_call(c, RULE_ODD_CHAR, from), to);
}

uint32_t schema_text(struct schema *c, uint32_t from, const char *text, size_t len,
                     enum string_form form)
{
    size_t n;
    if (utf8_valid_len(text, len) != len)
        schema_fault(c, GLIM_EINVAL, "a text that is not UTF-8");
    if (form == STRING_JSON)
        from = gram_string(c->b, from, "\"");
    for (size_t i = 0; i < len && schema_ok(c); i += n) {
        const uint32_t ch = utf8_decode_valid(text + i, &n);
        if (form == STRING_JSON && must_escape(ch)) {
            const uint32_t to = gram_node(c->b);
            escaped(c, from, ch, to);
            from = to;
        } else {
            from = gram_text(c->b, from, text + i, n);
        }
    }
    return form == STRING_JSON ? gram_string(c->b, from, "\"") : from;
}

/* ---- expressions ---- */

bool schema_pattern(struct schema *c, const char *text, struct regex *out)
{
    struct err e = {0};
    *out = (struct regex){0};
    if (schema_ok(c) && regex_parse(out, text, strlen(text), &e) != GLIM_OK)
        schema_fault(c, e.code, "%s", e.text);
    return schema_ok(c);
}

bool schema_matches(struct schema *c, const struct regex *x, const char *text, size_t len)
{
    c->work += (len + 1) * (x->edges + 1);
    if (c->work > MATCH_WORK_MAX)
        schema_fault(c, GLIM_ELIMIT,
                     "comparing texts with patterns takes more than %llu steps, expected at most "
                     "that",
                     (unsigned long long)MATCH_WORK_MAX);
    return schema_ok(c) && regex_matches(x, text, len);
}

/* The automaton of an expression while it is laid out; node [nodes * lengths], 0: not made yet. */
struct layout {
    struct schema *c;
    const struct regex *x;
    uint32_t min, max, lengths; /* counted up to lengths - 1; 1: not counted */
    uint32_t *node;
    uint32_t *set_rule;      /* [sets] */
    uint32_t *first, *order; /* edges by node */
    uint32_t *todo;
    size_t todos;
    enum string_form form;
};

static uint32_t at(struct layout *l, uint32_t node, uint32_t length)
{
    const size_t i = (size_t)node * l->lengths + length;
    if (l->node[i] == 0) {
        l->node[i] = gram_node(l->c->b) + 1;
        l->todo[l->todos++] = (uint32_t)i;
    }
    return l->node[i] - 1;
}

/* A character of the set: by a rule of its own, if it would take many edges each time. */
static void by_set(struct layout *l, uint32_t from, int32_t set, uint32_t to)
{
    const struct charset *const s = &l->x->set[set];
    struct schema *const c = l->c;
    if (s->n <= 4 && s->n > 0 && s->r[s->n - 1].hi < 0x80) {
        schema_chars(c, from, s, to, l->form);
        return;
    }
    if (l->set_rule[set] == 0) {
        const uint32_t rule = gram_rule(c->b, NULL, 0);
        const struct gram_frag f = gram_rule_frag(c->b, rule);
        schema_chars(c, f.start, s, f.end, l->form);
        l->set_rule[set] = rule;
    }
    if (schema_ok(c))
        gram_call(c->b, from, l->set_rule[set], to);
}

static void lay_out_node(struct layout *l, uint32_t i)
{
    const uint32_t node = i / l->lengths, length = i % l->lengths, from = l->node[i] - 1;
    for (uint32_t k = l->first[node]; k < l->first[node + 1] && schema_ok(l->c); k++) {
        const struct regex_edge *const x = &l->x->edge[l->order[k]];
        if (x->set < 0) {
            gram_empty(l->c->b, from, at(l, x->to, length));
            continue;
        }
        if (l->max != GRAM_UNBOUNDED && length == l->max)
            continue;
        const uint32_t longer = length + 1 < l->lengths ? length + 1 : length;
        by_set(l, from, x->set, at(l, x->to, longer));
    }
}

static void sort_edges(struct layout *l)
{
    for (size_t i = 0; i < l->x->edges; i++)
        l->first[l->x->edge[i].from + 1]++;
    for (uint32_t n = 0; n < l->x->nodes; n++)
        l->first[n + 1] += l->first[n];
    for (size_t i = 0; i < l->x->edges; i++)
        l->order[l->first[l->x->edge[i].from]++] = (uint32_t)i;
    for (uint32_t n = l->x->nodes; n > 0; n--)
        l->first[n] = l->first[n - 1];
    l->first[0] = 0;
}

static void lay_out(struct layout *l, uint32_t from, uint32_t to)
{
    sort_edges(l);
    gram_empty(l->c->b, from, at(l, 0, 0));
    while (l->todos > 0 && schema_ok(l->c))
        lay_out_node(l, l->todo[--l->todos]);
    for (uint32_t n = l->lengths == 1 ? 0 : l->min; n < l->lengths && schema_ok(l->c); n++) {
        if (l->node[l->lengths + n] != 0)
            gram_empty(l->c->b, l->node[l->lengths + n] - 1, to);
    }
}

uint32_t schema_regex(struct schema *c, const struct regex *x, uint32_t from, uint32_t min,
                      uint32_t max, enum string_form form)
{
    struct layout l = {.c = c, .x = x, .min = min, .max = max, .form = form};
    const uint32_t most = max == GRAM_UNBOUNDED ? min : max, to = gram_node(c->b);
    if ((uint64_t)x->nodes * ((uint64_t)most + 1) > PRODUCT_MAX)
        schema_fault(c, GLIM_ELIMIT,
                     "a pattern of %u states with lengths up to %u, expected a product of at most "
                     "%d: say the length in the pattern",
                     x->nodes, most, PRODUCT_MAX);
    if (!schema_ok(c))
        return to;
    l.lengths = most + 1;
    const size_t n = (size_t)x->nodes * l.lengths;
    l.node = calloc(n, sizeof *l.node);
    l.todo = calloc(n, sizeof *l.todo);
    l.set_rule = calloc(x->sets + 1, sizeof *l.set_rule);
    l.first = calloc((size_t)x->nodes + 2, sizeof *l.first);
    l.order = calloc(x->edges + 1, sizeof *l.order);
    if (l.node && l.todo && l.set_rule && l.first && l.order)
        lay_out(&l, from, to);
    else
        gram_no_memory(c->b);
    free(l.node);
    free(l.todo);
    free(l.set_rule);
    free(l.first);
    free(l.order);
    return to;
}

/* ---- values ---- */

static uint32_t plain_string(struct schema *c, uint32_t from, uint32_t min, uint32_t max,
                             enum string_form form);

/* A text whose first character is one of c->first. */
static uint32_t chosen_text(struct schema *c, uint32_t from, uint32_t min, uint32_t max)
{
    const struct charset *const first = c->first;
    const uint32_t begun = gram_node(c->b), to = gram_node(c->b);
    if (min == 0)
        gram_empty(c->b, from, to);
    if (max == 0)
        return to;
    c->first = NULL;
    schema_chars(c, from, first, begun, STRING_RAW);
    gram_empty(c->b,
               plain_string(c, begun, min > 0 ? min - 1 : 0, max == GRAM_UNBOUNDED ? max : max - 1,
                            STRING_RAW),
               to);
    c->first = first;
    return to;
}

static uint32_t plain_string(struct schema *c, uint32_t from, uint32_t min, uint32_t max,
                             enum string_form form)
{
    if (form == STRING_RAW && c->first)
        return chosen_text(c, from, min, max);
    if (form == STRING_JSON && min == 0 && max == GRAM_UNBOUNDED)
        return schema_call(c, RULE_STRING, from);
    if (form == STRING_JSON)
        from = gram_string(c->b, from, "\"");
    struct gram_frag one = {gram_node(c->b), gram_node(c->b)};
    const uint32_t rule = schema_common(c, form == STRING_JSON ? RULE_CHAR : RULE_RAW_CHAR);
    if (schema_ok(c))
        gram_call(c->b, one.start, rule, one.end);
    from = gram_times(c->b, from, one, min, max);
    return form == STRING_JSON ? gram_string(c->b, from, "\"") : from;
}

uint32_t schema_string(struct schema *c, struct json_object *s, uint32_t from,
                       enum string_form form)
{
    const uint32_t min = schema_count(c, s, "minLength", 0);
    const uint32_t max = schema_count(c, s, "maxLength", GRAM_UNBOUNDED);
    const char *const text = schema_expression(c, s);
    struct regex x;
    if (!schema_ok(c) || min > max)
        return gram_node(c->b);
    if (!text)
        return plain_string(c, from, min, max, form);
    if (schema_pattern(c, text, &x)) {
        if (form == STRING_JSON)
            from = gram_string(c->b, from, "\"");
        from = schema_regex(c, &x, from, min, max, form);
        if (form == STRING_JSON)
            from = gram_string(c->b, from, "\"");
    }
    regex_free(&x);
    return from;
}

static size_t count_chars(const char *text, size_t len)
{
    size_t chars = 0;
    for (size_t i = 0; i < len; i++)
        chars += ((uint8_t)text[i] & 0xC0) != 0x80;
    return chars;
}

bool schema_string_fits(struct schema *c, struct json_object *s, struct json_object *value)
{
    const char *const text = json_object_get_string(value), *const pattern =
                                                                schema_expression(c, s);
    const size_t len = (size_t)json_object_get_string_len(value), chars = count_chars(text, len);
    struct regex x;
    bool fits = chars >= schema_count(c, s, "minLength", 0)
                && chars <= schema_count(c, s, "maxLength", GRAM_UNBOUNDED);
    if (fits && pattern && utf8_valid_len(text, len) == len) {
        fits = schema_pattern(c, pattern, &x) && schema_matches(c, &x, text, len);
        regex_free(&x);
    }
    return fits;
}
