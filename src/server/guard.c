/* guard.c - see guard.h. */
#include "server/guard.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { KEY_BYTES_MAX = 512 };

int guard_check_options(const struct server *s, struct err *e)
{
    if (!s->loopback && s->o.keys.n == 0)
        return err_set(e, GLIM_EINVAL,
                       "--host %s: others could reach it, so give --api-key or "
                       "--api-key-file; without a key only this machine may ask (--host 127.0.0.1)",
                       s->o.host);
    for (size_t i = 0; i < s->o.keys.n; i++) {
        const size_t n = strlen(s->o.keys.v[i]);
        if (n == 0 || n > KEY_BYTES_MAX)
            return err_set(e, GLIM_EINVAL, "API key %zu: %zu bytes, expected 1 to %d", i + 1, n,
                           KEY_BYTES_MAX);
    }
    return GLIM_OK;
}

/* ---- the key ---- */

/* Compares all of the longest key, whatever differs where. */
static bool same(const char *given, size_t n, const char *key)
{
    const size_t len = strlen(key);
    volatile unsigned char differs = (unsigned char)(n != len);
    for (size_t i = 0; i < KEY_BYTES_MAX; i++) {
        const unsigned char a = i < n ? (unsigned char)given[i] : 0;
        const unsigned char b = i < len ? (unsigned char)key[i] : 0;
        differs |= a ^ b;
    }
    return differs == 0;
}

/* The number of the key, from 1, or 0. */
static size_t find_key(const struct server *s, const char *given)
{
    const size_t n = strlen(given);
    size_t found = 0;
    for (size_t i = 0; i < s->o.keys.n; i++)
        found = same(given, n, s->o.keys.v[i]) ? i + 1 : found;
    return found;
}

static const char *given_key(const struct exchange *x)
{
    const char *const bearer = exchange_request_header(x, "Authorization");
    if (bearer && strncasecmp(bearer, "Bearer ", 7) == 0)
        return bearer + 7 + strspn(bearer + 7, " ");
    return exchange_request_header(x, "x-api-key");
}

static int check_key(struct server *s, struct exchange *x, struct fault *f)
{
    char owner[32];
    if (s->o.keys.n == 0)
        return 0;
    const char *const given = given_key(x);
    const size_t found = given ? find_key(s, given) : 0;
    if (!given)
        return fault_set(f, FAULT_KEY, NULL,
                         "No API key: send it as \"Authorization: Bearer KEY\" or "
                         "\"x-api-key: KEY\"");
    if (!found)
        return fault_set(f, FAULT_KEY, NULL, "Unknown API key");
    (void)snprintf(owner, sizeof owner, "key %zu", found);
    exchange_set_owner(x, owner, s->o.keys.v[found - 1]);
    return 0;
}

/* ---- web pages ---- */

/* Is the name of "name", "name:port" or "[name]:port"? */
static bool is_host(const char *host, const char *name)
{
    const size_t n = strlen(name);
    if (strncasecmp(host, name, n) != 0)
        return false;
    const char *const rest = host + n;
    return !*rest || (*rest == ':' && rest[1 + strspn(rest + 1, "0123456789")] == 0);
}

static int check_host(const struct server *s, const struct exchange *x, struct fault *f)
{
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *const host = exchange_request_header(x, "Host");
    /* Behind a key, and asked for by name or address from elsewhere, any name is right. */
    if (!host || (!s->loopback && s->o.hosts.n == 0))
        return 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        if (is_host(host, own[i]))
            return 0;
    }
    for (size_t i = 0; i < s->o.hosts.n; i++) {
        if (is_host(host, s->o.hosts.v[i]))
            return 0;
    }
    return fault_set(f, FAULT_FORBIDDEN, NULL,
                     "Host \"%.80s\" is no name of this server; allow it "
                     "with --allowed-host",
                     host);
}

/* "http://HOST" or "https://HOST" of the page that this server itself would serve. */
static bool own_origin(const struct exchange *x, const char *origin)
{
    const char *const host = exchange_request_header(x, "Host");
    const size_t scheme = strncasecmp(origin, "http://", 7) == 0    ? 7
                          : strncasecmp(origin, "https://", 8) == 0 ? 8
                                                                    : 0;
    return host && scheme > 0 && strcasecmp(origin + scheme, host) == 0;
}

static int check_origin(const struct server *s, struct exchange *x, struct fault *f)
{
    const char *const origin = exchange_request_header(x, "Origin");
    if (!origin || own_origin(x, origin))
        return 0;
    for (size_t i = 0; i < s->o.origins.n; i++) {
        if (strcmp(s->o.origins.v[i], "*") != 0 && strcasecmp(s->o.origins.v[i], origin) != 0)
            continue;
        exchange_set_header(x, "Access-Control-Allow-Origin", origin);
        exchange_set_header(x, "Vary", "Origin");
        return 0;
    }
    return fault_set(f, FAULT_FORBIDDEN, NULL,
                     "Origin \"%.80s\": web pages of other servers may not "
                     "ask; allow it with --cors-origin",
                     origin);
}

int guard_admit(struct server *s, struct exchange *x, bool open, struct fault *f)
{
    if (check_host(s, x, f) != 0 || check_origin(s, x, f) != 0)
        return -1;
    /* A browser asks without a key whether it may ask. */
    if (open || exchange_method(x) == HTTP_OPTIONS)
        return 0;
    return check_key(s, x, f);
}
