/* schema.h - what the files that compile JSON schemas share. Internal to text/grammar.
 *
 *   schema.c          a schema -> its alternatives by type; $ref, anyOf, oneOf
 *   schema_words.c    the keywords that are known, and which type each is about
 *   schema_merge.c    allOf and what stands beside $ref and anyOf: two schemas -> one
 *   schema_disjoint.c can no value match both? for oneOf
 *   schema_listed.c   enum and const
 *   schema_string.c   strings, as JSON or raw, with lengths and patterns; schema_format.c: formats
 *   schema_number.c   integers and numbers within bounds
 *   schema_object.c, schema_array.c
 *   schema_common.c   rules that many values share
 *
 * A function that compiles takes the node where the value begins and returns the node where it
 * ends. Faults stick in the builder. Depth is bounded by SCHEMA_DEPTH, work by SCHEMA_STEPS.
 */
#ifndef GLIM_TEXT_SCHEMA_H
#define GLIM_TEXT_SCHEMA_H

#include <json-c/json.h>

#include "base/buf.h"
#include "base/json.h"
#include "text/gram_build.h"
#include "text/regex.h"

enum {
    SCHEMA_DEPTH = 64,
    SCHEMA_STEPS = 20000,         /* schemas compiled or merged; 100 bytes of each are typical */
    SCHEMA_PROPERTIES_MAX = 2000, /* of one object */
};

enum {
    TYPE_OBJECT = 1,
    TYPE_ARRAY = 2,
    TYPE_STRING = 4,
    TYPE_INTEGER = 8,
    TYPE_NUMBER = 16, /* with TYPE_INTEGER: any number; without: one that is no integer */
    TYPE_BOOLEAN = 32,
    TYPE_NULL = 64,
    TYPE_ANY = 127
};

/* How a string is written. */
enum string_form {
    STRING_JSON, /* in quotes, escaped */
    STRING_RAW,  /* as it is: the argument of a tool */
};

/* Rules that are made when they are first needed; 0 = not yet. */
enum common_rule {
    RULE_SPACE, /* after a comma or a bracket, and before a closing bracket */
    RULE_GAP,   /* after a colon */
    RULE_CHAR,  /* one character of a JSON string */
    RULE_STRING,
    RULE_NUMBER,
    RULE_INTEGER,
    RULE_VALUE, /* any JSON value */
    RULE_OBJECT,
    RULE_PAIRS,    /* members of any object, one and more */
    RULE_ODD_CHAR, /* of a string with one form: all but printable ASCII that stands as it is */
    RULE_RAW_CHAR,
    RULE_COUNT
};

struct schema_todo {                   /* a rule whose schema is not compiled yet */
    struct json_object *schema, *root; /* borrowed */
    uint32_t rule;
    char *where; /* owned: its JSON pointer */
};

struct schema {
    struct gram_builder *b;
    struct json_object *root;  /* what "#" means; borrowed */
    struct json_object *owned; /* array: schemas that were merged */
    struct json_object *refs;  /* rule by root and pointer */
    struct schema_todo *todo;
    size_t todos, todo_cap;
    struct buf where; /* JSON pointer of what is compiled, for messages */
    const char *what; /* "schema", or "tools[3].function.parameters" */
    int depth, steps;
    uint64_t work;               /* comparing texts with patterns */
    const struct charset *first; /* with what a raw text may begin; NULL: anything. Borrowed */
    uint32_t common[RULE_COUNT];
};

int schema_init(struct schema *c, struct gram_builder *b);
void schema_deinit(struct schema *c);

/* Compiles what is left to do. Call it once all values are begun. */
void schema_finish(struct schema *c);

/* A value of the schema (an object, true or false). */
uint32_t schema_value(struct schema *c, struct json_object *s, uint32_t from,
                      enum string_form form);
/* The same by a rule of its own, which is compiled later: for what may be recursive. */
uint32_t schema_ref(struct schema *c, const char *ref, uint32_t from);
/* The schema that a "$ref" points to; NULL after a fault. Borrowed. */
struct json_object *schema_deref(struct schema *c, const char *ref);

