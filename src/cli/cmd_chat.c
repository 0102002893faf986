/* cmd_chat.c - glim chat: a conversation.
 *
 * The whole conversation is rendered to tokens for each answer; what the timeline already holds of
 * them is kept and only the rest is computed. A template that drops old reasoning makes that rest
 * start at the last answer.
 */
#include <string.h>

#include "base/util.h"
#include "cli/ask.h"
#include "cli/cmd.h"
#include "cli/edit.h"
#include "cli/load.h"
#include "cli/out.h"

struct chat {
    const struct opts *o;
    struct edit *edit;
    glim_model *model;
    glim_tokenizer *tok;
    glim_session *session;
    struct json_object *messages; /* array */
    enum effort effort;
    bool failed; /* an answer failed; decides the exit code when nobody watches */
    /* for /stats */
    uint64_t answers, reused_tok, computed_tok, output_tok, output_ns, prompt_ns;
    uint64_t verifications, drafted_tok, accepted_tok;
};

static void note(const struct chat *c, const char *text)
{
    const bool dim = edit_interactive(c->edit) && out_has_colour();
    fputs(dim ? "\033[2m" : "", stderr);
    err_text("%s", text);
    fputs(dim ? "\033[0m\n" : "\n", stderr);
}

/* ---- messages ---- */

static void chat_reset(struct chat *c)
{
    json_object_put(c->messages);
    c->messages = json_object_new_array();
    if (c->o->system)
        json_object_array_add(c->messages,
                              message_new("system", c->o->system, strlen(c->o->system)));
}

static bool is_role(struct json_object *message, const char *role)
{
    return strcmp(json_object_get_string(json_object_object_get(message, "role")), role) == 0;
}

/* Drops the last question and all after it; false if there is none. */
static bool chat_undo(struct chat *c)
{
    size_t n = json_object_array_length(c->messages);
    while (n > 0 && !is_role(json_object_array_get_idx(c->messages, n - 1), "user"))
        n--;
    if (n == 0)
        return false;
    const size_t from = n - 1;
    json_object_array_del_idx(c->messages, from, json_object_array_length(c->messages) - from);
    return true;
}

static void add_answer(struct chat *c, const struct answer *a)
{
    struct json_object *const m = message_new("assistant", a->content.data, a->content.len);
    if (a->reasoning.len)
        json_object_object_add(m, "reasoning_content",
                               json_object_new_string_len(a->reasoning.data,
                                                          (int)a->reasoning.len));
    if (json_object_array_length(a->tool_calls))
        json_object_object_add(m, "tool_calls", json_object_get(a->tool_calls));
    json_object_array_add(c->messages, m);
}

static int render(struct chat *c, struct prompt *p, struct glim_error *e)
{
    struct json_object *const request = json_object_new_object();
    json_object_object_add(request, "messages", json_object_get(c->messages));
    request_set_options(request, c->effort);
    const int rc = prompt_render(p, c->tok, request, e);
    json_object_put(request);
    return rc;
}

/* ---- one answer ---- */

/* Cuts the timeline to what it shares with the prompt. At least one token is left to append: it
 * yields the logits. */
static int keep_shared(struct chat *c, const struct prompt *p, size_t *shared, struct glim_error *e)
{
    const int32_t *const have = glim_session_tokens(c->session);
    const uint64_t n = min_u64(glim_session_length(c->session), p->ids.n ? p->ids.n - 1 : 0);
    size_t same = 0;
    while (same < n && have[same] == p->ids.id[same])
        same++;
    *shared = same;
    return glim_session_rewind(c->session, same, e);
}

static void count(struct chat *c, const struct answer *a, size_t shared)
{
    c->answers++;
    c->reused_tok += shared;
    c->computed_tok += a->prompt_tok;
    c->prompt_ns += a->prompt_ns;
    c->output_tok += a->usage.output_tok;
    c->output_ns += a->usage.generate_ns;
    c->verifications += a->usage.verifications;
    c->drafted_tok += a->usage.drafted_tok;
    c->accepted_tok += a->usage.accepted_tok;
}

static int answer_prompt(struct chat *c, const struct prompt *p, struct answer *a,
                         struct glim_error *e)
{
    const struct ask k = {.session = c->session,
                          .o = c->o,
                          .model = c->model,
                          .thinking = p->thinking,
                          .print = ASK_TEXT,
                          .seed_step = c->answers};
    size_t shared = 0;
    int rc = keep_shared(c, p, &shared, e);
    if (rc == GLIM_OK)
        rc = ask_append(&k, p->ids.id + shared, p->ids.n - shared, a, e);
    if (rc == GLIM_OK)
        rc = ask_generate(&k, a, e);
    if (rc == GLIM_OK)
        count(c, a, shared);
    return rc;
}

static void say_how_it_ended(const struct chat *c, const struct answer *a)
{
    if (a->usage.finish == GLIM_FINISH_STOPPED && !out_failed())
        note(c, "(stopped)");
    else if (a->usage.finish == GLIM_FINISH_LENGTH &&
             glim_session_length(c->session) >= glim_session_context(c->session))
        note(c, "(the context is full: /reset starts anew, --ctx N gives more room)");
    else if (a->usage.finish == GLIM_FINISH_LENGTH && edit_interactive(c->edit))
        note(c, "(cut at the length that -n sets)");
}

