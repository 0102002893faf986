/* models.h - what a server calls its model, and how much it takes: GET /v1/models, for glim
 * launch. */
#ifndef GLIM_CLI_MODELS_H
#define GLIM_CLI_MODELS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

/* The first model that the server at `url` (http://HOST:PORT) lists: its id is appended to `name`;
 * *context_tok: tokens of a prompt and its answer together, 0 if the server does not say. GLIM_EIO
 * if nobody answers there, or with something else. */
int models_ask(const char *url, const char *key, struct buf *name, uint64_t *context_tok,
               struct err *e);

#endif
