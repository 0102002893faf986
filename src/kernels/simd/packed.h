/* packed.h - a packed vector with 14 bits an element, as all levels lay it out (x86.h, arm.h: what
 * the bits look like), and what every packing begins with.
 *
 *     f32 x[N] | 2 bytes an element | f32 scale[ceil(n/256)] | 4 bytes a part of 16
 *
 * each at a multiple of 64; n elements, N = n rounded up to 64, elements after n are 0.
 */
#ifndef GLIM_KERNELS_SIMD_PACKED_H
#define GLIM_KERNELS_SIMD_PACKED_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PACK_GROUP = 256, PACK_SUM = 16, PACK_MAX = 8191 };

struct packed_at { /* byte offsets of the parts */
    size_t q, scale, sum, bytes;
};

static inline size_t round_up_64(size_t n) { return (n + 63) / 64 * 64; }

/* What follows x, whatever a role or level puts there. */
static inline size_t packed_after_x(size_t n) { return round_up_64(n) * sizeof(float); }

static inline struct packed_at packed_layout(size_t n)
{
    const size_t N = round_up_64(n);
    struct packed_at p;
    p.q = packed_after_x(n);
    p.scale = p.q + 2 * N;
    p.sum = p.scale + round_up_64((n + PACK_GROUP - 1) / PACK_GROUP * sizeof(float));
    p.bytes = p.sum + round_up_64(N / PACK_SUM * 4);
    return p;
}

/* The first part of a packed vector: x itself. */
static inline float *packed_copy(void *dst, const float *x, size_t n)
{
    float *const copy = (float *)dst;
    if (n > 0)
        memcpy(copy, x, n * sizeof *x);
    memset(copy + n, 0, (round_up_64(n) - n) * sizeof *x);
    return copy;
}

/* The scale of a group whose largest magnitude is `most`, and what its elements are multiplied
 * with. A denormal scale would lose bits: such a group is as good as 0. */
static inline float group_scale(float most, float *inverse)
{
    const float s = most / PACK_MAX < 0x1p-126f ? 0 : most / PACK_MAX;
    *inverse = s > 0 ? PACK_MAX / most : 0;
    return s;
}

#endif
