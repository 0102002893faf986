/* exchange.c - see exchange.h: one request, and the buffer between who makes its answer and the
 * thread that sends it.
 *
 * A connection is suspended and resumed only with the exchange's lock held, so that none sleeps
 * with bytes waiting: the HTTP thread falls asleep when it finds the buffer empty, a writer wakes
 * it after filling it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/util.h"
#include "server/http_impl.h"

enum { BLOCK_BYTES = 16 << 10, REQUESTS_PER_CONNECTION = 1000 };
enum { LARGE_BYTES = 256 << 10 }; /* of a body; as JSON it takes some 30 times that */

/* ---- its life ---- */

static enum http_method method_of(const char *name)
{
    static const struct {
        const char *name;
        enum http_method method;
    } known[] = {{"GET", HTTP_GET},       {"POST", HTTP_POST}, {"PUT", HTTP_PUT},
                 {"DELETE", HTTP_DELETE}, {"HEAD", HTTP_HEAD}, {"OPTIONS", HTTP_OPTIONS}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (strcmp(name, known[i].name) == 0)
            return known[i].method;
    }
    return HTTP_OTHER;
}

static void make_id(char id[EXCHANGE_ID_LEN + 1])
{
    unsigned char bytes[12] = {0};
    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != (ssize_t)sizeof bytes) {
        const uint64_t now = now_ns();
        memcpy(bytes, &now, sizeof now);
    }
    memcpy(id, "req_", 4);
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(id + 4 + 2 * i, 3, "%02x", bytes[i]);
}

struct exchange *exchange_new(struct http *h, struct link *l, struct MHD_Connection *c,
                              const char *method, const char *path)
{
    struct exchange *const x = mem_zalloc(1, sizeof *x);
    char *const copy = x ? strdup(path) : NULL;
    if (!copy) {
        free(x);
        return NULL;
    }
    x->http = h;
    x->link = l;
    x->connection = c;
    x->method = method_of(method);
    x->path = copy;
    buf_init(&x->body);
    buf_init(&x->out);
    make_id(x->id);
    x->start_ns = x->written_ns = now_ns();
    atomic_init(&x->refs, 1);
    (void)pthread_mutex_init(&x->lock, NULL);
    return x;
}

static void forget_body(struct exchange *x)
{
    atomic_fetch_sub(&x->http->held_bytes, x->body.len);
    buf_deinit(&x->body);
}

void exchange_hold(struct exchange *x)
{
    atomic_fetch_add(&x->refs, 1);
}

void exchange_release(struct exchange *x)
{
    if (atomic_fetch_sub(&x->refs, 1) != 1)
        return;
    if (x->hooks && x->hooks->free)
        x->hooks->free(x->ctx);
    for (size_t i = 0; i < x->headers; i++)
        free(x->header[i].value);
    forget_body(x);
    buf_deinit(&x->out);
    (void)pthread_mutex_destroy(&x->lock);
    free(x->path);
    if (x->body_seen > LARGE_BYTES)
        atomic_store(&x->http->trims, true);
    free(x);
}

/* ---- the request ---- */

enum http_method exchange_method(const struct exchange *x)
{
    return x->method;
}
const char *exchange_path(const struct exchange *x)
{
    return x->path;
}
const char *exchange_id(const struct exchange *x)
{
    return x->id;
}
uint64_t exchange_age_ns(const struct exchange *x)
{
    return now_ns() - x->start_ns;
}
void exchange_set_route(struct exchange *x, const void *route)
{
    x->route = route;
}
const void *exchange_route(const struct exchange *x)
{
    return x->route;
}
void exchange_set_spare(struct exchange *x, unsigned which)
{
    x->spare = which;
}
const char *exchange_owner(const struct exchange *x)
{
    return x->owner;
}
const char *exchange_key(const struct exchange *x)
{
    return x->key;
}

const char *exchange_body(const struct exchange *x, size_t *len)
{
    *len = x->body.len;
    return x->body.data;
}

