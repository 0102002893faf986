/* heldout.c - see heldout.h. */
#include "util/heldout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CASES "tests/data/nano/heldout.jsonl"

void heldout_each(void (*fn)(void *ctx, struct json_object *c), void *ctx)
{
    FILE *const f = fopen(CASES, "r");
    assert_non_null(f);
    char *line = NULL;
    for (size_t room = 0; getline(&line, &room, f) > 0;) {
        struct json_object *const c = json_tokener_parse(line);
        assert_non_null(c);
        fn(ctx, c);
        json_object_put(c);
    }
    free(line);
    fclose(f);
}

const char *heldout_text(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v))
        fail_msg("a case without \"%s\"", key);
    return json_object_get_string(v);
}