/* "schema at #/properties/x: ..."; sticks. */
void schema_fault(struct schema *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool schema_ok(const struct schema *c);
/* Goes down to a member for messages: "/word" or "/word/key"; schema_up undoes it. */
size_t schema_down(struct schema *c, const char *word, const char *key);
void schema_up(struct schema *c, size_t mark);
/* Counts a step; false: too many. */
bool schema_step(struct schema *c);

/* ---- schema_words.c ---- */

/* Faults for a keyword that is not known, or of a wrong shape. */
void schema_check_words(struct schema *c, struct json_object *s);
bool schema_is_annotation(const char *word);
/* The types that "type" allows, or that the keywords speak of, or all. */
unsigned schema_types(struct schema *c, struct json_object *s);
unsigned schema_type_of(struct json_object *value);
/* A count keyword ("minLength"); `otherwise` if it is not there. */
uint32_t schema_count(struct schema *c, struct json_object *s, const char *word,
                      uint32_t otherwise);
struct json_object *schema_get(struct json_object *s, const char *word); /* NULL if absent */

/* ---- schema_merge.c ---- */

/* One schema without $ref and allOf at its top that means the same; NULL: nothing matches, or a
 * fault. Borrowed from c or from s. */
struct json_object *schema_flatten(struct schema *c, struct json_object *s);
/* Both at once; as above. a and b are flat. */
struct json_object *schema_merge(struct schema *c, struct json_object *a, struct json_object *b);
/* s without the key; borrowed from c. */
struct json_object *schema_without(struct schema *c, struct json_object *s, const char *key);
/* {"allOf": [a, b]}; borrowed from c. */
struct json_object *schema_both(struct schema *c, struct json_object *a, struct json_object *b);
/* The values that are in both lists; a new array, NULL without memory. */
struct json_object *schema_common_values(struct schema *c, struct json_object *a,
                                         struct json_object *b);

/* Can no value match both? True only if that is sure. */
bool schema_disjoint(struct schema *c, struct json_object *a, struct json_object *b);

/* ---- schema_string.c, schema_number.c, schema_object.c: s is flat ---- */

uint32_t schema_string(struct schema *c, struct json_object *s, uint32_t from,
                       enum string_form form);
/* A given text, written in the only way that masks allow. */
uint32_t schema_text(struct schema *c, uint32_t from, const char *text, size_t len,
                     enum string_form form);
/* One character of the set as it stands inside of a string. */
void schema_chars(struct schema *c, uint32_t from, const struct charset *set, uint32_t to,
                  enum string_form form);
void schema_make_odd(struct schema *c, struct gram_frag f); /* RULE_ODD_CHAR */
/* A text of the expression, of min to max characters, without quotes. */
uint32_t schema_regex(struct schema *c, const struct regex *x, uint32_t from, uint32_t min,
                      uint32_t max, enum string_form form);
/* The expression of "pattern" or "format"; NULL: neither. */
const char *schema_expression(struct schema *c, struct json_object *s);
bool schema_string_fits(struct schema *c, struct json_object *s, struct json_object *value);
/* Any JSON string but these [n]. */
uint32_t schema_other_string(struct schema *c, uint32_t from, const char *const * not, size_t n);
/* The pattern compiled; false after a fault. The caller frees it. */
bool schema_pattern(struct schema *c, const char *text, struct regex *out);
bool schema_matches(struct schema *c, const struct regex *x, const char *text, size_t len);

uint32_t schema_number(struct schema *c, struct json_object *s, uint32_t from, bool integer);
bool schema_number_fits(struct schema *c, struct json_object *s, struct json_object *value);

uint32_t schema_object(struct schema *c, struct json_object *s, uint32_t from);
/* A comma and white space. */
uint32_t schema_comma(struct schema *c, uint32_t from);
uint32_t schema_array(struct schema *c, struct json_object *s, uint32_t from);

/* enum, const */
uint32_t schema_listed(struct schema *c, struct json_object *s, uint32_t from,
                       enum string_form form);

/* A rule that several values share. */
uint32_t schema_common(struct schema *c, enum common_rule which);
uint32_t schema_call(struct schema *c, enum common_rule which, uint32_t from);

#endif
