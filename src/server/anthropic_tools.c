/* anthropic_tools.c - tools of Anthropic's API as those of the template.
 *
 *   a name and an input_schema            a tool of the client's
 *   "bash_20250124", "text_editor_..."    also the client's, with a schema that its provider knows
 *   "web_search_...", "code_execution..." run by the provider: there is none, so the model is not
 *                                         told of them
 */
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "server/anthropic.h"
#include "server/fieldlist.h"
#include "server/toollist.h"

static const struct {
    const char *prefix; /* of the type; a date follows */
    const char *description, *schema;
} defined[] = {
    {"bash_", "Run a command in a bash shell that stays open between calls.",
     "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"description\":\"The "
     "command to run.\"},\"restart\":{\"type\":\"boolean\",\"description\":\"Start a new shell "
     "instead.\"}}}"},
    {"text_editor_",
     "View and edit text files. str_replace replaces old_str, which must occur exactly once; "
     "insert puts insert_text after the line insert_line.",
     "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"enum\":[\"view\","
     "\"create\",\"str_replace\",\"insert\"]},\"path\":{\"type\":\"string\"},\"view_range\":{"
     "\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"file_text\":{\"type\":\"string\"},"
     "\"old_str\":{\"type\":\"string\"},\"new_str\":{\"type\":\"string\"},\"insert_line\":{"
     "\"type\":\"integer\"},\"insert_text\":{\"type\":\"string\"}},\"required\":[\"command\","
     "\"path\"]}"},
    {"memory_",
     "Keep notes between conversations: files below the folder /memories.",
     "{\"type\":\"object\",\"properties\":{\"command\":{\"type\":\"string\",\"enum\":[\"view\","
     "\"create\",\"str_replace\",\"insert\",\"delete\",\"rename\"]},\"path\":{\"type\":\"string\"},"
     "\"view_range\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}},\"file_text\":{\"type\":"
     "\"string\"},\"old_str\":{\"type\":\"string\"},\"new_str\":{\"type\":\"string\"},"
     "\"insert_line\":{\"type\":\"integer\"},\"insert_text\":{\"type\":\"string\"},\"old_path\":{"
     "\"type\":\"string\"},\"new_path\":{\"type\":\"string\"}},\"required\":[\"command\"]}"},
};

static int add_defined(struct json_object **list, const struct fields *tool, size_t i)
{
    const char *const text = defined[i].schema;
    struct json_object *const description = json_object_new_string(defined[i].description),
                              *schema;
    const bool there = json_read(text, strlen(text), "tools", &schema, NULL) == 0 && description;
    int rc = there ? 0 : memory_fault(tool->f);
    if (rc == 0)
        rc = toollist_add(list, block_word(tool->o, "name"), description, schema, false,
                          tool);
    json_object_put(description);
    json_object_put(schema);
    return rc;
}

static int add_tool(void *ctx, const struct fields *b)
{
    struct json_object *type, *name, *description, *schema;
    if (block_field(b, "type", json_type_string, false, &type) != 0)
        return -1;
    const bool custom = !type || block_is(b->o, "custom");
    if (block_field(b, "name", json_type_string, custom, &name) != 0
        || block_field(b, "description", json_type_string, false, &description) != 0
        || block_field(b, "input_schema", json_type_object, custom, &schema) != 0)
        return -1;
    if (name && schema)
        return toollist_add(ctx, json_object_get_string(name), description, schema, false, b);
    for (size_t i = 0; name && i < COUNT_OF(defined); i++) {
        if (strncmp(block_word(b->o, "type"), defined[i].prefix, strlen(defined[i].prefix)) == 0)
            return add_defined(ctx, b, i);
    }
    return 0;
}

int anthropic_tools(const struct fields *s, struct json_object **out)
{
    *out = NULL;
    const int rc = block_each(s, "tools", add_tool, out);
    if (rc == 0)
        return rc;
    json_object_put(*out);
    *out = NULL;
    return rc;
}
