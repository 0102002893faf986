/* stopper.h - stop strings in a stream: text passes on, except what could still become a stop
 * string. */
#ifndef GLIM_ENGINE_STOPPER_H
#define GLIM_ENGINE_STOPPER_H

#include "base/buf.h"

struct stopper {
    const char *const *stop; /* borrowed */
    size_t stops;
    struct buf held;         /* a proper prefix of some stop string, at most */
    bool hit;
    size_t which;            /* of stop, once hit */
};

void stopper_init(struct stopper *s, const char *const *stop, size_t stops);
void stopper_deinit(struct stopper *s);
/* Appends to out what may be shown. After a stop string was found (hit), nothing more passes. */
void stopper_add(struct stopper *s, const char *text, size_t len, struct buf *out);
/* The end of the stream: what was held back comes out. */
void stopper_flush(struct stopper *s, struct buf *out);

#endif
