/* jsonscan.c - see jsonscan.h. Source: RFC 8259. */
#include "base/jsonscan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "base/util.h"

enum state { WANT_VALUE, WANT_VALUE_OR_END, WANT_KEY, WANT_KEY_OR_END, AFTER_VALUE, AT_END };

struct json_scan_key {
    uint64_t hash;
    const char *raw; /* NULL: in s->decoded at `at` */
    size_t at, len;
};

static int fail(const struct json_scan *s, size_t at, struct err *e, const char *text)
{
    return err_set(e, GLIM_EFORMAT, "%s: byte %" PRIu64 ": %s", s->what, s->origin + at, text);
}

void json_scan_init(struct json_scan *s, const char *text, size_t len, const char *what,
                    uint64_t max_nodes)
{
    *s = (struct json_scan){
        .text = text,
        .len = len,
        .what = what,
        .max_nodes = max_nodes,
        .state = WANT_VALUE,
    };
    buf_init(&s->decoded);
}

void json_scan_deinit(struct json_scan *s)
{
    free(s->key);
    s->key = NULL;
    s->keys = s->key_cap = 0;
    buf_deinit(&s->decoded);
}

const char *json_kind_name(enum json_kind k)
{
    static const char *const name[] = {
        "the end",
        "an object",
        "the end of an object",
        "an array",
        "the end of an array",
        "a key",
        "a string",
        "an integer >= 0",
        "a negative integer",
        "a number with a fraction",
        "true",
        "false",
        "null",
    };
    return name[k];
}

bool json_token_is(const struct json_token *t, const char *word)
{
    return !t->escaped && t->len == strlen(word) && memcmp(t->text, word, t->len) == 0;
}

/* ---- keys of the open objects ---- */

static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
    return h;
}

static int key_push(struct json_scan *s, const struct json_token *t, struct err *e)
{
    if (mem_grow(&s->key, &s->key_cap, s->keys + 1, sizeof *s->key) != 0)
        return err_nomem(e, "keys of a JSON object", (s->keys + 1) * sizeof *s->key);
    struct json_scan_key k = {.raw = t->text, .len = t->len};
    const char *bytes = t->text;
    if (t->escaped) {
        k.raw = NULL;
        k.at = s->decoded.len;
        json_token_decode(t, &s->decoded);
        if (s->decoded.failed)
            return err_nomem(e, "a JSON key", t->len);
        k.len = s->decoded.len - k.at;
        bytes = s->decoded.data + k.at;
        if (memchr(bytes, 0, k.len))
            return fail(s, t->at, e, "key holds U+0000");
    }
    k.hash = hash_bytes(bytes, k.len);
    s->key[s->keys++] = k;
    return GLIM_OK;
}

static const char *key_bytes(const struct json_scan *s, const struct json_scan_key *k)
{
    return k->raw ? k->raw : s->decoded.data + k->at;
}

static int key_compare(const void *a, const void *b, void *ctx)
{
    const struct json_scan_key *const x = a, *const y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return memcmp(key_bytes(ctx, x), key_bytes(ctx, y), x->len);
}

/* Most objects have a handful of keys: those are sorted in place. */
static void sort_keys(struct json_scan *s, struct json_scan_key *key, size_t n)
{
    if (n > 8) {
        qsort_r(key, n, sizeof *key, key_compare, s);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        const struct json_scan_key k = key[i];
        size_t j = i;
        for (; j > 0 && key_compare(&key[j - 1], &k, s) > 0; j--)
            key[j] = key[j - 1];
        key[j] = k;
    }
}

/* At the end of an object: its keys must differ; they are forgotten. */
static int keys_pop(struct json_scan *s, struct err *e)
{
    const size_t first = s->first_key[s->depth - 1], n = s->keys - first;
    if (n < 2) {
        s->keys = first;
        s->decoded.len = s->first_byte[s->depth - 1];
        return GLIM_OK;
    }
    struct json_scan_key *const key = s->key + first;
    sort_keys(s, key, n);
    for (size_t i = 1; i < n; i++) {
        if (key_compare(&key[i - 1], &key[i], s) == 0) {
            return err_set(e, GLIM_EFORMAT,
                           "%s: key \"%.*s\" appears twice in one object (ending at byte %" PRIu64
                           ")",
                           s->what, (int)min_u64(key[i].len, 100), key_bytes(s, &key[i]),
                           s->origin + s->at);
        }
    }
    s->keys = first;
    s->decoded.len = s->first_byte[s->depth - 1];
    return GLIM_OK;
}

