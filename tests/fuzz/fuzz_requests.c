/* Requests of Anthropic's Messages API and OpenAI's Responses API: whatever JSON they are, they
 * become messages and tools of the shapes that the template takes, or a fault with a text. The
 * first byte says which API. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fuzz/fuzz.h"
#include "server/anthropic.h"
#include "server/responses.h"
#include "server/results.h"

/* Every message has a role, and content that is an array of parts with a type. */
static void check_messages(struct json_object *messages)
{
    results_sort(messages);
    for (size_t i = 0; i < json_object_array_length(messages); i++) {
        struct json_object *const m = json_object_array_get_idx(messages, i);
        struct json_object *const content = json_object_object_get(m, "content");
        if (!json_object_is_type(json_object_object_get(m, "role"), json_type_string)
            || !json_object_is_type(content, json_type_array))
            abort();
        for (size_t k = 0; k < json_object_array_length(content); k++) {
            struct json_object *const part = json_object_array_get_idx(content, k);
            if (!json_object_is_type(json_object_object_get(part, "type"), json_type_string))
                abort();
        }
    }
}

static int read_request(struct json_object *body, bool anthropic, struct fault *f)
{
    const struct fields s = {body, "", f};
    struct json_object *messages = NULL, *tools = NULL, *known = NULL;
    bool prefill;
    int rc = anthropic ? anthropic_messages(&s, &messages, &prefill)
                       : responses_messages(&s, NULL, &messages);
    if (rc == 0)
        rc = anthropic ? anthropic_tools(&s, &tools) : responses_tools(&s, &tools, &known);
    if (rc == 0)
        check_messages(messages);
    json_object_put(messages);
    json_object_put(tools);
    json_object_put(known);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_object *body;
    struct fault f = {0};
    if (size < 2 || json_read((const char *)data + 1, size - 1, "fuzz", &body, NULL) != 0)
        return 0;
    if (json_object_is_type(body, json_type_object) && read_request(body, data[0] & 1, &f) != 0
        && (f.kind == FAULT_NONE || f.text[0] == 0))
        abort();
    json_object_put(body);
    return 0;
}
