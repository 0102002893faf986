/* http_impl.h - what the files of the HTTP side share: http.c (the daemon), exchange.c (one
 * answer), watch.c (time and clients that leave), workers.c. Internal. */
#ifndef GLIM_SERVER_HTTP_IMPL_H
#define GLIM_SERVER_HTTP_IMPL_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/http.h"

enum { EXCHANGE_HEADERS_MAX = 16, EXCHANGE_ID_LEN = 28 };

struct exchange {
    struct http *http;
    struct link *link;
    /* The request. Written before the exchange is handed on. */
    enum http_method method;
    char *path;
    struct buf body;
    uint64_t body_seen; /* bytes, kept or dropped */
    bool dropping;      /* the body: answered already, or too much */
    bool quick, served;
    bool last;          /* the connection ends with its answer, and no body is read */
    char id[EXCHANGE_ID_LEN + 1], owner[64];
    const char *key; /* it came with; borrowed */
    const void *route;
    unsigned spare;
    uint64_t start_ns;
    struct exchange *next; /* of the workers' queue */
    atomic_uint refs;

    pthread_mutex_t lock;              /* of all that follows */
    struct MHD_Connection *connection; /* NULL when the HTTP side is done with it */
    const struct exchange_hooks *hooks;
    void *ctx;
    struct {
        const char *name;
        char *value;
    } header[EXCHANGE_HEADERS_MAX];
    size_t headers;
    int status; /* 0: not begun */
    const char *type;
    bool poor; /* memory ran out while the answer was made: the spare one is sent */
    bool suspended, streamed, ended, cut, told;
    struct buf out; /* of a reply all, of a stream what was not taken yet: from out_at on */
    size_t out_at;
    uint64_t written_ns;
};

/* A connection, in a list of the daemon's. */
enum link_phase { LINK_IDLE, LINK_HEADERS, LINK_BODY, LINK_ANSWER };
struct link {
    struct link *next, *previous;
    uint64_t id;
    int fd;
    enum link_phase phase;
    uint64_t since_ns; /* in this phase */
    bool half_closed, probed, end_shown;
    bool over; /* one more than there may be: it is told so */
    uint64_t requests;
    struct exchange *x; /* the one in progress, or NULL */
};

struct http {
    struct MHD_Daemon *daemon;
    int quiesced_fd; /* once draining: the socket that was listened at; else -1 */
    struct http_limits limits;
    struct http_handler handler;
    atomic_bool draining, stopping;
    atomic_bool trims; /* a large request has ended: the watcher gives its memory back */
    atomic_uint_least64_t held_bytes, requests;

    pthread_mutex_t lock; /* of the links */
    struct link *links;
    uint64_t last_link, link_count;

    int epoll_fd, stop_fd;
    pthread_t watcher;
    bool watching;
    struct workers *workers;
    struct MHD_Response *spare[HTTP_SPARES];
    int spare_status[HTTP_SPARES];
};

/* http.c: needs no memory */
enum MHD_Result http_send_spare(struct http *h, unsigned which, struct MHD_Connection *c);

/* exchange.c */
struct exchange *exchange_new(struct http *h, struct link *l, struct MHD_Connection *c,
                              const char *method, const char *path);
/* For the HTTP thread, when the request is all there and nothing is to be done now: queues the
 * answer's response, or sends the connection to sleep. */
enum MHD_Result exchange_continue(struct exchange *x, struct MHD_Connection *c);
/* The HTTP side is done with it. */
void exchange_finished(struct exchange *x, bool whole);
/* The client left, or the server stops: cuts, wakes, tells. */
void exchange_gone(struct exchange *x);
void exchange_tick(struct exchange *x, bool probe);

/* watch.c */
int watch_start(struct http *h, struct err *e);
void watch_stop(struct http *h);
void watch_add(struct http *h, struct link *l);
/* Every exchange in progress: exchange_gone. */
void watch_cut_all(struct http *h);
void link_enter(struct link *l, enum link_phase phase); /* with the lock of the daemon */

/* workers.c */
int workers_start(struct workers **out, int threads, const struct http_handler *handler,
                  struct err *e);
/* Takes over a hold. */
void workers_put(struct workers *w, struct exchange *x);
void workers_stop(struct workers *w);

#endif