/* ---- strings ---- */

static int hex4(const char *p, const char *end, uint32_t *out)
{
    if (end - p < 4)
        return -1;
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        const char c = p[i];
        const int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0)
            return -1;
        v = v << 4 | (uint32_t)d;
    }
    *out = v;
    return 0;
}

/* Decodes \uXXXX (and the \uXXXX after it when the two are a pair) at p, which stands on the
 * backslash. Returns the raw length, 0 if the digits are bad; U+FFFD for half a pair. */
static size_t unicode_escape(const char *p, const char *end, uint32_t *out)
{
    uint32_t a, b;
    if (end - p < 6 || hex4(p + 2, end, &a) != 0)
        return 0;
    *out = a;
    if (a < 0xd800 || a > 0xdfff)
        return 6;
    *out = 0xfffd;
    if (a > 0xdbff || end - p < 12 || p[6] != '\\' || p[7] != 'u' || hex4(p + 8, end, &b) != 0
        || b < 0xdc00 || b > 0xdfff)
        return 6;
    *out = 0x10000 + ((a - 0xd800) << 10) + (b - 0xdc00);
    return 12;
}

static char simple_escape(char c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case '"': case '\\': case '/': return c;
    default: return 0;
    }
}

void json_token_decode(const struct json_token *t, struct buf *b)
{
    if (!t->escaped) {
        buf_add(b, t->text, t->len);
        return;
    }
    const char *p = t->text, *const end = t->text + t->len;
    while (p < end) {
        const char *const slash = memchr(p, '\\', (size_t)(end - p));
        if (!slash || end - slash < 2) {
            buf_add(b, p, (size_t)(end - p));
            return;
        }
        buf_add(b, p, (size_t)(slash - p));
        p = slash + 2;
        if (slash[1] != 'u') {
            buf_addc(b, simple_escape(slash[1]));
            continue;
        }
        uint32_t c = 0xfffd;
        const size_t raw = unicode_escape(slash, end, &c);
        char bytes[4];
        buf_add(b, bytes, utf8_encode(c, bytes));
        p = slash + (raw ? raw : 2);
    }
}

/* Checks the escape at s->at (on the backslash) and steps over it. */
static int scan_escape(struct json_scan *s, struct json_token *t, struct err *e)
{
    const char *const p = s->text + s->at, *const end = s->text + s->len;
    t->escaped = true;
    if (end - p >= 2 && p[1] == 'u') {
        uint32_t c;
        const size_t n = unicode_escape(p, end, &c);
        if (n == 0)
            return fail(s, s->at, e, "\\u without four hexadecimal digits");
        uint32_t first;
        (void)hex4(p + 2, end, &first);
        t->lone |= n == 6 && first >= 0xd800 && first <= 0xdfff;
        s->at += n;
        return GLIM_OK;
    }
    if (end - p < 2 || simple_escape(p[1]) == 0)
        return fail(s, s->at, e, "unknown escape in a string");
    s->at += 2;
    return GLIM_OK;
}

/* Are these eight bytes all printable ASCII but for the quote and the backslash? May say no once
 * too often (a borrow from the byte before), never yes. */
static bool all_plain(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t w;
    memcpy(&w, p, sizeof w);
    const uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
    return ((w | ((w - ones * 0x20) & ~w) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash))
            & tops)
           == 0;
}

/* s->at stands on the opening quote. */
static int scan_string(struct json_scan *s, struct json_token *t, struct err *e)
{
    const size_t start = ++s->at;
    bool ascii = true;
    for (;;) {
        while (s->len - s->at >= 8 && all_plain(s->text + s->at))
            s->at += 8;
        if (s->at >= s->len)
            return fail(s, t->at, e, "string without an end");
        const unsigned char c = (unsigned char)s->text[s->at];
        if (c == '"')
            break;
        if (c < 0x20)
            return fail(s, s->at, e, "control character in a string");
        if (c == '\\') {
            const int rc = scan_escape(s, t, e);
            if (rc != 0)
                return rc;
            continue;
        }
        ascii &= c < 0x80;
        s->at++;
    }
    t->text = s->text + start;
    t->len = s->at - start;
    s->at++;
    const size_t good = ascii ? t->len : utf8_valid_len(t->text, t->len);
    return good == t->len ? GLIM_OK : fail(s, start + good, e, "invalid UTF-8");
}

