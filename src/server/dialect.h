/* dialect.h - what differs between the APIs: how a request is read, and how an answer and an error
 * are written.
 *
 * To add an API: fill a struct dialect, put its paths into route.c. `read` turns the request's JSON
 * into what generation.h wants; the others append bytes to `out` (g->out), as the answer comes:
 *
 *   begin  (open (delta)* close)*  end      per choice open .. end; choices may interleave
 *   finish                                  once, when all choices have ended
 *
 * Where the client did not ask for a stream, only `whole` is called, at the end, and the answers
 * are read from g->choice[i].answer. All are called with the generation locked, one at a time.
 */
#ifndef GLIM_SERVER_DIALECT_H
#define GLIM_SERVER_DIALECT_H

#include "base/buf.h"
#include "server/fault.h"
#include "server/generation.h"
#include "server/http.h"

/* Errors that are prepared for when there is no memory to write one. */
enum spare { SPARE_OPENAI, SPARE_ANTHROPIC, SPARES };
_Static_assert((int)SPARES == (int)HTTP_SPARES, "the HTTP side keeps one of each");

struct dialect {
    const char *name;
    /* Reads g->body (an object) into g; nonzero: *f says why not. */
    int (*read)(struct generation *g, struct fault *f);
    /* Of a stream. */
    void (*begin)(struct generation *g, struct buf *out);
    void (*open)(struct generation *g, struct choice *c, const struct part *p, struct buf *out);
    void (*delta)(struct generation *g, struct choice *c, const struct part *p, const char *text,
                  size_t len, struct buf *out);
    void (*close)(struct generation *g, struct choice *c, const struct part *p, struct buf *out);
    void (*end)(struct generation *g, struct choice *c, struct buf *out);
    void (*finish)(struct generation *g, struct buf *out);
    void (*fail)(struct generation *g, const struct fault *f, struct buf *out);
    /* Clients that asked for a stream look for FAULT_CONTEXT in there, not at the status. */
    bool overflow_in_stream;
    void (*keepalive)(struct generation *g, struct buf *out);
    /* How far the prompt is, a GLIM_EVENT_PROMPT, where g->progress asks for it; may be NULL. */
    void (*progress)(struct generation *g, struct choice *c, const struct glim_event *ev,
                     struct buf *out);
    /* Keeps the answer for later requests, once all choices have ended, also where it failed; may
     * be NULL. */
    void (*keep)(struct generation *g);
    /* Otherwise; of one in the background also what there is of it, at any time. */
    void (*whole)(struct generation *g, struct buf *out);
    /* The length of the prompt, for generation_count; may be NULL. */
    void (*count)(const struct generation *g, struct buf *out);
    /* The body of an error reply, and its status. request_id: for APIs that repeat it. */
    int (*error)(const struct fault *f, const char *request_id, struct buf *out);
    enum spare spare; /* whose words its errors have */
    /* The header that carries the request's id. */
    const char *id_header;
};

extern const struct dialect dialect_chat, dialect_completions, dialect_anthropic,
    dialect_responses;

#endif
