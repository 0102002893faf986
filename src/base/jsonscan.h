/* jsonscan.h - JSON that strangers wrote, token by token: the border that every JSON text passes.
 *
 * A pull scanner with an explicit stack: no recursion, memory only for the keys of the objects that
 * are open. json.c makes a tree of its tokens; the safetensors reader, whose headers may
 * hold a million tensors, reads with it directly and builds no tree.
 *
 * Refused, with the byte offset: anything but one RFC 8259 value and white space, invalid UTF-8,
 * depth beyond JSON_DEPTH, integers outside int64 and uint64, numbers too large for a double or
 * longer than JSON_NUMBER_LEN, duplicate keys in an object (compared after decoding), keys with
 * U+0000, more than `max_nodes` values. A lone surrogate escape passes and decodes to U+FFFD; the
 * token says so.
 *
 * Cost: one pass; n log n in the keys of an object. Not responsible for: building values (json-c),
 * meanings.
 */
#ifndef GLIM_BASE_JSONSCAN_H
#define GLIM_BASE_JSONSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { JSON_DEPTH = 64, JSON_NUMBER_LEN = 1000 };

enum json_kind {
    JSON_END, JSON_OBJECT, JSON_OBJECT_END, JSON_ARRAY, JSON_ARRAY_END, JSON_KEY, JSON_STRING,
    JSON_UINT,  /* an integer >= 0: u */
    JSON_NEG,   /* an integer < 0 that fits int64 */
    JSON_REAL,  /* a finite number with a point or an exponent */
    JSON_TRUE, JSON_FALSE, JSON_NULL
};

struct json_token {
    enum json_kind kind;
    const char *text; /* the raw bytes, borrowed from the text; strings without quotes */
    size_t len;
    size_t at;        /* offset of the token in the text */
    bool escaped;     /* strings and keys: holds a backslash */
    bool lone;        /* strings and keys: holds a lone surrogate */
    uint64_t u;       /* JSON_UINT; JSON_NEG: without its sign */
    double real;      /* JSON_REAL */
};

struct json_scan {
    const char *text; /* [len], borrowed; need not be 0-terminated */
    size_t len, at;
    const char *what; /* names the text in messages */
    uint64_t origin;  /* added to offsets in messages */
    uint64_t nodes, max_nodes;
    /* private */
    int state, depth;
    bool is_object[JSON_DEPTH];
    size_t first_key[JSON_DEPTH], first_byte[JSON_DEPTH];
    struct json_scan_key *key; /* keys of the open objects */
    size_t keys, key_cap;
    struct buf decoded;        /* of the keys with escapes */
};

/* max_nodes 0: as many as the text holds. */
void json_scan_init(struct json_scan *s, const char *text, size_t len, const char *what,
                    uint64_t max_nodes);
void json_scan_deinit(struct json_scan *s);

/* The next token; JSON_END (again and again) after the value and its trailing white space. After an
 * error the scanner may only be deinitialised. */
int json_scan_next(struct json_scan *s, struct json_token *t, struct err *e);

/* Like json_scan_next, but GLIM_EFORMAT unless the token is of `kind`; `field` is named in the
 * message. */
int json_scan_expect(struct json_scan *s, enum json_kind kind, const char *field,
                     struct json_token *t, struct err *e);

/* Reads past the value that starts with token t (returns at once for a scalar). */
int json_scan_skip(struct json_scan *s, const struct json_token *t, struct err *e);

/* Appends the decoded bytes of a string or key. */
void json_token_decode(const struct json_token *t, struct buf *b);

/* Is the raw text of a key or string exactly `word`? (`word` needs no escapes; an escaped spelling
 * is not it.) */
bool json_token_is(const struct json_token *t, const char *word);

/* "an object", "a string" ... for messages. */
const char *json_kind_name(enum json_kind k);

#endif
