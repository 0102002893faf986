/* responses_store.h - what is kept of responses, for previous_response_id and GET /v1/responses/ID.
 *
 * In memory only, and never more than a given number of bytes: the least recently used go first. A
 * response holds the input and the output of its own request; what came before is found by the id
 * that it names, and using a response counts as using those. Owners (API keys) see their own only.
 * All functions may be called from any thread.
 */
#ifndef GLIM_SERVER_RESPONSES_STORE_H
#define GLIM_SERVER_RESPONSES_STORE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct responses_store;

#define RESPONSES_STORE_BYTES (64u << 20)

struct responses_store *responses_store_new(uint64_t max_bytes); /* NULL: memory is out */
void responses_store_free(struct responses_store *s);            /* s may be NULL */

/* Ids are without "resp_". previous: NULL if there is none. input: a string or an array of items,
 * or NULL. output: JSON text of an array, whole: of the response. What does not fit, or finds no
 * memory, is not kept. */
void responses_store_put(struct responses_store *s, const char *owner, const char *id,
                         const char *previous, struct json_object *input,
                         const struct buf *output, const struct buf *whole);

/* *items: all items up to and with this response's output, oldest first; the caller puts the array.
 * GLIM_EINVAL: it, or one before it, is not kept (any more); or GLIM_ENOMEM. */
int responses_store_items(struct responses_store *s, const char *owner, const char *id,
                          struct json_object **items);
/* Puts the items that `input`, an array, refers to by id in the place of their item_reference; the
 * most recently used response that has one counts. Those that are not kept stay, as do all beyond
 * REFERENCES_MAX. GLIM_ENOMEM: some may stand that are kept. */
enum { REFERENCES_MAX = 512 };
int responses_store_resolve(struct responses_store *s, const char *owner,
                            struct json_object *input);
/* Appends the response's JSON text; false if it is not kept. */
bool responses_store_get(struct responses_store *s, const char *owner, const char *id,
                         struct buf *out);
bool responses_store_delete(struct responses_store *s, const char *owner, const char *id);

#endif
