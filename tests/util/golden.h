/* golden.h - golden cases (tests/data/golden): the model, its workspace and cache, and the expected
 * tensors. */
#ifndef TESTS_UTIL_GOLDEN_H
#define TESTS_UTIL_GOLDEN_H

#include "cache/kv.h"
#include "model/forward.h"
#include "weights/weights.h"

struct golden {
    struct weights weights;
    struct model model;
    struct pool *pool;
    struct forward forward;
    struct kv kv;
    struct tensorfile *expect;
    const int32_t *ids; /* [T] */
    size_t T, context;
    float *logits;      /* [T, V] scratch */
};

enum { GOLDEN_CONTEXT = 192 };

/* path: a folder or a file of tests/data/golden/NAME, NAME's golden.safetensors is the expectation.
 * Fails the test on any error. */
void golden_open(struct golden *g, const char *name, const char *model_file,
                 const struct model_knobs *knobs, int threads);
void golden_close(struct golden *g);

/* The bundled model: steps of up to `rows`, a cache of F16. No expectation. */
void golden_nano(struct golden *g, const struct model_knobs *knobs, int threads, size_t rows,
                 size_t context);

/* An empty cache of these types in the place of the one that is there. */
void golden_cache(struct golden *g, enum kv_type type, enum kv_type index_type);

/* Expected tensor, or NULL. */
const float *golden_f32(const struct golden *g, const char *name);
const int32_t *golden_i32(const struct golden *g, const char *name);

/* Runs tokens [n] from the cache's length on, in chunks; logits [n, V]. */
void golden_run(struct golden *g, const int32_t *token, size_t n, size_t chunk,
                enum kernel_role role, float *logits);

/* max|a-b| / max|b| */
double max_norm_error(const float *a, const float *b, size_t n);

#endif
