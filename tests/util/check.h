/* check.h - what the kernel checks share: every level of the machine, guarded buffers, bounds.
 *
 * A check compares one entry of the table with a naive sum in long double. Three classes:
 *   exact        equal bytes (selections, copies, conversions, invariances);
 *   bounded      |y - want| <= 4 sqrt(n) u sum|a_i b_i|, u = 2^-24; the reference, which adds in
 *                double, must meet a bound of one rounding (check_sum_bound knows);
 *   elementwise  a few ulp.
 * All inputs come from a seed that is printed; --seed N repeats a run.
 */
#ifndef GLIM_TESTS_UTIL_CHECK_H
#define GLIM_TESTS_UTIL_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "kernels/kernels.h"
#include "util/rng.h"

enum { CHECK_BUFFERS = 1024 };

struct check {
    struct kernels k; /* the level under test */
    bool ref;         /* k is the reference itself */
    struct rng rng;
    struct {
        uint8_t *raw, *data;
        size_t bytes;
    } buffer[CHECK_BUFFERS];
    int buffers;
};

typedef void check_fn(struct check *c);

/* Runs fn for every level whose table entry (offsetof) is not one that a lower level has too. */
void check_levels(check_fn *fn, size_t entry);

/* --seed N; prints the seed. Returns false for an argument it does not know. */
bool check_options(int argc, char **argv);

/* Buffers surrounded by guard bytes and filled with NaN, at a random 4-byte or any-byte offset
 * (packed vectors: at a multiple of 64).
 * check_release verifies the guards of all of them and frees them. */
float *check_f32(struct check *c, size_t n);
double *check_f64(struct check *c, size_t n);
uint8_t *check_bytes(struct check *c, size_t n);
void *check_scratch(struct check *c, size_t n); /* at a multiple of 64 */
void check_release(struct check *c, const char *what);
/* T vectors of x [T, n] (rows x_stride apart), packed for matmul. */
const void *const *check_packed(struct check *c, const float *x, size_t x_stride, size_t T,
                                size_t n, enum kernel_role role);

/* n random values in [-1, 1), each scaled by 2^e, e uniform in [-spread, spread]. */
float *check_random(struct check *c, size_t n, int spread);

/* A guarded copy at another offset. */
float *check_copy(struct check *c, const float *x, size_t n);

/* The bound of a sum of n products that is `want`, with `sum_abs` = sum |a_i b_i|. */
long double check_sum_bound(const struct check *c, long double want, long double sum_abs, size_t n);

void check_close(const char *what, size_t n, size_t i, float y, long double want, long double tol);
void check_ulp(const char *what, size_t n, size_t i, float y, long double want, double ulp);
void check_same(const char *what, size_t n, const float *a, const float *b, size_t count);

/* A matrix of random finite weights of any decodable type, at any byte offset, with a gap of
 * `gap` bytes between rows; F8_E4M3 gets scales. Its values, decoded by the reference and scaled
 * naively, are in *values [rows, cols]. */
struct matrix check_matrix(struct check *c, enum dtype t, size_t rows, size_t cols, size_t gap,
                           float **values);

/* Sizes that a vector kernel is tested with: 0..129, the model's, and random ones. */
size_t check_sizes(struct check *c, size_t *out, size_t max);
enum { CHECK_SIZES = 160 };

#endif
