/* prompt.c - see prompt.h. */
#include "server/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/fieldlist.h"
#include "server/results.h"
#include "server/replay.h"
#include "server/toolfield.h"
#include "server/toollist.h"

/* ---- what is asked of the template ---- */

void ask_init(struct ask *a)
{
    a->o = json_object_new_object();
    a->failed = !a->o;
}

void ask_deinit(struct ask *a)
{
    json_object_put(a->o);
    *a = (struct ask){0};
}

void ask_set(struct ask *a, const char *key, struct json_object *value)
{
    if (!json_put(a->o, key, value))
        a->failed = true;
}

void ask_set_bool(struct ask *a, const char *key, bool value)
{
    ask_set(a, key, json_object_new_boolean(value));
}

bool prompt_set_effort(struct ask *a, const char *effort)
{
    static const struct {
        const char *word, *effort;
    } known[] = {{"none", NULL},   {"minimal", "high"}, {"low", "high"}, {"medium", "high"},
                 {"high", "high"}, {"xhigh", "max"},    {"max", "max"}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (strcmp(effort, known[i].word) != 0)
            continue;
        if (known[i].effort)
            ask_set(a, "reasoning_effort", json_object_new_string(known[i].effort));
        else
            ask_set_bool(a, "enable_thinking", false);
        return true;
    }
    return false;
}

/* ---- tools ---- */

static int check_tool(const struct fields *s, size_t i, struct json_object *tool)
{
    char at[64], inner_at[80];
    (void)snprintf(at, sizeof at, "tools[%zu]", i);
    (void)snprintf(inner_at, sizeof inner_at, "%s.function", at);
    struct json_object *fn = NULL, *parameters = NULL;
    const char *name = NULL, *description = NULL;
    bool strict = false;
    const struct fields of = {tool, at, s->f};
    if (!json_object_is_type(tool, json_type_object))
        return field_fault(s, at, "%s, expected an object", json_type_text(tool));
    if (!json_is(json_object_object_get(tool, "type"), "function"))
        return field_fault(&of, "type", "expected \"function\"");
    if (field_object(&of, "function", &fn) != 0)
        return -1;
    const struct fields inner = {fn, inner_at, s->f};
    if (!fn || field_text(&inner, "name", &name) != 0 || !name || !*name)
        return field_fault(&of, "function.name", "expected a string that is not empty");
    if (field_text(&inner, "description", &description) != 0
        || field_object(&inner, "parameters", &parameters) != 0
        || field_bool(&inner, "strict", &strict) != 0)
        return -1;
    return 0;
}

int prompt_check_tools(const struct fields *s, struct json_object *tools)
{
    const size_t n = json_object_array_length(tools);
    if (n > TOOLS_MAX)
        return field_fault(s, "tools", "%zu, expected at most %d", n, TOOLS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (check_tool(s, i, json_object_array_get_idx(tools, i)) != 0)
            return -1;
    }
    return 0;
}

bool prompt_choice_word(struct json_object *choice, struct tool_calls *how)
{
    how->required = json_is(choice, "required");
    if (json_is(choice, "none")) {
        json_object_put(how->tools);
        how->tools = NULL;
        return true;
    }
    return !choice || how->required || json_is(choice, "auto");
}

/* They are printed once: for the parser of answers, and for a grammar. */
static int print_tools(struct generation *g, struct json_object *tools, struct fault *f)
{
    struct buf text;
    buf_init(&text);
    json_write(&text, tools);
    g->tools = buf_take(&text, NULL);
    g->generate.tools = g->tools;
    return g->tools ? 0 : memory_fault(f);
}

