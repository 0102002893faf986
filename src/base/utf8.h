/* utf8.h - is this UTF-8, and what becomes of what is not? One answer for the whole program.
 *
 * Overlong forms, surrogates and values beyond U+10FFFF are invalid, as in RFC 3629. Invalid bytes
 * are cut into maximal subparts (Unicode 15, section 3.9, "U+FFFD substitution of maximal
 * subparts"), one U+FFFD each: the same as Python's bytes.decode("utf-8", "replace") and what
 * browsers do.
 */
#ifndef GLIM_BASE_UTF8_H
#define GLIM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

enum utf8_class {
    UTF8_OK,      /* *len bytes are one character */
    UTF8_BAD,     /* *len bytes are one invalid maximal subpart */
    UTF8_PARTIAL, /* all *len bytes that are there begin a character whose end is missing */
};

/* What stands at s[0..n); n > 0. */
enum utf8_class utf8_classify(const char *s, size_t n, size_t *len);

/* Is the whole character s[0..n) a control character: C0, DEL or C1 (U+0080 to U+009F)? */
bool utf8_is_control(const char *s, size_t n);

/* Length of the longest valid prefix of text [len]: equal to len when all of it is UTF-8. */
size_t utf8_valid_len(const char *text, size_t len);

/* Length of text [len] without a character that begins at its end and is not finished there. */
size_t utf8_whole_len(const char *text, size_t len);

/* Appends s with each invalid subpart replaced by U+FFFD, but for an incomplete end, whose length
 * is returned. */
size_t utf8_append_whole(struct buf *out, const char *s, size_t n);

/* The same with U+FFFD for an incomplete end too. */
void utf8_append_valid(struct buf *out, const char *s, size_t n);

/* Writes code point `c` to out [4] and returns the number of bytes; c is a valid scalar value. */
size_t utf8_encode(uint32_t c, char *out);

#endif
