/* level.h - the products in a level's table, and their peak. The skeleton of avx*.c, each of which
 * includes it once, behind LEVEL(name) and LEVEL_IS, its cpu_level.
 */
#ifndef GLIM_KERNELS_X86_LEVEL_H
#define GLIM_KERNELS_X86_LEVEL_H

#include "kernels/ref/ref.h"
#include "kernels/x86/x86.h"

void LEVEL(matmul)(float *y, size_t y_stride, const void *const *x, size_t T,
                   const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                   float *scratch)
{
    if (LEVEL(floats_known)(w->type) && role == ROLE_DECODE)
        LEVEL(floats_decode)(y, y_stride, x, T, w, r0, r1);
    else if (LEVEL(floats_known)(w->type))
        LEVEL(floats_prefill)(y, y_stride, x, T, w, r0, r1);
    else if (!LEVEL(blocks_known)(w->type))
        ref_matmul(y, y_stride, x, T, w, r0, r1, role, scratch);
    else if (role == ROLE_DECODE)
        LEVEL(blocks_decode)(y, y_stride, x, T, w, r0, r1);
    else if (LEVEL(quads_known)(w->type))
        LEVEL(quads_prefill)(y, y_stride, x, T, w, r0, r1);
    else
        LEVEL(pairs_prefill)(y, y_stride, x, T, w, r0, r1);
}

static void level_products(struct kernels *k)
{
    k->level = cpu_level_name(LEVEL_IS);
    k->pack_bytes = x86_pack_bytes;
    k->pack = x86_pack;
    k->matmul = LEVEL(matmul);
    k->matmul_t = LEVEL(matmul_t);
    k->peak = LEVEL(peak);
    for (int t = 0; t < DT_COUNT; t++)
        if (LEVEL(blocks_known)((enum dtype)t) || LEVEL(floats_known)((enum dtype)t))
            k->product[t] = k->level;
}

#endif
