/* cmd_serve.c - glim serve: the model behind HTTP, until a signal ends it.
 *
 * The server answers from the start, with "loading" until the model is there. SIGTERM or Ctrl-C:
 * what is in progress is finished, new requests are refused; the second one cuts what is left.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/util.h"
#include "cli/cmd.h"
#include "cli/load.h"
#include "cli/out.h"

#if GLIM_WITH_HTTP

#include "server/server.h"

enum { PORT_DEFAULT = 4546, QUEUE_DEFAULT = 256 };
enum { KEYS_MAX = 256, FILE_BYTES_MAX = 1 << 20, LOOK_MS = 50 };

struct serve {
    const struct opts *o;
    struct server *server;
    glim_model *model;
    glim_service *service;
    struct server_options options;
    const char *key[KEYS_MAX];
    char *keys_text, *cert, *private_key;
    size_t keys_bytes;
    /* of the loader */
    pthread_t loader;
    struct glim_error error;
    atomic_int loaded; /* 0: not yet; 1: yes; -1: failed */
};

/* ---- options ---- */

static int add_key(struct serve *s, const char *key, struct err *e)
{
    if (s->options.keys.n == KEYS_MAX)
        return err_set(e, GLIM_EINVAL, "more than %d API keys", KEYS_MAX);
    s->key[s->options.keys.n++] = key;
    return GLIM_OK;
}

/* One key a line; empty lines and those that begin with # are skipped. */
static int read_keys(struct serve *s, const char *path, struct err *e)
{
    char *rest = NULL;
    int rc = io_read_file(path, FILE_BYTES_MAX, &s->keys_text, &s->keys_bytes, e);
    if (rc != GLIM_OK)
        return rc;
    for (char *line = strtok_r(s->keys_text, "\r\n", &rest); line && rc == GLIM_OK;
         line = strtok_r(NULL, "\r\n", &rest)) {
        if (*line != '#')
            rc = add_key(s, line, e);
    }
    return rc == GLIM_OK && s->options.keys.n == 0
               ? err_set(e, GLIM_EINVAL, "--api-key-file %s: no key in it", path)
               : rc;
}

static int read_tls(struct serve *s, struct err *e)
{
    const struct opts *const o = s->o;
    size_t len;
    if (!o->tls_cert != !o->tls_key)
        return err_set(e, GLIM_EINVAL, "--tls-cert and --tls-key belong together: give both");
    if (!o->tls_cert)
        return GLIM_OK;
    if (io_read_file(o->tls_cert, FILE_BYTES_MAX, &s->cert, &len, e) != GLIM_OK
        || io_read_file(o->tls_key, FILE_BYTES_MAX, &s->private_key, &len, e) != GLIM_OK)
        return e->code;
    s->options.cert = s->cert;
    s->options.key = s->private_key;
    return GLIM_OK;
}

static void on_log(void *ctx, int level, const char *text)
{
    (void)ctx;
    (void)level;
    say_notice("%s", text);
}

/* One of "NAME=N,NAME=N". */
static int set_limit(struct http_limits *l, const char *name, size_t len, uint64_t v, struct err *e)
{
    const struct {
        const char *name;
        uint64_t *bytes;
        uint32_t *count;
        uint64_t low;
    } known[] = {{"body", &l->body_bytes, NULL, 1},       {"bodies", &l->bodies_bytes, NULL, 1},
                 {"output", &l->output_bytes, NULL, 1},   {"connections", NULL, &l->connections, 1},
                 {"per-source", NULL, &l->per_source, 0}, {"header", NULL, &l->header_s, 1},
                 {"upload", NULL, &l->body_s, 1},         {"idle", NULL, &l->idle_s, 1},
                 {"stall", NULL, &l->stall_s, 1}};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        const uint64_t high = known[i].bytes ? UINT64_C(1) << 40 : UINT64_C(1) << 20;
        if (strlen(known[i].name) != len || memcmp(known[i].name, name, len) != 0)
            continue;
        if (v < known[i].low || v > high)
            return err_set(e, GLIM_EINVAL, "--limits: %s=%llu, expected %llu to %llu",
                           known[i].name, (unsigned long long)v, (unsigned long long)known[i].low,
                           (unsigned long long)high);
        if (known[i].bytes)
            *known[i].bytes = v;
        else
            *known[i].count = (uint32_t)v;
        return GLIM_OK;
    }
    return err_set(e, GLIM_EINVAL,
                   "--limits: \"%.*s\" is no limit; there are body, bodies, output, "
                   "connections, per-source, header, upload, idle, stall",
                   (int)len, name);
}

