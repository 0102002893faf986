/* constrain.h - what an answer must match: from a request's fields to a compiled grammar.
 *
 * Compiled ones are kept, the least recently used go first, so that an agent's tools are compiled
 * once and not at every turn. A generation holds the one that it uses.
 */
#ifndef GLIM_SERVER_CONSTRAIN_H
#define GLIM_SERVER_CONSTRAIN_H

#include "server/fields.h"
#include "server/generation.h"

struct constraints; /* a server's */

int constraints_new(struct constraints **out, struct err *e);
void constraints_free(struct constraints *c); /* after the generations; NULL is fine */

/* The answers of g match this. param: the field that it came from. A generation has one constraint
 * at most: a second is a fault. */
int constrain(struct generation *g, const struct glim_grammar_options *o, const char *param,
              struct fault *f);
/* A JSON schema, an object or a boolean. */
int constrain_schema(struct generation *g, struct json_object *schema, const char *param,
                     struct fault *f);
/* Calls of tools [array as glim_template takes it; g->generate.tools is its text]: forced where
 * `required`, of one tool where `only` is its name; otherwise only the arguments of strict tools
 * are, and only if there is such a tool. parallel: several calls. */
struct tool_calls {
    struct json_object *tools;
    const char *only;
    bool required, parallel;
};
int constrain_tools(struct generation *g, const struct tool_calls *how, struct fault *f);

/* Gives back what g holds. */
void constrain_release(struct generation *g);

#endif