int prompt_set_tools(struct generation *g, struct ask *a, struct tool_calls *how, struct fault *f)
{
    const bool any = how->tools && json_object_array_length(how->tools) > 0;
    int rc = 0;
    g->one_call = !how->parallel;
    if (any)
        rc = print_tools(g, how->tools, f) == 0 ? constrain_tools(g, how, f) : -1;
    else if (how->required || how->only)
        rc = fault_set(f, FAULT_INVALID, "tool_choice",
                       "tool_choice: a call is to be made, but no tools are given");
    if (rc != 0 && any)
        toolfield_name(json_object_object_get(g->body, "tools"), how->tools, f);
    if (rc == 0 && how->tools)
        ask_set(a, "tools", how->tools);
    else
        json_object_put(how->tools);
    return rc;
}

/* ---- one form ---- */

static bool is_text_part(struct json_object *part)
{
    return json_object_is_type(part, json_type_object)
           && (json_is(json_object_object_get(part, "type"), "text")
               || json_is(json_object_object_get(part, "type"), "refusal"));
}

static struct json_object *text_of(struct json_object *part)
{
    struct json_object *const text = json_object_object_get(part, "text");
    return text ? text : json_object_object_get(part, "refusal");
}

/* Does the list hold nothing but text? Then `out` gets it. */
static bool join(struct json_object *list, struct buf *out)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *const part = json_object_array_get_idx(list, i);
        struct json_object *const text = is_text_part(part) ? text_of(part) : NULL;
        if (!json_object_is_type(text, json_type_string))
            return false;
        buf_add(out, json_object_get_string(text), (size_t)json_object_get_string_len(text));
    }
    return out->len <= INT32_MAX;
}

/* False: memory is out. */
static bool join_content(struct json_object *m, struct json_object *list)
{
    struct buf text;
    bool ok = true;
    buf_init(&text);
    if (join(list, &text))
        ok = !text.failed
             && json_put(m, "content", json_object_new_string_len(text.data, (int)text.len));
    buf_deinit(&text);
    return ok;
}

/* False: memory is out. */
static bool normalise(struct json_object *m)
{
    struct json_object *content = NULL, *reasoning = NULL;
    bool ok = true;
    if (json_is(json_object_object_get(m, "role"), "developer"))
        ok = json_put(m, "role", json_object_new_string("system"));
    if (json_is(json_object_object_get(m, "role"), "function"))
        ok = json_put(m, "role", json_object_new_string("tool"));
    if (ok && json_object_object_get_ex(m, "content", &content) && !content)
        ok = json_put(m, "content", json_object_new_string(""));
    if (ok && json_object_is_type(content, json_type_array))
        ok = join_content(m, content);
    if (json_object_object_get_ex(m, "reasoning_content", &content) && !content)
        json_object_object_del(m, "reasoning_content");
    if (ok && !json_object_object_get(m, "reasoning_content")
        && json_object_object_get_ex(m, "reasoning", &reasoning)
        && json_object_is_type(reasoning, json_type_string))
        ok = json_put(m, "reasoning_content", json_object_get(reasoning));
    return ok;
}

static int check_role(struct json_object *m, size_t i, struct fault *f)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    char at[64];
    (void)snprintf(at, sizeof at, "messages[%zu].role", i);
    struct json_object *const role = json_object_object_get(m, "role");
    for (size_t k = 0; k < COUNT_OF(roles); k++) {
        if (json_is(role, roles[k]))
            return 0;
    }
    if (!json_object_is_type(role, json_type_string))
        return fault_set(f, FAULT_INVALID, at, "%s: %s, expected a string", at,
                         json_type_text(role));
    return fault_set(f, FAULT_INVALID, at,
                     "%s: \"%.40s\", expected system, developer, user, "
                     "assistant or tool",
                     at, json_object_get_string(role));
}

/* Of the content's parts, which the template would pass over if it did not know their type. */
static int check_types(struct json_object *m, size_t i, struct fault *f)
{
    struct json_object *const list = json_object_object_get(m, "content");
    const bool parts = json_object_is_type(list, json_type_array);
    const size_t n = parts ? json_object_array_length(list) : 0;
    for (size_t k = 0; k < n; k++) {
        struct json_object *const part = json_object_array_get_idx(list, k);
        struct json_object *const type = block_get(part, "type");
        char at[64];
        if (!type || json_object_is_type(type, json_type_string))
            continue;
        (void)snprintf(at, sizeof at, "messages[%zu].content[%zu].type", i, k);
        return fault_set(f, FAULT_INVALID, at, "%s: %s, expected a string", at,
                         json_type_text(type));
    }
    return 0;
}

