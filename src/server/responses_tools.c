/* responses_tools.c - tools of OpenAI's Responses API as those of the template.
 *
 *   function     as it is
 *   namespace    its functions, with the namespace in front of their names
 *   custom       a function with one argument, the text, which may have to match an expression
 *   others       run by OpenAI: there are none, so the model is not told of them
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "server/fieldlist.h"
#include "server/responses.h"
#include "server/toollist.h"

struct listing {
    struct json_object *tools, *known;
    const char *space; /* the namespace that is read, or "" */
};

void responses_tool_name(const char *space, const char *name, struct buf *out)
{
    const size_t n = strlen(space);
    buf_add(out, space, n);
    if (n > 0 && (n < 2 || strcmp(space + n - 2, "__") != 0))
        buf_adds(out, "__");
    buf_adds(out, name);
}

/* Remembers what a name stands for. */
static int know(struct listing *l, const char *full, const char *name, bool custom, struct fault *f)
{
    if (!l->known)
        l->known = json_object_new_object();
    struct json_object *const what = json_object_new_object();
    bool ok = l->known && what && json_put(what, "name", json_object_new_string(name))
           && json_put(what, "custom", json_object_new_boolean(custom));
    if (ok && *l->space)
        ok = json_put(what, "namespace", json_object_new_string(l->space));
    if (!ok)
        json_object_put(what);
    ok = ok && json_put(l->known, full, what);
    return ok ? 0 : memory_fault(f);
}

/* A tool by the name that the model gets. */
static int add(struct listing *l, const struct fields *b, struct json_object *description,
               struct json_object *schema, bool strict)
{
    const char *const name = block_word(b->o, "name");
    const bool custom = block_is(b->o, "custom");
    struct buf full;
    buf_init(&full);
    responses_tool_name(l->space, name, &full);
    int rc = full.failed ? memory_fault(b->f) : 0;
    if (rc == 0)
        rc = toollist_add(&l->tools, full.data, description, schema, strict, b);
    if (rc == 0 && (custom || *l->space))
        rc = know(l, full.data, name, custom, b->f);
    buf_deinit(&full);
    return rc;
}

/* ---- tools with free text ---- */

static const char text_schema[] =
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},\"required\":[\"input\"]"
    ",\"additionalProperties\":false}";

/* Such an expression would end the group that it is put into. */
static bool closes_too_much(const char *text)
{
    uint64_t open = 0;
    bool listed = false; /* within [...] */
    for (const char *c = text; *c; c++) {
        if (*c == '\\' && c[1])
            c++;
        else if (*c == '[' || *c == ']')
            listed = *c == '[';
        else if (*c == '(')
            open += !listed;
        else if (*c == ')' && !listed && open-- == 0)
            return true;
    }
    return false;
}

/* The expression that the whole text has to match; NULL: any text will do. */
static int read_format(const struct fields *b, const char **out)
{
    struct json_object *format, *syntax, *text;
    char at[64];
    *out = NULL;
    if (block_field(b, "format", json_type_object, false, &format) != 0)
        return -1;
    if (!format || block_is(format, "text"))
        return 0;
    (void)snprintf(at, sizeof at, "%s.format", b->at);
    const struct fields in = {format, at, b->f};
    if (!block_is(format, "grammar"))
        return field_fault(&in, "type", "\"%.40s\", expected \"text\" or \"grammar\"",
                           block_word(format, "type"));
    if (block_field(&in, "syntax", json_type_string, true, &syntax) != 0
        || block_field(&in, "definition", json_type_string, true, &text) != 0)
        return -1;
    *out = json_object_get_string(text);
    if (json_is(syntax, "regex"))
        return closes_too_much(*out) ? field_fault(&in, "definition", "a ) that opens nowhere") : 0;
    (void)field_fault(&in, "syntax", "\"%.40s\" is not understood, expected \"regex\"",
                      json_object_get_string(syntax));
    b->f->code = "unsupported_parameter";
    return -1;
}

/* Schemas search for an expression; this one is of the whole text, whether or not it says so. */
static bool put_pattern(struct json_object *schema, const char *text)
{
    const size_t n = strlen(text);
    const bool ends = n > 1 && text[0] == '^' && text[n - 1] == '$' && text[n - 2] != '\\';
    struct json_object *const input = block_get(block_get(schema, "properties"), "input");
    struct buf whole;
    buf_init(&whole);
    buf_addf(&whole, "^(?:%.*s)$", (int)(ends ? n - 2 : n), ends ? text + 1 : text);
    const bool ok = !whole.failed && input
                    && json_put(input, "pattern", json_object_new_string(whole.data));
    buf_deinit(&whole);
    return ok;
}

