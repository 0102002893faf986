/* toollist.h - the tools of a prompt, from other APIs' ways to describe them.
 *
 * What comes out is the "tools" array of a chat completion: the same tool gives the same prompt,
 * whichever API it came by.
 */
#ifndef GLIM_SERVER_TOOLLIST_H
#define GLIM_SERVER_TOOLLIST_H

#include "server/fields.h"

enum { TOOLS_MAX = 1024 }; /* more are a fault */

/* Appends a tool to *list, an array that is made if it is NULL. description and schema (borrowed)
 * may be NULL. from: the tool as the client described it, whose `strict` and `defer_loading` are
 * kept; strict: it is, whatever the client says. */
int toollist_add(struct json_object **list, const char *name, struct json_object *description,
                 struct json_object *schema, bool strict, const struct fields *from);

#endif
