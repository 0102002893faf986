/* respond.h - answers in one piece, and errors. */
#ifndef GLIM_SERVER_RESPOND_H
#define GLIM_SERVER_RESPOND_H

#include "base/json.h"
#include "server/dialect.h"

extern const char json_media[]; /* the Content-Type */

/* The header that says how long it took, to be called before the answer. */
void respond_times(struct exchange *x);
/* An answer in one piece; body is emptied. If memory ran out while it was written, the error that
 * says so. d NULL: as OpenAI's API says errors. */
void respond(struct server *s, struct exchange *x, const struct dialect *d, const char *type,
             struct buf *body);
/* Counts and logs a refusal; respond_fault does. */
void respond_count(struct server *s, const struct exchange *x, int status, const struct fault *f);
void respond_fault(struct server *s, struct exchange *x, const struct dialect *d,
                   const struct fault *f);
/* The request's body as a JSON object that the caller puts; nonzero: *f says why not. */
int respond_body(struct exchange *x, struct json_object **out, struct fault *f);

#endif