/* Answers the conversation as it stands. A question that could not be answered is taken back. */
static void chat_answer(struct chat *c)
{
    struct glim_error e;
    struct prompt p = {0};
    struct answer a;
    answer_init(&a);
    int rc = render(c, &p, &e);
    if (rc == GLIM_OK)
        rc = answer_prompt(c, &p, &a, &e);
    if (rc == GLIM_OK) {
        add_answer(c, &a);
        say_how_it_ended(c, &a);
    } else {
        (void)chat_undo(c);
        if (rc == GLIM_ESTOPPED && interrupted())
            note(c, "(stopped)");
        else
            c->failed = fail_glim(&e) != EXIT_OK;
    }
    prompt_deinit(&p);
    answer_deinit(&a);
}

/* ---- commands ---- */

static void do_reset(struct chat *c, const char *arg)
{
    (void)arg;
    chat_reset(c);
    note(c, "(a new conversation)");
}

static void do_undo(struct chat *c, const char *arg)
{
    (void)arg;
    note(c, chat_undo(c) ? "(the last exchange is taken back)" : "(nothing to take back)");
}

static void do_effort(struct chat *c, const char *arg)
{
    static const char *const name[] = {[EFFORT_DEFAULT] = "default",
                                       [EFFORT_HIGH] = "high",
                                       [EFFORT_MAX] = "max",
                                       [EFFORT_OFF] = "off"};
    char text[64];
    for (size_t i = 0; i < COUNT_OF(name); i++)
        if (strcmp(arg, name[i]) == 0)
            c->effort = (enum effort)i;
    const bool known = strcmp(arg, name[c->effort]) == 0;
    snprintf(text, sizeof text,
             known || !*arg ? "(effort: %s)" : "(effort is %s; /effort high, max, off or default)",
             name[c->effort]);
    note(c, text);
}

static double per_second(uint64_t n, uint64_t ns)
{
    return ns ? (double)n / ((double)ns / 1e9) : 0;
}

static void do_stats(struct chat *c, const char *arg)
{
    (void)arg;
    char a[HUMAN_LEN], b[HUMAN_LEN];
    const uint64_t len = glim_session_length(c->session), ctx = glim_session_context(c->session);
    const struct glim_model_info *const i = glim_model_info(c->model);
    struct buf t;
    buf_init(&t);
    buf_addf(&t, "context  %s of %s tokens (%.0f%%), ", human_count(a, len), human_count(b, ctx),
             ctx ? 100.0 * (double)len / (double)ctx : 0.0);
    buf_addf(&t, "%s of cache\n", human_bytes(a, len * i->cache_bytes_per_token));
    buf_addf(&t, "prompts  %s tokens computed, %.1f a second; ", human_count(a, c->computed_tok),
             per_second(c->computed_tok, c->prompt_ns));
    buf_addf(&t, "%s reused\n", human_count(a, c->reused_tok));
    buf_addf(&t, "answers  %s, ", human_count(a, c->answers));
    buf_addf(&t, "%s tokens, %.1f a second", human_count(a, c->output_tok),
             per_second(c->output_tok, c->output_ns));
    draft_speed(c->verifications, c->drafted_tok, c->accepted_tok, &t);
    note(c, t.data);
    buf_deinit(&t);
}

static void do_help(struct chat *c, const char *arg)
{
    (void)arg;
    note(c, "/reset   start a new conversation\n"
            "/undo    take back the last question and its answer\n"
            "/effort  high, max, off or default: how long the model may reason\n"
            "/stats   tokens and speed\n"
            "/quit    leave (Ctrl-D does too)\n"
            "A line that ends in \\ goes on; \"\"\" opens and closes a block; // starts a text "
            "with one slash.");
}

struct chat_command {
    const char *name;
    void (*run)(struct chat *c, const char *arg); /* NULL = leave */
};
static const struct chat_command commands[] = {
    {"/reset", do_reset}, {"/undo", do_undo}, {"/effort", do_effort}, {"/stats", do_stats},
    {"/help", do_help},   {"/quit", NULL},    {"/exit", NULL},
};

static void unknown_command(const struct chat *c, const char *name)
{
    char text[128];
    const char *best = "/help";
    unsigned least = 3;
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        const unsigned d = edit_distance(name, commands[i].name);
        if (d < least) {
            least = d;
            best = commands[i].name;
        }
    }
    snprintf(text, sizeof text,
             least < 3 ? "(unknown command; did you mean %s?)" : "(unknown command; see %s)", best);
    note(c, text);
}

