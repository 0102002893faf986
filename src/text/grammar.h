/* grammar.h - which tokens may come next, so that an answer matches a grammar: GBNF, a JSON schema,
 * any JSON object, or the calls of a request's tools.
 *
 *   struct grammar      what is allowed; compiled once per text, immutable, shared by threads
 *   struct tokentrie    the vocabulary by bytes; made once per tokenizer (tokentrie.h), immutable
 *   struct grammar_run  follows one answer: memory of the states that it met; one thread at a time
 *   grammar_state       a place in the answer: a number, copied freely, for drafts too
 *
 * The grammar is a nondeterministic pushdown automaton over bytes (gram_impl.h). A run makes it
 * deterministic as it goes: all stacks that the bytes so far allow are one state, equal sets are
 * the same state, and a state remembers where each class of bytes leads and which tokens may come.
 * So a second visit costs a table look-up, and the inside of a string is one state however long it
 * gets.
 *
 * What is accepted is always valid UTF-8, and can always be finished: no state is a dead end, as
 * long as the vocabulary has every byte. Added tokens (<think>, <|user|>, ...) are allowed where
 * the grammar names them and nowhere else; their spelling in plain bytes is just text.
 *
 * Cost, and what bounds it: docs/structured-output.md. Not responsible for: which tokens end an
 * answer (the caller allows them where grammar_may_end), drawing.
 */
#ifndef GLIM_TEXT_GRAMMAR_H
#define GLIM_TEXT_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/tokenizer.h"

struct json_object;
struct grammar;
struct tokentrie;
struct grammar_run;

enum {
    GRAMMAR_TEXT_MAX = 256 * 1024, /* bytes of a GBNF text or of a JSON schema */
    GRAMMAR_LIVE_MAX = 256,        /* states a run holds between two grammar_keep */
};

/* ---- compiling ----
 * The caller owns *out (grammar_free). GLIM_EINVAL: the text is wrong, or nothing matches it.
 * GLIM_EUNSUPPORTED: a keyword or form that is not enforced, by name. GLIM_ELIMIT: too large. */

/* llama.cpp's grammar language (docs/structured-output.md); the whole text is the rule "root". */
int grammar_from_gbnf(struct grammar **out, const struct tok *t, const char *text, size_t len,
                      struct err *e);
/* A JSON schema, as read: an object or a boolean. Messages carry a JSON pointer. */
int grammar_from_schema(struct grammar **out, const struct tok *t, struct json_object *schema,
                        struct err *e);
/* Any JSON object. */
int grammar_from_json(struct grammar **out, const struct tok *t, struct err *e);

struct grammar_tools {
    struct json_object *tools; /* array as in a request */
    const char *only;          /* name of the one tool that may be called; NULL: all of them */
    bool text;                 /* free text may come before the first call */
    bool required;             /* there is at least one call */
    bool parallel;             /* there may be several */
    bool lenient;              /* tools without "strict": true take any arguments */
};
/* Calls in GLM's form. Arguments come in the order of their schema. GLIM_EINVAL names what is wrong
 * with the tools. */
int grammar_from_tools(struct grammar **out, const struct tok *t,
                       const struct grammar_tools *options, struct err *e);

void grammar_free(struct grammar *g);
size_t grammar_size(const struct grammar *g); /* bytes, for the budget of a cache */

/* ---- following an answer ---- */

typedef uint32_t grammar_state;

/* g and v are borrowed until grammar_run_free and of the same tokenizer. */
int grammar_run_new(struct grammar_run **out, const struct grammar *g, const struct tokentrie *v,
                    struct err *e);
void grammar_run_free(struct grammar_run *r);
size_t grammar_run_size(const struct grammar_run *r); /* bytes held now */

grammar_state grammar_start(const struct grammar_run *r);

/* The state after one more token. *to may be the same variable as `from`. GLIM_EINVAL, and *to is
 * not set: the token is not allowed here. GLIM_ELIMIT: the grammar is too ambiguous to follow
 * within bounds, or GRAMMAR_LIVE_MAX states are held. */
int grammar_accept(struct grammar_run *r, grammar_state from, int32_t token, grammar_state *to,
                   struct err *e);
/* The same for plain bytes, which need not be whole tokens. */
int grammar_accept_bytes(struct grammar_run *r, grammar_state from, const char *bytes, size_t len,
                         grammar_state *to, struct err *e);

/* Forgets every state but the start and *keep, which stays valid: call it when a token is final. */
void grammar_keep(struct grammar_run *r, grammar_state keep);

/* Sets the bits of the tokens that may come next: mask [ceil(tok_count / 32)], token t is bit t %
 * 32 of mask[t / 32]; all others are cleared. None at all: the answer has to end. */
int grammar_mask(struct grammar_run *r, grammar_state s, uint32_t *mask, struct err *e);

/* May the answer end here? */
bool grammar_may_end(const struct grammar_run *r, grammar_state s);

/* Appends the bytes that must come next, as long as there is one way only and the answer cannot
 * end; at most `max`. */
int grammar_forced(struct grammar_run *r, grammar_state s, size_t max, struct buf *out,
                   struct err *e);

#endif
