/* prompt.h - from messages to a prompt's tokens. */
#ifndef GLIM_SERVER_PROMPT_H
#define GLIM_SERVER_PROMPT_H

#include "server/constrain.h"
#include "server/fields.h"
#include "server/generation.h"

/* A request for glim_template that is being made. Running out of memory is remembered: set all, and
 * what takes it looks. */
struct ask {
    struct json_object *o; /* owned; NULL: there was no memory for it */
    bool failed;
};
void ask_init(struct ask *a);
void ask_deinit(struct ask *a);
/* Takes value over; NULL: there was no memory for it. */
void ask_set(struct ask *a, const char *key, struct json_object *value);
void ask_set_bool(struct ask *a, const char *key, bool value);

/* Whether, and how long, the model may reason, from the levels of any API: none; minimal, low,
 * medium, high; xhigh, max. False if it is none of these. */
bool prompt_set_effort(struct ask *a, const char *effort);

/* tools, an array, in the shape of chat completions: a fault for what is of a wrong type. */
int prompt_check_tools(const struct fields *s, struct json_object *tools);
/* A tool_choice that is absent or a word, into how, whose tools may go; false: it is neither. */
bool prompt_choice_word(struct json_object *choice, struct tool_calls *how);
/* Tools, and how they are to be called, into g and into the request. how->tools is taken over, also
 * if it fails; NULL: there are none. */
int prompt_set_tools(struct generation *g, struct ask *a, struct tool_calls *how, struct fault *f);

/* With messages in the shapes of chat completions. What clients send in other ways is brought to
 * one form first, so that the same conversation gives the same tokens: developer is
 * system, a content of null is "", `reasoning` is reasoning_content, cache_control is dropped,
 * parts of text alone become one string. Adds the prompt to g. */
int prompt_of_messages(struct generation *g, struct ask *a, struct fault *f);
/* The prompt as the template prints it; *text: glim_free. Changes the request as above. */
int prompt_text(struct server *s, struct json_object *request, char **text, size_t *len,
                struct fault *f);

#endif
