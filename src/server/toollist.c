/* toollist.c - see toollist.h. */
#include "server/toollist.h"

#include <stdbool.h>

#include "server/fieldlist.h"

/* o[key] = value with a reference of its own; an absent one is no failure. */
static bool keep(struct json_object *o, const char *key, struct json_object *value)
{
    return !value || json_put(o, key, json_object_get(value));
}

static struct json_object *tool_new(const char *name, struct json_object *description,
                                    struct json_object *schema, bool strict,
                                    struct json_object *from)
{
    struct json_object *const tool = json_object_new_object(), *const f = json_object_new_object();
    bool ok = tool && f && json_put(f, "name", json_object_new_string(name))
           && keep(f, "description", description) && keep(f, "parameters", schema)
           && (strict ? json_put(f, "strict", json_object_new_boolean(1))
                      : keep(f, "strict", block_get(from, "strict")))
           && keep(f, "defer_loading", block_get(from, "defer_loading"))
           && json_put(tool, "type", json_object_new_string("function"));
    if (!ok)
        json_object_put(f);
    else
        ok = json_put(tool, "function", f);
    if (ok)
        return tool;
    json_object_put(tool);
    return NULL;
}

int toollist_add(struct json_object **list, const char *name, struct json_object *description,
                 struct json_object *schema, bool strict, const struct fields *from)
{
    struct json_object *said;
    if (!*name)
        return field_fault(from, "name", "expected a string that is not empty");
    if (block_field(from, "strict", json_type_boolean, false, &said) != 0)
        return -1;
    if (!*list)
        *list = json_object_new_array();
    if (*list && json_object_array_length(*list) == TOOLS_MAX)
        return fault_set(from->f, FAULT_INVALID, "tools", "tools: more than %d", TOOLS_MAX);
    struct json_object *const tool =
        *list ? tool_new(name, description, schema, strict, from->o) : NULL;
    return json_append(*list, tool) ? 0 : memory_fault(from->f);
}
