/* chat_request.c - reading a request of POST /v1/chat/completions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/chat_completions.h"
#include "server/constrain.h"
#include "server/openai.h"
#include "server/prompt.h"
#include "server/toollist.h"

/* ---- tools ---- */

static bool is_listed(struct json_object *list, struct json_object *tool)
{
    struct json_object *const fn = json_object_object_get(tool, "function");
    struct json_object *const name = json_object_object_get(fn, "name");
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *const entry = json_object_array_get_idx(list, i);
        struct json_object *const inner = json_object_is_type(entry, json_type_object)
                                              ? json_object_object_get(entry, "function")
                                              : NULL;
        if (inner && json_object_equal(json_object_object_get(inner, "name"), name))
            return true;
    }
    return false;
}

/* {"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[...]}}: the others are left
 * out. */
static int keep_allowed(const struct fields *s, struct json_object *choice,
                        struct tool_calls *how)
{
    const struct fields of = {choice, "tool_choice", s->f};
    struct json_object *allowed = NULL, *list = NULL;
    if (field_object(&of, "allowed_tools", &allowed) != 0)
        return -1;
    const struct fields in = {allowed ? allowed : choice, "tool_choice.allowed_tools", s->f};
    if (field_array(&in, "tools", &list) != 0 || !list)
        return field_fault(&in, "tools", "expected an array");
    if (json_object_array_length(list) > TOOLS_MAX)
        return field_fault(&in, "tools", "%zu, expected at most %d",
                           json_object_array_length(list), TOOLS_MAX);
    struct json_object *const mode = json_object_object_get(in.o, "mode");
    how->required = json_is(mode, "required");
    if (!how->required && !json_is(mode, "auto"))
        return field_fault(&in, "mode", "expected \"auto\" or \"required\"");
    struct json_object *const kept = json_object_new_array();
    bool ok = kept != NULL;
    for (size_t i = 0; ok && how->tools && i < json_object_array_length(how->tools); i++) {
        struct json_object *const tool = json_object_array_get_idx(how->tools, i);
        if (is_listed(list, tool))
            ok = json_append(kept, json_object_get(tool));
    }
    json_object_put(how->tools);
    how->tools = kept;
    return ok ? 0 : memory_fault(s->f);
}

/* {"type":"function","function":{"name":"..."}} */
static int read_only(const struct fields *s, struct json_object *choice, struct tool_calls *how)
{
    const struct fields of = {choice, "tool_choice", s->f};
    struct json_object *fn = NULL;
    if (field_object(&of, "function", &fn) != 0)
        return -1;
    const struct fields inner = {fn, "tool_choice.function", s->f};
    if (!fn || field_text(&inner, "name", &how->only) != 0 || !how->only)
        return field_fault(&of, "function.name", "expected a string");
    return 0;
}

/* how->tools: owned by the caller, may become NULL. */
static int apply_choice(const struct fields *s, struct tool_calls *how)
{
    struct json_object *const choice = field(s, "tool_choice");
    if (prompt_choice_word(choice, how))
        return 0;
    struct json_object *const type = json_object_is_type(choice, json_type_object)
                                         ? json_object_object_get(choice, "type")
                                         : NULL;
    if (json_is(type, "allowed_tools"))
        return keep_allowed(s, choice, how);
    if (json_is(type, "function"))
        return read_only(s, choice, how);
    return field_fault(s, "tool_choice",
                       "expected \"auto\", \"none\", \"required\" or an object with the type "
                       "\"function\" or \"allowed_tools\"");
}

static int read_tools(struct generation *g, const struct fields *s, struct ask *ask)
{
    struct json_object *tools = NULL;
    struct tool_calls how = {.parallel = true};
    if (field_array(s, "tools", &tools) != 0
        || field_bool(s, "parallel_tool_calls", &how.parallel) != 0
        || (tools && prompt_check_tools(s, tools) != 0))
        return -1;
    how.tools = json_object_get(tools);
    if (apply_choice(s, &how) != 0) {
        json_object_put(how.tools);
        return -1;
    }
    return prompt_set_tools(g, ask, &how, s->f);
}

/* ---- reasoning ---- */

