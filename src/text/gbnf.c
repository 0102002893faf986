/* gbnf.c - llama.cpp's grammar language -> struct grammar.
 *
 *     name ::= sequence | sequence ...      a rule; "root" is the whole text
 * "text" [a-z^\n] [^"\\] . characters; escapes \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH
 *     name  ( ... )                         another rule, a group
 *     x*  x+  x?  x{m}  x{m,}  x{m,n}       repetition
 *     <think>  <[154829]>                   an added token of the model, by its text or id
 *     # to the end of the line              comment
 *
 * A rule ends with its line, but goes on behind "::=" and "|" and inside parentheses. Escapes are
 * code points, so that the text stays UTF-8.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/charset.h"
#include "text/cursor.h"
#include "text/grammar.h"

enum { GBNF_DEPTH = 64 };

struct gbnf {
    struct gram_builder b;
    const struct tok *t;
    struct cursor in; /* valid UTF-8 */
    struct json_object *names; /* rule by name: its number, with DEFINED once it has a body */
    int depth;
};
#define DEFINED INT64_C(0x100000000)

/* ---- places ---- */

static void wrong(struct gbnf *p, const char *expected)
{
    size_t line = 1, column = 1, n = 0;
    char found[24] = "the end";
    for (size_t i = 0; i < p->in.at && i < p->in.len; i++) {
        line += p->in.text[i] == '\n';
        column = p->in.text[i] == '\n' ? 1 : column + 1;
    }
    for (; n < 12 && p->in.at + n < p->in.len && p->in.text[p->in.at + n] != '\n'; n++)
        found[n + 1] = p->in.text[p->in.at + n];
    if (n > 0 || p->in.at < p->in.len) {
        found[0] = '"';
        found[n + 1] = '"';
        found[n + 2] = 0;
    }
    gram_fault(&p->b, GLIM_EINVAL, "grammar, line %zu, column %zu: %s, expected %s", line, column,
               found, expected);
}

static void skip_space(struct gbnf *p, bool lines)
{
    for (char c; p->in.at < p->in.len; p->in.at++) {
        c = p->in.text[p->in.at];
        if (c == '#') {
            while (p->in.at < p->in.len && p->in.text[p->in.at] != '\n')
                p->in.at++;
            c = '\n';
            if (p->in.at == p->in.len)
                return;
        }
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
            return;
    }
}

static size_t name_length(const struct gbnf *p)
{
    size_t n = 0;
    for (char c; p->in.at + n < p->in.len; n++) {
        c = p->in.text[p->in.at + n];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'
              || c == '_'))
            break;
    }
    return n;
}

/* ---- rules by name ---- */

/* The entry of the rule named at the text, which is made if it is new. */
static int64_t rule_named(struct gbnf *p, size_t len, bool define)
{
    char *const name = strndup(p->in.text + p->in.at, len);
    struct json_object *have = NULL;
    int64_t value = 0;
    if (!name) {
        gram_no_memory(&p->b);
        return 0;
    }
    if (json_object_object_get_ex(p->names, name, &have))
        value = json_object_get_int64(have);
    else
        value = gram_rule(&p->b, name, len);
    if (define && (value & DEFINED))
        gram_fault(&p->b, GLIM_EINVAL, "grammar: rule \"%.64s\" is defined twice", name);
    if (define)
        value |= DEFINED;
    if (have)
        json_object_set_int64(have, value);
    else if (!json_put(p->names, name, json_object_new_int64(value)))
        gram_no_memory(&p->b);
    free(name);
    return value & (DEFINED - 1);
}

/* ---- characters ---- */

