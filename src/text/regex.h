/* regex.h - the part of ECMAScript's regular expressions that is regular -> an automaton over
 * characters, for "pattern" and "format" of JSON schemas.
 *
 * Understood: characters, ".", classes, \d \w \s and their opposites, \t \n \r \f \v \0 \xHH \uHHHH
 * \u{H}, groups (also named or not captured), "|", * + ? {m} {m,} {m,n} (lazy ones too), ^ and $ at
 * the ends of an alternative. Refused by name: look-around, back references, \b \B, \p, \c, ^ or $
 * anywhere else. A pattern is searched for in the text, as JSON Schema says: without ^ and $
 * anything may stand before and after it.
 *
 * Counted repetitions are written out, within REGEX_NODES_MAX.
 */
#ifndef GLIM_TEXT_REGEX_H
#define GLIM_TEXT_REGEX_H

#include "base/err.h"
#include "text/charset.h"

enum { REGEX_NODES_MAX = 20000, REGEX_DEPTH = 32 };

struct regex_edge {
    uint32_t from, to;
    int32_t set; /* in regex.set; -1: takes nothing */
};

struct regex {
    struct regex_edge *edge;
    struct charset *set; /* [sets], sorted */
    size_t edges, sets, edge_cap, set_cap;
    uint32_t nodes; /* 0 is the start, 1 the end */
};

/* text [len]: valid UTF-8. Messages begin with the expression. *out is empty after an error. */
int regex_parse(struct regex *out, const char *text, size_t len, struct err *e);
void regex_free(struct regex *x);

/* Does the whole text [len] of valid UTF-8 match? False without memory too. */
bool regex_matches(const struct regex *x, const char *text, size_t len);

#endif
