/* openai.h - what the OpenAI-shaped APIs share: errors, sampling fields, usage. */
#ifndef GLIM_SERVER_OPENAI_H
#define GLIM_SERVER_OPENAI_H

#include "server/dialect.h"
#include "server/fields.h"

/* struct dialect's `error`, and the same object within a stream. */
int openai_error(const struct fault *f, const char *request_id, struct buf *out);
void openai_fail(struct generation *g, const struct fault *f, struct buf *out);
/* Their parts: "error":{...}, and the text of its message. */
void openai_put_error(const struct fault *f, struct buf *out);
void openai_put_message(const struct fault *f, struct buf *out);

/* model, temperature, top_p, seed, stop, penalties, logit_bias, n ... into g. */
int openai_read_common(struct generation *g, struct fault *f);

/* A string or several, s->o[key], into g. */
int openai_read_stop(struct generation *g, const struct fields *s, const char *key);

const char *openai_finish_reason(const struct answer *a);
/* "usage":{...} with a comma before it. */
void openai_usage(const struct generation *g, struct buf *out);
/* "timings":{...} likewise: llama.cpp's. */
void openai_timings(const struct generation *g, struct buf *out);
/* "prompt_progress":{...} likewise, of a GLIM_EVENT_PROMPT. */
void openai_progress(const struct glim_event *ev, struct buf *out);
/* {"id":"PREFIX...","object":OBJECT,"created":...,"model":...,"system_fingerprint":... : the
 * object is left open. */
void openai_head(const struct generation *g, const char *prefix, const char *object,
                 struct buf *out);

#endif
