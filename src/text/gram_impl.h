/* gram_impl.h - a compiled grammar: a recursive transition network over bytes. Internal to
 * text/grammar.
 *
 * Each rule is a nondeterministic automaton of its own: nodes from start to an end, edges that take
 * a byte of a range, a special token, nothing, or a whole other rule (once, or a counted number of
 * times). Byte strings that the network takes are valid UTF-8 (builders make edges of whole
 * characters only), every node on the way can reach the end of its rule, and no rule begins with
 * itself: gram_finish proves the latter two.
 */
#ifndef GLIM_TEXT_GRAM_IMPL_H
#define GLIM_TEXT_GRAM_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum gram_kind {
    GRAM_BYTES, /* a byte lo..hi */
    GRAM_TOKEN, /* the special token `arg` */
    GRAM_EMPTY,
    GRAM_CALL,   /* rule `arg`, then target */
    GRAM_REPEAT, /* repeat[arg], then target */
};

#define GRAM_UNBOUNDED UINT32_MAX

struct gram_edge {
    uint8_t kind, lo, hi;
    uint32_t arg, target;
};

struct gram_repeat {
    uint32_t rule, min, max; /* min to max times, max GRAM_UNBOUNDED for any number */
};

enum {
    GRAM_FINAL = 1, /* the rule may end here */
    GRAM_BARE = 2,  /* no edges */
};

struct grammar {
    uint32_t nodes, edges, rules, repeats;
    uint32_t *first;            /* [nodes + 1] in edge */
    uint8_t *flags;             /* [nodes] GRAM_FINAL, GRAM_BARE */
    struct gram_edge *edge;     /* [edges] */
    struct gram_repeat *repeat; /* [repeats] */
    uint32_t *start;            /* [rules]; rule 0 is the whole text */
    uint8_t class_of[256];      /* bytes that no edge tells apart share a class */
    uint8_t class_byte[256];    /* [classes] one byte of each */
    uint32_t classes;
    uint32_t tokens; /* of the tokenizer it was compiled for */
};

#endif