static int read_limits(struct http_limits *l, const char *text, struct err *e)
{
    for (const char *at = text; at && *at;) {
        const size_t len = strcspn(at, "=,");
        char *end = NULL;
        const bool digit = at[len] == '=' && at[len + 1] >= '0' && at[len + 1] <= '9';
        errno = 0;
        const unsigned long long v = digit ? strtoull(at + len + 1, &end, 10) : 0;
        if (!digit || errno || (*end && *end != ','))
            return err_set(e, GLIM_EINVAL, "--limits: \"%s\", expected NAME=N with commas between",
                           text);
        if (set_limit(l, at, len, v, e) != 0)
            return e->code;
        at = *end ? end + 1 : end;
    }
    return GLIM_OK;
}

/* What is encrypted with a key is as safe as the key is hard to guess. */
static int check_secrets(const struct serve *s, struct err *e)
{
    enum { LEAST = 16 };
    if (!s->o->kv_dir && !s->o->slot_save_path)
        return err_set(e, GLIM_EINVAL,
                       "--kv-encrypt: nothing is kept on disk; give --kv-dir or --slot-save-path "
                       "too");
    if (s->options.keys.n == 0)
        return err_set(e, GLIM_EINVAL,
                       "--kv-encrypt: there is no API key to encrypt with; give "
                       "--api-key-file FILE, a key a line, each of %d bytes or more "
                       "(openssl rand -hex 32)",
                       LEAST);
    for (size_t i = 0; i < s->options.keys.n; i++) {
        if (strlen(s->key[i]) < LEAST)
            return err_set(e, GLIM_EINVAL,
                           "--kv-encrypt: API key %zu has %zu bytes, expected %d or more that "
                           "nobody guesses (openssl rand -hex 32)",
                           i + 1, strlen(s->key[i]), LEAST);
    }
    return GLIM_OK;
}

/* As kv_dir, it holds what people wrote. */
static int check_folder(const char *path, struct err *e)
{
    struct stat st;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return err_set(e, GLIM_EIO, "--slot-save-path %s: %s", path, strerror(errno));
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode) || access(path, W_OK | X_OK) != 0)
        return err_set(e, GLIM_EINVAL, "--slot-save-path %s: no folder that can be written to",
                       path);
    return GLIM_OK;
}

static int read_options(struct serve *s, struct err *e)
{
    const struct opts *const o = s->o;
    static const unsigned fields[] = {FIELD_REASONING_CONTENT, FIELD_REASONING,
                                      FIELD_REASONING_CONTENT | FIELD_REASONING, 0};
    struct server_options *const to = &s->options;
    *to = (struct server_options){
        .host = o->host ? o->host : "127.0.0.1",
        .port = o->port == OPT_UNSET ? PORT_DEFAULT : (uint16_t)o->port,
        .keys = {s->key, 0},
        .hosts = {o->allowed_host.v, o->allowed_host.n},
        .origins = {o->cors_origin.v, o->cors_origin.n},
        .alias = o->alias,
        .any_model = o->any_model,
        .reasoning = fields[o->reasoning_field],
        .slot_folder = o->slot_save_path,
        .timeout_s = o->timeout_s ? o->timeout_s : 86400,
        .limits = HTTP_LIMITS_DEFAULT,
        .log = on_log,
        .log_level = o->log - 1,
    };
    int rc = read_limits(&to->limits, o->limits, e);
    for (size_t i = 0; rc == GLIM_OK && i < o->api_key.n; i++)
        rc = add_key(s, o->api_key.v[i], e);
    if (rc == GLIM_OK && o->api_key_file)
        rc = read_keys(s, o->api_key_file, e);
    if (rc == GLIM_OK && o->slot_save_path)
        rc = check_folder(o->slot_save_path, e);
    if (rc == GLIM_OK && o->kv_encrypt)
        rc = check_secrets(s, e);
    return rc == GLIM_OK ? read_tls(s, e) : rc;
}

/* A descriptor a connection, and some for files and for those who are told that there are too many;
 * where the system gives fewer, fewer connections, so that there is one to say so with. */
static void raise_descriptors(struct http_limits *l)
{
    enum { OTHERS = 256 };
    struct rlimit r;
    const rlim_t want = (rlim_t)l->connections + OTHERS;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= want)
        return;
    r.rlim_cur = r.rlim_max < want ? r.rlim_max : want;
    (void)setrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_cur < want)
        l->connections = (uint32_t)(r.rlim_cur > 2 * OTHERS ? r.rlim_cur - OTHERS : r.rlim_cur / 2);
}

/* ---- loading ---- */

/* Keys share the queue, so that one that floods it keeps none of the others out. */
static void size_queue(const struct serve *s, struct glim_service_options *so)
{
    const uint64_t all = s->o->queue ? s->o->queue : QUEUE_DEFAULT,
                   half = s->options.keys.n > 1 ? (all + 1) / 2 : 0;
    so->queue = (uint32_t)all;
    so->owner_queue = (uint32_t)(s->o->queue_per_key ? s->o->queue_per_key : half);
}

