/* respond.c - see respond.h. */
#include "server/respond.h"

#include <stdio.h>

const char json_media[] = "application/json";

void respond_times(struct exchange *x)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)(exchange_age_ns(x) / 1000000));
    exchange_set_header(x, "openai-processing-ms", text);
}

static bool comes_back(enum fault_kind kind)
{
    return kind == FAULT_BUSY || kind == FAULT_QUOTA || kind == FAULT_LOADING;
}

void respond_count(struct server *s, const struct exchange *x, int status, const struct fault *f)
{
    atomic_fetch_add(&s->asked[status >= 500], 1);
    server_log(s, status >= 500 ? 0 : 1, "%s: %s: %d %s", exchange_id(x), exchange_path(x), status,
               f->text);
}

void respond_fault(struct server *s, struct exchange *x, const struct dialect *d,
                   const struct fault *f)
{
    struct buf body;
    d = d ? d : &dialect_chat;
    buf_init(&body);
    const int status = d->error(f, exchange_id(x), &body);
    respond_count(s, x, status, f);
    if (comes_back(f->kind))
        exchange_set_header(x, "Retry-After", "1");
    if (f->kind == FAULT_KEY)
        exchange_set_header(x, "WWW-Authenticate", "Bearer");
    respond_times(x);
    exchange_reply(x, status, json_media, &body);
    buf_deinit(&body);
}

void respond(struct server *s, struct exchange *x, const struct dialect *d, const char *type,
             struct buf *body)
{
    struct fault none = {0};
    if (body->failed) {
        (void)memory_fault(&none);
        respond_fault(s, x, d, &none);
        return;
    }
    respond_times(x);
    exchange_reply(x, 200, type, body);
}

int respond_body(struct exchange *x, struct json_object **out, struct fault *f)
{
    size_t len;
    struct err e = {0};
    const char *const text = exchange_body(x, &len);
    *out = NULL;
    const int rc = json_read(text, len, "body", out, &e);
    if (rc == GLIM_ENOMEM)
        return memory_fault(f);
    if (rc != 0) {
        (void)fault_set(f, FAULT_INVALID, NULL, "%s", e.text);
        f->code = "invalid_json";
        return -1;
    }
    if (json_object_is_type(*out, json_type_object))
        return 0;
    json_object_put(*out);
    *out = NULL;
    return fault_set(f, FAULT_INVALID, NULL, "body: expected a JSON object");
}
