/* hub.c - the list of a repository's files and sums from a Hugging Face hub, over HTTPS.
 *
 * Asks a network only for --hub. The server is trusted to say what the sums are and with nothing
 * else: answers have limits of size and time, redirects stay with HTTPS, further pages with the
 * server, and names inside the repository (known.h).
 */
#include "cli/verify.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "cli/load.h"
#include "cli/out.h"

#if GLIM_WITH_CURL

#include <curl/curl.h>

enum { PAGES_MAX = 64, REDIRECTS_MAX = 3, CONNECT_S = 20, PAGE_S = 120, NAME_PART_MAX = 96 };

static const char default_endpoint[] = "https://huggingface.co";

struct page {
    struct buf body;
    struct buf next; /* of the Link header: where the next page is; empty = none */
    bool too_large;
};

struct repo {
    char endpoint[1024], name[2 * NAME_PART_MAX + 2], revision[256];
};

/* ---- names ---- */

static bool is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char c = s[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
              || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return n > 0 && n <= NAME_PART_MAX && s[0] != '.';
}

/* OWNER/NAME[@REVISION] */
static int parse_repo(struct repo *r, const struct opts *o, struct glim_error *e)
{
    const char *const text = o->hub, *const at = strchr(text, '@'), *slash = strchr(text, '/');
    const size_t n = at ? (size_t)(at - text) : strlen(text);
    const char *const revision = at ? at + 1 : "main";
    if (!slash || !is_plain(text, (size_t)(slash - text))
        || (size_t)(slash - text) + 1 > n
        || !is_plain(slash + 1, n - (size_t)(slash + 1 - text)) || !*revision
        || strlen(revision) >= sizeof r->revision)
        return glim_error_set(e, GLIM_EINVAL, "--hub: \"%s\", expected OWNER/NAME or "
                              "OWNER/NAME@REVISION", text);
    (void)snprintf(r->name, sizeof r->name, "%.*s", (int)n, text);
    (void)snprintf(r->revision, sizeof r->revision, "%s", revision);
    const char *const endpoint = o->endpoint ? o->endpoint : default_endpoint;
    size_t len = strlen(endpoint);
    while (len > 0 && endpoint[len - 1] == '/')
        len--;
    if ((strncmp(endpoint, "https://", 8) != 0 && strncmp(endpoint, "http://", 7) != 0)
        || len < 9 || len >= sizeof r->endpoint)
        return glim_error_set(e, GLIM_EINVAL, "--endpoint: \"%s\", expected https://SERVER",
                              endpoint);
    (void)snprintf(r->endpoint, sizeof r->endpoint, "%.*s", (int)len, endpoint);
    return GLIM_OK;
}

static void first_url(struct buf *url, CURL *c, const struct repo *r)
{
    char *const revision = curl_easy_escape(c, r->revision, 0);
    if (!revision)
        url->failed = true;
    buf_addf(url, "%s/api/models/%s/tree/%s?recursive=true", r->endpoint, r->name,
             revision ? revision : "");
    curl_free(revision);
}

/* ---- one page ---- */

static size_t take_body(char *bytes, size_t one, size_t n, void *ctx)
{
    struct page *const p = ctx;
    (void)one;
    if (p->body.len + n > KNOWN_TEXT_MAX) {
        p->too_large = true;
        return 0;
    }
    buf_add(&p->body, bytes, n);
    return p->body.failed ? 0 : n;
}

/* Link: <URL>; rel="next" */
static size_t take_header(char *bytes, size_t one, size_t n, void *ctx)
{
    struct page *const p = ctx;
    (void)one;
    if (n > 5 && strncmp(bytes, "HTTP/", 5) == 0)
        buf_clear(&p->next); /* of a redirect's answer */
    if (n < 6 || strncasecmp(bytes, "Link:", 5) != 0)
        return n;
    const char *const from = memchr(bytes, '<', n);
    const char *const to = from ? memchr(from, '>', n - (size_t)(from - bytes)) : NULL;
    if (to && memmem(to, n - (size_t)(to - bytes), "rel=\"next\"", 10)) {
        buf_clear(&p->next);
        buf_add(&p->next, from + 1, (size_t)(to - from - 1));
    }
    return n;
}

static int on_transfer(void *ctx, curl_off_t dt, curl_off_t d, curl_off_t ut, curl_off_t u)
{
    (void)ctx, (void)dt, (void)d, (void)ut, (void)u;
    return interrupted();
}

static void set_options(CURL *c, const struct repo *r, struct page *p, char *why)
{
    /* A server that was named with http:// may stay with it. */
    const char *const schemes = strncmp(r->endpoint, "https://", 8) == 0 ? "https" : "http,https";
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, schemes);
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, schemes);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS_MAX);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)PAGE_S);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "glim");
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, p);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, p);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_transfer);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
}

