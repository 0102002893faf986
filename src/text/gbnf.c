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
#include "text/grammar.h"

enum { GBNF_DEPTH = 64 };

struct gbnf {
    struct gram_builder b;
    const struct tok *t;
    const char *text; /* [len], valid UTF-8 */
    size_t len, at;
    struct json_object *names; /* rule by name: its number, with DEFINED once it has a body */
    int depth;
};
#define DEFINED INT64_C(0x100000000)

/* ---- places ---- */

static void wrong(struct gbnf *p, const char *expected)
{
    size_t line = 1, column = 1, n = 0;
    char found[24] = "the end";
    for (size_t i = 0; i < p->at && i < p->len; i++) {
        line += p->text[i] == '\n';
        column = p->text[i] == '\n' ? 1 : column + 1;
    }
    for (; n < 12 && p->at + n < p->len && p->text[p->at + n] != '\n'; n++)
        found[n + 1] = p->text[p->at + n];
    if (n > 0 || p->at < p->len) {
        found[0] = '"';
        found[n + 1] = '"';
        found[n + 2] = 0;
    }
    gram_fault(&p->b, GLIM_EINVAL, "grammar, line %zu, column %zu: %s, expected %s", line, column,
               found, expected);
}

static char peek(const struct gbnf *p)
{
    return p->at < p->len ? p->text[p->at] : 0;
}

static bool take(struct gbnf *p, const char *word)
{
    const size_t n = strlen(word);
    if (p->len - p->at < n || memcmp(p->text + p->at, word, n) != 0)
        return false;
    p->at += n;
    return true;
}

static void skip_space(struct gbnf *p, bool lines)
{
    for (char c; p->at < p->len; p->at++) {
        c = p->text[p->at];
        if (c == '#') {
            while (p->at < p->len && p->text[p->at] != '\n')
                p->at++;
            c = '\n';
            if (p->at == p->len)
                return;
        }
        if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
            return;
    }
}