/* The description, with the grammar that the text should follow. */
static struct json_object *describe(struct json_object *tool)
{
    struct json_object *const format = block_get(tool, "format");
    struct buf text;
    buf_init(&text);
    buf_adds(&text, block_word(tool, "description"));
    if (block_is(format, "grammar"))
        buf_addf(&text, "%sThe input follows this %s grammar:\n%s", text.len ? "\n\n" : "",
                 block_word(format, "syntax"), block_word(format, "definition"));
    struct json_object *const s = text.failed ? NULL : json_object_new_string(text.data);
    buf_deinit(&text);
    return s;
}

static int add_custom(struct listing *l, const struct fields *b)
{
    const char *pattern;
    if (read_format(b, &pattern) != 0)
        return -1;
    struct json_object *schema = NULL, *const description = describe(b->o);
    int rc = -1;
    if (description && json_read(text_schema, sizeof text_schema - 1, "tools", &schema, NULL) == 0
        && (!pattern || put_pattern(schema, pattern)))
        rc = add(l, b, description, schema, pattern != NULL);
    else
        rc = memory_fault(b->f);
    json_object_put(description);
    json_object_put(schema);
    return rc;
}

/* ---- names without their namespace ---- */

static bool is_tool(struct json_object *tools, const char *name)
{
    for (size_t i = 0; i < json_object_array_length(tools); i++) {
        struct json_object *const tool = json_object_array_get_idx(tools, i);
        if (strcmp(block_word(block_get(tool, "function"), "name"), name) == 0)
            return true;
    }
    return false;
}

static size_t spaces_with(struct json_object *known, const char *name)
{
    size_t n = 0;
    json_object_object_foreach(known, full, what)
    {
        (void)full;
        n += *block_word(what, "namespace") && strcmp(block_word(what, "name"), name) == 0;
    }
    return n;
}

/* Models leave a namespace out now and then: what can only mean one tool stands for it. */
static int know_short_names(struct listing *l, struct fault *f)
{
    struct json_object *const known = l->known, *const more = json_object_new_object();
    bool ok = true;
    if (!more)
        return memory_fault(f);
    json_object_object_foreach(known, full, what)
    {
        const char *const name = block_word(what, "name");
        (void)full;
        if (ok && *block_word(what, "namespace") && !is_tool(l->tools, name)
            && spaces_with(known, name) == 1)
            ok = json_put(more, name, json_object_get(what));
    }
    json_object_object_foreach(more, name, tool)
    {
        ok = ok && json_put(known, name, json_object_get(tool));
    }
    json_object_put(more);
    return ok ? 0 : memory_fault(f);
}

/* ---- all ---- */

static int add_tool(void *ctx, const struct fields *b);

static int add_space(struct listing *l, const struct fields *b)
{
    l->space = block_word(b->o, "name");
    const int rc = block_each(b, "tools", add_tool, l);
    l->space = "";
    return rc;
}

static int add_tool(void *ctx, const struct fields *b)
{
    struct listing *const l = ctx;
    struct json_object *type, *name, *description, *schema;
    const bool space = block_is(b->o, "namespace") && !*l->space, custom = block_is(b->o, "custom");
    if (block_field(b, "type", json_type_string, true, &type) != 0)
        return -1;
    if (!space && !custom && !block_is(b->o, "function"))
        return 0;
    if (block_field(b, "name", json_type_string, true, &name) != 0
        || block_field(b, "description", json_type_string, false, &description) != 0
        || block_field(b, "parameters", json_type_object, false, &schema) != 0)
        return -1;
    return space ? add_space(l, b) : custom ? add_custom(l, b)
                                             : add(l, b, description, schema, false);
}

int responses_tools(const struct fields *s, struct json_object **out, struct json_object **known)
{
    struct listing l = {.space = ""};
    *out = *known = NULL;
    int rc = block_each(s, "tools", add_tool, &l);
    if (rc == 0 && l.known)
        rc = know_short_names(&l, s->f);
    if (rc != 0) {
        json_object_put(l.tools);
        json_object_put(l.known);
        return rc;
    }
    *out = l.tools;
    *known = l.known;
    return rc;
}
