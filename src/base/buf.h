/* buf.h - a growable byte string. data is never NULL after buf_init and always has a 0 after
 * data[len].
 *
 * Appending can fail for lack of memory only; the failure is sticky (`failed`), so that a renderer
 * may append a hundred times and check `failed` once.
 */
#ifndef GLIM_BASE_BUF_H
#define GLIM_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* [len + 1], owned */
    size_t len, cap;
    bool failed;
};

void buf_init(struct buf *b);
void buf_deinit(struct buf *b);
void buf_clear(struct buf *b); /* length 0, memory and `failed` kept */
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_adds(struct buf *b, const char *text);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addv(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
/* Hands the string to the caller, who frees it; b is empty again. NULL if an append had failed. */
char *buf_take(struct buf *b, size_t *len);

#endif
