/* models.h - what a server calls its model: GET /v1/models, for glim launch. */
#ifndef GLIM_CLI_MODELS_H
#define GLIM_CLI_MODELS_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the id of the first model that the server at `url` (http://HOST:PORT) lists. GLIM_EIO if
 * nobody answers there, or with something else. */
int models_ask(const char *url, const char *key, struct buf *out, struct err *e);

#endif
