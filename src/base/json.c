/* json.c - see json.h. */
#include "base/json.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/util.h"

/* ---- reading ---- */

/* A tree that grows by the scanner's tokens. json-c's own parser goes on without what it found no
 * memory for; here each value is known to be there. */
struct growing {
    struct json_object *root, *open[JSON_DEPTH]; /* borrowed but for root */
    int depth;
    struct buf key, text;
};

/* The value of a token, NULL for null; false: memory is out. */
static bool value_of(const struct json_token *t, struct buf *text, struct json_object **out)
{
    *out = NULL;
    switch (t->kind) {
    case JSON_OBJECT: *out = json_object_new_object(); break;
    case JSON_ARRAY: *out = json_object_new_array_ext(4); break;
    case JSON_TRUE:
    case JSON_FALSE: *out = json_object_new_boolean(t->kind == JSON_TRUE); break;
    case JSON_NEG: *out = json_object_new_int64((int64_t)(0 - t->u)); break;
    case JSON_UINT:
        *out = t->u <= INT64_MAX ? json_object_new_int64((int64_t)t->u)
                                 : json_object_new_uint64(t->u);
        break;
    case JSON_STRING:
    case JSON_REAL: /* keeps its digits */
        buf_clear(text);
        json_token_decode(t, text);
        if (text->failed)
            return false;
        *out = t->kind == JSON_REAL ? json_object_new_double_s(t->real, text->data)
                                    : json_object_new_string_len(text->data, (int)text->len);
        break;
    default: return true;
    }
    return *out != NULL;
}

/* Takes over v. */
static bool attach(struct growing *g, struct json_object *v)
{
    struct json_object *const to = g->depth ? g->open[g->depth - 1] : NULL;
    bool ok = true;
    if (!to)
        g->root = v;
    else if (json_object_is_type(to, json_type_array))
        ok = json_object_array_add(to, v) == 0;
    else
        ok = json_object_object_add_ex(to, g->key.data, v, JSON_C_OBJECT_ADD_KEY_IS_NEW) == 0;
    if (!ok)
        json_object_put(v);
    return ok;
}

static bool grow(struct growing *g, const struct json_token *t)
{
    struct json_object *v;
    switch (t->kind) {
    case JSON_KEY:
        buf_clear(&g->key);
        json_token_decode(t, &g->key);
        return !g->key.failed;
    case JSON_ARRAY_END: (void)json_object_array_shrink(g->open[--g->depth], 0); return true;
    case JSON_OBJECT_END: g->depth--; return true;
    case JSON_END: return true;
    default: break;
    }
    if (!value_of(t, &g->text, &v) || !attach(g, v))
        return false;
    if (t->kind == JSON_OBJECT || t->kind == JSON_ARRAY)
        g->open[g->depth++] = v;
    return true;
}

int json_read(const char *text, size_t len, const char *what, struct json_object **out,
              struct err *e)
{
    struct growing g = {0};
    struct json_scan s;
    struct json_token t;
    int rc;
    *out = NULL;
    if (len > INT_MAX)
        return err_set(e, GLIM_ELIMIT, "%s: %zu bytes of JSON, expected at most %d", what, len,
                       INT_MAX);
    buf_init(&g.key);
    buf_init(&g.text);
    json_scan_init(&s, text, len, what, JSON_MAX_NODES);
    do {
        rc = json_scan_next(&s, &t, e);
        if (rc == 0 && !grow(&g, &t))
            rc = err_nomem(e, what, len);
    } while (rc == 0 && t.kind != JSON_END);
    json_scan_deinit(&s);
    buf_deinit(&g.key);
    buf_deinit(&g.text);
    if (rc == 0)
        *out = g.root;
    else
        json_object_put(g.root);
    return rc;
}

int json_read_file(const char *path, uint64_t max_bytes, struct json_object **out, struct err *e)
{
    *out = NULL;
    char *text;
    size_t len;
    int rc = io_read_file(path, max_bytes, &text, &len, e);
    if (rc != 0)
        return rc;
    rc = json_read(text, len, path, out, e);
    free(text);
    return rc;
}

/* ---- making ---- */

bool json_put(struct json_object *object, const char *key, struct json_object *value)
{
    if (object && value && json_object_object_add(object, key, value) == 0)
        return true;
    json_object_put(value);
    return false;
}

bool json_append(struct json_object *list, struct json_object *value)
{
    if (list && value && json_object_array_add(list, value) == 0)
        return true;
    json_object_put(value);
    return false;
}

/* ---- writing ---- */

static void write_string(struct buf *b, const char *s, size_t len)
{
    buf_addc(b, '"');
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        buf_add(b, s + from, i - from);
        from = i + 1;
        switch (c) {
        case '"': buf_adds(b, "\\\""); break;
        case '\\': buf_adds(b, "\\\\"); break;
        case '\n': buf_adds(b, "\\n"); break;
        case '\r': buf_adds(b, "\\r"); break;
        case '\t': buf_adds(b, "\\t"); break;
        case '\f': buf_adds(b, "\\f"); break;
        case '\b': buf_adds(b, "\\b"); break;
        default: buf_addf(b, "\\u%04x", c); break;
        }
    }
    buf_add(b, s + from, len - from);
    buf_addc(b, '"');
}

/* The fewest significant digits that read back as |v|: digits [18], value 0.DDDD * 10^*point. Only
 * digits and the exponent are taken from printf and given to strtod, so the locale's decimal point
 * plays no part. */
