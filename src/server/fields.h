/* fields.h - reading fields of a request's JSON object.
 *
 * A field that is absent or null leaves *out as it is. A wrong type or a value out of range is a
 * fault that names the field: the path of the object ("messages[3]", "" at the top), a dot, the
 * key.
 */
#ifndef GLIM_SERVER_FIELDS_H
#define GLIM_SERVER_FIELDS_H

#include "base/json.h"
#include "server/fault.h"

struct fields {
    struct json_object *o;
    const char *at;
    struct fault *f;
};

/* NULL if absent or null. */
struct json_object *field(const struct fields *s, const char *key);
int field_text(const struct fields *s, const char *key, const char **out); /* borrowed */
/* The same for what is compared as a C string: no character 0. */
int field_name(const struct fields *s, const char *key, const char **out);
int field_bool(const struct fields *s, const char *key, bool *out);
int field_u64(const struct fields *s, const char *key, uint64_t low, uint64_t high, uint64_t *out);
int field_real(const struct fields *s, const char *key, double low, double high, double *out);
int field_object(const struct fields *s, const char *key, struct json_object **out);
int field_array(const struct fields *s, const char *key, struct json_object **out);

/* A fault for a field: "KEY: TEXT". */
int field_fault(const struct fields *s, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "a string", "null" ...: what a value is, for messages. */
const char *json_type_text(struct json_object *v);
/* Is it a string, and this one? */
bool json_is(struct json_object *v, const char *text);

#endif