const char *exchange_request_header(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

struct each_header {
    exchange_header_fn *fn;
    void *ctx;
};

static enum MHD_Result show_header(void *ctx, enum MHD_ValueKind kind, const char *name,
                                   size_t name_len, const char *value, size_t len)
{
    const struct each_header *const e = ctx;
    (void)kind;
    return e->fn(e->ctx, name, name_len, value ? value : "", len) ? MHD_YES : MHD_NO;
}

void exchange_each_header(const struct exchange *x, exchange_header_fn *fn, void *ctx)
{
    struct each_header e = {fn, ctx};
    (void)MHD_get_connection_values_n(x->connection, MHD_HEADER_KIND, show_header, &e);
}

void exchange_make_last(struct exchange *x)
{
    x->last = true;
}

const char *exchange_argument(const struct exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, name);
}

void exchange_set_owner(struct exchange *x, const char *owner, const char *key)
{
    x->key = key;
    (void)snprintf(x->owner, sizeof x->owner, "%s", owner);
}

bool exchange_hook(struct exchange *x, const struct exchange_hooks *hooks, void *ctx)
{
    (void)pthread_mutex_lock(&x->lock);
    assert(!x->hooks);
    x->hooks = hooks;
    x->ctx = ctx;
    const bool there = !x->cut;
    x->told = !there;
    (void)pthread_mutex_unlock(&x->lock);
    return there;
}

/* ---- making the answer ---- */

/* With the lock held. */
static void wake(struct exchange *x)
{
    if (x->suspended && x->connection) {
        x->suspended = false;
        MHD_resume_connection(x->connection);
    }
}

void exchange_set_header(struct exchange *x, const char *name, const char *value)
{
    (void)pthread_mutex_lock(&x->lock);
    if (x->status == 0 && x->headers < COUNT_OF(x->header)) {
        char *const copy = strdup(value);
        x->poor = x->poor || !copy;
        x->header[x->headers].name = name;
        x->header[x->headers].value = copy;
        x->headers += copy != NULL;
    }
    (void)pthread_mutex_unlock(&x->lock);
}

void exchange_reply(struct exchange *x, int status, const char *type, struct buf *body)
{
    (void)pthread_mutex_lock(&x->lock);
    if (x->status == 0) {
        x->status = status;
        x->type = type;
        x->ended = true;
        x->poor = x->poor || (body && body->failed);
        if (body) {
            const struct buf empty = x->out;
            x->out = *body;
            *body = empty;
        }
        wake(x);
    }
    (void)pthread_mutex_unlock(&x->lock);
}

void exchange_begin(struct exchange *x, int status, const char *type)
{
    (void)pthread_mutex_lock(&x->lock);
    if (x->status == 0) {
        x->status = status;
        x->type = type;
        x->streamed = true;
        wake(x);
    }
    (void)pthread_mutex_unlock(&x->lock);
}

bool exchange_begun(struct exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    const bool begun = x->status != 0;
    (void)pthread_mutex_unlock(&x->lock);
    return begun;
}

bool exchange_write(struct exchange *x, const char *data, size_t n)
{
    (void)pthread_mutex_lock(&x->lock);
    if (!x->cut && !x->ended) {
        buf_add(&x->out, data, n);
        x->cut = x->out.failed || x->out.len - x->out_at > x->http->limits.output_bytes;
        x->written_ns = now_ns();
        wake(x);
    }
    const bool going = !x->cut && !x->ended;
    (void)pthread_mutex_unlock(&x->lock);
    return going;
}

void exchange_end(struct exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    x->ended = true;
    wake(x);
    (void)pthread_mutex_unlock(&x->lock);
}

void exchange_cut(struct exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    x->cut = true;
    wake(x);
    (void)pthread_mutex_unlock(&x->lock);
}

uint64_t exchange_quiet_ns(struct exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    const uint64_t quiet = now_ns() - x->written_ns;
    (void)pthread_mutex_unlock(&x->lock);
    return quiet;
}

/* ---- the client left ---- */

