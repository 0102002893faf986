/* parse_args.h - the arguments of a call: keys and raw values -> fragments of JSON text. Internal
 * to text/parse. */
#ifndef GLIM_TEXT_PARSE_ARGS_H
#define GLIM_TEXT_PARSE_ARGS_H

#include "base/json.h"
#include "text/tokenizer.h"

enum { /* types of values, as bits */
    ARGS_STRING = 1,
    ARGS_NUMBER = 2,
    ARGS_INTEGER = 4,
    ARGS_BOOLEAN = 8,
    ARGS_NULL = 16,
    ARGS_ARRAY = 32,
    ARGS_OBJECT = 64
};

struct args {
    struct json_object *tools;      /* borrowed, may be NULL */
    struct json_object *properties; /* of the current tool; borrowed, NULL if unknown */
    struct json_object *seen;       /* owned: the keys of the current call */
    struct buf value;               /* raw, where it is not streamed */
    unsigned types;                 /* that the schema allows the current value; 0: unknown */
    bool streams;                   /* only a string is allowed: its text goes out as it comes */
    bool skips;                     /* a second value for a key */
    bool open;                      /* "{" is out */
};

int args_init(struct args *a, struct json_object *tools, struct err *e);
void args_deinit(struct args *a);

/* A new call of the tool with this name. Each of the others appends what can go out now to
 * `out`. */
int args_begin(struct args *a, const char *name, struct err *e);
void args_key(struct args *a, const char *key, size_t len, struct buf *out);
void args_text(struct args *a, const char *text, size_t len, struct buf *out);
void args_value_end(struct args *a, struct buf *out);
void args_end(struct args *a, struct buf *out);

/* All types that the schema of an argument says its value may have; 0: not known. One level of
 * anyOf and oneOf is looked into. */
unsigned args_types(struct json_object *schema);

#endif
