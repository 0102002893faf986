/* background.h - generations that nobody has to wait for, while they run: found by their id.
 *
 * One is listed from when it was submitted until it has ended and its dialect has kept it. Owners
 * (API keys) see their own only. All functions may be called from any thread.
 */
#ifndef GLIM_SERVER_BACKGROUND_H
#define GLIM_SERVER_BACKGROUND_H

#include "server/generation.h"

struct background;

struct background *background_new(void);     /* NULL: memory is out */
void background_free(struct background *b); /* b may be NULL; lists none any more */

/* With g's lock held. */
void background_add(struct background *b, struct generation *g);
void background_remove(struct background *b, struct generation *g);

enum background_wish {
    BACKGROUND_LOOK,
    BACKGROUND_CANCEL, /* end it: what it has said so far is kept */
    BACKGROUND_FORGET  /* end it, and keep nothing */
};
/* Does so with the one whose exchange has this id (without "req_"), and appends it as it is then,
 * unless it is forgotten: out may be NULL there. False: there is none. */
bool background_ask(struct background *b, const char *owner, const char *id,
                    enum background_wish wish, struct buf *out);
/* All of them, for the server stops. */
void background_cancel_all(struct background *b);

#endif
