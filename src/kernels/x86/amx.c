/* amx.c - what the amx level (tiles of bf16, AVX512_BF16) does better than avx512: prompts. */
#include "kernels/x86/x86.h"

static void matmul(float *y, size_t y_stride, const void *const *x, size_t T,
                   const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                   float *scratch)
{
    if (role == ROLE_PREFILL && tiles_known_amx(w->type))
        tiles_prefill_amx(y, y_stride, x, T, w, r0, r1);
    else
        matmul_avx512(y, y_stride, x, T, w, r0, r1, role, scratch);
}

void kernels_amx(struct kernels *k)
{
    k->level = cpu_level_name(CPU_AMX);
    k->pack_bytes = pack_bytes_amx;
    k->pack = pack_amx;
    k->matmul = matmul;
    k->peak = peak_amx;
    for (int t = 0; t < DT_COUNT; t++)
        if (tiles_known_amx((enum dtype)t))
            k->product[t] = k->level;
}
