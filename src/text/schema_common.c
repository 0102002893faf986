/* schema_common.c - rules that many values share: any JSON value, strings of any text, white space.
 *
 * White space is bounded, so that no answer can be spent on it: none or one space behind a colon;
 * elsewhere nothing, one space, or a line break and an indentation.
 */
#include "text/schema.h"

#include "base/util.h"

enum { INDENT_SPACES = 40, INDENT_TABS = 10 };

static void make_space(struct schema *c, struct gram_frag f)
{
    const uint32_t line = gram_string(c->b, f.start, "\n");
    struct gram_frag space = {gram_node(c->b), gram_node(c->b)};
    struct gram_frag tab = {gram_node(c->b), gram_node(c->b)};
    gram_empty(c->b, f.start, f.end);
    gram_bytes(c->b, f.start, ' ', ' ', f.end);
    gram_bytes(c->b, space.start, ' ', ' ', space.end);
    gram_bytes(c->b, tab.start, '\t', '\t', tab.end);
    gram_empty(c->b, gram_times(c->b, line, space, 0, INDENT_SPACES), f.end);
    gram_empty(c->b, gram_times(c->b, line, tab, 1, INDENT_TABS), f.end);
}

static void make_gap(struct schema *c, struct gram_frag f)
{
    gram_empty(c->b, f.start, f.end);
    gram_bytes(c->b, f.start, ' ', ' ', f.end);
}

/* One hexadecimal digit from lo to hi. */
static void hex_digit(struct schema *c, uint32_t from, unsigned lo, unsigned hi, uint32_t to)
{
    if (lo <= 9)
        gram_bytes(c->b, from, (uint8_t)('0' + lo), (uint8_t)('0' + (hi < 9 ? hi : 9)), to);
    if (hi >= 10) {
        const unsigned low = lo > 10 ? lo - 10 : 0;
        gram_bytes(c->b, from, (uint8_t)('a' + low), (uint8_t)('a' + hi - 10), to);
        gram_bytes(c->b, from, (uint8_t)('A' + low), (uint8_t)('A' + hi - 10), to);
    }
}

/* n more of them, any. */
static uint32_t more_hex(struct schema *c, uint32_t from, int n)
{
    while (n-- > 0) {
        const uint32_t to = gram_node(c->b);
        hex_digit(c, from, 0, 15, to);
        from = to;
    }
    return from;
}

/* What follows "\u": a character, or a pair of surrogates. */
static void unicode_escape(struct schema *c, uint32_t from, uint32_t to)
{
    const uint32_t rest = gram_node(c->b), d = gram_node(c->b), high = gram_node(c->b);
    hex_digit(c, from, 0, 0xC, rest);
    hex_digit(c, from, 0xE, 0xF, rest);
    gram_empty(c->b, more_hex(c, rest, 3), to);
    hex_digit(c, from, 0xD, 0xD, d);
    const uint32_t low = gram_node(c->b);
    hex_digit(c, d, 0, 7, low);
    gram_empty(c->b, more_hex(c, low, 2), to);
    hex_digit(c, d, 8, 0xB, high);
    const uint32_t pair = gram_string(c->b, more_hex(c, high, 2), "\\u");
    const uint32_t second = gram_node(c->b), third = gram_node(c->b);
    hex_digit(c, pair, 0xD, 0xD, second);
    hex_digit(c, second, 0xC, 0xF, third);
    gram_empty(c->b, more_hex(c, third, 2), to);
}

static void make_char(struct schema *c, struct gram_frag f)
{
    static const struct gram_range plain[] = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, GRAM_CHAR_MAX}};
    const uint32_t escape = gram_string(c->b, f.start, "\\");
    gram_chars(c->b, f.start, plain, COUNT_OF(plain), f.end);
    for (const char *p = "\"\\/bfnrt"; *p; p++)
        gram_bytes(c->b, escape, (uint8_t)*p, (uint8_t)*p, f.end);
    unicode_escape(c, gram_string(c->b, escape, "u"), f.end);
}

