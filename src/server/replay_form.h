/* replay_form.h - the one form of an assistant message, whoever writes it: as the server answered,
 * or as a client sends it back. */
#ifndef GLIM_SERVER_REPLAY_FORM_H
#define GLIM_SERVER_REPLAY_FORM_H

#include "base/buf.h"
#include "base/json.h"
#include "server/generation.h"

/* Content without white space at its ends, then names and arguments of the calls: keys sorted,
 * numbers as JSON would print them. Reasoning is not part of it. */
void form_of_answer(const struct answer *a, struct buf *out);
void form_of_message(struct json_object *message, struct buf *out);

/* Reasoning without white space at its ends. */
void form_of_reasoning(const struct answer *a, struct buf *out);
void form_of_message_reasoning(struct json_object *message, struct buf *out);

#endif