static uint32_t escape(struct gbnf *p)
{
    static const char plain[] = "nrt", meant[] = "\n\r\t";
    const char c = cursor_peek(&p->in);
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const char *const short_form = c ? strchr(plain, c) : NULL;
    if (digits > 0) {
        size_t n;
        const uint32_t value = hex_value(p->in.text + p->in.at + 1, cursor_left(&p->in) - 1,
                                         digits, &n);
        if (n != digits || value > GRAM_CHAR_MAX || (value >= 0xD800 && value <= 0xDFFF)) {
            wrong(p, "the hexadecimal digits of a character");
            return 0;
        }
        p->in.at += 1 + digits;
        return value;
    }
    if (!short_form && !(c && strchr("\\\"[]-^/'", c))) {
        wrong(p, "n, r, t, \\, \", [, ], x, u or U behind a backslash");
        return 0;
    }
    p->in.at++;
    return short_form ? (uint32_t)meant[short_form - plain] : (uint32_t)c;
}

static uint32_t character(struct gbnf *p)
{
    return cursor_take(&p->in, "\\") ? escape(p) : cursor_character(&p->in);
}

static uint32_t literal(struct gbnf *p, uint32_t from)
{
    while (p->b.rc == GLIM_OK && !cursor_take(&p->in, "\"")) {
        char bytes[4];
        if (p->in.at == p->in.len || cursor_peek(&p->in) == '\n') {
            wrong(p, "the closing \" of the text");
            break;
        }
        const uint32_t c = character(p);
        from = gram_text(&p->b, from, bytes, utf8_encode(c, bytes));
    }
    return from;
}

static uint32_t class(struct gbnf *p, uint32_t from)
{
    struct charset set = {0};
    const bool inverted = cursor_take(&p->in, "^");
    while (p->b.rc == GLIM_OK && !cursor_take(&p->in, "]")) {
        if (p->in.at == p->in.len) {
            wrong(p, "the closing ] of the characters");
            break;
        }
        const uint32_t lo = character(p);
        uint32_t hi = lo;
        if (cursor_in_range(&p->in)) {
            p->in.at++;
            hi = character(p);
            if (hi < lo && p->b.rc == GLIM_OK)
                wrong(p, "a range from a lower to a higher character before it");
        }
        if (p->b.rc == GLIM_OK)
            charset_add(&set, lo, hi);
    }
    if (inverted)
        charset_invert(&set);
    charset_sort(&set);
    const uint32_t to = gram_node(&p->b);
    if (set.failed)
        gram_no_memory(&p->b);
    gram_chars(&p->b, from, set.r, set.n, to);
    charset_free(&set);
    return to;
}

static uint32_t any_character(struct gbnf *p, uint32_t from)
{
    static const struct gram_range all = {0, GRAM_CHAR_MAX};
    const uint32_t to = gram_node(&p->b);
    gram_chars(&p->b, from, &all, 1, to);
    return to;
}

/* ---- tokens ---- */

static int32_t token_id(struct gbnf *p, size_t len)
{
    const char *const text = p->in.text + p->in.at;
    int64_t id = 0;
    if (len < 5 || text[1] != '[' || text[len - 2] != ']')
        return tok_find(p->t, text, len);
    for (size_t i = 2; i < len - 2; i++) {
        if (text[i] < '0' || text[i] > '9' || id > INT32_MAX / 10 - 10)
            return -1;
        id = 10 * id + (text[i] - '0');
    }
    return id < (int64_t)tok_count(p->t) ? (int32_t)id : -1;
}

static uint32_t special(struct gbnf *p, uint32_t from)
{
    const char *const end = memchr(p->in.text + p->in.at, '>', p->in.len - p->in.at);
    const size_t len = end ? (size_t)(end - p->in.text) - p->in.at + 1 : 0;
    const int32_t id = end ? token_id(p, len) : -1;
    const enum tok_attr attr = tok_attr(p->t, id);
    const uint32_t to = gram_node(&p->b);
    if (!end)
        wrong(p, "a token <...>");
    else if (id < 0 || attr == TOK_UNUSED || attr == TOK_NORMAL)
        gram_fault(&p->b, GLIM_EINVAL,
                   "grammar: %.*s is no added token of this model, expected one (ordinary text "
                   "stands in quotes)",
                   (int)(len > 64 ? 64 : len), p->in.text + p->in.at);
    else
        gram_token(&p->b, from, id, to);
    p->in.at += len;
    return to;
}

