/* page.c - see page.h. */
#include "server/page.h"

#include "server/respond.h"

void page_serve(struct server *s, struct exchange *x)
{
    struct buf body;
    buf_init(&body);
    buf_add(&body, (const char *)page_html, page_bytes);
    exchange_set_header(x, "Content-Security-Policy", page_policy);
    exchange_set_header(x, "X-Content-Type-Options", "nosniff");
    exchange_set_header(x, "Referrer-Policy", "same-origin");
    exchange_set_header(x, "Cache-Control", "no-cache");
    respond(s, x, NULL, "text/html; charset=utf-8", &body);
    buf_deinit(&body);
}