static size_t shortest_digits(double v, char *digits, int *point)
{
    size_t n = 0;
    for (int precision = 0; precision < 17; precision++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%.*e", precision, v);
        const char *const e = strchr(text, 'e');
        n = 0;
        for (const char *p = text; p < e; p++) {
            if (*p >= '0' && *p <= '9')
                digits[n++] = *p;
        }
        digits[n] = 0;
        const int exponent = atoi(e + 1); /* printf's own, well formed */
        *point = exponent + 1;
        (void)snprintf(text, sizeof text, "%se%d", digits, exponent - precision);
        if (strtod(text, NULL) == v)
            break;
    }
    return n;
}

static void write_zeros(struct buf *b, int n)
{
    for (int i = 0; i < n; i++)
        buf_addc(b, '0');
}

/* repr() of a float: fixed notation for exponents -4 to 15, else d.ddde-05 with at least two
 * exponent digits. */
static void write_double(struct buf *b, double v)
{
    if (isnan(v) || isinf(v)) {
        buf_adds(b, isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
        return;
    }
    if (signbit(v))
        buf_addc(b, '-');
    char digits[32];
    int point;
    const int n = (int)shortest_digits(fabs(v), digits, &point);
    if (point < -3 || point > 16) {
        buf_addc(b, digits[0]);
        if (n > 1) {
            buf_addc(b, '.');
            buf_adds(b, digits + 1);
        }
        buf_addf(b, "e%c%02d", point > 0 ? '+' : '-', abs(point - 1));
    } else if (point <= 0) {
        buf_adds(b, "0.");
        write_zeros(b, -point);
        buf_adds(b, digits);
    } else if (point >= n) {
        buf_adds(b, digits);
        write_zeros(b, point - n);
        buf_adds(b, ".0");
    } else {
        buf_add(b, digits, (size_t)point);
        buf_addc(b, '.');
        buf_adds(b, digits + point);
    }
}

/* What differs between the two ways to write. */
struct style {
    const char *comma, *colon;
    bool as_read; /* a real keeps the digits that it was read with */
};

static void write_real(struct buf *b, const struct style *s, struct json_object *v)
{
    const char *const digits = s->as_read ? json_object_get_userdata(v) : NULL;
    if (digits)
        buf_adds(b, digits);
    else
        write_double(b, json_object_get_double(v));
}

static void write_scalar(struct buf *b, const struct style *s, struct json_object *v)
{
    switch (json_object_get_type(v)) {
    case json_type_boolean: buf_adds(b, json_object_get_boolean(v) ? "true" : "false"); break;
    case json_type_double: write_real(b, s, v); break;
    case json_type_int:
        if (json_object_get_int64(v) == INT64_MAX) /* json-c saturates: it may be larger */
            buf_addf(b, "%" PRIu64, json_object_get_uint64(v));
        else
            buf_addf(b, "%" PRId64, json_object_get_int64(v));
        break;
    case json_type_string:
        write_string(b, json_object_get_string(v), (size_t)json_object_get_string_len(v));
        break;
    default: buf_adds(b, "null"); break;
    }
}

/* One open container while writing. */
struct level {
    struct json_object *value;
    struct lh_entry *entry; /* object: next member */
    size_t at;              /* array: next element; object: members written */
};

/* Opens `v` (a new level) or writes it (a scalar). */
static void write_begin(struct buf *b, const struct style *s, struct json_object *v,
                        struct level **stack, size_t *depth, size_t *cap)
{
    const enum json_type type = json_object_get_type(v);
    if (type != json_type_object && type != json_type_array) {
        write_scalar(b, s, v);
        return;
    }
    if (mem_grow(stack, cap, *depth + 1, sizeof **stack) != 0) {
        b->failed = true;
        return;
    }
    buf_addc(b, type == json_type_object ? '{' : '[');
    (*stack)[(*depth)++] =
        (struct level){.value = v,
                       .entry = type == json_type_object ? lh_table_head(json_object_get_object(v))
                                                         : NULL};
}

static void write_value(struct buf *b, const struct style *s, struct json_object *value)
{
    struct level *stack = NULL;
    size_t depth = 0, cap = 0;
    write_begin(b, s, value, &stack, &depth, &cap);
    while (depth > 0 && !b->failed) {
        struct level *const top = &stack[depth - 1];
        const bool object = json_object_is_type(top->value, json_type_object);
        if (object ? !top->entry : top->at == json_object_array_length(top->value)) {
            buf_addc(b, object ? '}' : ']');
            depth--;
            continue;
        }
        if (top->at > 0)
            buf_adds(b, s->comma);
        struct json_object *next;
        if (object) {
            const char *const key = lh_entry_k(top->entry);
            write_string(b, key, strlen(key));
            buf_adds(b, s->colon);
            next = (struct json_object *)lh_entry_v(top->entry);
            top->entry = lh_entry_next(top->entry);
        } else {
            next = json_object_array_get_idx(top->value, top->at);
        }
        top->at++;
        /* May move the stack: top is not used again. */
        write_begin(b, s, next, &stack, &depth, &cap);
    }
    free(stack);
}

void json_write_python(struct buf *b, struct json_object *value)
{
    static const struct style python = {", ", ": ", false};
    write_value(b, &python, value);
}

void json_write(struct buf *b, struct json_object *value)
{
    static const struct style plain = {",", ":", true};
    write_value(b, &plain, value);
}
