/* cmd_run.c - glim run: one prompt, one answer. */
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/util.h"
#include "cli/ask.h"
#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"

enum { TOOLS_MAX_BYTES = 16 << 20, USUAL_CONTEXT_TOK = 8192, ROOM_FOR_ANSWER_TOK = 2048 };

struct run {
    const struct opts *o;
    glim_model *model;
    glim_tokenizer *tok;
    glim_session *session;
    struct json_object *tools; /* array or NULL */
    struct prompt prompt;
};

/* ---- the prompt ---- */

static int check_options(const struct opts *o)
{
    const int sources = (o->args > 0) + (o->ids != NULL) + (o->messages != NULL);
    if (sources > 1)
        return usage_error("glim run: give one of PROMPT, --ids and --messages");
    if (o->ids && (o->system || o->tools || o->raw))
        return usage_error(
            "glim run: --ids is a whole prompt: no --system, --tools or --raw with it");
    if (o->raw && (o->system || o->tools || o->messages))
        return usage_error(
            "glim run: --raw takes plain text: no --system, --tools or --messages with it");
    if (sources == 0 && isatty(0))
        return usage_error(
            "glim run: no prompt; give it as an argument or on standard input, or use glim chat");
    return EXIT_OK;
}

static int prompt_text(const struct opts *o, struct buf *text, struct err *e)
{
    if (o->args == 0 || (o->args == 1 && strcmp(o->arg[0], "-") == 0)) {
        const int rc = input_stdin(text, e);
        while (!o->raw && text->len && text->data[text->len - 1] == '\n')
            text->data[--text->len] = 0; /* the newline that ends a file is no part of a question */
        if (rc == GLIM_OK && text->len == 0)
            return err_set(e, GLIM_EINVAL, "the prompt on standard input is empty");
        return rc;
    }
    for (int i = 0; i < o->args; i++) {
        if (i)
            buf_addc(text, ' ');
        buf_adds(text, o->arg[i]);
    }
    return text->failed ? err_nomem(e, "prompt", text->len) : GLIM_OK;
}

/* A JSON file of the kind wanted; *out is owned by the caller. */
static int read_json(const char *path, struct json_object **out, struct err *e)
{
    struct buf text;
    buf_init(&text);
    int rc = input_file(path, &text, e);
    if (rc == GLIM_OK)
        rc = json_read(text.data, text.len, path, out, e);
    buf_deinit(&text);
    return rc;
}

static int read_tools(struct run *r, struct err *e)
{
    if (!r->o->tools)
        return GLIM_OK;
    const int rc = read_json(r->o->tools, &r->tools, e);
    if (rc == GLIM_OK && !json_object_is_type(r->tools, json_type_array))
        return err_set(e, GLIM_EINVAL, "%s: expected a JSON array of tools", r->o->tools);
    return rc;
}

/* --messages: the request itself, or its messages. */
static int request_from_file(struct run *r, struct json_object **out, struct err *e)
{
    struct json_object *j = NULL;
    const int rc = read_json(r->o->messages, &j, e);
    if (rc != GLIM_OK)
        return rc;
    if (json_object_is_type(j, json_type_array)) {
        *out = json_object_new_object();
        json_object_object_add(*out, "messages", j);
        return GLIM_OK;
    }
    *out = j;
    if (!json_object_is_type(j, json_type_object))
        return err_set(e, GLIM_EINVAL, "%s: expected an object with messages, or an array of them",
                       r->o->messages);
    return GLIM_OK;
}

static int request_from_text(struct run *r, struct json_object **out, struct err *e)
{
    struct buf text;
    buf_init(&text);
    const int rc = prompt_text(r->o, &text, e);
    if (rc == GLIM_OK) {
        *out = json_object_new_object();
        struct json_object *const messages = json_object_new_array();
        json_object_array_add(messages, message_new("user", text.data, text.len));
        json_object_object_add(*out, "messages", messages);
    }
    buf_deinit(&text);
    return rc;
}

