/* products_neon_i8mm.c - products with integer blocks by smmla: a matrix [2, 8] times one [8, 2],
 * which are the two bytes of eight q and eight columns of two rows.
 */
#include "kernels/arm/arm.h"
#include "kernels/arm/vec_neon.h"

#define BUILT(name) name##_neon_i8mm

enum { PEAK_SUMS = 16 };

struct product {
    int32x4_t sums;
};

INLINE void product_add(struct product *s, int8x16_t w, const int8_t *q)
{
    s->sums = vmmlaq_s32(s->sums, vld1q_s8(q), w);
}

INLINE int32x4_t product_sums(const struct product *s) { return s->sums; }

#include "kernels/arm/quad.h"
#include "kernels/arm/quad_decode.h"
#include "kernels/arm/quad_prefill.h"
#include "kernels/arm/quad_peak.h"
