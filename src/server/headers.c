/* headers.c - see headers.h. */
#include "server/headers.h"

#include <string.h>
#include <strings.h>

#include "base/util.h"

/* What decides how a request is read or who sent it. */
static const char *const once[] = {"Host",         "Content-Length",   "Transfer-Encoding",
                                   "Content-Type", "Content-Encoding", "Authorization",
                                   "x-api-key",    "Origin",           "Expect"};

struct check {
    struct fault *f;
    unsigned seen; /* bits of once */
    int rc;
};

/* RFC 9110, 5.6.2. */
static bool is_token(const char *s, size_t n)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < n; i++) {
        const char c = s[i];
        const bool word =
            (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!word && (c == 0 || !strchr(marks, c)))
            return false;
    }
    return n > 0;
}

static bool is_plain(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static int check_one(struct check *c, const char *name, size_t name_len, const char *value,
                     size_t len)
{
    const int shown = (int)min_u64(name_len, 40);
    if (!is_token(name, name_len))
        return fault_set(c->f, FAULT_INVALID, NULL, "Header \"%.*s\": no name of a header", shown,
                         name);
    if (!is_plain(value, len))
        return fault_set(c->f, FAULT_INVALID, NULL, "Header \"%.*s\": a control character", shown,
                         name);
    for (size_t i = 0; i < COUNT_OF(once); i++) {
        if (strlen(once[i]) != name_len || strncasecmp(once[i], name, name_len) != 0)
            continue;
        if (c->seen & 1u << i)
            return fault_set(c->f, FAULT_INVALID, NULL, "Header \"%s\": there twice, expected once",
                             once[i]);
        c->seen |= 1u << i;
    }
    return 0;
}

static bool each(void *ctx, const char *name, size_t name_len, const char *value, size_t len)
{
    struct check *const c = ctx;
    c->rc = check_one(c, name, name_len, value, len);
    return c->rc == 0;
}

int headers_check(const struct exchange *x, struct fault *f)
{
    struct check c = {.f = f};
    exchange_each_header(x, each, &c);
    if (c.rc != 0)
        return c.rc;
    const char *const coding = exchange_request_header(x, "Transfer-Encoding");
    if (coding && strcasecmp(coding, "chunked") != 0)
        return fault_set(f, FAULT_INVALID, NULL,
                         "Header \"Transfer-Encoding\": \"%.40s\", expected \"chunked\"", coding);
    if (coding && exchange_request_header(x, "Content-Length"))
        return fault_set(f, FAULT_INVALID, NULL,
                         "Headers \"Transfer-Encoding\" and \"Content-Length\": expected one of "
                         "them");
    return 0;
}
