/* chat_completions.h - POST /v1/chat/completions: reading in chat_request.c, writing in
 * chat_completions.c. */
#ifndef GLIM_SERVER_CHAT_COMPLETIONS_H
#define GLIM_SERVER_CHAT_COMPLETIONS_H

#include "server/generation.h"
#include "server/prompt.h"

struct chat {
    struct ask ask; /* what the template was given */
    bool include_usage;
    unsigned pings;
};

int chat_read(struct generation *g, struct fault *f);

#endif
