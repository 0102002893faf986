/* responses_read.c - reading a request of POST /v1/responses: all but its items and tools. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/fieldlist.h"
#include "server/openai.h"
#include "server/responses.h"
#include "server/responses_store.h"
#include "server/toollist.h"

static int unsupported(const struct fields *s, const char *key, const char *what)
{
    (void)field_fault(s, key, "%s", what);
    s->f->code = "unsupported_parameter";
    return -1;
}

/* ---- what it says about the answer ---- */

static int read_reasoning(const struct fields *s, struct ask *ask)
{
    struct json_object *o = NULL;
    const char *effort = NULL, *summary; /* of which there is none: the reasoning itself is shown */
    if (field_object(s, "reasoning", &o) != 0)
        return -1;
    if (!o)
        return 0;
    const struct fields of = {o, "reasoning", s->f};
    if (field_text(&of, "effort", &effort) != 0 || field_text(&of, "summary", &summary) != 0)
        return -1;
    if (!effort || prompt_set_effort(ask, effort))
        return 0;
    return field_fault(&of, "effort", "\"%.40s\", expected none, minimal, low, medium, high, xhigh "
                       "or max", effort);
}

/* {"type":"text"} | {"type":"json_object"} | {"type":"json_schema","schema":{...}} */
static int read_text_format(struct generation *g, const struct fields *s)
{
    struct glim_grammar_options any = GLIM_GRAMMAR_OPTIONS_INIT;
    struct json_object *text = NULL, *format = NULL, *schema;
    if (field_object(s, "text", &text) != 0)
        return -1;
    const struct fields of = {text, "text", s->f};
    if (text && field_object(&of, "format", &format) != 0)
        return -1;
    if (!format || block_is(format, "text"))
        return 0;
    const struct fields in = {format, "text.format", s->f};
    any.kind = GLIM_GRAMMAR_JSON_OBJECT;
    if (block_is(format, "json_object"))
        return constrain(g, &any, "text.format", s->f);
    if (!block_is(format, "json_schema"))
        return field_fault(&in, "type", "\"%.40s\", expected \"text\", \"json_object\" or "
                           "\"json_schema\"", block_word(format, "type"));
    if (block_field(&in, "schema", json_type_object, true, &schema) != 0)
        return -1;
    return constrain_schema(g, schema, "text.format.schema", s->f);
}

static int read_include(struct generation *g, const struct fields *s, struct responses *r)
{
    struct json_object *list = NULL;
    if (field_array(s, "include", &list) != 0)
        return -1;
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        struct json_object *const what = json_object_array_get_idx(list, i);
        if (!json_object_is_type(what, json_type_string))
            return field_fault(s, "include", "%s, expected strings", json_type_text(what));
        r->seal = r->seal || json_is(what, "reasoning.encrypted_content");
        g->logprobs = g->logprobs || json_is(what, "message.output_text.logprobs");
    }
    return 0;
}

/* What this server cannot do is refused where it would change the answer. */
static int refuse_others(const struct fields *s)
{
    static const char *const names[] = {"conversation", "prompt"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (field(s, names[i]))
            return unsupported(s, names[i], "this server keeps none");
    }
    return 0;
}

static int read_settings(struct generation *g, const struct fields *s, struct responses *r)
{
    struct json_object *metadata = NULL;
    uint64_t max = 0, top = 0;
    r->store = true;
    r->model = g->server->name;
    if (openai_read_common(g, s->f) != 0 || field_text(s, "model", &r->model) != 0
        || field_u64(s, "max_output_tokens", 1, UINT32_MAX, &max) != 0
        || field_u64(s, "top_logprobs", 0, GLIM_TOP_LOGPROBS_MAX, &top) != 0
        || field_bool(s, "store", &r->store) != 0
        || field_bool(s, "background", &g->background) != 0
        || field_object(s, "metadata", &metadata) != 0
        || field_text(s, "previous_response_id", &r->previous) != 0)
        return -1;
    if (g->background && !r->store)
        return field_fault(s, "background", "true, but \"store\" is false: nobody could have it");
    g->generate.max_tokens = max;
    g->n = 1;
    g->top_logprobs = (uint32_t)top;
    g->logprobs = top > 0;
    return read_include(g, s, r) != 0 || read_text_format(g, s) != 0 ? -1 : refuse_others(s);
}

/* ---- tools ---- */

static bool is_listed(struct json_object *list, struct json_object *tool)
{
    const char *const name = block_word(block_get(tool, "function"), "name");
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        if (strcmp(block_word(json_object_array_get_idx(list, i), "name"), name) == 0)
            return true;
    }
    return false;
}

