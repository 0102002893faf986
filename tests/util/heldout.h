/* heldout.h - the bundled model's held-out conversations, tests/data/nano/heldout.jsonl: prompts
 * that training never saw, with a right answer each (tools/nano/eval.py --write).
 */
#ifndef GLIM_TESTS_UTIL_HELDOUT_H
#define GLIM_TESTS_UTIL_HELDOUT_H

#include <json-c/json.h>

/* Calls fn for every one, in the order of the file. */
void heldout_each(void (*fn)(void *ctx, struct json_object *c), void *ctx);

/* The string at `key`, which must be there; owned by o. */
const char *heldout_text(struct json_object *o, const char *key);

#endif