/* Puts --system in front of the messages. */
static void request_add_system(struct json_object *request, const char *system)
{
    struct json_object *const old = json_object_object_get(request, "messages");
    struct json_object *const messages = json_object_new_array();
    json_object_array_add(messages, message_new("system", system, strlen(system)));
    for (size_t i = 0;
         json_object_is_type(old, json_type_array) && i < json_object_array_length(old); i++)
        json_object_array_add(messages, json_object_get(json_object_array_get_idx(old, i)));
    json_object_object_add(request, "messages", messages);
}

static int make_request(struct run *r, struct json_object **out, struct err *e)
{
    const int rc = r->o->messages ? request_from_file(r, out, e) : request_from_text(r, out, e);
    if (rc != GLIM_OK)
        return rc;
    if (r->o->system)
        request_add_system(*out, r->o->system);
    struct json_object *own;
    if (!r->tools && json_object_object_get_ex(*out, "tools", &own)
        && json_object_is_type(own, json_type_array))
        r->tools = json_object_get(own);
    if (r->tools)
        json_object_object_add(*out, "tools", json_object_get(r->tools));
    request_set_options(*out, (enum effort)r->o->effort);
    return GLIM_OK;
}

static int prompt_chat(struct run *r)
{
    struct err e;
    struct glim_error ge;
    struct json_object *request = NULL;
    int code = EXIT_OK;
    if (read_tools(r, &e) != GLIM_OK || make_request(r, &request, &e) != GLIM_OK)
        code = fail_err(&e);
    else if (!glim_template_name(r->tok))
        code = fail("the model names no chat template that glim knows; --raw continues plain text");
    else if (prompt_render(&r->prompt, r->tok, request, &ge) != GLIM_OK)
        code = fail_glim(&ge);
    json_object_put(request);
    return code;
}

static int prompt_raw(struct run *r)
{
    struct err e;
    struct glim_error ge;
    struct buf text;
    buf_init(&text);
    int32_t *id = NULL;
    size_t n = 0;
    int code = EXIT_OK;
    if (prompt_text(r->o, &text, &e) != GLIM_OK)
        code = fail_err(&e);
    else if (glim_tokenize(r->tok, text.data, text.len, GLIM_TOKENIZE_SPECIAL, &id, &n, &ge)
             != GLIM_OK)
        code = fail_glim(&ge);
    for (size_t i = 0; code == EXIT_OK && i < n; i++)
        if (ids_push(&r->prompt.ids, id[i], &e) != GLIM_OK)
            code = fail_err(&e);
    glim_free(id);
    buf_deinit(&text);
    return code;
}

static int prompt_ids(struct run *r)
{
    struct err e;
    return ids_option(&r->prompt.ids, r->o->ids, &e) == GLIM_OK ? EXIT_OK : fail_err(&e);
}

static int make_prompt(struct run *r)
{
    struct glim_error e;
    if (r->o->ids)
        return prompt_ids(r);
    if (glim_model_tokenizer(r->model, &r->tok, &e) != GLIM_OK)
        return fail_glim(&e);
    return r->o->raw ? prompt_raw(r) : prompt_chat(r);
}

/* ---- the answer ---- */

static const char *finish_name(enum glim_finish f)
{
    switch (f) {
    case GLIM_FINISH_STOP: return "stop";
    case GLIM_FINISH_LENGTH: return "length";
    case GLIM_FINISH_TOOL_CALLS: return "tool_calls";
    case GLIM_FINISH_STOPPED: break;
    }
    return "stopped";
}

static struct json_object *ids_json(const struct ids *l)
{
    struct json_object *const j = json_object_new_array();
    for (size_t i = 0; i < l->n; i++)
        json_object_array_add(j, json_object_new_int(l->id[i]));
    return j;
}

static void add_text(struct json_object *j, const char *key, const struct buf *b)
{
    json_object_object_add(j, key, json_object_new_string_len(b->data, (int)b->len));
}