static int normalise_all(struct json_object *list, struct fault *f)
{
    enum { MESSAGES_MAX = 10000 };
    const size_t n = json_object_array_length(list);
    if (n == 0 || n > MESSAGES_MAX)
        return fault_set(f, FAULT_INVALID, "messages", "messages: %zu, expected 1 to %d", n,
                         MESSAGES_MAX);
    for (size_t i = 0; i < n; i++) {
        struct json_object *const m = json_object_array_get_idx(list, i);
        char at[64];
        (void)snprintf(at, sizeof at, "messages[%zu]", i);
        if (!json_object_is_type(m, json_type_object))
            return fault_set(f, FAULT_INVALID, at, "%s: %s, expected an object", at,
                             json_type_text(m));
        if (!normalise(m))
            return memory_fault(f);
        const struct fields of = {m, at, f};
        const char *id = NULL;
        if (check_role(m, i, f) != 0 || check_types(m, i, f) != 0
            || field_text(&of, "tool_call_id", &id) != 0)
            return -1;
    }
    results_sort(list);
    return 0;
}

/* ---- tokens ---- */

/* The field that an error of the template begins with: "messages[3].content: expected ...". */
static int template_fault(struct fault *f, const struct glim_error *e)
{
    char param[sizeof f->param] = "";
    const size_t n = strcspn(e->text, ": ");
    if (e->code == GLIM_EINVAL && n < sizeof param && e->text[n] == ':')
        memcpy(param, e->text, n);
    return fault_of_error(f, e, param);
}

/* glim_template of a request whose messages are brought into one form; text or ids may be NULL. */
static int render(struct server *s, struct ask *a, char **text, size_t *text_len, int32_t **id,
                  size_t *n, struct fault *f)
{
    struct json_object *list = NULL;
    const struct fields in = {a->o, "", f};
    struct glim_error e = {0};
    struct buf json;
    if (a->failed)
        return memory_fault(f);
    if (field_array(&in, "messages", &list) != 0)
        return -1;
    if (!list)
        return field_fault(&in, "messages", "is missing, expected an array");
    if (normalise_all(list, f) != 0)
        return -1;
    buf_init(&json);
    json_write(&json, a->o);
    int rc = json.failed ? memory_fault(f) : 0;
    if (rc == 0
        && glim_template(s->tokenizer, json.data, json.len, text, text_len, id, n, &e) != 0)
        rc = template_fault(f, &e);
    buf_deinit(&json);
    return rc;
}

int prompt_of_messages(struct generation *g, struct ask *a, struct fault *f)
{
    struct prompt p = {0};
    if (render(g->server, a, NULL, NULL, &p.id, &p.n, f) != 0)
        return -1;
    struct json_object *const clear = json_object_object_get(a->o, "clear_thinking");
    const bool keep =
        json_object_is_type(clear, json_type_boolean) && !json_object_get_boolean(clear);
    g->messages = true;
    if (replay_splice(g->server->replay, exchange_owner(g->x),
                      json_object_object_get(a->o, "messages"), keep, &p))
        return generation_add_prompt(g, p, f);
    free(p.id);
    return memory_fault(f);
}

int prompt_text(struct server *s, struct json_object *request, char **text, size_t *len,
                struct fault *f)
{
    const struct fields in = {request, "", f};
    struct ask a = {request, false}; /* borrowed */
    struct json_object *tools = NULL;
    if (field_array(&in, "tools", &tools) != 0 || (tools && prompt_check_tools(&in, tools) != 0))
        return -1;
    if (!json_object_object_get_ex(request, "add_generation_prompt", NULL))
        ask_set_bool(&a, "add_generation_prompt", true);
    return render(s, &a, text, len, NULL, NULL, f);
}