/* {"type":"allowed_tools","mode":"auto"|"required","tools":[...]}: the others are left out. */
static int keep_allowed(const struct fields *s, struct json_object *choice,
                        struct tool_calls *how)
{
    const struct fields of = {choice, "tool_choice", s->f};
    const char *const mode = block_word(choice, "mode");
    struct json_object *list = NULL;
    if (block_field(&of, "tools", json_type_array, true, &list) != 0)
        return -1;
    if (json_object_array_length(list) > TOOLS_MAX)
        return field_fault(&of, "tools", "%zu, expected at most %d",
                           json_object_array_length(list), TOOLS_MAX);
    how->required = strcmp(mode, "required") == 0;
    if (!how->required && strcmp(mode, "auto") != 0)
        return field_fault(&of, "mode", "expected \"auto\" or \"required\"");
    for (size_t i = how->tools ? json_object_array_length(how->tools) : 0; i-- > 0;) {
        if (!is_listed(list, json_object_array_get_idx(how->tools, i)))
            (void)json_object_array_del_idx(how->tools, i, 1);
    }
    return 0;
}

/* {"type":"function"|"custom","name":...}, of a namespace too. */
static int read_only(const struct fields *s, struct json_object *choice, struct responses *r,
                     struct tool_calls *how)
{
    const struct fields of = {choice, "tool_choice", s->f};
    struct json_object *name;
    if (block_field(&of, "name", json_type_string, true, &name) != 0)
        return -1;
    responses_tool_name(block_word(choice, "namespace"), json_object_get_string(name), &r->only);
    how->only = r->only.data;
    return r->only.failed ? memory_fault(s->f) : 0;
}

static int apply_choice(const struct fields *s, struct responses *r, struct tool_calls *how)
{
    struct json_object *const choice = field(s, "tool_choice");
    if (prompt_choice_word(choice, how))
        return 0;
    if (block_is(choice, "allowed_tools"))
        return keep_allowed(s, choice, how);
    if (block_is(choice, "function") || block_is(choice, "custom"))
        return read_only(s, choice, r, how);
    return field_fault(s, "tool_choice", "expected \"auto\", \"none\", \"required\" or an object "
                       "with the type \"function\", \"custom\" or \"allowed_tools\"");
}

static int read_tools(struct generation *g, const struct fields *s, struct responses *r)
{
    struct tool_calls how = {.parallel = true};
    if (field_bool(s, "parallel_tool_calls", &how.parallel) != 0
        || responses_tools(s, &how.tools, &r->known) != 0)
        return -1;
    if (apply_choice(s, r, &how) != 0) {
        json_object_put(how.tools);
        return -1;
    }
    return prompt_set_tools(g, &r->ask, &how, s->f);
}

/* ---- the conversation ---- */

static int read_past(struct generation *g, const struct fields *s, struct responses *r,
                     struct json_object **past)
{
    static const char prefix[] = "resp_";
    const size_t n = sizeof prefix - 1;
    *past = NULL;
    if (!r->previous)
        return 0;
    const char *const id = r->previous, *const owner = exchange_owner(g->x);
    const bool ours = strncmp(id, prefix, n) == 0;
    r->previous = ours ? id + n : id;
    const int rc =
        ours ? responses_store_items(g->server->responses, owner, r->previous, past) : GLIM_EINVAL;
    if (rc != GLIM_EINVAL)
        return rc == GLIM_OK ? 0 : memory_fault(s->f);
    (void)fault_set(s->f, FAULT_INVALID, "previous_response_id",
                    "Previous response with id '%.80s' not found.", id);
    s->f->code = "previous_response_not_found";
    return -1;
}

static int read_messages(struct generation *g, const struct fields *s, struct responses *r)
{
    struct json_object *past, *messages;
    if (read_past(g, s, r, &past) != 0)
        return -1;
    /* Into the body, for it is what is kept of this response. */
    struct json_object *const input = block_get(g->body, "input");
    int rc = GLIM_OK;
    if (json_object_is_type(input, json_type_array))
        rc = responses_store_resolve(g->server->responses, exchange_owner(g->x), input);
    rc = rc != 0 ? memory_fault(s->f) : responses_messages(s, past, &messages);
    json_object_put(past);
    if (rc != 0)
        return rc;
    ask_set(&r->ask, "messages", messages);
    ask_set_bool(&r->ask, "clear_thinking", false);
    ask_set_bool(&r->ask, "add_generation_prompt", true);
    return prompt_of_messages(g, &r->ask, s->f);
}

static void free_own(void *own)
{
    struct responses *const r = own;
    ask_deinit(&r->ask);
    json_object_put(r->known);
    buf_deinit(&r->only);
    free(r);
}

int responses_read(struct generation *g, struct fault *f)
{
    const struct fields s = {g->body, "", f};
    struct responses *const r = mem_zalloc(1, sizeof *r);
    if (!r)
        return memory_fault(f);
    buf_init(&r->only);
    g->own = r;
    g->free_own = free_own;
    ask_init(&r->ask);
    if (read_settings(g, &s, r) != 0 || read_reasoning(&s, &r->ask) != 0
        || read_tools(g, &s, r) != 0)
        return -1;
    return read_messages(g, &s, r);
}
