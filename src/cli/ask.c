/* ask.c - see ask.h. */
#include "cli/ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "cli/load.h"
#include "cli/out.h"

/* ---- prompt ---- */

void prompt_deinit(struct prompt *p) { ids_deinit(&p->ids); }

struct json_object *message_new(const char *role, const char *text, size_t len)
{
    struct json_object *const m = json_object_new_object();
    json_object_object_add(m, "role", json_object_new_string(role));
    json_object_object_add(m, "content", json_object_new_string_len(text, (int)len));
    return m;
}

void request_set_options(struct json_object *request, enum effort effort)
{
    json_object_object_add(request, "add_generation_prompt", json_object_new_boolean(true));
    if (effort == EFFORT_OFF)
        json_object_object_add(request, "enable_thinking", json_object_new_boolean(false));
    else if (effort != EFFORT_DEFAULT)
        json_object_object_add(request, "enable_thinking", json_object_new_boolean(true));
    if (effort == EFFORT_HIGH || effort == EFFORT_MAX)
        json_object_object_add(request, "reasoning_effort",
                               json_object_new_string(effort == EFFORT_HIGH ? "high" : "max"));
}

static bool ends_with(const char *text, size_t len, const char *tail)
{
    const size_t n = strlen(tail);
    return len >= n && memcmp(text + len - n, tail, n) == 0;
}

int prompt_render(struct prompt *p, const glim_tokenizer *t, struct json_object *request,
                  struct glim_error *e)
{
    size_t len;
    const char *const json =
        json_object_to_json_string_length(request, JSON_C_TO_STRING_PLAIN, &len);
    char *text = NULL;
    size_t text_len = 0;
    int32_t *id = NULL;
    size_t n = 0;
    int rc = glim_template(t, json, len, &text, &text_len, &id, &n, e);
    struct err pushed;
    for (size_t i = 0; rc == GLIM_OK && i < n; i++)
        if ((rc = ids_push(&p->ids, id[i], &pushed)) != GLIM_OK)
            glim_error_set(e, rc, "%s", pushed.text);
    p->thinking = rc == GLIM_OK && ends_with(text, text_len, "<think>");
    glim_free(text);
    glim_free(id);
    return rc;
}

/* ---- answer ---- */

void answer_init(struct answer *a)
{
    *a = (struct answer){.tool_calls = json_object_new_array()};
    buf_init(&a->content);
    buf_init(&a->reasoning);
}

void answer_deinit(struct answer *a)
{
    buf_deinit(&a->content);
    buf_deinit(&a->reasoning);
    json_object_put(a->tool_calls);
    ids_deinit(&a->ids);
}

static double seconds(uint64_t ns) { return (double)ns / 1e9; }

void answer_speed(const struct answer *a, struct buf *out)
{
    buf_addf(out, "%llu tokens of prompt in %.1f s", (unsigned long long)a->prompt_tok,
             seconds(a->prompt_ns));
    buf_addf(out, ", %llu of answer in %.1f s", (unsigned long long)a->usage.output_tok,
             seconds(a->usage.generate_ns));
    if (a->usage.output_tok > 1 && a->usage.generate_ns > 0)
        buf_addf(out, " (%.1f a second)",
                 (double)(a->usage.output_tok - 1) / seconds(a->usage.generate_ns));
    draft_speed(a->usage.verifications, a->usage.drafted_tok, a->usage.accepted_tok, out);
}

void draft_speed(uint64_t verifications, uint64_t drafted, uint64_t accepted, struct buf *out)
{
    if (verifications == 0)
        return;
    buf_addf(out, ", %llu of %llu drafts right", (unsigned long long)accepted,
             (unsigned long long)drafted);
    buf_addf(out, " (%.2f a verification)", (double)accepted / (double)verifications);
}

/* ---- printing while it comes ---- */

enum part { PART_NONE, PART_REASONING, PART_CONTENT, PART_TOOL };

struct printer {
    const struct ask *ask;
    struct answer *answer;
    enum part part;     /* what was printed last */
    bool newline;       /* standard output is at the start of a line */
    bool after_reasoning; /* and nothing of the answer yet: line breaks are dropped */
    struct buf args;    /* of the call that is being read */
    char *name;
};

static void print(struct printer *p, const char *text, size_t len)
{
    if (len == 0 || p->ask->print != ASK_TEXT)
        return;
    out_model_text(text, len);
    p->newline = text[len - 1] == '\n';
}

/* Marks are ours, so no filter; they leave the line where it was. */
static void print_mark(const char *text) { out_bytes(text, strlen(text)); }

static void begin_part(struct printer *p, enum part part)
{
    if (p->part == part || p->ask->print != ASK_TEXT)
        return;
    if (p->part == PART_REASONING) {
        print_mark(out_has_colour() ? "\033[0m" : "</think>");
        print_mark(p->newline && out_has_colour() ? "\n" : "\n\n");
        p->newline = p->after_reasoning = true;
    } else if (p->part != PART_NONE && !p->newline) {
        print(p, "\n", 1);
    }
    if (part == PART_REASONING)
        print_mark(out_has_colour() ? "\033[2m" : "<think>");
    p->part = part;
}

