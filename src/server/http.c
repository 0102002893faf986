/* http.c - see http.h: the daemon, and a request's way from its first line to a worker. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "server/http_impl.h"

/* What the system holds for a client that reads slowly, on top of the exchange's own buffer. */
enum { CONNECTION_BYTES = 40 << 10, BACKLOG = 1024, SEND_BYTES = 128 << 10 };
enum { SPARE_MAX = 64 }; /* connections beyond the limit, which are told so; more are closed */

/* ---- a request, on the HTTP thread ---- */

/* The headers are there. */
static struct exchange *open_exchange(struct http *h, struct MHD_Connection *c, const char *url,
                                      const char *method)
{
    const union MHD_ConnectionInfo *const info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct link *const l = info ? info->socket_context : NULL;
    struct exchange *const x = l ? exchange_new(h, l, c, method, url) : NULL;
    if (!x)
        return NULL;
    atomic_fetch_add(&h->requests, 1);
    (void)pthread_mutex_lock(&h->lock);
    l->x = x;
    l->requests++;
    link_enter(l, LINK_BODY);
    (void)pthread_mutex_unlock(&h->lock);
    x->last = l->over;
    if (l->over)
        h->handler.refuse(h->handler.ctx, x, true);
    else
        x->quick = h->handler.accept(h->handler.ctx, x);
    return x;
}

static uint64_t announced_bytes(const struct exchange *x)
{
    const char *const text = exchange_request_header(x, "Content-Length");
    return text ? strtoull(text, NULL, 10) : 0;
}

bool exchange_chunked_or_long(const struct exchange *x, uint64_t bytes)
{
    return exchange_request_header(x, "Transfer-Encoding") || announced_bytes(x) > bytes;
}

/* What is announced as more than we would even drop is refused before it comes. */
static enum MHD_Result begin(struct exchange *x, struct MHD_Connection *c)
{
    const struct http *const h = x->http;
    const uint64_t bytes = announced_bytes(x);
    const bool waits = exchange_request_header(x, "Expect") != NULL;
    if (x->last)
        return exchange_continue(x, c);
    if (bytes > h->limits.body_bytes && !exchange_begun(x)) {
        h->handler.refuse(h->handler.ctx, x, false);
        if (bytes > 2 * h->limits.body_bytes || waits)
            return exchange_continue(x, c);
    }
    x->dropping = exchange_begun(x);
    return x->dropping && waits ? exchange_continue(x, c) : MHD_YES;
}

static enum MHD_Result take_body(struct exchange *x, const char *data, size_t *n)
{
    struct http *const h = x->http;
    x->body_seen += *n;
    if (x->body_seen > 2 * h->limits.body_bytes)
        return MHD_NO;
    if (!x->dropping && x->body_seen > h->limits.body_bytes) {
        x->dropping = true;
        h->handler.refuse(h->handler.ctx, x, false);
    }
    if (!x->dropping && atomic_load(&h->held_bytes) + *n > h->limits.bodies_bytes) {
        x->dropping = true;
        h->handler.refuse(h->handler.ctx, x, true);
    }
    if (!x->dropping) {
        const size_t before = x->body.len;
        buf_add(&x->body, data, *n);
        atomic_fetch_add(&h->held_bytes, x->body.len - before);
        if (x->body.failed) {
            x->dropping = true;
            h->handler.refuse(h->handler.ctx, x, true);
        }
    }
    *n = 0;
    return MHD_YES;
}

/* All of it is there. */
static enum MHD_Result complete(struct exchange *x, struct MHD_Connection *c)
{
    struct http *const h = x->http;
    if (atomic_load(&h->stopping))
        return MHD_NO;
    if (!x->served) {
        x->served = true;
        (void)pthread_mutex_lock(&h->lock);
        link_enter(x->link, LINK_ANSWER);
        (void)pthread_mutex_unlock(&h->lock);
        if (!exchange_begun(x) && x->quick) {
            h->handler.serve(h->handler.ctx, x);
        } else if (!exchange_begun(x)) {
            exchange_hold(x);
            workers_put(h->workers, x);
        }
    }
    return exchange_continue(x, c);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *n, void **own)
{
    struct http *const h = ctx;
    struct exchange *x = *own;
    (void)version;
    if (x)
        return *n > 0 ? take_body(x, data, n) : complete(x, c);
    x = open_exchange(h, c, url, method);
    *own = x;
    return x ? begin(x, c) : http_send_spare(h, 0, c);
}

