/* toolfield.c - see toolfield.h. */
#include "server/toolfield.h"

#include <stdio.h>
#include <string.h>

#include "server/fieldlist.h"
#include "server/responses.h"

/* The schema of a tool in the words of the API whose shape it has. */
static const char *schema_of(struct json_object *tool)
{
    if (block_get(tool, "input_schema"))
        return "input_schema";
    if (block_get(tool, "function"))
        return "function.parameters";
    return block_is(tool, "custom") ? "format.definition" : "parameters";
}

static bool has_name(struct json_object *tool, const char *space, const char *full)
{
    struct json_object *const inner = block_get(tool, "function");
    struct buf own;
    buf_init(&own);
    responses_tool_name(space, block_word(inner ? inner : tool, "name"), &own);
    const bool same = !own.failed && strcmp(own.data, full) == 0;
    buf_deinit(&own);
    return same;
}

/* The path of the schema of the tool with this name; space: the namespace of the list, or "". */
static bool find(struct json_object *list, const char *at, const char *space, const char *full,
                 char *path, size_t size)
{
    const bool some = json_object_is_type(list, json_type_array);
    const size_t n = some ? json_object_array_length(list) : 0;
    for (size_t i = 0; i < n; i++) {
        struct json_object *const tool = json_object_array_get_idx(list, i);
        char inside[64];
        (void)snprintf(inside, sizeof inside, "%s[%zu].tools", at, i);
        if (block_is(tool, "namespace") && !*space
            && find(block_get(tool, "tools"), inside, block_word(tool, "name"), full, path, size))
            return true;
        if (has_name(tool, space, full)) {
            (void)snprintf(path, size, "%s[%zu].%s", at, i, schema_of(tool));
            return true;
        }
    }
    return false;
}

void toolfield_name(struct json_object *given, struct json_object *tools, struct fault *f)
{
    const char *const at = strstr(f->text, "tools[");
    unsigned i = 0;
    int len = 0;
    char path[sizeof f->param], text[sizeof f->text];
    if (!at || sscanf(at, "tools[%u].function.parameters%n", &i, &len) != 1 || len == 0)
        return;
    struct json_object *const tool = json_object_array_get_idx(tools, i);
    const char *const name = block_word(block_get(tool, "function"), "name");
    if (!find(given, "tools", "", name, path, sizeof path))
        return;
    (void)snprintf(text, sizeof text, "%s%s", path, at + len);
    memcpy(f->text, text, sizeof text);
    memcpy(f->param, path, sizeof path);
}
