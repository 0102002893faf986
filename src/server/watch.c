/* watch.c - the watcher: time limits of connections, clients that leave while their connection
 * sleeps, and the ticks that keep long answers alive.
 *
 * libmicrohttpd does not look at a suspended connection's socket. Here every socket is in an epoll
 * set of the watcher's own, edge-triggered. A client that closes its whole socket shows first as
 * one that closed its sending side: something is then written (the tick's probe), and if nobody is
 * there any more the system answers with a reset, which is the second edge.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "server/http_impl.h"

enum { TICK_MS = 250, TICK_ROUNDS = 4, EVENTS = 64, EXCHANGES = 64 };
#define STOP_ID 0 /* of the eventfd; links count from 1 */

void link_enter(struct link *l, enum link_phase phase)
{
    l->phase = phase;
    l->since_ns = now_ns();
}

void watch_add(struct http *h, struct link *l)
{
    struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLET,
                             .data.u64 = l->id};
    (void)epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev);
}

static struct link *find(struct http *h, uint64_t id)
{
    struct link *l = h->links;
    while (l && l->id != id)
        l = l->next;
    return l;
}

/* The exchange of a link whose socket has something to say, held; NULL if it needs nothing. */
static struct exchange *on_edge(struct http *h, uint64_t id, uint32_t events, bool *gone)
{
    struct exchange *x = NULL;
    (void)pthread_mutex_lock(&h->lock);
    struct link *const l = find(h, id);
    if (l && l->phase == LINK_ANSWER && l->x) {
        *gone = events & (EPOLLHUP | EPOLLERR);
        x = *gone || !l->probed ? l->x : NULL;
        l->probed = true;
    }
    if (l && (events & EPOLLRDHUP))
        l->half_closed = true;
    if (x)
        exchange_hold(x);
    (void)pthread_mutex_unlock(&h->lock);
    return x;
}

static bool look(struct http *h, int timeout_ms)
{
    struct epoll_event ev[EVENTS];
    const int n = epoll_wait(h->epoll_fd, ev, EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == STOP_ID)
            return false;
        bool gone = false;
        struct exchange *const x = on_edge(h, ev[i].data.u64, ev[i].events, &gone);
        if (!x)
            continue;
        if (gone)
            exchange_gone(x);
        else
            exchange_tick(x, true);
        exchange_release(x);
    }
    return true;
}

static uint64_t limit_s(const struct http *h, enum link_phase phase)
{
    return phase == LINK_IDLE      ? h->limits.idle_s
           : phase == LINK_HEADERS ? h->limits.header_s
           : phase == LINK_BODY    ? h->limits.body_s
                                   : UINT64_MAX;
}

/* The HTTP thread's own edge-triggered set shows an end that came together with a request once, and
 * that is spent on the request. A connection whose client sends no more, and that has had time to
 * take what was sent, gets another edge. */
static void show_end(struct link *l, uint64_t now)
{
    if (!l->half_closed || l->end_shown || l->phase == LINK_ANSWER
        || now - l->since_ns < TICK_MS * UINT64_C(1000000))
        return;
    l->end_shown = true;
    (void)shutdown(l->fd, SHUT_RD);
}

/* Its own thread finds the socket closed and cleans up. */
static void enforce(struct http *h)
{
    const uint64_t now = now_ns();
    (void)pthread_mutex_lock(&h->lock);
    for (struct link *l = h->links; l; l = l->next) {
        const uint64_t limit = limit_s(h, l->phase);
        if (limit != UINT64_MAX && now - l->since_ns > limit * 1000000000u)
            (void)shutdown(l->fd, SHUT_RDWR);
        show_end(l, now);
    }
    (void)pthread_mutex_unlock(&h->lock);
}

struct held {
    struct exchange *x;
    bool probe; /* its client closed its sending side before the answer began to be made */
};

/* Up to EXCHANGES that are in progress on links with an id below *before, held. */
static size_t collect(struct http *h, uint64_t *before, struct held x[EXCHANGES])
{
    size_t n = 0;
    (void)pthread_mutex_lock(&h->lock);
    for (struct link *l = h->links; l && n < EXCHANGES; l = l->next) { /* falling ids */
        if (l->id >= *before)
            continue;
        *before = l->id;
        if (l->phase == LINK_ANSWER && l->x) {
            exchange_hold(l->x);
            x[n++] = (struct held){l->x, l->half_closed && !l->probed};
            l->probed = l->half_closed;
        }
    }
    (void)pthread_mutex_unlock(&h->lock);
    return n;
}

static void each(struct http *h, void (*fn)(struct exchange *x, bool probe))
{
    struct held x[EXCHANGES];
    uint64_t before = UINT64_MAX;
    for (size_t n; (n = collect(h, &before, x)) > 0;) {
        for (size_t i = 0; i < n; i++) {
            fn(x[i].x, x[i].probe);
            exchange_release(x[i].x);
        }
    }
}

static void *run(void *ctx)
{
    struct http *const h = ctx;
    uint64_t last = now_ns();
    while (look(h, TICK_MS)) {
        const uint64_t now = now_ns();
        if (now - last < (uint64_t)TICK_MS * TICK_ROUNDS * 1000000u)
            continue;
        last = now;
        enforce(h);
        if (atomic_exchange(&h->trims, false))
            mem_trim();
        each(h, exchange_tick);
    }
    return NULL;
}

int watch_start(struct http *h, struct err *e)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = STOP_ID};
    h->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    h->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (h->epoll_fd < 0 || h->stop_fd < 0
        || epoll_ctl(h->epoll_fd, EPOLL_CTL_ADD, h->stop_fd, &ev) != 0)
        return err_set(e, GLIM_EIO, "server: epoll: %s", strerror(errno));
    if (pthread_create(&h->watcher, NULL, run, h) != 0)
        return err_set(e, GLIM_ENOMEM, "server: no thread");
    h->watching = true;
    return GLIM_OK;
}

void watch_stop(struct http *h)
{
    const uint64_t one = 1;
    if (h->watching && write(h->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
        (void)pthread_join(h->watcher, NULL);
    h->watching = false;
    if (h->epoll_fd >= 0)
        (void)close(h->epoll_fd);
    if (h->stop_fd >= 0)
        (void)close(h->stop_fd);
}

static void cut(struct exchange *x, bool probe)
{
    (void)probe;
    exchange_gone(x);
}

void watch_cut_all(struct http *h)
{
    each(h, cut);
}
