/* cursor.h - a place in a text that is read from front to back; header only. */
#ifndef GLIM_TEXT_CURSOR_H
#define GLIM_TEXT_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "text/charset.h"

struct cursor {
    const char *text; /* [len] */
    size_t len, at;
};

/* The byte that is `ahead` further, or 0 behind the end. */
static inline char cursor_look(const struct cursor *c, size_t ahead)
{
    return c->len - c->at > ahead ? c->text[c->at + ahead] : 0;
}

static inline char cursor_peek(const struct cursor *c) { return cursor_look(c, 0); }

static inline size_t cursor_left(const struct cursor *c) { return c->len - c->at; }

/* Goes on behind the character that stands here; the text is valid UTF-8. */
static inline uint32_t cursor_character(struct cursor *c)
{
    size_t n;
    const uint32_t character = utf8_decode_valid(c->text + c->at, &n);
    c->at += n;
    return character;
}

/* Between the ends of a range, as in [a-z]. */
static inline bool cursor_in_range(const struct cursor *c)
{
    return cursor_peek(c) == '-' && cursor_left(c) > 1 && cursor_look(c, 1) != ']';
}

/* Goes on behind the word if it stands here. */
static inline bool cursor_take(struct cursor *c, const char *word)
{
    const size_t n = strlen(word);
    if (c->len - c->at < n || memcmp(c->text + c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

#endif
