/* anthropic.h - POST /v1/messages, Anthropic's Messages API: reading in anthropic_read.c,
 * _messages.c and _tools.c, writing in anthropic.c.
 *
 * What a client marks for its own provider changes no prompt: cache_control, ids, signatures, and
 * the line "x-anthropic-billing-header: ..." with which Claude Code's system prompt begins.
 */
#ifndef GLIM_SERVER_ANTHROPIC_H
#define GLIM_SERVER_ANTHROPIC_H

#include "server/fields.h"
#include "server/generation.h"
#include "server/prompt.h"

struct anthropic {
    struct ask ask;    /* what the template was given */
    const char *model; /* as the request named it; borrowed from its body */
    bool hide_thinking;
};

int anthropic_read(struct generation *g, struct fault *f);

/* `system` and `messages` of a request -> messages of the template, which the caller puts.
 * *prefill: the last one is the beginning of the answer. */
int anthropic_messages(const struct fields *s, struct json_object **out, bool *prefill);

/* `tools` -> tools of the template, which the caller puts; NULL if there are none. Tools that the
 * provider would run itself are left out; those that it only defines (bash_..., text_editor_...,
 * memory_...) get their definition. */
int anthropic_tools(const struct fields *s, struct json_object **out);

#endif
