/* weights.h - an opened checkpoint as matrices ready to multiply. Read-only; owns the mapped files.
 *
 * weights/ knows names and bytes, not meanings: model/bind says which name is which matrix. All
 * messages begin with the file's name.
 */
#ifndef GLIM_WEIGHTS_WEIGHTS_H
#define GLIM_WEIGHTS_WEIGHTS_H

#include "base/err.h"
#include "formats/tensorfile.h"
#include "kernels/kernels.h"

struct weights {
    struct tensorfile *file;
};

int weights_open(struct weights *w, const char *path, struct err *e);
void weights_close(struct weights *w);

/* HF names or GGUF names? */
bool weights_is_gguf(const struct weights *w);
const struct meta *weights_meta(const struct weights *w);
bool weights_has(const struct weights *w, const char *name);

/* The matrix `name` of exactly [rows, cols]; a tensor of rank 3 [n, rows, cols] is addressed by
 * weights_slice. Dimensions of 1 in front are ignored on both sides. F8_E4M3 finds its
 * `<name>_scale_inv`, in any shard, and checks the grid's shape, not its values
 * (weights_check_scales). An absent name, another shape, or a type that does not decode is an error
 * that names both values. Touches no weight. */
int weights_matrix(const struct weights *w, const char *name, uint64_t rows, uint64_t cols,
                   struct matrix *out, struct err *e);

/* Matrix `i` of a stack [n, rows, cols]. */
int weights_slice(const struct weights *w, const char *name, uint64_t n, uint64_t rows,
                  uint64_t cols, uint64_t i, struct matrix *out, struct err *e);

/* A vector of n values decoded to f32 into dst [n]; every value must be finite. Shapes [n], [1,n]
 * and [n,1] pass. */
int weights_vector(const struct weights *w, const struct kernels *k, const char *name, uint64_t n,
                   float *dst, struct err *e);

/* The mapped files: their number and paths; which one, and where in it, `data` is. */
uint32_t weights_files(const struct weights *w);
const char *weights_file(const struct weights *w, uint32_t i);
bool weights_locate(const struct weights *w, const void *data, uint32_t *file, uint64_t *at);

/* The values of a matrix' scales must be finite and >= 0 (0 makes a block of zeros). Binding does
 * not look at them: the full FP8 checkpoint has 59,044 grids with 45.9 million values, and reading
 * them would turn milliseconds into a walk over 175 MiB of disk. So whoever uses a matrix for the
 * first time checks it (an expert's grid is 768 values), or a caller with the time checks them all.
 * 0 for a matrix without scales. */
int weights_check_scales(const struct weights *w, const struct matrix *m, struct err *e);

/* The same for every grid of the file, in the order of names, until `budget` values have been read;
 * *checked and *total (either may be NULL) tell how many values were read and how many there
 * are. */
int weights_check_all_scales(const struct weights *w, uint64_t budget, uint64_t *checked,
                             uint64_t *total, struct err *e);

#endif