static int check_status(long status, const struct repo *r, const char *url, struct glim_error *e)
{
    if (status == 200)
        return GLIM_OK;
    if (status == 404)
        return glim_error_set(e, GLIM_EIO, "%s: HTTP 404: there is no repository %s with revision "
                              "%s", url, r->name, r->revision);
    if (status == 401 || status == 403)
        return glim_error_set(e, GLIM_EIO, "%s: HTTP %ld: %s does not exist, is private or gated; "
                              "compare with --manifest FILE", url, status, r->name);
    return glim_error_set(e, GLIM_EIO, "%s: HTTP %ld, expected 200", url, status);
}

static int fetch(CURL *c, const struct repo *r, const char *url, struct page *p,
                 struct glim_error *e)
{
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;
    buf_clear(&p->body);
    buf_clear(&p->next);
    set_options(c, r, p, why);
    curl_easy_setopt(c, CURLOPT_URL, url);
    const CURLcode rc = curl_easy_perform(c);
    if (rc == CURLE_ABORTED_BY_CALLBACK && interrupted())
        return glim_error_set(e, GLIM_ESTOPPED, "stopped");
    if (p->too_large)
        return glim_error_set(e, GLIM_ELIMIT, "%s: the answer has more than %d bytes", url,
                              KNOWN_TEXT_MAX);
    if (p->body.failed || p->next.failed || rc == CURLE_OUT_OF_MEMORY)
        return glim_error_set(e, GLIM_ENOMEM, "%s: out of memory", url);
    if (rc != CURLE_OK)
        return glim_error_set(e, GLIM_EIO, "%s: %s", url, *why ? why : curl_easy_strerror(rc));
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    return check_status(status, r, url, e);
}

/* ---- all pages ---- */

/* The next page is on the same server, below the same address. */
static int follow(struct buf *url, const struct page *p, const struct repo *r,
                  struct glim_error *e)
{
    struct buf start;
    buf_init(&start);
    buf_addf(&start, "%s/api/models/", r->endpoint);
    const bool same = !start.failed && strncmp(p->next.data, start.data, start.len) == 0;
    buf_deinit(&start);
    if (!same)
        return glim_error_set(e, GLIM_EFORMAT, "%s: the next page is %.200s, expected one of this "
                              "server", url->data, p->next.data);
    buf_clear(url);
    buf_adds(url, p->next.data);
    return GLIM_OK;
}

static int fetch_all(CURL *c, const struct repo *r, struct known *k, struct glim_error *e)
{
    struct page p = {0};
    struct buf url;
    struct err err;
    int rc = GLIM_OK, pages = 0;
    buf_init(&url);
    buf_init(&p.body);
    buf_init(&p.next);
    first_url(&url, c, r);
    do {
        rc = url.failed ? glim_error_set(e, GLIM_ENOMEM, "out of memory")
                        : fetch(c, r, url.data, &p, e);
        if (rc == GLIM_OK && known_hub(k, p.body.data, p.body.len, url.data, &err) != 0)
            rc = glim_error_set(e, err.code, "%s", err.text);
        if (rc == GLIM_OK && ++pages == PAGES_MAX)
            rc = glim_error_set(e, GLIM_ELIMIT, "%s: more than %d pages", url.data, PAGES_MAX);
        if (rc == GLIM_OK && p.next.len)
            rc = follow(&url, &p, r, e);
    } while (rc == GLIM_OK && p.next.len);
    buf_deinit(&p.next);
    buf_deinit(&p.body);
    buf_deinit(&url);
    return rc;
}

int hub_list(const struct opts *o, struct known *k, struct glim_error *e)
{
    struct repo r;
    if (parse_repo(&r, o, e) != GLIM_OK)
        return e->code;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return glim_error_set(e, GLIM_EIO, "libcurl: cannot be started");
    CURL *const c = curl_easy_init();
    progress_note("asking %s for its list of %s", r.endpoint, r.name);
    const int rc = c ? fetch_all(c, &r, k, e)
                     : glim_error_set(e, GLIM_ENOMEM, "out of memory for libcurl");
    progress_end();
    curl_easy_cleanup(c);
    curl_global_cleanup();
    return rc;
}

#else

int hub_list(const struct opts *o, struct known *k, struct glim_error *e)
{
    (void)o, (void)k;
    return glim_error_set(e, GLIM_EUNSUPPORTED,
                          "--hub: this program was built without libcurl; use --manifest FILE");
}

#endif
