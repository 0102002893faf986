/* buf.c - see buf.h. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

static char empty[1];

void buf_init(struct buf *b) { *b = (struct buf){.data = empty}; }

void buf_deinit(struct buf *b)
{
    if (b->data != empty)
        free(b->data);
    buf_init(b);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data != empty)
        b->data[0] = 0;
}

/* Room for n more bytes and the terminator. */
static bool reserve(struct buf *b, size_t n)
{
    if (b->failed || n > SIZE_MAX / 4 || b->len > SIZE_MAX / 4) {
        b->failed = true;
        return false;
    }
    char *owned = b->data == empty ? NULL : b->data;
    if (mem_grow(&owned, &b->cap, b->len + n + 1, 1) != 0) {
        b->failed = true;
        return false;
    }
    b->data = owned;
    return true;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (n == 0 || !reserve(b, n))
        return;
    memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
}

void buf_adds(struct buf *b, const char *text) { buf_add(b, text, strlen(text)); }

void buf_addc(struct buf *b, char c) { buf_add(b, &c, 1); }

void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n > 0 && reserve(b, (size_t)n)) {
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
        b->len += (size_t)n;
    }
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_addv(b, fmt, ap);
    va_end(ap);
}

char *buf_take(struct buf *b, size_t *len)
{
    if (!reserve(b, 0)) {
        buf_deinit(b);
        return NULL;
    }
    char *const out = b->data;
    out[b->len] = 0;
    if (len)
        *len = b->len;
    buf_init(b);
    return out;
}
