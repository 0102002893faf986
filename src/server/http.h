/* http.h - the HTTP side: a daemon of libmicrohttpd with one thread for all sockets, a few workers
 * that read requests and prepare answers, and a watcher for time limits and clients that leave.
 *
 * A connection sleeps (suspended) while its answer is made. Who makes it writes into the exchange's
 * buffer, which wakes the connection.
 *
 * Limits: a connection must have sent its request line within idle_s, the headers within header_s
 * of that, the body within body_s; bodies past body_bytes are read and dropped up to twice as much,
 * for a clear 413. All that is held of bodies together stays below bodies_bytes. A client that
 * takes nothing for stall_s while something waits for it is cut. A few connections more than
 * `connections` are told that there are too many (refuse), others are closed.
 */
#ifndef GLIM_SERVER_HTTP_H
#define GLIM_SERVER_HTTP_H

#include "base/err.h"
#include "server/exchange.h"

struct http_limits {
    uint64_t body_bytes, bodies_bytes, output_bytes;
    uint32_t connections, per_source; /* per_source 0: no limit */
    uint32_t header_s, body_s, idle_s, stall_s;
};
#define HTTP_LIMITS_DEFAULT                                                                        \
    {                                                                                              \
        .body_bytes = 32u << 20, .bodies_bytes = 1u << 30, .output_bytes = 1u << 20,               \
        .connections = 10240, .header_s = 10, .body_s = 60, .idle_s = 75, .stall_s = 30            \
    }

struct http_handler {
    /* The headers are there; on the HTTP thread, must not wait. May answer at once: what there is
     * of a body is then read and dropped. Says whether `serve` is quick enough for that thread too.
     */
    bool (*accept)(void *ctx, struct exchange *x);
    /* The whole request is there; on a worker, unless it is quick. Not called if it was answered.
     */
    void (*serve)(void *ctx, struct exchange *x);
    /* Its body is more than body_bytes, or (full) all bodies together or the connections are too
     * much; answers. */
    void (*refuse)(void *ctx, struct exchange *x, bool full);
    void *ctx;
};

enum { HTTP_SPARES = 2 };

struct http_options {
    int listen_fd;          /* bound and listening; owned by the daemon from then on */
    const char *cert, *key; /* PEM texts for TLS; NULL: none */
    struct http_limits limits;
    struct http_handler handler;
    int workers;
    /* JSON that is sent where there is no memory for an answer; copied. The first one also where
     * there is none to look at the request. */
    struct {
        int status;
        const char *body;
    } spare[HTTP_SPARES];
};

int http_start(struct http **out, const struct http_options *o, struct err *e);
/* No new connections, and each that is there closes with its next answer. */
void http_drain(struct http *h);
/* Cuts what is left, ends all threads; h may be NULL. Exchanges that somebody holds live on: h is
 * freed after the last of them. */
void http_stop(struct http *h);
void http_free(struct http *h);
/* No answer is being made or sent. */
bool http_idle(struct http *h);
/* Connections now; requests since the start. */
void http_counts(struct http *h, uint64_t *connections, uint64_t *requests);

void http_close_listener(int fd);
/* A socket that listens on host (an address, a name, "" = all) and port; *port: the one it got. */
int http_listen(const char *host, uint16_t *port, int *fd, bool *loopback, struct err *e);

#endif
