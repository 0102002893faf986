/* regex.c - see regex.h. */
#include "text/regex.h"

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "text/cursor.h"

#define UNBOUNDED UINT32_MAX

struct parser {
    struct regex *x;
    struct cursor in;
    int depth, rc;
    struct err *e;
};

static int wrong(struct parser *p, int code, const char *what)
{
    if (p->rc == GLIM_OK)
        p->rc = err_set(p->e, code, "regular expression \"%.*s\", byte %zu: %s",
                        (int)(p->in.len > 100 ? 100 : p->in.len), p->in.text, p->in.at, what);
    return p->rc;
}

static uint32_t node(struct parser *p)
{
    if (p->rc == GLIM_OK && p->x->nodes >= REGEX_NODES_MAX)
        p->rc = err_set(p->e, GLIM_ELIMIT,
                        "regular expression \"%.*s\": more than %d states when its repetitions are "
                        "written out, expected at most that",
                        (int)(p->in.len > 100 ? 100 : p->in.len), p->in.text, REGEX_NODES_MAX);
    return p->rc == GLIM_OK ? p->x->nodes++ : 0;
}

static void edge(struct parser *p, uint32_t from, uint32_t to, int32_t set)
{
    struct regex *const x = p->x;
    if (p->rc != GLIM_OK)
        return;
    if (mem_grow(&x->edge, &x->edge_cap, x->edges + 1, sizeof *x->edge) != GLIM_OK)
        p->rc = err_nomem(p->e, "regular expression", x->edges * sizeof *x->edge);
    else
        x->edge[x->edges++] = (struct regex_edge){from, to, set};
}

static bool same_set(const struct charset *a, const struct charset *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->r, b->r, a->n * sizeof *a->r) == 0);
}

/* Takes the set over; equal ones are kept once (the last few are looked at). */
static int32_t keep_set(struct parser *p, struct charset *s)
{
    struct regex *const x = p->x;
    charset_sort(s);
    for (size_t i = x->sets; i > 0 && x->sets - i < 64; i--) {
        if (same_set(&x->set[i - 1], s)) {
            charset_free(s);
            return (int32_t)i - 1;
        }
    }
    if (s->failed || mem_grow(&x->set, &x->set_cap, x->sets + 1, sizeof *x->set) != GLIM_OK) {
        charset_free(s);
        p->rc = err_nomem(p->e, "regular expression", x->sets * sizeof *x->set);
        return 0;
    }
    x->set[x->sets++] = *s;
    return (int32_t)x->sets - 1;
}

/* ---- sets ---- */

static void add_ranges(struct charset *s, const struct gram_range *r, size_t n, bool inverted)
{
    struct charset own = {0};
    for (size_t i = 0; i < n; i++)
        charset_add(&own, r[i].lo, r[i].hi);
    if (inverted)
        charset_invert(&own);
    for (size_t i = 0; i < own.n; i++)
        charset_add(s, own.r[i].lo, own.r[i].hi);
    s->failed = s->failed || own.failed;
    charset_free(&own);
}

/* A backslash with something behind it. */
static bool at_escape(const struct cursor *c)
{
    return cursor_peek(c) == '\\' && cursor_left(c) > 1;
}

