/* onednn.h - products of oneDNN 2.x, to measure ours beside: the matmul primitive with weights that
 * were brought into the layout it likes best before the clock starts. For bench/ only: libglim and
 * glim know nothing of it. What fails ends the program with a line that says what.
 */
#ifndef GLIM_BENCH_ONEDNN_H
#define GLIM_BENCH_ONEDNN_H

#include <stddef.h>

/* What is multiplied: u8 vectors with s8 weights into i32; bf16 with bf16 into f32; f32. */
enum onednn_type { ONEDNN_INT8, ONEDNN_BF16, ONEDNN_F32, ONEDNN_TYPES };

extern const char *const onednn_names[ONEDNN_TYPES];

struct onednn; /* one product */

/* Of T vectors x [T, cols] with w [rows, cols] into y [T, rows], all row-major. w is copied; x and
 * y are borrowed until onednn_free. NULL if this machine cannot multiply such types. */
struct onednn *onednn_new(enum onednn_type t, size_t T, size_t rows, size_t cols, const void *w,
                          const void *x, void *y);
void onednn_free(struct onednn *d);

void onednn_run(struct onednn *d);

/* Of all products that follow. */
void onednn_threads(int n);

/* Which of its implementations it chose; owned by d. */
const char *onednn_how(const struct onednn *d);
const char *onednn_version(void); /* "2.6.3" */

#endif
