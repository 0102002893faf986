/* avx512.c - what the avx512 level (F, BW, VL, DQ, VNNI, VBMI) does better than the ones below. */
#include "kernels/ref/ref.h"
#include "kernels/x86/x86.h"

static void matmul_avx512(float *y, size_t y_stride, const void *const *x, size_t T,
                          const struct matrix *w, uint64_t r0, uint64_t r1, enum kernel_role role,
                          float *scratch)
{
    if (floats_known_avx512(w->type))
        floats_matmul_avx512(y, y_stride, x, T, w, r0, r1);
    else if (!blocks_known_avx512(w->type))
        ref_matmul(y, y_stride, x, T, w, r0, r1, role, scratch);
    else if (role == ROLE_DECODE)
        blocks_decode_avx512(y, y_stride, x, T, w, r0, r1);
    else
        blocks_prefill_avx512(y, y_stride, x, T, w, r0, r1);
}

void kernels_avx512(struct kernels *k)
{
    k->level = cpu_level_name(CPU_AVX512);
    k->pack_bytes = x86_pack_bytes;
    k->pack = pack_avx512;
    k->matmul = matmul_avx512;
    k->matmul_t = matmul_t_avx512;
    k->index_bytes = index_bytes_avx512;
    k->index_score = index_score_avx512;
    k->attend_bytes = attend_bytes_avx512;
    k->attend = attend_avx512;
    k->rmsnorm = rmsnorm_avx512;
    k->layernorm = layernorm_avx512;
    k->softmax = softmax_avx512;
    k->silu_mul = silu_mul_avx512;
    k->sigmoid = sigmoid_avx512;
    k->add = add_avx512;
    k->axpy = axpy_avx512;
    k->rope = rope_avx512;
    k->hadamard = hadamard_avx512;
    k->topk = topk_avx512;
    k->kv_store = kv_store_avx512;
    k->kv_load = kv_load_avx512;
    k->peak = peak_avx512;
    for (int t = 0; t < DT_COUNT; t++)
        if (blocks_known_avx512((enum dtype)t) || floats_known_avx512((enum dtype)t))
            k->product[t] = k->level;
}