static void tell_gone(struct exchange *x)
{
    (void)pthread_mutex_lock(&x->lock);
    const struct exchange_hooks *const hooks = x->told ? NULL : x->hooks;
    if (hooks)
        x->told = true;
    (void)pthread_mutex_unlock(&x->lock);
    if (hooks && hooks->gone)
        hooks->gone(x->ctx);
}

void exchange_gone(struct exchange *x)
{
    exchange_cut(x);
    tell_gone(x);
}

void exchange_finished(struct exchange *x, bool whole)
{
    (void)pthread_mutex_lock(&x->lock);
    x->connection = NULL;
    x->link = NULL;
    x->suspended = false;
    x->cut = x->cut || !whole;
    (void)pthread_mutex_unlock(&x->lock);
    if (!whole)
        tell_gone(x);
    exchange_release(x);
}

void exchange_tick(struct exchange *x, bool probe)
{
    (void)pthread_mutex_lock(&x->lock);
    const struct exchange_hooks *const hooks = x->ended || x->cut ? NULL : x->hooks;
    (void)pthread_mutex_unlock(&x->lock);
    if (hooks && hooks->tick)
        hooks->tick(x->ctx, probe);
}

/* ---- sending it, on the HTTP thread ---- */

static ssize_t take(void *ctx, uint64_t at, char *to, size_t max)
{
    struct exchange *const x = ctx;
    (void)at;
    (void)pthread_mutex_lock(&x->lock);
    const size_t left = x->out.len - x->out_at;
    ssize_t n = 0;
    if (x->cut) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (left > 0) {
        n = (ssize_t)min_u64(left, max);
        memcpy(to, x->out.data + x->out_at, (size_t)n);
        x->out_at += (size_t)n;
        if (x->out_at == x->out.len) {
            buf_clear(&x->out);
            x->out_at = 0;
        }
    } else if (x->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        x->suspended = true;
        MHD_suspend_connection(x->connection);
    }
    (void)pthread_mutex_unlock(&x->lock);
    return n;
}

static struct MHD_Response *make_response(struct exchange *x)
{
    if (x->streamed)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, take, x, NULL);
    /* The exchange outlives its response: the HTTP side holds it until it is done. */
    return MHD_create_response_from_buffer(x->out.len, x->out.data, MHD_RESPMEM_PERSISTENT);
}

static bool add_headers(const struct exchange *x, struct MHD_Response *r)
{
    bool ok = !x->type || MHD_add_response_header(r, "Content-Type", x->type) == MHD_YES;
    for (size_t i = 0; i < x->headers; i++)
        ok = ok && MHD_add_response_header(r, x->header[i].name, x->header[i].value) == MHD_YES;
    if (x->streamed)
        ok = ok && MHD_add_response_header(r, "Cache-Control", "no-cache") == MHD_YES;
    const bool last = x->last || atomic_load(&x->http->draining)
                      || x->link->requests >= REQUESTS_PER_CONNECTION;
    return ok && (!last || MHD_add_response_header(r, "Connection", "close") == MHD_YES);
}

/* Once an answer has begun, what is read here stays. Without the lock, under which take() is called
 * with the response's own. */
static enum MHD_Result send_answer(struct exchange *x, struct MHD_Connection *c)
{
    enum MHD_Result rc;
    struct MHD_Response *const r = x->poor ? NULL : make_response(x);
    if (r && add_headers(x, r)) {
        rc = MHD_queue_response(c, (unsigned)x->status, r);
    } else {
        exchange_end(x); /* also where more was to be written */
        rc = http_send_spare(x->http, x->spare, c);
    }
    if (r)
        MHD_destroy_response(r);
    (void)MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, x->http->limits.stall_s);
    return rc;
}

enum MHD_Result exchange_continue(struct exchange *x, struct MHD_Connection *c)
{
    (void)pthread_mutex_lock(&x->lock);
    const bool cut = x->cut, sends = x->status != 0 && !cut, sleeps = x->status == 0 && !cut;
    if (sleeps) {
        x->suspended = true;
        MHD_suspend_connection(c);
    }
    (void)pthread_mutex_unlock(&x->lock);
    return sends ? send_answer(x, c) : cut ? MHD_NO : MHD_YES;
}
