/* route.c - see route.h.
 *
 * Every path answers HEAD (as GET, or with nothing where there is no GET) and OPTIONS. A query is
 * ignored, but for what is done with slots. Errors are in the words of the path's API.
 */
#include "server/route.h"

#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "server/guard.h"
#include "server/headers.h"
#include "server/endpoint.h"
#include "server/page.h"
#include "server/respond.h"

enum route_flags {
    OPEN = 1,  /* needs no key */
    QUICK = 2, /* answered on the HTTP thread */
    COUNTS = 8, /* the prompt's tokens, and generates nothing */
    EARLY = 4, /* also while the model is loading, and while the server drains */
};

struct route {
    const char *path; /* a '*' matches anything that is not empty */
    unsigned methods;
    unsigned flags;
    void (*serve)(struct server *s, struct exchange *x); /* or: */
    const struct dialect *generates;
    const struct dialect *errors; /* NULL: as OpenAI's API says them */
};

static const struct route table[] = {
    {"/", HTTP_GET, OPEN | QUICK | EARLY, page_serve, NULL, NULL},
    {"/v1/chat/completions", HTTP_POST, 0, NULL, &dialect_chat, NULL},
    {"/v1/completions", HTTP_POST, 0, NULL, &dialect_completions, NULL},
    {"/v1/responses", HTTP_POST, 0, NULL, &dialect_responses, NULL},
    {"/v1/responses/input_tokens", HTTP_POST, COUNTS, NULL, &dialect_responses, NULL},
    {"/v1/responses/*/cancel", HTTP_POST, 0, endpoint_response_cancel, NULL, NULL},
    {"/v1/responses/*", HTTP_GET | HTTP_DELETE, QUICK, endpoint_response, NULL, NULL},
    {"/v1/messages", HTTP_POST, 0, NULL, &dialect_anthropic, NULL},
    {"/v1/messages/count_tokens", HTTP_POST, COUNTS, NULL, &dialect_anthropic, NULL},
    {"/v1/embeddings", HTTP_POST, QUICK, endpoint_embeddings, NULL, NULL},
    {"/v1/models", HTTP_GET, QUICK, endpoint_models, NULL, NULL},
    {"/v1/models/*", HTTP_GET, QUICK, endpoint_model, NULL, NULL},
    {"/tokenize", HTTP_POST, 0, endpoint_tokenize, NULL, NULL},
    {"/detokenize", HTTP_POST, 0, endpoint_detokenize, NULL, NULL},
    {"/tokenizer_info", HTTP_GET, QUICK, endpoint_tokenizer_info, NULL, NULL},
    {"/apply-template", HTTP_POST, 0, endpoint_apply_template, NULL, NULL},
    {"/health", HTTP_GET, OPEN | QUICK | EARLY, endpoint_health, NULL, NULL},
    {"/v1/health", HTTP_GET, OPEN | QUICK | EARLY, endpoint_health, NULL, NULL},
    {"/metrics", HTTP_GET, QUICK, endpoint_metrics, NULL, NULL},
    {"/props", HTTP_GET, QUICK, endpoint_props, NULL, NULL},
    {"/slots", HTTP_GET, QUICK, endpoint_slots, NULL, NULL},
    {"/slots/*", HTTP_POST, QUICK, endpoint_slot_action, NULL, NULL},
    {"/api/hello", HTTP_GET, OPEN | QUICK | EARLY, endpoint_hello, NULL, NULL},
};

static bool matches(const char *pattern, const char *path)
{
    const char *const star = strchr(pattern, '*');
    if (!star)
        return strcmp(path, pattern) == 0;
    const size_t all = strlen(path), before = (size_t)(star - pattern), behind = strlen(star + 1);
    return all > before + behind && strncmp(path, pattern, before) == 0
           && strcmp(path + all - behind, star + 1) == 0;
}

static const struct route *find(const char *path)
{
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        if (matches(table[i].path, path))
            return &table[i];
    }
    return NULL;
}

static const struct dialect *errors_of(const struct route *r)
{
    return !r ? NULL : r->generates ? r->generates : r->errors;
}

static void list_methods(const struct route *r, char *text, size_t size)
{
    static const struct {
        unsigned bit;
        const char *name;
    } all[] = {{HTTP_GET, "GET, "}, {HTTP_POST, "POST, "}, {HTTP_DELETE, "DELETE, "}};
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (r->methods & all[i].bit)
            buf_adds(&b, all[i].name);
    }
    buf_adds(&b, "HEAD, OPTIONS");
    const size_t n = min_u64(b.len, size - 1);
    memcpy(text, b.data, n);
    text[n] = 0;
    buf_deinit(&b);
}

