/* anthropic_read.c - reading a request of POST /v1/messages: all but its messages and tools. */
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "server/anthropic.h"
#include "server/constrain.h"
#include "server/fieldlist.h"
#include "server/openai.h"

/* ---- reasoning ---- */

/* {"type":"enabled","budget_tokens":n} | {"type":"adaptive","display":...} | {"type":"disabled"};
 * without it there is none, as in the API. */
static int read_thinking(struct generation *g, const struct fields *s, struct anthropic *a,
                         bool *on)
{
    static const char *const types[] = {"disabled", "enabled", "adaptive", "between_tools"};
    struct json_object *o = NULL;
    const char *type = NULL, *display = NULL;
    *on = false;
    if (field_object(s, "thinking", &o) != 0)
        return -1;
    if (!o)
        return 0;
    const struct fields of = {o, "thinking", s->f};
    if (field_text(&of, "type", &type) != 0 || field_text(&of, "display", &display) != 0
        || field_u64(&of, "budget_tokens", 1, UINT32_MAX, &g->generate.max_reasoning_tok) != 0)
        return -1;
    a->hide_thinking = display && strcmp(display, "omitted") == 0;
    for (size_t i = 0; type && i < COUNT_OF(types); i++) {
        if (strcmp(type, types[i]) == 0) {
            *on = i > 0;
            return 0;
        }
    }
    return field_fault(&of, "type", "expected \"enabled\", \"disabled\" or \"adaptive\", found "
                       "\"%.40s\"", type ? type : "");
}

/* {"type":"json_schema","schema":{...}} */
static int read_format(struct generation *g, const struct fields *s)
{
    struct json_object *o = NULL, *schema;
    if (field_object(s, "format", &o) != 0)
        return -1;
    if (!o)
        return 0;
    const struct fields of = {o, "output_config.format", s->f};
    if (!block_is(o, "json_schema"))
        return field_fault(&of, "type", "\"%.40s\", expected \"json_schema\"",
                           block_word(o, "type"));
    if (block_field(&of, "schema", json_type_object, true, &schema) != 0)
        return -1;
    return constrain_schema(g, schema, "output_config.format.schema", s->f);
}

static int read_output_config(struct generation *g, const struct fields *s, struct ask *ask)
{
    struct json_object *o = NULL;
    const char *effort = NULL;
    if (field_object(s, "output_config", &o) != 0)
        return -1;
    if (!o)
        return 0;
    const struct fields of = {o, "output_config", s->f};
    if (field_text(&of, "effort", &effort) != 0)
        return -1;
    if (effort && (strcmp(effort, "none") == 0 || !prompt_set_effort(ask, effort)))
        return field_fault(&of, "effort", "\"%.40s\", expected low, medium, high, xhigh or max",
                           effort);
    return read_format(g, &of);
}

/* ---- tools ---- */

/* {"type":"auto"|"any"|"tool"|"none","name":...,"disable_parallel_tool_use":...} */
static int read_choice(const struct fields *s, struct tool_calls *how, bool *none)
{
    struct json_object *o = NULL;
    const char *type = NULL;
    bool single = false;
    *none = false;
    if (field_object(s, "tool_choice", &o) != 0)
        return -1;
    if (!o)
        return 0;
    const struct fields of = {o, "tool_choice", s->f};
    if (field_text(&of, "type", &type) != 0 || field_text(&of, "name", &how->only) != 0
        || field_bool(&of, "disable_parallel_tool_use", &single) != 0)
        return -1;
    how->parallel = !single;
    how->required = type && strcmp(type, "any") == 0;
    *none = type && strcmp(type, "none") == 0;
    if (type && strcmp(type, "tool") == 0)
        return how->only ? 0 : field_fault(&of, "name", "is missing, expected a string");
    how->only = NULL;
    if (how->required || *none || (type && strcmp(type, "auto") == 0))
        return 0;
    return field_fault(&of, "type", "\"%.40s\", expected \"auto\", \"any\", \"tool\" or \"none\"",
                       type ? type : "");
}

static int read_tools(struct generation *g, const struct fields *s, struct ask *ask)
{
    struct tool_calls how = {.parallel = true};
    bool none;
    if (read_choice(s, &how, &none) != 0 || anthropic_tools(s, &how.tools) != 0)
        return -1;
    if (none) {
        json_object_put(how.tools);
        how.tools = NULL;
    }
    return prompt_set_tools(g, ask, &how, s->f);
}

/* ---- the whole ---- */

static int read_numbers(struct generation *g, const struct fields *s)
{
    struct glim_sampling *const p = &g->generate.sampling;
    struct json_object *stops = NULL;
    uint64_t top_k = p->top_k, max = 0;
    if (!g->counting && !field(s, "max_tokens"))
        return field_fault(s, "max_tokens", "is missing, expected a whole number");
    if (field_u64(s, "max_tokens", 0, UINT32_MAX, &max) != 0
        || field_real(s, "temperature", 0, 2, &p->temperature) != 0
        || field_real(s, "top_p", 0, 1, &p->top_p) != 0
        || field_u64(s, "top_k", 0, UINT32_MAX, &top_k) != 0
        || field_bool(s, "stream", &g->stream) != 0
        || field_array(s, "stop_sequences", &stops) != 0)
        return -1;
    p->top_k = (uint32_t)top_k;
    g->generate.max_tokens = max;
    g->no_answer = max == 0;
    return openai_read_stop(g, s, "stop_sequences");
}

static int read_model(struct generation *g, const struct fields *s, struct anthropic *a)
{
    if (!field(s, "model"))
        return field_fault(s, "model", "is missing, expected a string");
    a->model = g->server->name;
    if (field_name(s, "model", &a->model) != 0)
        return -1;
    if (server_knows_model(g->server, a->model))
        return 0;
    return fault_set(s->f, FAULT_MODEL, "model", "model: %.80s; this server has \"%s\"", a->model,
                     g->server->name);
}

static int read_messages(struct generation *g, const struct fields *s, struct anthropic *a,
                         bool think)
{
    struct json_object *messages;
    bool prefill;
    if (anthropic_messages(s, &messages, &prefill) != 0)
        return -1;
    ask_set(&a->ask, "messages", messages);
    ask_set_bool(&a->ask, "enable_thinking", think);
    ask_set_bool(&a->ask, "clear_thinking", false);
    ask_set_bool(&a->ask, "add_generation_prompt", !prefill);
    return prompt_of_messages(g, &a->ask, s->f);
}

static void free_own(void *own)
{
    struct anthropic *const a = own;
    ask_deinit(&a->ask);
    free(a);
}

int anthropic_read(struct generation *g, struct fault *f)
{
    const struct fields s = {g->body, "", f};
    struct anthropic *const a = mem_zalloc(1, sizeof *a);
    bool think;
    if (!a)
        return memory_fault(f);
    g->own = a;
    g->free_own = free_own;
    ask_init(&a->ask);
    if (read_model(g, &s, a) != 0 || read_numbers(g, &s) != 0
        || read_thinking(g, &s, a, &think) != 0 || read_output_config(g, &s, &a->ask) != 0
        || read_tools(g, &s, &a->ask) != 0)
        return -1;
    return read_messages(g, &s, a, think);
}