/* ---- numbers ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static size_t digits_at(const struct json_scan *s, size_t at)
{
    size_t n = 0;
    while (at + n < s->len && is_digit(s->text[at + n]))
        n++;
    return n;
}

/* The number [len] as a double. The point is moved out of the digits, so that strtod reads the same
 * in every locale. */
static double real_value(const char *p, size_t len)
{
    char digits[JSON_NUMBER_LEN + 32];
    size_t n = 0, i = 0;
    long shift = 0, exponent = 0;
    bool point = false;
    for (; i < len && p[i] != 'e' && p[i] != 'E'; i++) {
        if (p[i] == '.') {
            point = true;
        } else if (is_digit(p[i])) {
            digits[n++] = p[i];
            shift += point;
        }
    }
    const bool down = i + 1 < len && p[i + 1] == '-';
    for (; i < len; i++) {
        if (is_digit(p[i]) && exponent < 100000)
            exponent = exponent * 10 + (p[i] - '0');
    }
    (void)snprintf(digits + n, sizeof digits - n, "e%ld",
                   (down ? -exponent : exponent) - shift);
    return *p == '-' ? -strtod(digits, NULL) : strtod(digits, NULL);
}

/* The value of the digits at p into t; false beyond 64 bits. */
static bool integer_value(struct json_token *t, const char *p, size_t n, bool negative)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (!mul_u64(v, 10, &v) || !add_u64(v, (uint64_t)(p[i] - '0'), &v))
            return false;
    }
    t->kind = negative && v != 0 ? JSON_NEG : JSON_UINT;
    t->u = v;
    return !negative || v <= (uint64_t)INT64_MAX + 1;
}

static int scan_number(struct json_scan *s, struct json_token *t, struct err *e)
{
    const size_t start = s->at;
    const bool negative = s->text[s->at] == '-';
    size_t at = start + negative;
    const size_t whole = digits_at(s, at);
    if (whole == 0 || (whole > 1 && s->text[at] == '0'))
        return fail(s, start, e, "not a JSON number");
    size_t end = at + whole;
    bool real = false;
    if (end < s->len && s->text[end] == '.') {
        const size_t n = digits_at(s, end + 1);
        if (n == 0)
            return fail(s, start, e, "not a JSON number");
        end += 1 + n;
        real = true;
    }
    if (end < s->len && (s->text[end] == 'e' || s->text[end] == 'E')) {
        const bool sign = end + 1 < s->len && (s->text[end + 1] == '+' || s->text[end + 1] == '-');
        const size_t n = digits_at(s, end + 1 + sign);
        if (n == 0)
            return fail(s, start, e, "not a JSON number");
        end += 1 + sign + n;
        real = true;
    }
    t->text = s->text + start;
    t->len = end - start;
    s->at = end;
    if (real && t->len > JSON_NUMBER_LEN)
        return fail(s, start, e, "number of more than 1000 characters");
    if (!real && !integer_value(t, s->text + at, whole, negative))
        return fail(s, start, e, "integer beyond 64 bits");
    if (real) {
        t->kind = JSON_REAL;
        t->real = real_value(t->text, t->len);
        if (!isfinite(t->real))
            return fail(s, start, e, "number too large for a double");
    }
    return GLIM_OK;
}

/* ---- structure ---- */

static int scan_word(struct json_scan *s, struct json_token *t, struct err *e)
{
    static const struct { const char *word; enum json_kind kind; } words[] = {
        {"true", JSON_TRUE}, {"false", JSON_FALSE}, {"null", JSON_NULL},
    };
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const size_t n = strlen(words[i].word);
        if (s->len - s->at >= n && memcmp(s->text + s->at, words[i].word, n) == 0) {
            t->kind = words[i].kind;
            t->text = s->text + s->at;
            t->len = n;
            s->at += n;
            return GLIM_OK;
        }
    }
    return fail(s, s->at, e, "expected a JSON value");
}

static int open_container(struct json_scan *s, bool object, struct err *e)
{
    if (s->depth == JSON_DEPTH)
        return fail(s, s->at, e, "nested deeper than 64 levels");
    s->is_object[s->depth] = object;
    s->first_key[s->depth] = s->keys;
    s->first_byte[s->depth] = s->decoded.len;
    s->depth++;
    s->at++;
    s->state = object ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
    return GLIM_OK;
}

