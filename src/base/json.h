/* json.h - reading JSON that strangers wrote into json-c's values, and writing those.
 *
 * Refused at the border, with the byte offset: anything but one value and white space, invalid
 * UTF-8, depth beyond JSON_DEPTH, NaN and Infinity, integers beyond 64 bits, duplicate keys in any
 * object (see jsonscan.h, by whose tokens the tree of json-c's values is made), more than
 * JSON_MAX_NODES values.
 */
#ifndef GLIM_BASE_JSON_H
#define GLIM_BASE_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jsonscan.h"

enum {
    JSON_MAX_NODES = 4000000
}; /* a tree costs some 100 bytes a value; GLM's tokenizer.json has 1.2 million */

/* *out is owned by the caller (json_object_put). `what` names the text in messages
 * ("config.json"). GLIM_ENOMEM leaves nothing half made. */
int json_read(const char *text, size_t len, const char *what, struct json_object **out,
              struct err *e);

/* io_read_file + json_read; messages carry the path. */
int json_read_file(const char *path, uint64_t max_bytes, struct json_object **out, struct err *e);

/* object[key] = value, and value behind the others of a list. Value is taken over, also if that
 * fails; NULL stands for what found no memory. False: memory is out. */
bool json_put(struct json_object *object, const char *key, struct json_object *value);
bool json_append(struct json_object *list, struct json_object *value);

struct buf;

/* Appends the bytes of Python's json.dumps(value, ensure_ascii=False): ", " and ": ", floats as
 * repr() prints them, keys in their order. What Hugging Face templates print with
 * tojson(ensure_ascii=False). NULL is null. */
void json_write_python(struct buf *b, struct json_object *value);

/* Appends the value as JSON without white space, reals with the digits that they were read with.
 * Instead of json-c's own printing, which goes on without what it found no memory for. */
void json_write(struct buf *b, struct json_object *value);

#endif
