/* hidden.h - reasoning that a client keeps without showing it: Anthropic's signature, OpenAI's
 * encrypted_content.
 *
 * Clients send such a text back unread. Where they asked not to see the reasoning, it travels in
 * there, so that the next turn's prompt is what the model wrote, and what is cached: "glim1." and
 * base64. It is no secret; whoever makes one up could as well have sent the reasoning.
 */
#ifndef GLIM_SERVER_HIDDEN_H
#define GLIM_SERVER_HIDDEN_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Appends the sealed text; "glim1." alone for none. */
void hidden_seal(const char *text, size_t len, struct buf *out);

/* Appends the text of a sealed string. False, and nothing is appended, if it is none, or if nothing
 * is in it: anything is accepted. */
bool hidden_open(struct json_object *sealed, struct buf *out);

#endif
