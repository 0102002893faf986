/* tokentrie.h - a vocabulary by its bytes: which tokens go on from here?
 *
 * Tokens with text are sorted into classes by their characters; those of a class form a trie of
 * their own. Where a grammar takes any character of a class alike (inside a JSON string), all
 * tokens of the class that are short enough are allowed without looking at them one by one.
 *
 * A trie is stored in preorder: the entry behind a node is its first child, and `end` is where its
 * subtree ends, so that a walk is one loop forwards. Two tokens of the same bytes are two siblings.
 * Added and unused tokens are left out.
 *
 * Immutable after building. Cost: a sort of the vocabulary; docs/structured-output.md has figures.
 */
#ifndef GLIM_TEXT_TOKENTRIE_H
#define GLIM_TEXT_TOKENTRIE_H

#include "base/err.h"
#include "text/tokenizer.h"

/* A token is in the first of these that has all its characters. */
enum {
    TRIE_LOWER, /* a-z */
    TRIE_ALPHA, /* A-Z a-z */
    TRIE_HIGH,  /* beyond ASCII */
    TRIE_PLAIN, /* what a JSON string takes as it is: whole characters but controls, '"' and '\' */
    TRIE_OTHER, /* the rest, which is in no class */
    TRIE_COUNT
};
enum { TRIE_CHARS_MAX = 32 }; /* characters of a token in a class; longer ones are in TRIE_OTHER */

struct trie_node {
    uint32_t end;   /* index behind the subtree */
    int32_t token;  /* -1: none ends here */
    uint16_t depth; /* bytes up to here, from 1 */
    uint8_t byte;
};

struct trie {
    struct trie_node *node; /* [nodes] */
    uint32_t nodes;
    uint32_t chars; /* of the longest token; 0 for TRIE_OTHER */
    uint32_t *upto[TRIE_CHARS_MAX
                   + 1]; /* [words] mask of the tokens of at most i characters, 1 to chars */
};

struct tokentrie {
    struct trie trie[TRIE_COUNT];
    uint32_t tokens; /* tok_count */
    uint32_t words;  /* of a mask: ceil(tokens / 32) */
    uint32_t depth;  /* bytes of the longest token */
    size_t bytes;    /* held */
    const struct tok *t;
};

/* t is borrowed until tokentrie_free. */
int tokentrie_new(struct tokentrie **out, const struct tok *t, struct err *e);
void tokentrie_free(struct tokentrie *v);

/* The characters of a class, as strings of byte ranges: a character matches string i if byte k of
 * it is in lo[k]..hi[k] for all k < len. */
struct trie_bytes {
    uint8_t len, lo[4], hi[4];
};
const struct trie_bytes *trie_class_bytes(int which, size_t *n);

#endif
