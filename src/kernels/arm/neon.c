/* neon.c - what the neon level (AArch64's ASIMD) does better than the plain C, with the fastest
 * products that the processor has.
 */
#include "kernels/arm/arm.h"
#include "kernels/ref/ref.h"

/* The three know the same types. */
#define MATMUL(built)                                                                              \
    static void matmul_##built(float *y, size_t y_stride, const void *const *x, size_t T,          \
                               const struct matrix *w, uint64_t r0, uint64_t r1,                   \
                               enum kernel_role role, float *scratch)                              \
    {                                                                                              \
        if (floats_known_neon(w->type) && role == ROLE_DECODE)                                     \
            floats_decode_neon(y, y_stride, x, T, w, r0, r1);                                      \
        else if (floats_known_neon(w->type))                                                       \
            floats_prefill_neon(y, y_stride, x, T, w, r0, r1);                                     \
        else if (!blocks_known_neon(w->type))                                                      \
            ref_matmul(y, y_stride, x, T, w, r0, r1, role, scratch);                               \
        else if (role == ROLE_DECODE)                                                              \
            blocks_decode_##built(y, y_stride, x, T, w, r0, r1);                                   \
        else                                                                                       \
            blocks_prefill_##built(y, y_stride, x, T, w, r0, r1);                                  \
    }
MATMUL(neon)
MATMUL(neon_dot)
MATMUL(neon_i8mm)

void kernels_neon(struct kernels *k, unsigned extras)
{
    k->level = cpu_level_name(CPU_NEON);
    k->pack_bytes = pack_bytes_neon;
    k->pack = pack_neon;
    k->matmul_t = matmul_t_neon;
    k->matmul = matmul_neon;
    k->peak = peak_neon;
    REST_FILL(k, neon);
    if (extras & CPU_DOTPROD) {
        k->matmul = matmul_neon_dot;
        k->peak = peak_neon_dot;
    }
    if (extras & CPU_I8MM) {
        k->matmul = matmul_neon_i8mm;
        k->peak = peak_neon_i8mm;
    }
    for (int t = 0; t < DT_COUNT; t++)
        if (blocks_known_neon((enum dtype)t) || floats_known_neon((enum dtype)t))
            k->product[t] = k->level;
}