/* ---- sequences ---- */

static void alternatives(struct gbnf *p, uint32_t from, uint32_t to, bool nested);

static uint32_t group(struct gbnf *p, uint32_t from)
{
    const uint32_t to = gram_node(&p->b);
    if (++p->depth > GBNF_DEPTH)
        gram_fault(&p->b, GLIM_ELIMIT, "grammar: groups %d deep, expected at most %d", p->depth,
                   GBNF_DEPTH);
    if (p->b.rc == GLIM_OK)
        alternatives(p, from, to, true);
    p->depth--;
    if (p->b.rc == GLIM_OK && !cursor_take(&p->in, ")"))
        wrong(p, "the closing ) of the group");
    return to;
}

static uint32_t reference(struct gbnf *p, uint32_t from)
{
    const size_t len = name_length(p);
    const int64_t rule = rule_named(p, len, false);
    const uint32_t to = gram_node(&p->b);
    p->in.at += len;
    gram_call(&p->b, from, (uint32_t)rule, to);
    return to;
}

static bool begins_item(const struct gbnf *p)
{
    const char c = cursor_peek(&p->in);
    return c && (strchr("\"[.<(!", c) || name_length(p) > 0);
}

/* A name followed by ::= is the next rule, wherever it stands. */
static uint32_t item(struct gbnf *p, uint32_t from)
{
    if (cursor_take(&p->in, "\""))
        return literal(p, from);
    if (cursor_take(&p->in, "["))
        return class(p, from);
    if (cursor_take(&p->in, "."))
        return any_character(p, from);
    if (cursor_take(&p->in, "("))
        return group(p, from);
    if (cursor_peek(&p->in) == '<')
        return special(p, from);
    if (cursor_peek(&p->in) == '!')
        gram_fault(&p->b, GLIM_EUNSUPPORTED,
                   "grammar: \"!<token>\" (any other token) is not supported: say what may come");
    return reference(p, from);
}

static uint32_t number(struct gbnf *p)
{
    uint64_t n = 0;
    const size_t begin = p->in.at;
    for (; cursor_peek(&p->in) >= '0' && cursor_peek(&p->in) <= '9'; p->in.at++)
        n = n > UINT32_MAX ? n : 10 * n + (uint64_t)(cursor_peek(&p->in) - '0');
    if (begin == p->in.at)
        wrong(p, "a number");
    else if (n > GRAM_REPEAT_MAX)
        gram_fault(&p->b, GLIM_ELIMIT, "grammar: a repetition of %.*s, expected at most %d",
                   (int)(p->in.at - begin > 32 ? 32 : p->in.at - begin), p->in.text + begin,
                   GRAM_REPEAT_MAX);
    return (uint32_t)n;
}

/* {m}, {m,} or {m,n}, behind the brace. */
static void bounds(struct gbnf *p, uint32_t *min, uint32_t *max)
{
    skip_space(p, true);
    *min = *max = number(p);
    skip_space(p, true);
    if (p->b.rc == GLIM_OK && cursor_take(&p->in, ",")) {
        skip_space(p, true);
        *max = cursor_peek(&p->in) == '}' ? GRAM_UNBOUNDED : number(p);
        skip_space(p, true);
    }
    if (p->b.rc == GLIM_OK && !cursor_take(&p->in, "}"))
        wrong(p, "the closing } of the repetition");
    else if (p->b.rc == GLIM_OK && *min > *max)
        gram_fault(&p->b, GLIM_EINVAL,
                   "grammar: repetition {%u,%u}, expected the lower bound first", *min, *max);
}

static bool postfix(struct gbnf *p, uint32_t *min, uint32_t *max)
{
    *min = cursor_peek(&p->in) == '+';
    *max = cursor_peek(&p->in) == '?' ? 1 : GRAM_UNBOUNDED;
    if (cursor_take(&p->in, "*") || cursor_take(&p->in, "+") || cursor_take(&p->in, "?"))
        return true;
    if (!cursor_take(&p->in, "{"))
        return false;
    bounds(p, min, max);
    return true;
}

