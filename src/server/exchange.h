/* exchange.h - one request and its answer, as handlers see them: no word of the HTTP library.
 *
 * An answer is either one reply (exchange_reply), or begun, written piece by piece and ended. All
 * of these may be called from any thread and never wait for the client: bytes go into a buffer of
 * the exchange's own, which the HTTP thread empties. A client that reads slowly fills it; past the
 * limit the answer is cut and exchange_write says so.
 *
 * An exchange lives until the HTTP side is done with it and all who hold it have let it go.
 */
#ifndef GLIM_SERVER_EXCHANGE_H
#define GLIM_SERVER_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct http;
struct exchange;

enum http_method {
    HTTP_GET = 1,
    HTTP_POST = 2,
    HTTP_PUT = 4,
    HTTP_DELETE = 8,
    HTTP_HEAD = 16,
    HTTP_OPTIONS = 32,
    HTTP_OTHER = 64
};

/* What the exchange tells whoever makes a long answer; each may be NULL. */
struct exchange_hooks {
    /* Once, if the client left before the answer was whole, or the server stops. From any thread.
     */
    void (*gone)(void *ctx);
    /* About every second while the answer is not whole. probe: the client has closed its sending
     * side; writing something now tells whether it has left. */
    void (*tick)(void *ctx, bool probe);
    /* At the end of the exchange's life. */
    void (*free)(void *ctx);
};

/* Of the request; all until the end of the exchange's life. */
enum http_method exchange_method(const struct exchange *x);
const char *exchange_path(const struct exchange *x); /* decoded, without the query */
const char *exchange_body(const struct exchange *x, size_t *len);
const char *exchange_id(const struct exchange *x); /* random, for x-request-id */
uint64_t exchange_age_ns(const struct exchange *x);
/* A header of the request, or NULL. Only while it is accepted: see struct http_handler. */
const char *exchange_request_header(const struct exchange *x, const char *name);
/* Of the request's query, decoded, or NULL. Only while it is accepted, or served quickly. */
const char *exchange_argument(const struct exchange *x, const char *name);
typedef bool exchange_header_fn(void *ctx, const char *name, size_t name_len, const char *value,
                                size_t len);
/* Each of the request's headers, until fn says false. For accept() alone. */
void exchange_each_header(const struct exchange *x, exchange_header_fn *fn, void *ctx);
/* The connection ends with this answer, and what follows the headers is not read. For accept()
 * alone. */
void exchange_make_last(struct exchange *x);
/* Which of http_options' spare answers it is. For accept() alone. */
void exchange_set_spare(struct exchange *x, unsigned which);
bool exchange_chunked_or_long(const struct exchange *x, uint64_t bytes);

/* For whoever routes: kept, not looked at. */
void exchange_set_route(struct exchange *x, const void *route);
const void *exchange_route(const struct exchange *x);
/* owner: copied, cut to 63 bytes. key: the one it came with, borrowed, NULL: none. */
void exchange_set_owner(struct exchange *x, const char *owner, const char *key);
const char *exchange_owner(const struct exchange *x);
const char *exchange_key(const struct exchange *x);

/* At most once, before the answer. False if the client has left already: no hook but free is called
 * then. */
bool exchange_hook(struct exchange *x, const struct exchange_hooks *hooks, void *ctx);
void exchange_hold(struct exchange *x);
void exchange_release(struct exchange *x);

/* Before the answer begins; name: static. Without memory for it the answer is the spare one. */
void exchange_set_header(struct exchange *x, const char *name, const char *value);

/* The whole answer; `body` is emptied. type NULL: no body. Later calls do nothing. A body that has
 * failed, like headers and whatever else finds no memory, makes it the spare one. */
void exchange_reply(struct exchange *x, int status, const char *type, struct buf *body);
void exchange_begin(struct exchange *x, int status, const char *type);
bool exchange_begun(struct exchange *x);
/* False if the client left or reads too slowly: the answer is over. */
bool exchange_write(struct exchange *x, const char *data, size_t n);
void exchange_end(struct exchange *x);
/* Ends an answer that is not whole, so that the client sees that. */
void exchange_cut(struct exchange *x);
/* Since something was last written, or the request came. */
uint64_t exchange_quiet_ns(struct exchange *x);

#endif
