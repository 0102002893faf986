/* packed.h - a packed vector with 14 bits an element, as all levels lay it out (x86.h, arm.h: what
 * the bits look like), and what every packing begins with.
 *
 *     x | 2 bytes an element | f32 scale[ceil(n/256)] | 4 bytes a part of 16
 *
 * each at a multiple of 64; n elements, N = n rounded up to 64, elements after n are 0. x is not a
 * copy: the address of the vector, for matrices of floats.
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

enum { PACKED_HEAD = 64 }; /* bytes before what a role or level makes of x */

static inline struct packed_at packed_layout(size_t n)
{
    const size_t N = round_up_64(n);
    struct packed_at p;
    p.q = PACKED_HEAD;
    p.scale = p.q + 2 * N;
    p.sum = p.scale + round_up_64((n + PACK_GROUP - 1) / PACK_GROUP * sizeof(float));
    p.bytes = p.sum + round_up_64(N / PACK_SUM * 4);
    return p;
}

/* The first part of a packed vector. */
static inline void packed_begin(void *dst, const float *x) { memcpy(dst, &x, sizeof x); }

static inline const float *packed_floats(const void *p)
{
    const float *x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Elements [g, g + PACK_GROUP) of x[n]: where they stand, or in rest, zeros behind the last. */
static inline const float *packed_group(const float *x, size_t n, size_t g,
                                        float rest[PACK_GROUP])
{
    if (n - g >= PACK_GROUP)
        return x + g;
    memcpy(rest, x + g, (n - g) * sizeof *x);
    memset(rest + (n - g), 0, (PACK_GROUP - (n - g)) * sizeof *x);
    return rest;
}

/* The scale of elements whose largest magnitude is `most` and becomes `top`, and what they are
 * multiplied with. A denormal scale would lose bits: such elements are as good as 0. */
static inline float group_scale(float most, float top, float *inverse)
{
    const float s = most / top < 0x1p-126f ? 0 : most / top;
    *inverse = s > 0 ? top / most : 0;
    return s;
}

#endif
