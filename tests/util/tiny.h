/* tiny.h - a random model with a draft layer and a tokenizer: drafts are mostly wrong, and with a
 * bias on few tokens often right. */
#ifndef GLIM_TESTS_UTIL_TINY_H
#define GLIM_TESTS_UTIL_TINY_H

#include "util/answer.h"

enum { TINY_PROMPT = 20, CONTEXT = 96 };

struct tiny {
    char *folder;
    glim_model *model;
    glim_session *plain, *calm, *drafting; /* without mtp; with, but never drafting; with */
    uint64_t vocab;
};

/* A copy of tests/data/golden/NAME with a tokenizer; the caller's, or tiny_close's. */
char *tiny_folder(const char *name);
/* Makes the embedding of one token NaN in a model file. */
void tiny_poison(const char *path, int32_t token, uint64_t vocab);

void tiny_open(struct tiny *t, const char *name, uint64_t context);
void tiny_open_folder(struct tiny *t, char *folder, uint64_t context); /* takes the folder */
void tiny_close(struct tiny *t);

/* The prompt on the timeline, at once; or in pieces, with something else rewound in between. */
void tiny_prompt(glim_session *s, bool in_pieces);
int32_t tiny_token(size_t i); /* of the prompt */

/* One answer without mtp, one with it but no drafts, and one with drafts, on like timelines: all
 * the same. Counts the drafts. */
void tiny_check(struct tiny *t, const struct glim_generate *g, int drafts, size_t stop_after);

#endif
