/* server.c - see server.h. */
#include "server/server.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/util.h"
#include "server/background.h"
#include "server/constrain.h"
#include "server/guard.h"
#include "server/responses_store.h"
#include "server/replay.h"
#include "server/route.h"

enum { WORKERS = 2, REPLAY_BYTES = 64 << 20 };

void server_log(struct server *s, int level, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    if (!s->o.log || level > s->o.log_level)
        return;
    va_start(ap, fmt);
    err_format(text, sizeof text, fmt, ap);
    va_end(ap);
    s->o.log(s->o.log_ctx, level, text);
}

bool server_knows_model(const struct server *s, const char *name)
{
    return s->o.any_model || strcmp(name, s->name) == 0
           || strcasecmp(name, glim_model_info(s->model)->name) == 0;
}

/* ---- start ---- */

/* Takes over fd. */
static int start_http(struct server *s, int fd, struct err *e)
{
    static const struct dialect *const words[SPARES] = {
        [SPARE_OPENAI] = &dialect_chat, [SPARE_ANTHROPIC] = &dialect_anthropic};
    struct http_options h = {.listen_fd = fd,
                             .cert = s->o.cert,
                             .key = s->o.key,
                             .limits = s->o.limits,
                             .handler = {route_accept, route_serve, route_refuse, s},
                             .workers = WORKERS};
    struct buf body[SPARES];
    struct fault f = {0};
    (void)memory_fault(&f);
    for (size_t i = 0; i < SPARES; i++) {
        buf_init(&body[i]);
        h.spare[i].status = words[i]->error(&f, NULL, &body[i]);
        h.spare[i].body = body[i].data;
    }
    const int rc = http_start(&s->http, &h, e);
    for (size_t i = 0; i < SPARES; i++)
        buf_deinit(&body[i]);
    return rc;
}

int server_start(struct server **out, const struct server_options *o, struct err *e)
{
    struct server *const s = mem_zalloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return err_nomem(e, "server", sizeof *s);
    s->o = *o;
    s->port = o->port;
    int fd = -1;
    int rc = http_listen(o->host, &s->port, &fd, &s->loopback, e);
    if (rc == 0 && guard_check_options(s, e) != 0) {
        http_close_listener(fd);
        rc = e->code;
    } else if (rc == 0) {
        rc = start_http(s, fd, e);
    }
    if (rc != 0)
        free(s);
    else
        *out = s;
    return rc;
}

/* Two servers with the same of it give the same answers to the same seeds. FNV-1a. */
static void make_fingerprint(struct server *s)
{
    const struct glim_model_info *const info = glim_model_info(s->model);
    char text[256];
    uint64_t h = 0xCBF29CE484222325u;
    const int n =
        snprintf(text, sizeof text, "%s|%s|%s|%llu|%llu", glim_version(), info->isa, info->name,
                 (unsigned long long)info->tensor_bytes, (unsigned long long)info->tensors);
    for (int i = 0; i < n && i < (int)sizeof text - 1; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
    (void)snprintf(s->fingerprint, sizeof s->fingerprint, "fp_%016llx", (unsigned long long)h);
}

/* The model's own name, as it can stand in paths, shells and other programs' settings. */
static void make_id(char *id, size_t size, const char *name)
{
    size_t n = 0;
    for (; *name && n + 1 < size; name++) {
        const bool plain = isalnum((unsigned char)*name) || strchr("._:/+-", *name);
        if (plain || (n > 0 && id[n - 1] != '-'))
            id[n++] = plain ? *name : '-';
    }
    while (n > 0 && id[n - 1] == '-')
        n--;
    id[n] = 0;
    if (n == 0)
        (void)snprintf(id, size, "model");
}

int server_ready(struct server *s, glim_model *m, glim_service *service, struct err *e)
{
    struct glim_error ge;
    struct glim_service_state state;
    if (glim_model_tokenizer(m, &s->tokenizer, &ge) != 0)
        return err_set(e, ge.code, "%s", ge.text);
    if (constraints_new(&s->constraints, e) != 0
        || replay_new(&s->replay, s->tokenizer, REPLAY_BYTES, e) != 0)
        return e->code;
    s->responses = responses_store_new(RESPONSES_STORE_BYTES);
    s->background = background_new();
    if (!s->responses || !s->background)
        return err_nomem(e, "server", sizeof(void *));
    glim_service_state(service, &state);
    s->model = m;
    s->service = service;
    s->context_tok = state.context_tok;
    s->created = (uint64_t)time(NULL);
    s->think = glim_token_id(s->tokenizer, "<think>");
    s->end_think = glim_token_id(s->tokenizer, "</think>");
    s->end_call = glim_token_id(s->tokenizer, "</tool_call>");
    if (s->o.alias)
        (void)snprintf(s->name, sizeof s->name, "%s", s->o.alias);
    else
        make_id(s->name, sizeof s->name, glim_model_info(m)->name);
    make_fingerprint(s);
    atomic_store(&s->phase, SERVER_READY);
    return GLIM_OK;
}

/* ---- the end ---- */

void server_drain(struct server *s)
{
    atomic_store(&s->phase, SERVER_DRAINING);
    http_drain(s->http);
}

bool server_idle(struct server *s)
{
    return atomic_load(&s->generating) == 0 && http_idle(s->http);
}

void server_stop(struct server *s)
{
    if (!s)
        return;
    http_stop(s->http);
    if (s->background)
        background_cancel_all(s->background);
    /* What was cut ends within a step; until then it writes into exchanges that nobody reads. */
    const struct timespec pause = {.tv_nsec = 1000000};
    while (atomic_load(&s->generating) > 0)
        (void)nanosleep(&pause, NULL);
    http_free(s->http);
    replay_free(s->replay);
    constraints_free(s->constraints);
    responses_store_free(s->responses);
    background_free(s->background);
    free(s);
}
