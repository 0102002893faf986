/* route.h - which path is answered by whom: one table. */
#ifndef GLIM_SERVER_ROUTE_H
#define GLIM_SERVER_ROUTE_H

#include "server/dialect.h"

/* struct http_handler's functions; ctx is the server. */
bool route_accept(void *ctx, struct exchange *x);
void route_serve(void *ctx, struct exchange *x);
void route_refuse(void *ctx, struct exchange *x, bool full);

#endif
