/* headers.h - refuses requests whose headers two readers could understand differently.
 *
 * A proxy in front of this server may read them otherwise than libmicrohttpd does, and then take a
 * part of one client's body for another's request. What libmicrohttpd itself refuses (lengths that
 * are no numbers, lines without a colon, a request of HTTP/1.1 without Host) does not come here.
 */
#ifndef GLIM_SERVER_HEADERS_H
#define GLIM_SERVER_HEADERS_H

#include "server/exchange.h"
#include "server/fault.h"

/* 400 for: names that are no tokens; control characters in values; headers that decide something
 * and are there twice; a length together with a transfer coding; codings other than "chunked".
 * 0, or -1 with *f filled: then nothing behind the headers is to be trusted. */
int headers_check(const struct exchange *x, struct fault *f);

#endif