static void print_json(const struct run *r, const struct answer *a)
{
    struct json_object *const j = json_object_new_object();
    struct json_object *const usage = json_object_new_object();
    json_add_text(j, "model", glim_model_info(r->model)->name);
    if (a->reasoning.len && !r->o->no_reasoning)
        add_text(j, "reasoning", &a->reasoning);
    add_text(j, "content", &a->content);
    json_object_object_add(j, "tool_calls", json_object_get(a->tool_calls));
    if (r->o->print_ids)
        json_object_object_add(j, "ids", ids_json(&a->ids));
    json_add_text(j, "finish", finish_name(a->usage.finish));
    json_add_u64(usage, "prompt_tokens", a->prompt_tok);
    json_add_u64(usage, "output_tokens", a->usage.output_tok);
    json_add_u64(usage, "reasoning_tokens", a->usage.reasoning_tok);
    json_add_real(usage, "prompt_seconds", (double)a->prompt_ns / 1e9);
    json_add_real(usage, "output_seconds", (double)a->usage.generate_ns / 1e9);
    json_add_u64(usage, "verifications", a->usage.verifications);
    json_add_u64(usage, "drafted_tokens", a->usage.drafted_tok);
    json_add_u64(usage, "accepted_tokens", a->usage.accepted_tok);
    json_object_object_add(j, "usage", usage);
    out_json(j);
}

static void print_speed(const struct run *r, const struct answer *a)
{
    if (r->o->quiet || r->o->json || !err_is_terminal() || !out_is_terminal())
        return;
    struct buf text;
    buf_init(&text);
    answer_speed(a, &text);
    fprintf(stderr, out_has_colour() ? "\n\033[2m%s\033[0m\n" : "\n%s\n", text.data);
    buf_deinit(&text);
}

static int answer(struct run *r)
{
    struct glim_error e;
    struct answer a;
    answer_init(&a);
    const struct ask k = {
        .session = r->session, .o = r->o, .model = r->model, .thinking = r->prompt.thinking,
        .tools = r->tools ? json_object_to_json_string_ext(r->tools, JSON_C_TO_STRING_PLAIN) : NULL,
        .raw = r->o->ids || r->o->raw,
        .print = r->o->json ? ASK_NOTHING : r->o->print_ids ? ASK_IDS : ASK_TEXT,
    };
    int code = EXIT_OK;
    if (ask_append(&k, r->prompt.ids.id, r->prompt.ids.n, &a, &e) != GLIM_OK ||
        ask_generate(&k, &a, &e) != GLIM_OK)
        code = fail_glim(&e);
    if (code == EXIT_OK && r->o->json)
        print_json(r, &a);
    if (code == EXIT_OK)
        print_speed(r, &a);
    answer_deinit(&a);
    return code;
}

/* The usual context, or more if this prompt and its answer need it and the model allows it. */
static uint64_t context_wanted(const struct run *r)
{
    const uint64_t room = r->o->max_tokens ? r->o->max_tokens : ROOM_FOR_ANSWER_TOK;
    const uint64_t want = max_u64(USUAL_CONTEXT_TOK, r->prompt.ids.n + room);
    const uint64_t most = glim_model_info(r->model)->context;
    return most ? min_u64(want, most) : want;
}

static int run_opened(struct run *r)
{
    struct glim_error e;
    const int code = make_prompt(r);
    if (code != EXIT_OK)
        return code;
    if (model_session(r->o, r->model, context_wanted(r), &r->session, &e) != GLIM_OK)
        return fail_glim(&e);
    return answer(r);
}

int cmd_run(const struct opts *o)
{
    struct run r = {.o = o};
    struct glim_error e;
    int code = check_options(o);
    if (code != EXIT_OK)
        return code;
    code = model_open(o, &r.model, &e) == GLIM_OK ? run_opened(&r) : fail_glim(&e);
    prompt_deinit(&r.prompt);
    json_object_put(r.tools);
    glim_session_free(r.session);
    glim_model_close(r.model);
    return code;
}