/* ---- before the body ---- */

static int check_body_type(const struct exchange *x, struct fault *f)
{
    const char *const type = exchange_request_header(x, "Content-Type");
    const char *const coding = exchange_request_header(x, "Content-Encoding");
    if (coding && strcasecmp(coding, "identity") != 0)
        return fault_set(f, FAULT_MEDIA, NULL,
                         "Content-Encoding \"%.40s\": this server takes bodies "
                         "as they are",
                         coding);
    const size_t n = type ? strcspn(type, ";, \t") : 0;
    const bool json = n >= 4 && strncasecmp(type + n - 4, "json", 4) == 0;
    if (type && !json)
        return fault_set(f, FAULT_MEDIA, NULL,
                         "Content-Type \"%.60s\", expected \"application/json\"", type);
    return 0;
}

static int check_phase(const struct server *s, const struct route *r, struct fault *f)
{
    const enum server_phase phase = atomic_load(&s->phase);
    if (phase == SERVER_READY || (r->flags & EARLY))
        return 0;
    if (phase == SERVER_LOADING)
        return fault_set(f, FAULT_LOADING, NULL, "Loading model");
    return fault_set(f, FAULT_BUSY, NULL, "This server is about to stop");
}

static int check(struct server *s, struct exchange *x, const struct route *r, struct fault *f)
{
    const enum http_method method = exchange_method(x);
    if (guard_admit(s, x, r && (r->flags & OPEN), f) != 0)
        return -1;
    if (!r)
        return fault_set(f, FAULT_NOT_FOUND, NULL, "There is nothing at %.200s", exchange_path(x));
    if (method == HTTP_HEAD || method == HTTP_OPTIONS)
        return 0;
    if (!(r->methods & method)) {
        char allowed[64];
        list_methods(r, allowed, sizeof allowed);
        exchange_set_header(x, "Allow", allowed);
        return fault_set(f, FAULT_METHOD, NULL, "%.200s takes %s", exchange_path(x), allowed);
    }
    if (method == HTTP_POST && check_body_type(x, f) != 0)
        return -1;
    return check_phase(s, r, f);
}

/* What a browser asks before it lets a listed page send a key and JSON. */
static void answer_options(struct exchange *x, const struct route *r)
{
    char allowed[64];
    list_methods(r, allowed, sizeof allowed);
    exchange_set_header(x, "Allow", allowed);
    exchange_set_header(x, "Access-Control-Allow-Methods", allowed);
    exchange_set_header(
        x, "Access-Control-Allow-Headers",
        "authorization, content-type, x-api-key, anthropic-version, anthropic-beta");
    exchange_set_header(x, "Access-Control-Max-Age", "600");
    exchange_reply(x, 204, NULL, NULL);
}

bool route_accept(void *ctx, struct exchange *x)
{
    struct server *const s = ctx;
    const struct route *const r = find(exchange_path(x));
    const struct dialect *const d = errors_of(r);
    struct fault f = {0};
    exchange_set_route(x, r);
    exchange_set_spare(x, d ? d->spare : SPARE_OPENAI);
    exchange_set_header(x, d ? d->id_header : "x-request-id", exchange_id(x));
    if (headers_check(x, &f) != 0) {
        exchange_make_last(x);
        respond_fault(s, x, d, &f);
        return true;
    }
    if (check(s, x, r, &f) != 0) {
        respond_fault(s, x, d, &f);
        return true;
    }
    if (exchange_method(x) == HTTP_OPTIONS)
        answer_options(x, r);
    else if (exchange_method(x) == HTTP_HEAD && !(r->methods & HTTP_GET))
        exchange_reply(x, 200, "application/json", NULL);
    return r->flags & QUICK;
}

void route_serve(void *ctx, struct exchange *x)
{
    struct server *const s = ctx;
    const struct route *const r = exchange_route(x);
    server_log(s, 1, "%s: %s", exchange_id(x), exchange_path(x));
    if (r->flags & COUNTS)
        generation_count(s, x, r->generates);
    else if (r->generates)
        generation_serve(s, x, r->generates);
    else
        r->serve(s, x);
}

void route_refuse(void *ctx, struct exchange *x, bool full)
{
    struct server *const s = ctx;
    const struct route *const r = exchange_route(x);
    struct fault f = {0};
    if (full)
        (void)fault_set(&f, FAULT_BUSY, NULL,
                        "Too much is being sent to this server at the moment");
    else
        (void)fault_set(&f, FAULT_TOO_LARGE, NULL, "The body is longer than %llu bytes",
                        (unsigned long long)s->o.limits.body_bytes);
    respond_fault(s, x, errors_of(r), &f);
}
