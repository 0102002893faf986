/* scores.h - the file that glim ppl --save-logits writes and --against reads.
 *
 *     bytes 0-7    "glimlog1"
 *     4 x u64      vocabulary V, window W, start tokens P, text tokens N
 *     i32 [P]      the start tokens that stand before each window
 *     i32 [N]      the text's tokens
 *     f32 [R, V]   logits, one row for each scored token in order
 *
 * Little-endian, nothing between the parts. The text is cut into windows of W - P tokens, and
 * wherever the start tokens stand in it, which belong to no window; every token of a window but its
 * first is scored.
 */
#ifndef GLIM_CLI_SCORES_H
#define GLIM_CLI_SCORES_H

#include <stdio.h>

#include "cli/input.h"
#include "cli/outfile.h"

struct scores {
    uint64_t vocab, window;
    struct ids start, text;
};
void scores_deinit(struct scores *s);
/* The window at *at or, where start tokens stand there, behind them: moves *at to its first token
 * and returns how many it has, 0 at the end of the text. */
size_t scores_window(const struct scores *s, size_t *at);

struct scores_count {
    uint64_t windows, rows; /* rows: scored tokens */
};
struct scores_count scores_count(const struct scores *s);

/* False when a write failed; outfile_close says so. */
bool scores_write_head(const struct scores *s, struct outfile *f);
/* Opens and checks all of it: sizes, ids, and that the file is as long as they say. The rows follow
 * at *file. */
int scores_open(struct scores *s, const char *path, FILE **file, struct err *e);

#endif