/* \d \w \s and opposites. */
static bool class_escape(struct charset *s, char c)
{
    static const struct gram_range digits[] = {{'0', '9'}};
    static const struct gram_range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
    static const struct gram_range spaces[] = {{0x09, 0x0D},     {0x20, 0x20},     {0xA0, 0xA0},
                                               {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029},
                                               {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
                                               {0xFEFF, 0xFEFF}};
    switch (c) {
    case 'd':
    case 'D': add_ranges(s, digits, COUNT_OF(digits), c == 'D'); return true;
    case 'w':
    case 'W': add_ranges(s, words, COUNT_OF(words), c == 'W'); return true;
    case 's':
    case 'S': add_ranges(s, spaces, COUNT_OF(spaces), c == 'S'); return true;
    default: return false;
    }
}

/* `digits` hexadecimal digits; 0 and a fault if they are not there. */
static uint32_t hex(struct parser *p, size_t digits)
{
    size_t n;
    const uint32_t value = hex_value(p->in.text + p->in.at, p->in.len - p->in.at, digits, &n);
    p->in.at += n;
    if (n != digits)
        wrong(p, GLIM_EINVAL, "expected hexadecimal digits");
    return value;
}

static uint32_t unicode_escape(struct parser *p)
{
    size_t n;
    uint32_t c;
    if (cursor_take(&p->in, "{")) {
        c = hex_value(p->in.text + p->in.at, p->in.len - p->in.at, 6, &n);
        p->in.at += n;
        if (n == 0 || !cursor_take(&p->in, "}"))
            wrong(p, GLIM_EINVAL, "expected hexadecimal digits and }");
    } else {
        c = hex(p, 4);
        if (c >= 0xD800 && c <= 0xDBFF && cursor_take(&p->in, "\\u"))
            c = 0x10000 + ((c - 0xD800) << 10) + ((hex(p, 4) - 0xDC00) & 0x3FF);
    }
    if (c > GRAM_CHAR_MAX || (c >= 0xD800 && c <= 0xDFFF))
        wrong(p, GLIM_EINVAL, "expected a character, not a half of one");
    return p->rc == GLIM_OK ? c : 0;
}

/* Behind the backslash; one character. */
static uint32_t escape(struct parser *p)
{
    static const char letters[] = "tnrfv0", meant[] = "\t\n\r\f\v\0";
    const char c = cursor_peek(&p->in);
    const char *const letter = c ? strchr(letters, c) : NULL;
    p->in.at++;
    if (c == 'x')
        return hex(p, 2);
    if (c == 'u')
        return unicode_escape(p);
    if (letter && !(c == '0' && cursor_peek(&p->in) >= '0' && cursor_peek(&p->in) <= '9'))
        return (uint32_t)(unsigned char)meant[letter - letters];
    if (c == 0 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
        || (unsigned char)c >= 0x80) {
        p->in.at--;
        wrong(p, GLIM_EUNSUPPORTED,
              "this escape (a back reference, \\b, \\B, \\p, \\k, \\c or no escape) is not "
              "supported");
    }
    return (uint32_t)(unsigned char)c;
}

static uint32_t character(struct parser *p)
{
    return cursor_take(&p->in, "\\") ? escape(p) : cursor_character(&p->in);
}

/* One member of a class: a character, a range, or an escape that is a set. */
static void member(struct parser *p, struct charset *s)
{
    if (at_escape(&p->in) && class_escape(s, cursor_look(&p->in, 1))) {
        p->in.at += 2;
        return;
    }
    const uint32_t lo = cursor_take(&p->in, "\\b") ? '\b' : character(p);
    uint32_t hi = lo;
    if (cursor_in_range(&p->in)) {
        p->in.at++;
        if (at_escape(&p->in) && strchr("dDwWsS", cursor_look(&p->in, 1)))
            p->in.at--; /* [a-\d]: the - is meant as it is, and read next */
        else
            hi = character(p);
    }
    if (hi < lo)
        wrong(p, GLIM_EINVAL, "expected a range from a lower to a higher character");
    else
        charset_add(s, lo, hi);
}

static void class(struct parser *p, struct charset *s)
{
    const bool inverted = cursor_take(&p->in, "^");
    while (p->rc == GLIM_OK && !cursor_take(&p->in, "]")) {
        if (p->in.at == p->in.len)
            wrong(p, GLIM_EINVAL, "expected the closing ]");
        else
            member(p, s);
    }
    if (inverted)
        charset_invert(s);
}

static const struct gram_range line_ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

/* ---- structure ---- */

static void alternatives(struct parser *p, uint32_t from, uint32_t to);

static void group(struct parser *p, uint32_t from, uint32_t to)
{
    if (cursor_take(&p->in, "?") && !cursor_take(&p->in, ":")) {
        const char c = cursor_peek(&p->in), after = cursor_look(&p->in, 1);
        if (c == '=' || c == '!' || (c == '<' && (after == '=' || after == '!')))
            wrong(p, GLIM_EUNSUPPORTED, "look-ahead and look-behind are not supported");
        else if (!cursor_take(&p->in, "<"))
            wrong(p, GLIM_EUNSUPPORTED, "this kind of group is not supported");
        while (p->rc == GLIM_OK && p->in.at < p->in.len && !cursor_take(&p->in, ">"))
            p->in.at++;
    }
    if (++p->depth > REGEX_DEPTH)
        wrong(p, GLIM_ELIMIT, "groups more than 32 deep, expected at most that");
    if (p->rc == GLIM_OK)
        alternatives(p, from, to);
    p->depth--;
    if (p->rc == GLIM_OK && !cursor_take(&p->in, ")"))
        wrong(p, GLIM_EINVAL, "expected the closing )");
}

static void atom(struct parser *p, uint32_t from, uint32_t to)
{
    struct charset s = {0};
    const char c = cursor_peek(&p->in);
    if (cursor_take(&p->in, "(")) {
        group(p, from, to);
        return;
    }
    if (c == '^' || c == '$')
        wrong(p, GLIM_EUNSUPPORTED, "^ and $ are supported at the ends of the expression only");
    else if (strchr("*+?{", c))
        wrong(p, GLIM_EINVAL, "there is nothing to repeat");
    else if (cursor_take(&p->in, "["))
        class(p, &s);
    else if (cursor_take(&p->in, "."))
        add_ranges(&s, line_ends, COUNT_OF(line_ends), true);
    else if (at_escape(&p->in) && class_escape(&s, cursor_look(&p->in, 1)))
        p->in.at += 2;
    else {
        const uint32_t one = character(p);
        charset_add(&s, one, one);
    }
    if (p->rc == GLIM_OK)
        edge(p, from, to, keep_set(p, &s));
    else
        charset_free(&s);
}

static uint32_t number(struct parser *p)
{
    uint32_t n = 0;
    const size_t begin = p->in.at;
    for (; cursor_peek(&p->in) >= '0' && cursor_peek(&p->in) <= '9'; p->in.at++)
        n = n > REGEX_NODES_MAX ? n : 10 * n + (uint32_t)(cursor_peek(&p->in) - '0');
    if (p->in.at == begin)
        wrong(p, GLIM_EINVAL, "expected a number");
    return n;
}

/* Reads what stands behind an atom; once without anything. */
static void quantifier(struct parser *p, uint32_t *min, uint32_t *max)
{
    const char c = cursor_peek(&p->in);
    *min = c == '+' || !(c && strchr("*?", c));
    *max = c && strchr("*+", c) ? UNBOUNDED : 1;
    if (c == 0 || !strchr("*+?{", c))
        return;
    p->in.at++;
    if (c == '{') {
        *min = *max = number(p);
        if (cursor_take(&p->in, ","))
            *max = cursor_peek(&p->in) == '}' ? UNBOUNDED : number(p);
        if (p->rc == GLIM_OK && !cursor_take(&p->in, "}"))
            wrong(p, GLIM_EINVAL, "expected the closing }");
        if (*min > *max)
            wrong(p, GLIM_EINVAL, "expected the lower bound first");
    }
    cursor_take(&p->in, "?"); /* lazy: the same texts */
    if (cursor_peek(&p->in) && strchr("*+?{", cursor_peek(&p->in)))
        wrong(p, GLIM_EINVAL, "there is nothing to repeat");
}

/* An atom, read as often as it may come. */
static uint32_t piece(struct parser *p, uint32_t from)
{
    const size_t begin = p->in.at;
    uint32_t min, max, begins = node(p), ends = node(p);
    atom(p, begins, ends);
    quantifier(p, &min, &max);
    const size_t behind = p->in.at;
    const uint32_t copies = max == UNBOUNDED ? (min > 0 ? min : 1) : max, to = node(p);
    if (max == 0)
        edge(p, from, to, -1);
    for (uint32_t i = 0; i < copies && p->rc == GLIM_OK; i++) {
        if (i > 0) {
            begins = node(p);
            ends = node(p);
            p->in.at = begin;
            atom(p, begins, ends);
        }
        edge(p, from, begins, -1);
        if (i >= min)
            edge(p, from, to, -1);
        if (i + 1 == copies && max == UNBOUNDED)
            edge(p, ends, begins, -1);
        from = ends;
    }
    if (max > 0)
        edge(p, from, to, -1);
    p->in.at = behind;
    return to;
}

static bool ends_here(const struct parser *p)
{
    return p->in.at == p->in.len || cursor_peek(&p->in) == '|' || cursor_peek(&p->in) == ')';
}

static uint32_t anything(struct parser *p, uint32_t from)
{
    struct charset s = {0};
    const uint32_t loop = node(p);
    charset_add(&s, 0, GRAM_CHAR_MAX);
    edge(p, from, loop, -1);
    edge(p, loop, loop, keep_set(p, &s));
    return loop;
}

/* Outside of groups, what is not anchored may have anything around it. */
static void sequence(struct parser *p, uint32_t from, uint32_t to)
{
    bool begun = p->depth > 0, ended = p->depth > 0;
    if (!begun && !cursor_take(&p->in, "^"))
        from = anything(p, from);
    while (p->rc == GLIM_OK && !ends_here(p)) {
        if (!ended && cursor_peek(&p->in) == '$') {
            p->in.at++;
            if (!ends_here(p))
                wrong(p, GLIM_EUNSUPPORTED, "$ is supported at the end of the expression only");
            ended = true;
            break;
        }
        from = piece(p, from);
    }
    if (!ended)
        from = anything(p, from);
    edge(p, from, to, -1);
}

static void alternatives(struct parser *p, uint32_t from, uint32_t to)
{
    do {
        const uint32_t begins = node(p);
        edge(p, from, begins, -1);
        sequence(p, begins, to);
    } while (p->rc == GLIM_OK && cursor_take(&p->in, "|"));
}

int regex_parse(struct regex *out, const char *text, size_t len, struct err *e)
{
    struct parser p = {.x = out, .in = {.text = text, .len = len}, .e = e};
    *out = (struct regex){0};
    const uint32_t from = node(&p), to = node(&p);
    alternatives(&p, from, to);
    if (p.rc == GLIM_OK && cursor_left(&p.in) > 0)
        wrong(&p, GLIM_EINVAL, "there is no group to close");
    if (p.rc != GLIM_OK)
        regex_free(out);
    return p.rc;
}

void regex_free(struct regex *x)
{
    for (size_t i = 0; i < x->sets; i++)
        charset_free(&x->set[i]);
    free(x->set);
    free(x->edge);
    *x = (struct regex){0};
}

/* ---- matching ---- */

static bool has(const struct charset *s, uint32_t c)
{
    for (size_t i = 0; i < s->n; i++) {
        if (c >= s->r[i].lo && c <= s->r[i].hi)
            return true;
    }
    return false;
}

/* Follows empty edges from the nodes in on [nodes] until nothing is added. */
static void spread(const struct regex *x, uint8_t *on)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < x->edges; i++) {
            if (x->edge[i].set < 0 && on[x->edge[i].from] && !on[x->edge[i].to])
                more = (on[x->edge[i].to] = true);
        }
    }
}

bool regex_matches(const struct regex *x, const char *text, size_t len)
{
    uint8_t *const on = calloc((size_t)x->nodes * 2 + 1, 1);
    uint8_t *now = on, *next = on ? on + x->nodes : NULL;
    size_t n;
    if (!on)
        return false;
    now[0] = 1;
    spread(x, now);
    for (size_t at = 0; at < len; at += n) {
        const uint32_t c = utf8_decode_valid(text + at, &n);
        memset(next, 0, x->nodes);
        for (size_t i = 0; i < x->edges; i++) {
            if (x->edge[i].set >= 0 && now[x->edge[i].from] && has(&x->set[x->edge[i].set], c))
                next[x->edge[i].to] = 1;
        }
        spread(x, next);
        uint8_t *const other = now;
        now = next;
        next = other;
    }
    const bool matches = now[1];
    free(on);
    return matches;
}
