/* responses.h - POST /v1/responses, OpenAI's Responses API: reading in responses_read.c, _input.c
 * and _tools.c, writing in responses.c and responses_items.c, what is kept of responses in
 * responses_store.c.
 *
 * Names of tools in a namespace are written as one name for the model ("ns__name") and taken apart
 * again in its calls; tools with free text as input get one argument "input".
 */
#ifndef GLIM_SERVER_RESPONSES_H
#define GLIM_SERVER_RESPONSES_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/prompt.h"

struct responses {
    struct ask ask;              /* what the template was given */
    struct json_object *known;   /* from responses_tools */
    const char *model, *previous; /* as the request named them; borrowed from its body */
    struct buf only;             /* the one tool that is to be called */
    bool store;
    bool seal;                   /* reasoning comes in encrypted_content too */
    uint64_t sequence;           /* of the next event */
};

int responses_read(struct generation *g, struct fault *f);

/* Of a request: `instructions`, the items of `past` (an array, or NULL: what a previous response
 * knew) and `input` -> messages of the template, which the caller puts. */
int responses_messages(const struct fields *s, struct json_object *past, struct json_object **out);

/* `tools` -> tools of the template, NULL if there are none; and for those whose name or kind the
 * model does not see, *known: {"ns__name": {"namespace", "name", "custom"}}, also by "name" where
 * that is no other tool's; NULL if there are none. The caller puts both. Tools that OpenAI would
 * run itself are left out. */
int responses_tools(const struct fields *s, struct json_object **out, struct json_object **known);

/* Appends the name that the model gets for a tool; space may be "". */
void responses_tool_name(const char *space, const char *name, struct buf *out);

/* ---- writing ---- */

/* "event: TYPE\ndata: {"type":TYPE,"sequence_number":n", to go on; and its end. */
void responses_begin_event(struct generation *g, const char *type, struct buf *out);
void responses_end_event(struct buf *out);

/* An item's part of struct dialect. */
void responses_open(struct generation *g, struct choice *c, const struct part *p, struct buf *out);
void responses_delta(struct generation *g, struct choice *c, const struct part *p,
                     const char *text, size_t len, struct buf *out);
void responses_close(struct generation *g, struct choice *c, const struct part *p,
                     struct buf *out);
/* The array of an answer's items. */
void responses_output(const struct generation *g, const struct answer *a, struct buf *out);

/* The answer ended because it reached its limit. */
bool responses_cut(const struct answer *a);

#endif