static int close_container(struct json_scan *s, struct json_token *t, struct err *e)
{
    const bool object = s->is_object[s->depth - 1];
    s->at++;
    t->kind = object ? JSON_OBJECT_END : JSON_ARRAY_END;
    if (object) {
        const int rc = keys_pop(s, e);
        if (rc != 0)
            return rc;
    }
    s->depth--;
    s->state = s->depth ? AFTER_VALUE : AT_END;
    return GLIM_OK;
}

static int scan_value(struct json_scan *s, struct json_token *t, struct err *e)
{
    s->nodes++;
    if (s->max_nodes && s->nodes > s->max_nodes) {
        return err_set(e, GLIM_ELIMIT, "%s: byte %" PRIu64 ": more than %" PRIu64 " values",
                       s->what, s->origin + s->at, s->max_nodes);
    }
    const char c = s->text[s->at];
    if (c == '{' || c == '[') {
        t->kind = c == '{' ? JSON_OBJECT : JSON_ARRAY;
        return open_container(s, c == '{', e);
    }
    s->state = s->depth ? AFTER_VALUE : AT_END;
    if (c == '"') {
        t->kind = JSON_STRING;
        return scan_string(s, t, e);
    }
    return c == '-' || is_digit(c) ? scan_number(s, t, e) : scan_word(s, t, e);
}

static void skip_space(struct json_scan *s)
{
    while (s->at < s->len) {
        const char c = s->text[s->at];
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
            return;
        s->at++;
    }
}

static int scan_key(struct json_scan *s, struct json_token *t, struct err *e)
{
    if (s->text[s->at] != '"')
        return fail(s, s->at, e, "expected a key in double quotes");
    t->kind = JSON_KEY;
    int rc = scan_string(s, t, e);
    if (rc == 0)
        rc = key_push(s, t, e);
    if (rc != 0)
        return rc;
    skip_space(s);
    if (s->at >= s->len || s->text[s->at] != ':')
        return fail(s, s->at, e, "expected ':' after a key");
    s->at++;
    s->state = WANT_VALUE;
    return GLIM_OK;
}

int json_scan_next(struct json_scan *s, struct json_token *t, struct err *e)
{
    skip_space(s);
    if (s->state == AFTER_VALUE && s->at < s->len && s->text[s->at] == ',') {
        s->at++;
        skip_space(s);
        s->state = s->is_object[s->depth - 1] ? WANT_KEY : WANT_VALUE;
    }
    *t = (struct json_token){.kind = JSON_END, .at = s->at, .text = s->text + s->at};
    if (s->state == AT_END)
        return s->at == s->len ? GLIM_OK
                               : fail(s, s->at, e, "text after the end of the JSON value");
    if (s->at >= s->len)
        return fail(s, s->at, e, "JSON ends before its value does");
    const char close = s->depth && s->is_object[s->depth - 1] ? '}' : ']';
    const bool may_end =
        s->state == AFTER_VALUE || s->state == WANT_KEY_OR_END || s->state == WANT_VALUE_OR_END;
    if (may_end && s->text[s->at] == close)
        return close_container(s, t, e);
    switch (s->state) {
    case AFTER_VALUE:
        return fail(s, s->at, e, close == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
    case WANT_KEY: case WANT_KEY_OR_END: return scan_key(s, t, e);
    default: return scan_value(s, t, e);
    }
}

int json_scan_expect(struct json_scan *s, enum json_kind kind, const char *field,
                     struct json_token *t, struct err *e)
{
    const int rc = json_scan_next(s, t, e);
    if (rc != 0 || t->kind == kind)
        return rc;
    return err_set(e, GLIM_EFORMAT, "%s: byte %" PRIu64 ": %s is %s, expected %s", s->what,
                   s->origin + t->at, field, json_kind_name(t->kind), json_kind_name(kind));
}

int json_scan_skip(struct json_scan *s, const struct json_token *t, struct err *e)
{
    if (t->kind != JSON_OBJECT && t->kind != JSON_ARRAY)
        return GLIM_OK;
    const int outside = s->depth - 1;
    while (s->depth > outside) {
        struct json_token skipped;
        const int rc = json_scan_next(s, &skipped, e);
        if (rc != 0)
            return rc;
    }
    return GLIM_OK;
}
