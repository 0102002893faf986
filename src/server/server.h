/* server.h - glim serve: HTTP and SSE on one side, a glim_service on the other.
 *
 * http.h brings requests, route.c finds who answers them and guard.h who may ask; a request that
 * generates is read by its dialect (dialect.h: chat_completions.c, completions.c ...) and carried
 * out by generation.c, which hands events back to the dialect to write. All of it stands on glim.h
 * alone.
 */
#ifndef GLIM_SERVER_SERVER_H
#define GLIM_SERVER_SERVER_H

#include <stdatomic.h>

#include "base/err.h"
#include "glim.h"
#include "server/exchange.h"
#include "server/fault.h"
#include "server/http.h"

/* Names given several times; borrowed until server_stop. */
struct names {
    const char *const *v;
    size_t n;
};

/* What the reasoning is called. */
enum reasoning_fields { FIELD_REASONING_CONTENT = 1, FIELD_REASONING = 2 };

struct server_options {
    const char *host;     /* "" = all addresses */
    uint16_t port;        /* 0 = any */
    struct names keys;    /* who may ask; none: anybody, on loopback only */
    struct names hosts;   /* names of this server besides those of loopback, for the Host header */
    struct names origins; /* whose web pages may ask, "https://chat.example"; "*" = all */
    const char *alias;    /* what the model is called; NULL = its own name */
    const char *slot_folder; /* where slots are saved; NULL: they are not */
    unsigned reasoning;   /* enum reasoning_fields of chat completions' answers; 0: none */
    bool any_model;       /* answer whatever model a request names */
    const char *cert, *key; /* PEM texts */
    uint64_t timeout_s;     /* of a request, its wait included */
    struct http_limits limits;
    /* One line; called from any thread, must not wait. level: 0 always, 1 requests, 2 details. */
    void (*log)(void *ctx, int level, const char *text);
    void *log_ctx;
    int log_level;
};

enum server_phase { SERVER_LOADING, SERVER_READY, SERVER_DRAINING };

struct constraints;
struct replay;

struct server {
    struct server_options o;
    struct http *http;
    uint16_t port;
    bool loopback;
    _Atomic enum server_phase phase;
    /* From SERVER_READY on. */
    glim_model *model;
    glim_tokenizer *tokenizer;
    glim_service *service;
    struct responses_store *responses;
    struct background *background;
    char name[128], fingerprint[40]; /* what the model is called; system_fingerprint */
    struct replay *replay;
    struct constraints *constraints;
    uint64_t context_tok;
    uint64_t created;                   /* seconds since 1970 */
    int32_t think, end_think, end_call; /* ids, or -1 */
    atomic_uint_least64_t asked[2];     /* requests that failed: 4xx, 5xx */
    atomic_uint_least64_t generating;   /* generations in progress */
};

/* Listens, and answers that the model is being loaded. */
int server_start(struct server **out, const struct server_options *o, struct err *e);
/* Both are borrowed until server_stop. */
int server_ready(struct server *s, glim_model *m, glim_service *service, struct err *e);
/* New requests are refused; what is in progress goes on. */
void server_drain(struct server *s);
bool server_idle(struct server *s);
/* Cuts what is left. The service has to be there still. s may be NULL. */
void server_stop(struct server *s);

/* Is `name` what the model is called, or is anything accepted? */
bool server_knows_model(const struct server *s, const char *name);

/* One line if `level` is asked for. */
void server_log(struct server *s, int level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