static size_t name_length(const struct gbnf *p)
{
    size_t n = 0;
    for (char c; p->at + n < p->len; n++) {
        c = p->text[p->at + n];
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
    char *const name = strndup(p->text + p->at, len);
    struct json_object *have = NULL;
    int64_t value = 0;
    if (!name) {
        gram_fault(&p->b, GLIM_ENOMEM, "grammar: out of memory");
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
    else if (json_object_object_add(p->names, name, json_object_new_int64(value)) != 0)
        gram_fault(&p->b, GLIM_ENOMEM, "grammar: out of memory");
    free(name);
    return value & (DEFINED - 1);
}

/* ---- characters ---- */

static uint32_t escape(struct gbnf *p)
{
    static const char plain[] = "nrt", meant[] = "\n\r\t";
    const char c = peek(p);
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const char *const short_form = c ? strchr(plain, c) : NULL;
    if (digits > 0) {
        size_t n;
        const uint32_t value = hex_value(p->text + p->at + 1, p->len - p->at - 1, digits, &n);
        if (n != digits || value > GRAM_CHAR_MAX || (value >= 0xD800 && value <= 0xDFFF)) {
            wrong(p, "the hexadecimal digits of a character");
            return 0;
        }
        p->at += 1 + digits;
        return value;
    }
    if (!short_form && !(c && strchr("\\\"[]-^/'", c))) {
        wrong(p, "n, r, t, \\, \", [, ], x, u or U behind a backslash");
        return 0;
    }
    p->at++;
    return short_form ? (uint32_t)meant[short_form - plain] : (uint32_t)c;
}

static uint32_t character(struct gbnf *p)
{
    size_t n;
    if (take(p, "\\"))
        return escape(p);
    const uint32_t c = utf8_decode_valid(p->text + p->at, &n);
    p->at += n;
    return c;
}

static uint32_t literal(struct gbnf *p, uint32_t from)
{
    while (p->b.rc == GLIM_OK && !take(p, "\"")) {
        char bytes[4];
        if (p->at == p->len || peek(p) == '\n') {
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
    const bool inverted = take(p, "^");
    while (p->b.rc == GLIM_OK && !take(p, "]")) {
        if (p->at == p->len) {
            wrong(p, "the closing ] of the characters");
            break;
        }
        const uint32_t lo = character(p);
        uint32_t hi = lo;
        if (peek(p) == '-' && p->at + 1 < p->len && p->text[p->at + 1] != ']') {
            p->at++;
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
        gram_fault(&p->b, GLIM_ENOMEM, "grammar: out of memory");
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
    const char *const text = p->text + p->at;
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
    const char *const end = memchr(p->text + p->at, '>', p->len - p->at);
    const size_t len = end ? (size_t)(end - p->text) - p->at + 1 : 0;
    const int32_t id = end ? token_id(p, len) : -1;
    const enum tok_attr attr = tok_attr(p->t, id);
    const uint32_t to = gram_node(&p->b);
    if (!end)
        wrong(p, "a token <...>");
    else if (id < 0 || attr == TOK_UNUSED || attr == TOK_NORMAL)
        gram_fault(&p->b, GLIM_EINVAL,
                   "grammar: %.*s is no added token of this model, expected one (ordinary text "
                   "stands in quotes)",
                   (int)(len > 64 ? 64 : len), p->text + p->at);
    else
        gram_token(&p->b, from, id, to);
    p->at += len;
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
    if (p->b.rc == GLIM_OK && !take(p, ")"))
        wrong(p, "the closing ) of the group");
    return to;
}

static uint32_t reference(struct gbnf *p, uint32_t from)
{
    const size_t len = name_length(p);
    const int64_t rule = rule_named(p, len, false);
    const uint32_t to = gram_node(&p->b);
    p->at += len;
    gram_call(&p->b, from, (uint32_t)rule, to);
    return to;
}

static bool begins_item(const struct gbnf *p)
{
    const char c = peek(p);
    return c && (strchr("\"[.<(!", c) || name_length(p) > 0);
}

/* A name followed by ::= is the next rule, wherever it stands. */
static uint32_t item(struct gbnf *p, uint32_t from)
{
    if (take(p, "\""))
        return literal(p, from);
    if (take(p, "["))
        return class(p, from);
    if (take(p, "."))
        return any_character(p, from);
    if (take(p, "("))
        return group(p, from);
    if (peek(p) == '<')
        return special(p, from);
    if (peek(p) == '!')
        gram_fault(&p->b, GLIM_EUNSUPPORTED,
                   "grammar: \"!<token>\" (any other token) is not supported: say what may come");
    return reference(p, from);
}

static uint32_t number(struct gbnf *p)
{
    uint64_t n = 0;
    const size_t begin = p->at;
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++)
        n = n > UINT32_MAX ? n : 10 * n + (uint64_t)(peek(p) - '0');
    if (begin == p->at)
        wrong(p, "a number");
    else if (n > GRAM_REPEAT_MAX)
        gram_fault(&p->b, GLIM_ELIMIT, "grammar: a repetition of %.*s, expected at most %d",
                   (int)(p->at - begin > 32 ? 32 : p->at - begin), p->text + begin,
                   GRAM_REPEAT_MAX);
    return (uint32_t)n;
}

/* {m}, {m,} or {m,n}, behind the brace. */
static void bounds(struct gbnf *p, uint32_t *min, uint32_t *max)
{
    skip_space(p, true);
    *min = *max = number(p);
    skip_space(p, true);
    if (p->b.rc == GLIM_OK && take(p, ",")) {
        skip_space(p, true);
        *max = peek(p) == '}' ? GRAM_UNBOUNDED : number(p);
        skip_space(p, true);
    }
    if (p->b.rc == GLIM_OK && !take(p, "}"))
        wrong(p, "the closing } of the repetition");
    else if (p->b.rc == GLIM_OK && *min > *max)
        gram_fault(&p->b, GLIM_EINVAL,
                   "grammar: repetition {%u,%u}, expected the lower bound first", *min, *max);
}

static bool postfix(struct gbnf *p, uint32_t *min, uint32_t *max)
{
    *min = peek(p) == '+';
    *max = peek(p) == '?' ? 1 : GRAM_UNBOUNDED;
    if (take(p, "*") || take(p, "+") || take(p, "?"))
        return true;
    if (!take(p, "{"))
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
        if (p->b.rc != GLIM_OK || !take(p, "|"))
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
    p->at += len;
    skip_space(p, false);
    if (p->b.rc == GLIM_OK && !take(p, "::="))
        wrong(p, "\"::=\" behind the name of a rule");
    if (p->b.rc == GLIM_OK)
        alternatives(p, frag.start, frag.end, false);
    if (p->b.rc == GLIM_OK && p->at < p->len && peek(p) != '\n' && peek(p) != '\r')
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
    if (p->len > GRAMMAR_TEXT_MAX)
        gram_fault(&p->b, GLIM_ELIMIT, "grammar: %zu bytes, expected at most %d", p->len,
                   GRAMMAR_TEXT_MAX);
    else if (utf8_valid_len(p->text, p->len) != p->len || memchr(p->text, 0, p->len))
        gram_fault(&p->b, GLIM_EINVAL, "grammar: byte %zu is not UTF-8 text",
                   memchr(p->text, 0, p->len)
                       ? (size_t)((const char *)memchr(p->text, 0, p->len) - p->text)
                       : utf8_valid_len(p->text, p->len));
    const uint32_t root = gram_rule(&p->b, "root", 4); /* rule 0, whatever stands first */
    if (json_object_object_add(p->names, "root", json_object_new_int64(root)) != 0)
        gram_fault(&p->b, GLIM_ENOMEM, "grammar: out of memory");
    skip_space(p, true);
    while (p->b.rc == GLIM_OK && p->at < p->len)
        rule(p);
    if (p->b.rc == GLIM_OK)
        check_names(p);
}

int grammar_from_gbnf(struct grammar **out, const struct tok *t, const char *text, size_t len,
                      struct err *e)
{
    struct gbnf p = {.t = t, .text = text, .len = len, .names = json_object_new_object()};
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