/* thinking: {"type":"enabled"|"disabled","clear_thinking":bool}, as Z.ai has it. */
static int read_thinking(const struct fields *s, struct ask *ask)
{
    struct json_object *thinking = NULL;
    if (field_object(s, "thinking", &thinking) != 0)
        return -1;
    if (!thinking)
        return 0;
    const struct fields of = {thinking, "thinking", s->f};
    const char *type = NULL;
    bool clear = true;
    if (field_text(&of, "type", &type) != 0 || field_bool(&of, "clear_thinking", &clear) != 0)
        return -1;
    if (type && strcmp(type, "disabled") == 0)
        ask_set_bool(ask, "enable_thinking", false);
    else if (type && strcmp(type, "enabled") != 0)
        return field_fault(&of, "type", "\"%.40s\", expected \"enabled\" or \"disabled\"", type);
    if (field(&of, "clear_thinking"))
        ask_set_bool(ask, "clear_thinking", clear);
    return 0;
}

/* chat_template_kwargs: the template's own arguments, and no others. */
static int read_kwargs(const struct fields *s, struct ask *ask)
{
    struct json_object *map = NULL;
    if (field_object(s, "chat_template_kwargs", &map) != 0)
        return -1;
    if (!map)
        return 0;
    const struct fields of = {map, "chat_template_kwargs", s->f};
    static const char *const flags[] = {"enable_thinking", "clear_thinking"};
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        bool on = false;
        if (field_bool(&of, flags[i], &on) != 0)
            return -1;
        if (field(&of, flags[i]))
            ask_set_bool(ask, flags[i], on);
    }
    const char *effort = NULL;
    if (field_text(&of, "reasoning_effort", &effort) != 0)
        return -1;
    if (effort && !prompt_set_effort(ask, effort))
        return field_fault(&of, "reasoning_effort",
                           "\"%.40s\", expected none, minimal, low, "
                           "medium, high, xhigh or max",
                           effort);
    return 0;
}

static int read_reasoning(const struct fields *s, struct ask *ask)
{
    const char *effort = NULL;
    if (field_text(s, "reasoning_effort", &effort) != 0)
        return -1;
    if (effort && !prompt_set_effort(ask, effort))
        return field_fault(s, "reasoning_effort",
                           "\"%.40s\", expected none, minimal, low, medium, "
                           "high, xhigh or max",
                           effort);
    return read_thinking(s, ask) != 0 ? -1 : read_kwargs(s, ask);
}

/* ---- the whole ---- */

static int read_logprobs(struct generation *g, const struct fields *s)
{
    uint64_t top = 0;
    if (field_bool(s, "logprobs", &g->logprobs) != 0
        || field_u64(s, "top_logprobs", 0, GLIM_TOP_LOGPROBS_MAX, &top) != 0)
        return -1;
    if (top > 0 && !g->logprobs)
        return field_fault(s, "top_logprobs", "needs logprobs to be true");
    g->top_logprobs = (uint32_t)top;
    return 0;
}

static int read_stream_options(struct generation *g, const struct fields *s, struct chat *c)
{
    struct json_object *options = NULL;
    if (field_object(s, "stream_options", &options) != 0)
        return -1;
    if (!options)
        return 0;
    const struct fields of = {options, "stream_options", s->f};
    if (!g->stream)
        return field_fault(s, "stream_options", "needs stream to be true");
    return field_bool(&of, "include_usage", &c->include_usage);
}

static int read_messages(struct generation *g, const struct fields *s, struct chat *c)
{
    struct ask *const ask = &c->ask;
    ask_init(ask);
    if (field(s, "messages"))
        ask_set(ask, "messages", json_object_get(field(s, "messages")));
    if (read_tools(g, s, ask) != 0 || read_reasoning(s, ask) != 0)
        return -1;
    ask_set_bool(ask, "add_generation_prompt", true);
    return prompt_of_messages(g, ask, s->f);
}

static void free_chat(void *own)
{
    struct chat *const c = own;
    ask_deinit(&c->ask);
    free(c);
}

int chat_read(struct generation *g, struct fault *f)
{
    const struct fields s = {g->body, "", f};
    struct chat *const c = mem_zalloc(1, sizeof *c);
    if (!c)
        return memory_fault(f);
    g->own = c;
    g->free_own = free_chat;
    if (openai_read_common(g, f) != 0 || read_logprobs(g, &s) != 0
        || read_stream_options(g, &s, c) != 0)
        return -1;
    return read_messages(g, &s, c);
}
