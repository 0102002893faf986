/* products_neon.c - products with integer blocks where a processor has ASIMD alone: bytes are
 * multiplied to 16 bits and added in pairs to 32.
 */
#include "kernels/arm/arm.h"
#include "kernels/arm/vec_neon.h"

#define BUILT(name) name##_neon

enum { PEAK_SUMS = 6 };

struct product { /* four lanes of each row */
    int32x4_t high[2], low[2];
};

INLINE void octet_times(int8x16_t w, int8x8_t x, int32x4_t row[2])
{
    row[0] = vpadalq_s16(row[0], vmull_s8(vget_low_s8(w), x));
    row[1] = vpadalq_s16(row[1], vmull_s8(vget_high_s8(w), x));
}

INLINE void product_add(struct product *s, int8x16_t w, const int8_t *q)
{
    octet_times(w, vld1_s8(q), s->high);
    octet_times(w, vld1_s8(q + 8), s->low);
}

INLINE int32x4_t product_sums(const struct product *s)
{
    return vpaddq_s32(vpaddq_s32(s->high[0], s->high[1]), vpaddq_s32(s->low[0], s->low[1]));
}

#include "kernels/arm/quad.h"
#include "kernels/arm/quad_decode.h"
#include "kernels/arm/quad_prefill.h"
#include "kernels/arm/quad_peak.h"
