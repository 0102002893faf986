/* constraint.h - an answer kept to a grammar: which tokens may be drawn at which position.
 *
 * Active from the beginning of an answer, or from the end of its reasoning. Where the grammar lets
 * the answer end, stop tokens may be drawn as well; where it must end, nothing else. Drafts are
 * drawn under the same masks, from states that are thrown away if the draft is.
 */
#ifndef GLIM_ENGINE_CONSTRAINT_H
#define GLIM_ENGINE_CONSTRAINT_H

#include "base/err.h"
#include "sample/draft.h"
#include "text/grammar.h"

struct glim_grammar {
    struct grammar *grammar;
    bool tools;                   /* it is about calls */
    const struct tokentrie *trie; /* the tokenizer's */
};

struct constraint { /* zero-initialise: none */
    struct grammar_run *run; /* NULL = none */
    bool active;
    int32_t never;           /* a token that may not be drawn before it is active; -1 = none */
    uint32_t *mask;          /* [words] */
    size_t tokens, words;
    const int32_t *eos, *own_stop; /* tokens that end the answer: the model's, the request's */
    size_t eoses, own_stops;
    bool ignore_eos;         /* the former only where nothing else may come */
    uint64_t pos;            /* tokens of the timeline, the drawn one included, that `at` follows */
    grammar_state at, ahead[DRAFT_MAX + 1];
    size_t aheads;
    struct err failure;      /* code != 0: the grammar could not be followed */
};

/* g is borrowed; pos: where the answer begins. Not active yet. */
int constraint_open(struct constraint *c, const struct glim_grammar *g, uint64_t pos,
                    struct err *e);
void constraint_close(struct constraint *c);

/* For the token at position n >= c->pos, tokens [c->pos, n) of the timeline being drafts; NULL: any
 * may come. Borrowed until the next call. */
const uint32_t *constraint_mask(struct constraint *c, const int32_t *timeline, uint64_t n);

/* From the token at position pos on it is active. */
void constraint_begin(struct constraint *c, uint64_t pos);
/* A token was drawn for position pos that is no stop token. */
int constraint_take(struct constraint *c, int32_t token, uint64_t pos, struct err *e);

#endif
