/* ask.h - one question and its answer, for run and chat: messages -> prompt -> timeline -> printed
 * answer. */
#ifndef GLIM_CLI_ASK_H
#define GLIM_CLI_ASK_H

#include <json-c/json.h>

#include "base/buf.h"
#include "cli/input.h"
#include "cli/opts.h"
#include "glim.h"

struct prompt { /* zero-initialise; prompt_deinit frees */
    struct ids ids;
    bool thinking; /* ends inside <think>: the answer begins as reasoning */
};
void prompt_deinit(struct prompt *p);

/* {"role": role, "content": text}; owned by the caller. */
struct json_object *message_new(const char *role, const char *text, size_t len);

/* The template's arguments that options decide: how to reason, and that an answer is wanted. */
void request_set_options(struct json_object *request, enum effort effort);

/* The tokens of a request (see glim_template). */
int prompt_render(struct prompt *p, const glim_tokenizer *t, struct json_object *request,
                  struct glim_error *e);

struct answer { /* answer_init, answer_deinit */
    struct buf content, reasoning;
    struct json_object *tool_calls; /* [{"name": ..., "arguments": {...}}], owned */
    struct ids ids;
    struct glim_usage usage;
    uint64_t prompt_tok, prompt_ns; /* what was computed before the answer */
};
void answer_init(struct answer *a);
void answer_deinit(struct answer *a);

/* What of an answer is printed while it comes; all of it is kept in struct answer. */
enum ask_print { ASK_TEXT, ASK_IDS, ASK_NOTHING };

struct ask {
    glim_session *session;
    const struct opts *o;
    const glim_model *model;
    const char *tools; /* JSON array, or NULL */
    bool thinking, raw;
    enum ask_print print;
    uint64_t seed_step; /* added to the seed */
};

/* Appends prompt tokens with a progress line; returns what glim_session_append returned. */
int ask_append(const struct ask *k, const int32_t *id, size_t n, struct answer *a,
               struct glim_error *e);

/* Generates until a stop, Ctrl-C (usage.finish is then GLIM_FINISH_STOPPED, and GLIM_OK is
 * returned) or an error. */
int ask_generate(const struct ask *k, struct answer *a, struct glim_error *e);

/* "41 tokens of prompt in 0.2 s, 120 of answer in 3.1 s (38.9 a second)", and draft_speed's. */
void answer_speed(const struct answer *a, struct buf *out);
/* ", 70 of 84 drafts right (1.67 a verification)"; nothing if there were none. */
void draft_speed(uint64_t verifications, uint64_t drafted, uint64_t accepted, struct buf *out);

#endif