/* False = leave. */
static bool chat_command(struct chat *c, const char *line)
{
    char name[32];
    const size_t len = strcspn(line, " \t");
    snprintf(name, sizeof name, "%.*s", (int)len, line);
    const char *const arg = line + len + strspn(line + len, " \t");
    for (size_t i = 0; i < COUNT_OF(commands); i++)
        if (strcmp(name, commands[i].name) == 0) {
            if (commands[i].run)
                commands[i].run(c, arg);
            return commands[i].run != NULL;
        }
    unknown_command(c, name);
    return true;
}

/* ---- what the person says ---- */

/* Lines up to the closing """; the opening line's rest is already in `text`. */
static enum edit_result read_block(struct chat *c, struct buf *text)
{
    for (;;) {
        struct buf line;
        buf_init(&line);
        const enum edit_result r = edit_line(c->edit, "... ", &line);
        const char *const close = strstr(line.data, "\"\"\"");
        if (close == line.data
            && text->len) /* alone on its line: that line is no part of the text */
            text->data[--text->len] = 0;
        buf_add(text, line.data, close ? (size_t)(close - line.data) : line.len);
        buf_deinit(&line);
        if (r != EDIT_LINE || close)
            return r == EDIT_END ? EDIT_LINE : r;
        buf_addc(text, '\n');
    }
}

/* One message: a line, lines joined by a backslash at their end, or a block. */
static enum edit_result read_message(struct chat *c, struct buf *text)
{
    enum edit_result r = edit_line(c->edit, "> ", text);
    if (r == EDIT_LINE && strncmp(text->data, "\"\"\"", 3) == 0) {
        struct buf rest;
        buf_init(&rest);
        buf_adds(&rest, text->data + 3);
        char *const close = strstr(rest.data, "\"\"\"");
        buf_clear(text);
        buf_add(text, rest.data, close ? (size_t)(close - rest.data) : rest.len);
        buf_deinit(&rest);
        if (close)
            return EDIT_LINE;
        if (text->len)
            buf_addc(text, '\n');
        return read_block(c, text);
    }
    while (r == EDIT_LINE && text->len && text->data[text->len - 1] == '\\') {
        text->data[--text->len] = '\n';
        text->len++;
        r = edit_line(c->edit, "... ", text);
    }
    return r;
}

/* False = leave. */
static bool take_message(struct chat *c, const struct buf *text)
{
    if (text->data[strspn(text->data, " \t\r\n")] == 0)
        return true;
    edit_remember(c->edit, text->data);
    if (text->data[0] == '/' && text->data[1] != '/' && !strchr(text->data, '\n'))
        return chat_command(c, text->data);
    const size_t skip = strncmp(text->data, "//", 2) == 0;
    json_object_array_add(c->messages, message_new("user", text->data + skip, text->len - skip));
    chat_answer(c);
    if (edit_interactive(c->edit))
        out_bytes("\n", 1);
    return !out_failed();
}

static int converse(struct chat *c)
{
    bool on = true;
    enum edit_result r = EDIT_LINE;
    while (on && (r == EDIT_LINE || (r == EDIT_INTERRUPTED && edit_interactive(c->edit)))) {
        interrupt_clear();
        struct buf text;
        buf_init(&text);
        r = read_message(c, &text);
        if (r == EDIT_LINE)
            on = take_message(c, &text);
        else if (edit_interactive(c->edit))
            out_bytes("\n", 1);
        buf_deinit(&text);
        /* Without a terminal nobody can go on talking: Ctrl-C ends the program. */
        if (interrupted() && !edit_interactive(c->edit))
            return EXIT_INTERRUPTED;
    }
    interrupt_clear();
    if (r == EDIT_FAILED)
        return fail("standard input cannot be read");
    return c->failed && !edit_interactive(c->edit) ? EXIT_FAIL : EXIT_OK;
}

static void greet(const struct chat *c)
{
    char text[256], n[HUMAN_LEN];
    if (!edit_interactive(c->edit) || c->o->quiet)
        return;
    snprintf(text, sizeof text, "%s, context %s tokens. /help lists the commands, Ctrl-D leaves.",
             glim_model_info(c->model)->name, human_count(n, glim_session_context(c->session)));
    note(c, text);
}

static int open_all(struct chat *c, struct glim_error *e)
{
    int rc = model_open(c->o, &c->model, e);
    if (rc == GLIM_OK)
        rc = glim_model_tokenizer(c->model, &c->tok, e);
    if (rc == GLIM_OK && !glim_template_name(c->tok))
        rc = glim_error_set(e, GLIM_EUNSUPPORTED,
                            "the model names no chat template that glim knows; see run --raw");
    return rc == GLIM_OK ? model_session(c->o, c->model, 0, &c->session, e) : rc;
}

int cmd_chat(const struct opts *o)
{
    struct chat c = {.o = o, .effort = (enum effort)o->effort, .edit = edit_new()};
    struct glim_error e;
    int code;
    if (!c.edit)
        return fail("out of memory");
    if (open_all(&c, &e) != GLIM_OK) {
        code = fail_glim(&e);
    } else {
        chat_reset(&c);
        greet(&c);
        code = converse(&c);
    }
    json_object_put(c.messages);
    edit_free(c.edit);
    glim_session_free(c.session);
    glim_model_close(c.model);
    return code;
}