/* ---- a connection ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* %XX in place; what is none, and %00, which would end the path, stay as they are. */
static size_t unescape(void *ctx, struct MHD_Connection *c, char *text)
{
    size_t n = 0;
    (void)ctx;
    (void)c;
    for (const char *p = text; *p; p++) {
        const int high = *p == '%' ? hex_digit(p[1]) : -1;
        const int low = high >= 0 ? hex_digit(p[2]) : -1;
        const bool is_code = low >= 0 && high * 16 + low > 0;
        text[n++] = is_code ? (char)(high * 16 + low) : *p;
        p += is_code ? 2 : 0;
    }
    text[n] = 0;
    return n;
}

static void *on_line(void *ctx, const char *url, struct MHD_Connection *c)
{
    struct http *const h = ctx;
    (void)url;
    const union MHD_ConnectionInfo *const info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct link *const l = info ? info->socket_context : NULL;
    if (l) {
        (void)pthread_mutex_lock(&h->lock);
        link_enter(l, LINK_HEADERS);
        (void)pthread_mutex_unlock(&h->lock);
    }
    return NULL;
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **own,
                         enum MHD_RequestTerminationCode how)
{
    struct http *const h = ctx;
    struct exchange *const x = *own;
    *own = NULL;
    if (!x)
        return;
    (void)pthread_mutex_lock(&h->lock);
    x->link->x = NULL;
    x->link->probed = false;
    link_enter(x->link, LINK_IDLE);
    (void)pthread_mutex_unlock(&h->lock);
    if (how == MHD_REQUEST_TERMINATED_COMPLETED_OK)
        (void)MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, h->limits.idle_s);
    exchange_finished(x, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

static void open_link(struct http *h, struct MHD_Connection *c, void **own)
{
    const union MHD_ConnectionInfo *const info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct link *const l = mem_zalloc(1, sizeof *l);
    if (!l)
        return; /* requests on it are refused */
    l->fd = info ? info->connect_fd : -1;
    (void)pthread_mutex_lock(&h->lock);
    l->id = ++h->last_link;
    link_enter(l, LINK_IDLE);
    l->next = h->links;
    if (l->next)
        l->next->previous = l;
    h->links = l;
    l->over = ++h->link_count > h->limits.connections;
    watch_add(h, l);
    (void)pthread_mutex_unlock(&h->lock);
    *own = l;
}

static void close_link(struct http *h, struct link *l)
{
    (void)pthread_mutex_lock(&h->lock);
    if (l->next)
        l->next->previous = l->previous;
    if (l->previous)
        l->previous->next = l->next;
    else
        h->links = l->next;
    h->link_count--;
    (void)pthread_mutex_unlock(&h->lock);
    free(l);
}

static void on_connection(void *ctx, struct MHD_Connection *c, void **own,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        open_link(ctx, c, own);
    } else if (*own) {
        close_link(ctx, *own);
        *own = NULL;
    }
}

/* ---- the daemon ---- */

enum MHD_Result http_send_spare(struct http *h, unsigned which, struct MHD_Connection *c)
{
    return MHD_queue_response(c, (unsigned)h->spare_status[which], h->spare[which]);
}

static int make_spares(struct http *h, const struct http_options *o, struct err *e)
{
    for (size_t i = 0; i < HTTP_SPARES; i++) {
        const char *const body = o->spare[i].body;
        struct MHD_Response *const r = MHD_create_response_from_buffer(
            strlen(body), (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
        h->spare[i] = r;
        h->spare_status[i] = o->spare[i].status;
        if (!r || MHD_add_response_header(r, "Content-Type", "application/json") != MHD_YES
            || MHD_add_response_header(r, "Retry-After", "1") != MHD_YES)
            return err_nomem(e, "server", strlen(body));
    }
    return GLIM_OK;
}

static int start_daemon(struct http *h, const struct http_options *o, struct err *e)
{
    const bool tls = o->cert != NULL;
    const unsigned most = (unsigned)(h->limits.connections + 1
                                     + min_u64(h->limits.connections / 4, SPARE_MAX));
    const unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL
                           | MHD_ALLOW_SUSPEND_RESUME | (tls ? MHD_USE_TLS : 0);
    struct MHD_OptionItem more[4] = {{MHD_OPTION_END, 0, NULL}};
    size_t n = 0;
    if (tls) {
        more[n++] =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)o->cert};
        more[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)o->key};
    }
    more[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    h->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_LISTEN_SOCKET,
                         o->listen_fd, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
                         MHD_OPTION_URI_LOG_CALLBACK, on_line, h, MHD_OPTION_UNESCAPE_CALLBACK,
                         unescape, h, MHD_OPTION_CONNECTION_LIMIT, most,
                         MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)h->limits.per_source,
                         MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)h->limits.idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)CONNECTION_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                         MHD_OPTION_ARRAY, more, MHD_OPTION_END);
    if (h->daemon)
        return GLIM_OK;
    return err_set(e, GLIM_EIO,
                   tls ? "server: the HTTP daemon does not start: are the certificate "
                         "and the key PEM, and do they belong together?"
                       : "server: the HTTP daemon does not start");
}

