/* guard.h - who may ask: the key, the Host and Origin headers of web pages.
 *
 * A server without keys listens on loopback only. A web page that a browser shows can reach
 * loopback all the same: by its own requests, which carry an Origin, and by a name of its own that
 * it lets point here (DNS rebinding), which shows in Host. Both are refused unless listed.
 */
#ifndef GLIM_SERVER_GUARD_H
#define GLIM_SERVER_GUARD_H

#include "server/server.h"

/* GLIM_EINVAL if the server would listen for others without a key, or a key cannot be one. */
int guard_check_options(const struct server *s, struct err *e);
/* On the HTTP thread, from the headers; nonzero: *f says why not. Sets the exchange's owner, and
 * the headers that allow a listed origin to read the answer. open: for paths that need no key. */
int guard_admit(struct server *s, struct exchange *x, bool open, struct fault *f);

#endif
