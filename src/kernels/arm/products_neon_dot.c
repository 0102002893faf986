/* products_neon_dot.c - products with integer blocks by sdot: four products of bytes a lane. */
#include "kernels/arm/arm.h"
#include "kernels/arm/vec_neon.h"

#define BUILT(name) name##_neon_dot

enum { PEAK_SUMS = 8 };

struct product { /* two lanes of each row */
    int32x4_t high, low;
};

INLINE void product_add(struct product *s, int8x16_t w, const int8_t *q)
{
    s->high = vdotq_s32(s->high, w, vreinterpretq_s8_s64(twice_at(q)));
    s->low = vdotq_s32(s->low, w, vreinterpretq_s8_s64(twice_at(q + 8)));
}

INLINE int32x4_t product_sums(const struct product *s) { return vpaddq_s32(s->high, s->low); }

#include "kernels/arm/quad.h"
#include "kernels/arm/quad_decode.h"
#include "kernels/arm/quad_prefill.h"
#include "kernels/arm/quad_peak.h"
