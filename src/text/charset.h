/* charset.h - sets of characters (code points) as ranges, for grammars and regular expressions. */
#ifndef GLIM_TEXT_CHARSET_H
#define GLIM_TEXT_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/gram_build.h"

struct charset { /* zero-initialise, then charset_free */
    struct gram_range *r;
    size_t n, cap;
    bool failed; /* memory ran out; sticks */
};

void charset_free(struct charset *s);
void charset_add(struct charset *s, uint32_t lo, uint32_t hi); /* lo <= hi */
/* In order, without overlaps, as gram_chars wants it. */
void charset_sort(struct charset *s);
void charset_invert(struct charset *s); /* sorts too */
/* Leaves what is in both; sorts both. */
void charset_intersect(struct charset *s, struct charset *with);

/* The character at text [len] > 0 of valid UTF-8, and its length. */
uint32_t utf8_decode_valid(const char *text, size_t *len);

/* The value of up to `most` hexadecimal digits at text [len]; *n: how many there are. */
uint32_t hex_value(const char *text, size_t len, size_t most, size_t *n);

#endif