static uint32_t sequence(struct gbnf *p, uint32_t from, bool nested)
{
    while (p->b.rc == GLIM_OK && begins_item(p)) {
        uint32_t min, max;
        struct gram_frag x = {.start = gram_node(&p->b)};
        x.end = item(p, x.start);
        skip_space(p, nested);
        while (p->b.rc == GLIM_OK && postfix(p, &min, &max)) {
            const uint32_t start = gram_node(&p->b);
            x = (struct gram_frag){start, gram_times(&p->b, start, x, min, max)};
            skip_space(p, nested);
        }
        gram_empty(&p->b, from, x.start);
        from = x.end;
    }
    return from;
}

static void alternatives(struct gbnf *p, uint32_t from, uint32_t to, bool nested)
{
    skip_space(p, true);
    for (;;) {
        const uint32_t start = gram_node(&p->b);
        gram_empty(&p->b, from, start);
        gram_empty(&p->b, sequence(p, start, nested), to);
        if (p->b.rc != GLIM_OK || !cursor_take(&p->in, "|"))
            break;
        skip_space(p, true);
    }
}

static void rule(struct gbnf *p)
{
    const size_t len = name_length(p);
    if (len == 0) {
        wrong(p, "the name of a rule");
        return;
    }
    const uint32_t r = (uint32_t)rule_named(p, len, true);
    const struct gram_frag frag = gram_rule_frag(&p->b, r);
    p->in.at += len;
    skip_space(p, false);
    if (p->b.rc == GLIM_OK && !cursor_take(&p->in, "::="))
        wrong(p, "\"::=\" behind the name of a rule");
    if (p->b.rc == GLIM_OK)
        alternatives(p, frag.start, frag.end, false);
    const char c = cursor_peek(&p->in);
    if (p->b.rc == GLIM_OK && cursor_left(&p->in) > 0 && c != '\n' && c != '\r')
        wrong(p, "the end of the line");
    skip_space(p, true);
}

static void check_names(struct gbnf *p)
{
    json_object_object_foreach(p->names, name, value)
    {
        if (!(json_object_get_int64(value) & DEFINED))
            gram_fault(&p->b, GLIM_EINVAL, "grammar: rule \"%.64s\" is used but not defined", name);
    }
}

static void parse(struct gbnf *p)
{
    if (p->in.len > GRAMMAR_TEXT_MAX)
        gram_fault(&p->b, GLIM_ELIMIT, "grammar: %zu bytes, expected at most %d", p->in.len,
                   GRAMMAR_TEXT_MAX);
    else if (utf8_valid_len(p->in.text, p->in.len) != p->in.len || memchr(p->in.text, 0, p->in.len))
        gram_fault(&p->b, GLIM_EINVAL, "grammar: byte %zu is not UTF-8 text",
                   memchr(p->in.text, 0, p->in.len)
                       ? (size_t)((const char *)memchr(p->in.text, 0, p->in.len) - p->in.text)
                       : utf8_valid_len(p->in.text, p->in.len));
    const uint32_t root = gram_rule(&p->b, "root", 4); /* rule 0, whatever stands first */
    if (!json_put(p->names, "root", json_object_new_int64(root)))
        gram_no_memory(&p->b);
    skip_space(p, true);
    while (p->b.rc == GLIM_OK && p->in.at < p->in.len)
        rule(p);
    if (p->b.rc == GLIM_OK)
        check_names(p);
}

int grammar_from_gbnf(struct grammar **out, const struct tok *t, const char *text, size_t len,
                      struct err *e)
{
    struct gbnf p = {.t = t, .in = {.text = text, .len = len}, .names = json_object_new_object()};
    gram_builder_init(&p.b, e);
    *out = NULL;
    if (!p.names)
        return err_nomem(e, "grammar", len);
    parse(&p);
    const int rc = gram_finish(&p.b, tok_count(t), out);
    json_object_put(p.names);
    gram_builder_deinit(&p.b);
    return rc;
}