static void make_string(struct schema *c, struct gram_frag f)
{
    const uint32_t inside = gram_string(c->b, f.start, "\"");
    make_char(c, (struct gram_frag){inside, inside});
    gram_bytes(c->b, inside, '"', '"', f.end);
}

static void make_raw_char(struct schema *c, struct gram_frag f)
{
    static const struct gram_range all = {0, GRAM_CHAR_MAX};
    gram_chars(c->b, f.start, &all, 1, f.end);
}

static void make_number(struct schema *c, struct gram_frag f, bool integer)
{
    gram_empty(c->b, schema_number(c, NULL, f.start, integer), f.end);
}

static void make_pairs(struct schema *c, struct gram_frag f)
{
    uint32_t n = schema_call(c, RULE_STRING, f.start);
    n = schema_call(c, RULE_GAP, gram_string(c->b, n, ":"));
    n = schema_call(c, RULE_VALUE, n);
    gram_empty(c->b, n, f.end);
    const uint32_t next = schema_call(c, RULE_SPACE, gram_string(c->b, n, ","));
    gram_empty(c->b, next, f.start);
}

static void make_object(struct schema *c, struct gram_frag f)
{
    const uint32_t begun = schema_call(c, RULE_SPACE, gram_string(c->b, f.start, "{"));
    const uint32_t full = schema_call(c, RULE_SPACE, schema_call(c, RULE_PAIRS, begun));
    const uint32_t ends = gram_node(c->b);
    gram_empty(c->b, begun, ends);
    gram_empty(c->b, full, ends);
    gram_bytes(c->b, ends, '}', '}', f.end);
}

static void make_value(struct schema *c, struct gram_frag f)
{
    const uint32_t begun = schema_call(c, RULE_SPACE, gram_string(c->b, f.start, "["));
    const uint32_t item = gram_node(c->b), ends = gram_node(c->b);
    gram_empty(c->b, begun, item);
    gram_empty(c->b, begun, ends);
    const uint32_t behind = schema_call(c, RULE_VALUE, item);
    gram_empty(c->b, schema_call(c, RULE_SPACE, gram_string(c->b, behind, ",")), item);
    gram_empty(c->b, schema_call(c, RULE_SPACE, behind), ends);
    gram_bytes(c->b, ends, ']', ']', f.end);
    gram_empty(c->b, schema_call(c, RULE_OBJECT, f.start), f.end);
    gram_empty(c->b, schema_call(c, RULE_STRING, f.start), f.end);
    gram_empty(c->b, schema_call(c, RULE_NUMBER, f.start), f.end);
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < COUNT_OF(words); i++)
        gram_empty(c->b, gram_string(c->b, f.start, words[i]), f.end);
}

static void make(struct schema *c, enum common_rule which, struct gram_frag f)
{
    switch (which) {
    case RULE_SPACE: make_space(c, f); break;
    case RULE_GAP: make_gap(c, f); break;
    case RULE_CHAR: make_char(c, f); break;
    case RULE_STRING: make_string(c, f); break;
    case RULE_NUMBER: make_number(c, f, false); break;
    case RULE_INTEGER: make_number(c, f, true); break;
    case RULE_PAIRS: make_pairs(c, f); break;
    case RULE_OBJECT: make_object(c, f); break;
    case RULE_VALUE: make_value(c, f); break;
    case RULE_ODD_CHAR: schema_make_odd(c, f); break;
    case RULE_RAW_CHAR: make_raw_char(c, f); break;
    case RULE_COUNT: break;
    }
}

uint32_t schema_common(struct schema *c, enum common_rule which)
{
    if (c->common[which] == 0
        && schema_ok(c)) { /* a fault makes no rules: it would go on for ever */
        const uint32_t rule = gram_rule(c->b, NULL, 0);
        c->common[which] = rule; /* before it is made: it may be recursive */
        make(c, which, gram_rule_frag(c->b, rule));
    }
    return c->common[which];
}

uint32_t schema_call(struct schema *c, enum common_rule which, uint32_t from)
{
    const uint32_t rule = schema_common(c, which), to = gram_node(c->b);
    if (schema_ok(c))
        gram_call(c->b, from, rule, to);
    return to;
}
