/* emit.h - writing JSON into a buffer without building a tree: what every token of a stream goes
 * through. */
#ifndef GLIM_SERVER_EMIT_H
#define GLIM_SERVER_EMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* "text" with quotes; bytes that are no UTF-8 become U+FFFD. */
void emit_text(struct buf *out, const char *text, size_t len);
/* The same of a 0-terminated text; NULL is null. */
void emit_string(struct buf *out, const char *text);
/* "key": with a comma before it unless it is the first. */
void emit_key(struct buf *out, bool first, const char *key);
/* The same where an object's last byte tells whether a member came before. */
void emit_member(struct buf *out, const char *key);
/* Whole members. text NULL: null. */
void emit_member_text(struct buf *out, const char *key, const char *text);
void emit_member_u64(struct buf *out, const char *key, uint64_t v);
void emit_member_bool(struct buf *out, const char *key, bool v);
void emit_member_real(struct buf *out, const char *key, double v);
void emit_u64(struct buf *out, uint64_t v);
/* The shortest digits that read back as v; null if v is not finite. */
void emit_real(struct buf *out, double v);
/* The same of a float: as few digits as tell it from others. */
void emit_float(struct buf *out, float v);
/* [1,2,...] of the bytes. */
void emit_bytes(struct buf *out, const char *bytes, size_t len);

#endif
