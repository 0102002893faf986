/* page.h - the web page at "/": page.html, put into the program by tools/embed-page. */
#ifndef GLIM_SERVER_PAGE_H
#define GLIM_SERVER_PAGE_H

#include <stddef.h>

struct exchange;
struct server;

extern const unsigned char page_html[]; /* [page_bytes] */
extern const size_t page_bytes;
extern const char page_policy[]; /* Content-Security-Policy: the page's own parts by hash */

void page_serve(struct server *s, struct exchange *x);

#endif
