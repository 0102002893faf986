/* replay.h - an assistant message that this server made is given back to the model as it was
 * sampled, token for token.
 *
 * A client sends an answer back as text and calls. Rendered and tokenized anew, that may differ
 * from what was sampled: white space at its ends is stripped, arguments are written in another way,
 * the same text is cut into other tokens, reasoning is missing. Each difference would make the
 * model see another history, and compute all that follows again. So the tokens of every answer are
 * kept, found by what a client would send back, and put in the place of the rendered ones.
 *
 * An answer is found in two ways. With the same tokens before it: it then stands where it was
 * sampled, and where the template shows its reasoning (after the last user message, or with
 * clear_thinking false) all of it is put in, marked as sampled, the reasoning also if the client
 * did not send it. Elsewhere by the message alone: then only what follows the reasoning is put in.
 *
 * Answers of different owners are kept apart. What was used least recently is forgotten.
 */
#ifndef GLIM_SERVER_REPLAY_H
#define GLIM_SERVER_REPLAY_H

#include "base/json.h"
#include "server/generation.h"

struct replay;

int replay_new(struct replay **out, const glim_tokenizer *t, uint64_t max_bytes, struct err *e);
void replay_free(struct replay *r);

/* After an answer: token [n], as the service reports it. Any thread. */
void replay_keep(struct replay *r, const char *owner, const struct prompt *p,
                 const struct answer *a, const int32_t *token, size_t n);

/* messages: as the template was given them; keep_thinking: clear_thinking is given and false. p:
 * the rendered prompt, which is replaced if any answer is found. False: memory is out, and p is as
 * it was. */
bool replay_splice(struct replay *r, const char *owner, struct json_object *messages,
                   bool keep_thinking, struct prompt *p);

/* Answers that were found, and looked for, since the start. */
void replay_counts(struct replay *r, uint64_t *found, uint64_t *wanted);

#endif
