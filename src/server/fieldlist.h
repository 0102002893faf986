/* fieldlist.h - reading typed lists: what Anthropic's API calls blocks, and OpenAI's items and
 * parts.
 *
 * As in fields.h, null counts as absent, and a fault names the field by its path
 * ("messages[3].content[0].text").
 */
#ifndef GLIM_SERVER_FIELDLIST_H
#define GLIM_SERVER_FIELDLIST_H

#include "server/fields.h"

/* o[key] as it is, borrowed; NULL if absent, null, or o is no object. */
struct json_object *block_get(struct json_object *o, const char *key);

/* "" if it is no string. For comparing names; never for text that may hold a 0. */
const char *block_word(struct json_object *o, const char *key);
/* block_word(o, "type") is `type`. */
bool block_is(struct json_object *o, const char *type);

/* s->o[key] of a type, borrowed; NULL if absent, which is a fault if `needed`. */
int block_field(const struct fields *s, const char *key, enum json_type type, bool needed,
                struct json_object **out);

/* Calls `each` with every object of the array s->o[key] (absent: none); the first fault ends it. */
typedef int block_fn(void *ctx, const struct fields *block);
int block_each(const struct fields *s, const char *key, block_fn *each, void *ctx);

/* A fault of the whole block. */
int block_fault(const struct fields *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
