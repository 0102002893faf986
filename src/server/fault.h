/* fault.h - why a request gets no answer, before any API has put it into its own words.
 *
 * Filled by whoever finds it, as struct err is; a dialect turns it into a status and a body.
 */
#ifndef GLIM_SERVER_FAULT_H
#define GLIM_SERVER_FAULT_H

#include <stdint.h>

#include "glim.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_INVALID, /* the request is wrong */
    FAULT_CONTEXT, /* the prompt is longer than the context: tokens, limit */
    FAULT_KEY,     /* no key, or an unknown one */
    FAULT_FORBIDDEN,
    FAULT_NOT_FOUND, /* no such path */
    FAULT_MODEL,     /* no such model */
    FAULT_METHOD,
    FAULT_TOO_LARGE,
    FAULT_MEDIA, /* a body of another type */
    FAULT_INTERNAL,
    FAULT_UNSUPPORTED, /* well formed, but this server does not do it */
    FAULT_LOADING,
    FAULT_BUSY,  /* the queue is full, or the server is about to stop */
    FAULT_QUOTA, /* so many requests of this key wait as may */
    FAULT_TIMEOUT,
    FAULT_COUNT
};

struct fault {
    enum fault_kind kind;
    const char *code; /* a more exact name than the kind's, static; NULL: none */
    char param[128];  /* the field, "" if none */
    char text[1024];
    uint64_t tokens, limit; /* CONTEXT */
};

/* Fills *f and returns -1. param may be NULL. */
int fault_set(struct fault *f, enum fault_kind kind, const char *param, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Memory is out. */
int memory_fault(struct fault *f);

/* The same from the library's word. */
int fault_of_error(struct fault *f, const struct glim_error *e, const char *param);

#endif