static int load(struct serve *s)
{
    const struct opts *const o = s->o;
    struct glim_service_options so = GLIM_SERVICE_OPTIONS_INIT;
    struct err e;
    if (model_open(o, &s->model, &s->error) != GLIM_OK)
        return s->error.code;
    so.context_tok = o->ctx;
    so.cache_tok = o->cache_tok;
    so.parallel = (uint32_t)o->parallel;
    size_queue(s, &so);
    so.chunk_tok = o->chunk;
    so.prompt_share = o->prompt_share;
    so.kv = (enum glim_kv)o->kv;
    so.kv_index = (enum glim_kv_index)o->kv_index;
    so.mtp = model_drafts(o, s->model);
    so.kv_dir = o->kv_dir;
    so.kv_dir_bytes = o->kv_dir_bytes;
    so.kv_encrypt = o->kv_encrypt;
    so.slot_files = o->slot_save_path != NULL;
    int rc = glim_service_start(&s->service, s->model, &so, &s->error);
    if (rc == GLIM_ELIMIT && so.mtp && o->drafts == DRAFTS_AUTO) {
        so.mtp = false; /* where only that is too much for the memory */
        rc = glim_service_start(&s->service, s->model, &so, &s->error);
    }
    progress_end();
    if (rc == GLIM_OK && server_ready(s->server, s->model, s->service, &e) != GLIM_OK)
        rc = glim_error_set(&s->error, e.code, "%s", e.text);
    return rc;
}

static void *loader(void *ctx)
{
    struct serve *const s = ctx;
    atomic_store(&s->loaded, load(s) == GLIM_OK ? 1 : -1);
    return NULL;
}

/* ---- running ---- */

static void announce(const struct serve *s)
{
    char context[HUMAN_LEN];
    const struct server *const v = s->server;
    const char *const host = s->options.host;
    const bool six = strchr(host, ':') != NULL;
    if (s->o->quiet)
        return;
    say_notice("%s at %s://%s%s%s:%u/v1, context of %s tokens%s", v->name,
               s->options.cert ? "https" : "http", six ? "[" : "", *host ? host : "0.0.0.0",
               six ? "]" : "", v->port, human_count(context, v->context_tok),
               s->options.keys.n ? "" : ", no key needed");
}

/* The number of the next signal, or 0 after a while. */
static int next_signal(const sigset_t *set)
{
    const struct timespec wait = {.tv_nsec = LOOK_MS * 1000000};
    const int n = sigtimedwait(set, NULL, &wait);
    return n > 0 ? n : 0;
}

/* Until the model is there: the exit code if it ends here, else -1. */
static int await_model(struct serve *s, const sigset_t *set)
{
    while (atomic_load(&s->loaded) == 0) {
        const int n = next_signal(set);
        if (n)
            _exit(128 + n); /* nothing is open that a sudden end could hurt */
    }
    (void)pthread_join(s->loader, NULL);
    return atomic_load(&s->loaded) < 0 ? fail_glim(&s->error) : -1;
}

static void run(struct serve *s, const sigset_t *set)
{
    int asked = 0;
    announce(s);
    while (asked < 2 && !(asked == 1 && server_idle(s->server))) {
        if (!next_signal(set))
            continue;
        asked++;
        if (asked == 1 && !s->o->quiet && !server_idle(s->server))
            say_notice("finishing what is in progress; once more to stop at once");
        if (asked == 1)
            server_drain(s->server);
    }
}

static int serve(struct serve *s, const sigset_t *set)
{
    struct err e;
    if (read_options(s, &e) != GLIM_OK)
        return fail_err(&e);
    raise_descriptors(&s->options.limits);
    if (server_start(&s->server, &s->options, &e) != GLIM_OK)
        return fail_err(&e);
    if (pthread_create(&s->loader, NULL, loader, s) != 0)
        return fail("no thread to load the model");
    const int code = await_model(s, set);
    if (code >= 0)
        return code;
    run(s, set);
    return EXIT_OK;
}

static void wipe_keys(struct serve *s)
{
    if (s->keys_text)
        explicit_bzero(s->keys_text, s->keys_bytes);
    free(s->keys_text);
}

int cmd_serve(const struct opts *o)
{
    struct serve s = {.o = o};
    sigset_t set, before;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &set, &before); /* threads inherit it */
    (void)signal(SIGPIPE, SIG_IGN);
    const int code = serve(&s, &set);
    server_stop(s.server);
    glim_service_stop(s.service);
    glim_model_close(s.model);
    wipe_keys(&s);
    free(s.cert);
    free(s.private_key);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

#else

int cmd_serve(const struct opts *o)
{
    (void)o;
    return fail("this glim was built without libmicrohttpd (WITH_HTTP=0): no serve");
}

#endif
