/* streamed.h - a model that streams within a budget, and all its logits, for tests that hold them
 * against those of the same model in memory.
 */
#ifndef GLIM_TESTS_UTIL_STREAMED_H
#define GLIM_TESTS_UTIL_STREAMED_H

#include <stdbool.h>

#include "glim.h"

/* A timeline of a prompt, then tokens one by one; the budget with which models are in memory: with
 * any other they stream. */
enum { ROWS = 40, PROMPT = 33, RAM_MAX = 1 << 27 };

struct rows {
    float *logits, *mtp; /* [ROWS, vocab] */
    uint64_t vocab, from;
};

struct rows rows_new(const glim_model *m);
void rows_free(struct rows *r);
void same_rows(const struct rows *a, const struct rows *b);
/* The whole timeline in one go; chunk: of the prompt. */
struct rows rows_of(const char *path, int threads, uint64_t ram, uint64_t chunk, bool mtp);

glim_model *open_model(const char *path, int threads, uint64_t ram);
int session_of(glim_model *m, uint64_t chunk, bool mtp, glim_session **s, struct glim_error *e);
/* Tokens [from, from + n) of the timeline; their logits go to r. */
int append_rows(glim_session *s, struct rows *r, size_t from, size_t n, unsigned flags,
                struct glim_error *e);

/* The least budget with which a session can be made, to 1024 bytes. */
uint64_t least_ram(const char *path, int threads, bool mtp);

#endif
