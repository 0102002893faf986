/* grammar_walk.h - what the fuzzers of grammars share: a small vocabulary, and answers that the
 * fuzzer's bytes choose, with the promises of text/grammar.h checked on the way; header only. */
#ifndef GLIM_TESTS_FUZZ_GRAMMAR_WALK_H
#define GLIM_TESTS_FUZZ_GRAMMAR_WALK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/grammar.h"
#include "text/tokentrie.h"
#include "util/smalltok.h"

enum { WALK_STEPS = 48, WALK_WORDS = 64 };

static struct tok *walk_tok;
static struct tokentrie *walk_trie;

static inline void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

static inline void walk_setup(void)
{
    static const char *const merges[] = {"a b", "\" :", "\" ,",  "{ \"", "Ġ a", "ä ½",
                                         "1 2", "a a",  "aa aa", "} }",  "Ċ Ġ", "\" }"};
    if (walk_tok)
        return;
    walk_tok = smalltok_new("glm4", merges, sizeof merges / sizeof *merges, true);
    must(tokentrie_new(&walk_trie, walk_tok, NULL) == GLIM_OK && walk_trie->words <= WALK_WORDS,
         "a vocabulary");
}

/* Number `skip` of the tokens in the mask, counted around; -1: none. */
static inline int32_t walk_choose(const uint32_t *mask, unsigned skip)
{
    unsigned n = 0;
    for (uint32_t t = 0; t < walk_trie->tokens; t++)
        n += mask[t / 32] >> t % 32 & 1;
    if (n == 0)
        return -1;
    skip %= n;
    for (uint32_t t = 0; t < walk_trie->tokens; t++) {
        if ((mask[t / 32] >> t % 32 & 1) && skip-- == 0)
            return (int32_t)t;
    }
    return -1;
}

/* Follows the choices; true if the answer ended by itself, and then text is all of it. */
static inline bool walk_answer(const struct grammar *g, const uint8_t *choice, size_t n,
                               struct buf *text)
{
    struct grammar_run *r;
    uint32_t mask[WALK_WORDS];
    bool ended = false;
    if (grammar_run_new(&r, g, walk_trie, NULL) != GLIM_OK)
        return false;
    grammar_state s = grammar_start(r);
    for (size_t i = 0; i + 1 < n && i < 2 * WALK_STEPS; i += 2) {
        grammar_state to;
        if (grammar_mask(r, s, mask, NULL) != GLIM_OK)
            break;
        const int32_t tried = choice[i + 1] % (int)walk_trie->tokens;
        const int rc = grammar_accept(r, s, tried, &to, NULL);
        must(rc == GLIM_ELIMIT || (rc == GLIM_OK) == (mask[tried / 32] >> tried % 32 & 1),
             "a mask says what is accepted");
        const int32_t id = walk_choose(mask, choice[i]);
        ended = grammar_may_end(r, s);
        must(id >= 0 || ended, "an answer can go on or end");
        if (id < 0 || (ended && choice[i] % 8 == 0))
            break;
        size_t len;
        const char *const bytes = tok_bytes(walk_tok, id, &len);
        if (grammar_accept(r, s, id, &s, NULL) != GLIM_OK)
            break;
        if (tok_attr(walk_tok, id) == TOK_NORMAL)
            buf_add(text, bytes, len);
        grammar_keep(r, s);
        ended = grammar_may_end(r, s);
    }
    must(!ended || utf8_valid_len(text->data, text->len) == text->len, "an answer is UTF-8");
    grammar_run_free(r);
    return ended;
}

#endif
