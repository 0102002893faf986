/* emit.c - see emit.h. */
#include "server/emit.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static void escape(struct buf *out, unsigned char c)
{
    switch (c) {
    case '"': buf_adds(out, "\\\""); break;
    case '\\': buf_adds(out, "\\\\"); break;
    case '\n': buf_adds(out, "\\n"); break;
    case '\r': buf_adds(out, "\\r"); break;
    case '\t': buf_adds(out, "\\t"); break;
    default: buf_addf(out, "\\u%04x", c); break;
    }
}

static bool plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

static void emit_valid(struct buf *out, const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        size_t n = at;
        while (n < len && plain((unsigned char)text[n]))
            n++;
        buf_add(out, text + at, n - at);
        if (n < len)
            escape(out, (unsigned char)text[n++]);
        at = n;
    }
}

void emit_text(struct buf *out, const char *text, size_t len)
{
    buf_addc(out, '"');
    if (utf8_valid_len(text, len) == len) {
        emit_valid(out, text, len);
    } else {
        struct buf valid;
        buf_init(&valid);
        utf8_append_valid(&valid, text, len);
        out->failed = out->failed || valid.failed;
        emit_valid(out, valid.data, valid.len);
        buf_deinit(&valid);
    }
    buf_addc(out, '"');
}

void emit_string(struct buf *out, const char *text)
{
    if (text)
        emit_text(out, text, strlen(text));
    else
        buf_adds(out, "null");
}

void emit_key(struct buf *out, bool first, const char *key)
{
    if (!first)
        buf_addc(out, ',');
    emit_string(out, key);
    buf_addc(out, ':');
}

void emit_u64(struct buf *out, uint64_t v)
{
    buf_addf(out, "%" PRIu64, v);
}

void emit_member(struct buf *out, const char *key)
{
    emit_key(out, out->len > 0 && out->data[out->len - 1] == '{', key);
}

void emit_member_text(struct buf *out, const char *key, const char *text)
{
    emit_member(out, key);
    emit_string(out, text);
}

void emit_member_u64(struct buf *out, const char *key, uint64_t v)
{
    emit_member(out, key);
    emit_u64(out, v);
}

void emit_member_bool(struct buf *out, const char *key, bool v)
{
    emit_member(out, key);
    buf_adds(out, v ? "true" : "false");
}

void emit_member_real(struct buf *out, const char *key, double v)
{
    emit_member(out, key);
    emit_real(out, v);
}

void emit_real(struct buf *out, double v)
{
    char text[40];
    if (!isfinite(v)) {
        buf_adds(out, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_adds(out, text);
}

void emit_float(struct buf *out, float v)
{
    char text[40];
    if (!isfinite(v)) {
        buf_adds(out, "null");
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    buf_adds(out, text);
}

void emit_bytes(struct buf *out, const char *bytes, size_t len)
{
    buf_addc(out, '[');
    for (size_t i = 0; i < len; i++)
        buf_addf(out, i ? ",%u" : "%u", (unsigned char)bytes[i]);
    buf_addc(out, ']');
}
