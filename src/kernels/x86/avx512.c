/* avx512.c - what the avx512 level (F, BW, VL, DQ, VNNI, VBMI) does better than the ones below. */
#define LEVEL(name) name##_avx512
#define LEVEL_IS CPU_AVX512

#include "kernels/x86/level.h"

void kernels_avx512(struct kernels *k)
{
    level_products(k);
    k->pack_bytes = pack_bytes_avx512;
    k->pack = pack_avx512;
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
    k->above = above_avx512;
    k->kv_store = kv_store_avx512;
    k->kv_load = kv_load_avx512;
}
