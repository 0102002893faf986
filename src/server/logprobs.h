/* logprobs.h - tokens with their probabilities, as OpenAI's two APIs print them. */
#ifndef GLIM_SERVER_LOGPROBS_H
#define GLIM_SERVER_LOGPROBS_H

#include "base/buf.h"
#include "server/generation.h"

/* {"content":[...],"refusal":null} of the tokens that no chunk had yet. */
void logprobs_put_chat(struct generation *g, struct choice *c, struct buf *out);
/* [{"token","logprob","bytes","top_logprobs"}, ...] of scores [from, to). */
void logprobs_put_list(const struct generation *g, const struct answer *a, size_t from, size_t to,
                       struct buf *out);
/* {"tokens":[...],"token_logprobs":[...],"top_logprobs":[...],"text_offset":[...]} likewise; at:
 * where in the text the first of them begins. Tokens from `limit` bytes of text on are left out. */
void logprobs_put_completion(struct generation *g, struct choice *c, size_t limit, struct buf *out);

#endif