static void on_text(struct printer *p, const struct glim_event *ev)
{
    const bool reasoning = ev->kind == GLIM_EVENT_REASONING;
    buf_add(reasoning ? &p->answer->reasoning : &p->answer->content, ev->text, ev->len);
    if (ev->len == 0 || (reasoning && p->ask->o->no_reasoning))
        return;
    begin_part(p, reasoning ? PART_REASONING : PART_CONTENT);
    const size_t skip = p->after_reasoning ? strspn(ev->text, "\n") : 0;
    p->after_reasoning = p->after_reasoning && skip == ev->len;
    print(p, ev->text + skip, ev->len - skip);
}

static void on_tool_begin(struct printer *p, const struct glim_event *ev)
{
    free(p->name);
    p->name = strndup(ev->text, ev->len);
    buf_clear(&p->args);
    begin_part(p, PART_TOOL);
    if (!p->newline)
        print(p, "\n", 1);
    print(p, "tool call: ", 11);
    print(p, ev->text, ev->len);
    print(p, " ", 1);
}

static void on_tool_args(struct printer *p, const struct glim_event *ev)
{
    buf_add(&p->args, ev->text, ev->len);
    print(p, ev->text, ev->len);
}

static void on_tool_end(struct printer *p)
{
    struct err e;
    struct json_object *args = NULL;
    struct json_object *const call = json_object_new_object();
    json_add_text(call, "name", p->name ? p->name : "");
    if (json_read(p->args.data, p->args.len, "arguments", &args, &e) != GLIM_OK)
        args = json_object_new_string_len(p->args.data, (int)p->args.len);
    json_object_object_add(call, "arguments", args);
    json_object_array_add(p->answer->tool_calls, call);
    print(p, "\n", 1);
}

static void on_token(struct printer *p, const struct glim_event *ev)
{
    struct err e;
    const bool first = p->answer->ids.n == 0;
    (void)ids_push(&p->answer->ids, ev->token, &e);
    if (p->ask->print == ASK_IDS) {
        char number[24];
        const int len = snprintf(number, sizeof number, first ? "[%d" : ", %d", ev->token);
        out_bytes(number, (size_t)len);
    }
}

static int on_event(void *ctx, const struct glim_event *ev)
{
    struct printer *const p = ctx;
    progress_end();
    switch (ev->kind) {
    case GLIM_EVENT_REASONING:
    case GLIM_EVENT_CONTENT: on_text(p, ev); break;
    case GLIM_EVENT_TOOL_BEGIN: on_tool_begin(p, ev); break;
    case GLIM_EVENT_TOOL_ARGS: on_tool_args(p, ev); break;
    case GLIM_EVENT_TOOL_END: on_tool_end(p); break;
    case GLIM_EVENT_TOKEN: on_token(p, ev); break;
    case GLIM_EVENT_PROMPT:
    case GLIM_EVENT_PROMPT_TOKEN:
    case GLIM_EVENT_END_TOKEN: break;
    }
    if (p->ask->print != ASK_NOTHING)
        out_flush();
    return interrupted() || out_failed();
}

static void end_print(struct printer *p)
{
    if (p->ask->print == ASK_IDS)
        print_mark(p->answer->ids.n ? "]\n" : "[]\n");
    if (p->part == PART_REASONING)
        print_mark(out_has_colour() ? "\033[0m" : "</think>");
    if (p->ask->print == ASK_TEXT && (p->part == PART_REASONING || !p->newline))
        print_mark("\n");
    out_flush();
    buf_deinit(&p->args);
    free(p->name);
}

/* ---- the two steps ---- */

static int on_append(void *ctx, size_t done, size_t n)
{
    (void)ctx;
    progress_show("reading the prompt:", done, n);
    return interrupted();
}

int ask_append(const struct ask *k, const int32_t *id, size_t n, struct answer *a,
               struct glim_error *e)
{
    struct glim_append ap = GLIM_APPEND_INIT;
    ap.tokens = id;
    ap.n = n;
    ap.progress = on_append;
    const uint64_t start = now_ns();
    const int rc = glim_session_append(k->session, &ap, e);
    a->prompt_ns = now_ns() - start;
    a->prompt_tok = n;
    progress_end();
    return rc;
}

int ask_generate(const struct ask *k, struct answer *a, struct glim_error *e)
{
    struct printer p = {.ask = k, .answer = a, .newline = true};
    buf_init(&p.args);
    struct glim_generate g = GLIM_GENERATE_INIT;
    model_sampling(k->o, k->model, &g.sampling);
    g.sampling.seed += k->seed_step;
    g.max_tokens = k->o->max_tokens;
    g.stop = &k->o->stop;
    g.stops = k->o->stop ? 1 : 0;
    g.ignore_eos = k->o->ignore_eos;
    g.thinking = k->thinking;
    g.raw = k->raw;
    g.tools = k->tools;
    g.drafts = model_draft_count(k->o);
    g.on_event = on_event;
    g.ctx = &p;
    int rc = glim_generate(k->session, &g, &a->usage, e);
    end_print(&p);
    if (rc == GLIM_ESTOPPED) {
        a->usage.finish = GLIM_FINISH_STOPPED;
        rc = GLIM_OK;
    }
    return rc;
}
