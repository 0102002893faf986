/* schema_array.c - arrays of JSON schemas: fixed items first, then any number of the others. */
#include "text/schema.h"

#include <stdio.h>

/* The items behind the first `fixed` ones: min to max of them. None of all: `none`. */
static void rest_items(struct schema *c, struct json_object *items, bool first, uint32_t from,
                       uint32_t min, uint32_t max, uint32_t to)
{
    struct gram_frag more = {gram_node(c->b), gram_node(c->b)};
    const uint32_t rule = gram_rule(c->b, NULL, 0);
    const struct gram_frag one = gram_rule_frag(c->b, rule);
    const size_t mark = schema_down(c, "items", NULL);
    gram_empty(c->b,
               items ? schema_value(c, items, one.start, STRING_JSON)
                     : schema_call(c, RULE_VALUE, one.start),
               one.end);
    schema_up(c, mark);
    if (!schema_ok(c))
        return;
    gram_call(c->b, schema_comma(c, more.start), rule, more.end);
    if (first) {
        const uint32_t behind = gram_node(c->b);
        gram_call(c->b, from, rule, behind);
        from = behind;
        min -= min > 0;
        max -= max != GRAM_UNBOUNDED;
    }
    from = gram_times(c->b, from, more, min, max);
    gram_empty(c->b, schema_call(c, RULE_SPACE, from), to);
}

/* prefixItems; returns where the rest begins. */
static uint32_t fixed_items(struct schema *c, struct json_object *list, uint32_t from, uint32_t min,
                            uint32_t max, uint32_t to)
{
    const size_t n = list ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < n && i < max && schema_ok(c); i++) {
        char number[24];
        (void)snprintf(number, sizeof number, "%zu", i);
        if (i >= min)
            gram_empty(c->b, i > 0 ? schema_call(c, RULE_SPACE, from) : from, to);
        const size_t mark = schema_down(c, "prefixItems", number);
        from = schema_value(c, json_object_array_get_idx(list, i),
                            i > 0 ? schema_comma(c, from) : from, STRING_JSON);
        schema_up(c, mark);
    }
    return from;
}

uint32_t schema_array(struct schema *c, struct json_object *s, uint32_t from)
{
    struct json_object *const list = schema_get(s, "prefixItems"), *const items =
                                                                       schema_get(s, "items");
    const uint32_t min = schema_count(c, s, "minItems", 0), ends = gram_node(c->b);
    const uint32_t max = schema_count(c, s, "maxItems", GRAM_UNBOUNDED);
    const bool none_follow =
        json_object_is_type(items, json_type_boolean) && !json_object_get_boolean(items);
    const uint32_t n = list ? (uint32_t)json_object_array_length(list) : 0;
    if (!schema_ok(c) || min > max)
        return gram_node(c->b);
    from = schema_call(c, RULE_SPACE, gram_string(c->b, from, "["));
    from = fixed_items(c, list, from, min, max, ends);
    if (min <= n) /* the fixed ones are enough */
        gram_empty(c->b, n > 0 && max > 0 ? schema_call(c, RULE_SPACE, from) : from, ends);
    if (max > n && !none_follow)
        rest_items(c, items, n == 0, from, min > n ? min - n : 0,
                   max == GRAM_UNBOUNDED ? max : max - n, ends);
    return gram_string(c->b, ends, "]");
}