int http_start(struct http **out, const struct http_options *o, struct err *e)
{
    struct http *const h = mem_zalloc(1, sizeof *h);
    *out = NULL;
    if (!h) {
        (void)close(o->listen_fd);
        return err_nomem(e, "server", sizeof *h);
    }
    h->limits = o->limits;
    h->handler = o->handler;
    h->epoll_fd = h->stop_fd = h->quiesced_fd = -1;
    (void)pthread_mutex_init(&h->lock, NULL);
    if (make_spares(h, o, e) != 0
        || workers_start(&h->workers, o->workers, &h->handler, e) != 0 || watch_start(h, e) != 0
        || start_daemon(h, o, e) != 0) {
        (void)close(o->listen_fd);
        http_stop(h);
        http_free(h);
        return e->code;
    }
    *out = h;
    return GLIM_OK;
}

void http_drain(struct http *h)
{
    if (atomic_exchange(&h->draining, true))
        return;
    /* Its thread may still be looking at the socket: it is closed when that has ended. */
    h->quiesced_fd = MHD_quiesce_daemon(h->daemon);
    if (h->quiesced_fd >= 0)
        (void)shutdown(h->quiesced_fd, SHUT_RDWR);
}

void http_stop(struct http *h)
{
    if (!h)
        return;
    atomic_store(&h->stopping, true);
    /* A suspended connection would not end; from here on none falls asleep for good. */
    watch_cut_all(h);
    if (h->daemon)
        MHD_stop_daemon(h->daemon);
    if (h->quiesced_fd >= 0)
        (void)close(h->quiesced_fd);
    watch_stop(h);
    workers_stop(h->workers);
    h->daemon = NULL;
    h->workers = NULL;
    for (size_t i = 0; i < HTTP_SPARES; i++) {
        if (h->spare[i])
            MHD_destroy_response(h->spare[i]);
        h->spare[i] = NULL;
    }
}

void http_free(struct http *h)
{
    if (h)
        (void)pthread_mutex_destroy(&h->lock);
    free(h);
}

bool http_idle(struct http *h)
{
    bool idle = true;
    (void)pthread_mutex_lock(&h->lock);
    for (const struct link *l = h->links; l && idle; l = l->next)
        idle = l->phase != LINK_ANSWER;
    (void)pthread_mutex_unlock(&h->lock);
    return idle;
}

void http_counts(struct http *h, uint64_t *connections, uint64_t *requests)
{
    (void)pthread_mutex_lock(&h->lock);
    *connections = h->link_count;
    (void)pthread_mutex_unlock(&h->lock);
    *requests = atomic_load(&h->requests);
}

/* ---- the socket ---- */

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    const struct in6_addr *const six = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    return a->sa_family == AF_INET6
           && (IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127));
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        return 0;
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port
                                         : ((struct sockaddr_in *)&a)->sin_port);
}

int http_listen(const char *host, uint16_t *port, int *fd, bool *loopback, struct err *e)
{
    char service[8];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    (void)snprintf(service, sizeof service, "%u", *port);
    const int bad = getaddrinfo(*host ? host : NULL, service, &hints, &list);
    if (bad != 0)
        return err_set(e, GLIM_EINVAL, "--host %s: %s", host, gai_strerror(bad));
    const int on = 1, send = SEND_BYTES;
    *loopback = is_loopback(list->ai_addr);
    *fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = GLIM_OK;
    if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0
        || setsockopt(*fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof send) != 0
        || bind(*fd, list->ai_addr, list->ai_addrlen) != 0 || listen(*fd, BACKLOG) != 0)
        rc = err_set(e, GLIM_EIO, "cannot listen on %s port %u: %s", *host ? host : "all addresses",
                     *port, strerror(errno));
    else
        *port = bound_port(*fd);
    if (rc != 0 && *fd >= 0)
        (void)close(*fd);
    freeaddrinfo(list);
    return rc;
}

void http_close_listener(int fd)
{
    (void)close(fd);
}
