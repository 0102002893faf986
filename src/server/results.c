/* results.c - see results.h. */
#include "server/results.h"

#include <stdbool.h>
#include <string.h>

static struct json_object *get(struct json_object *o, const char *key)
{
    return json_object_is_type(o, json_type_object) ? json_object_object_get(o, key) : NULL;
}

/* Which of the calls message i is the result of; their number if of none. */
static size_t call_of(struct json_object *messages, size_t i, struct json_object *calls)
{
    const size_t n = json_object_array_length(calls);
    struct json_object *const id = get(json_object_array_get_idx(messages, i), "tool_call_id");
    for (size_t k = 0; id && k < n; k++) {
        if (json_object_equal(get(json_object_array_get_idx(calls, k), "id"), id))
            return k;
    }
    return n;
}

static bool is_tool(struct json_object *messages, size_t i)
{
    struct json_object *const role = get(json_object_array_get_idx(messages, i), "role");
    return json_object_is_type(role, json_type_string)
        && strcmp(json_object_get_string(role), "tool") == 0;
}

static void swap(struct json_object *messages, size_t a, size_t b)
{
    struct json_object *const first = json_object_get(json_object_array_get_idx(messages, a));
    struct json_object *const second = json_object_get(json_object_array_get_idx(messages, b));
    (void)json_object_array_put_idx(messages, a, second); /* both there already: cannot fail */
    (void)json_object_array_put_idx(messages, b, first);
}

enum { RESULTS_MAX = 128 }; /* of one message's calls; more are left as they are */

/* How many of the messages from `begin` on are results of these calls, and of which: rank
 * [RESULTS_MAX]. 0 if there is one that is of none, or too many. */
static size_t find_results(struct json_object *messages, size_t begin, struct json_object *calls,
                           size_t *rank)
{
    const size_t all = json_object_array_length(messages);
    size_t n = 0;
    for (; begin + n < all && is_tool(messages, begin + n); n++) {
        if (n == RESULTS_MAX)
            return 0;
        rank[n] = call_of(messages, begin + n, calls);
        if (rank[n] == json_object_array_length(calls))
            return 0;
    }
    return n;
}

/* messages[begin..begin+n) by rank, by insertion: they are few, and mostly in order. */
static void sort(struct json_object *messages, size_t begin, size_t n, size_t *rank)
{
    for (size_t i = 1; i < n; i++) {
        for (size_t k = i; k > 0 && rank[k - 1] > rank[k]; k--) {
            const size_t higher = rank[k - 1];
            rank[k - 1] = rank[k];
            rank[k] = higher;
            swap(messages, begin + k - 1, begin + k);
        }
    }
}

void results_sort(struct json_object *messages)
{
    size_t rank[RESULTS_MAX];
    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct json_object *const calls =
            get(json_object_array_get_idx(messages, i), "tool_calls");
        if (json_object_is_type(calls, json_type_array)
            && json_object_array_length(calls) <= RESULTS_MAX)
            sort(messages, i + 1, find_results(messages, i + 1, calls, rank), rank);
    }
}
