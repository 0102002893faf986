/* respond.h - answers that are one JSON document, and errors. */
#ifndef GLIM_SERVER_RESPOND_H
#define GLIM_SERVER_RESPOND_H

#include "base/json.h"
#include "server/dialect.h"

/* The header that says how long it took, to be called before the answer. */
void respond_times(struct exchange *x);
/* d NULL: as OpenAI's API says it. */
void respond_fault(struct server *s, struct exchange *x, const struct dialect *d,
                   const struct fault *f);
/* Prints o and frees it. */
void respond_json(struct exchange *x, int status, struct json_object *o);
/* The request's body as a JSON object that the caller puts; nonzero: *f says why not. */
int respond_body(struct exchange *x, struct json_object **out, struct fault *f);

#endif
