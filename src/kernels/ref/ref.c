/* ref.c - fills the table with the plain-C meaning of every entry. */
#include "kernels/ref/ref.h"

#include <assert.h>

typedef void dequant_fn(float *y, const void *x, size_t n);

static dequant_fn *const decoder[DT_COUNT] = {
    [DT_F32] = ref_dequant_f32,         [DT_F16] = ref_dequant_f16,
    [DT_BF16] = ref_dequant_bf16,       [DT_F8_E4M3] = ref_dequant_f8_e4m3,
    [DT_Q4_0] = ref_dequant_q4_0,       [DT_Q4_1] = ref_dequant_q4_1,
    [DT_Q5_0] = ref_dequant_q5_0,       [DT_Q5_1] = ref_dequant_q5_1,
    [DT_Q8_0] = ref_dequant_q8_0,       [DT_Q2_K] = ref_dequant_q2_k,
    [DT_Q3_K] = ref_dequant_q3_k,       [DT_Q4_K] = ref_dequant_q4_k,
    [DT_Q5_K] = ref_dequant_q5_k,       [DT_Q6_K] = ref_dequant_q6_k,
    [DT_IQ1_S] = ref_dequant_iq1_s,     [DT_IQ1_M] = ref_dequant_iq1_m,
    [DT_IQ2_XXS] = ref_dequant_iq2_xxs, [DT_IQ2_XS] = ref_dequant_iq2_xs,
    [DT_IQ2_S] = ref_dequant_iq2_s,     [DT_IQ3_XXS] = ref_dequant_iq3_xxs,
    [DT_IQ3_S] = ref_dequant_iq3_s,     [DT_IQ4_NL] = ref_dequant_iq4_nl,
    [DT_IQ4_XS] = ref_dequant_iq4_xs,   [DT_MXFP4] = ref_dequant_mxfp4,
    [DT_NVFP4] = ref_dequant_nvfp4,
};

void ref_dequant(enum dtype t, float *y, const void *x, size_t n)
{
    assert((unsigned)t < DT_COUNT && decoder[t] && n % dtype_info(t)->block_len == 0);
    decoder[t](y, x, n);
}

static float dot_entry(const float *a, const float *b, size_t n) { return (float)ref_dot(a, b, n); }

void kernels_ref_dequant(struct kernels *k) { memcpy(k->dequant, decoder, sizeof k->dequant); }

void kernels_ref(struct kernels *k)
{
    *k = (struct kernels){
        .level = "baseline",
        .matrix_row = ref_matrix_row,
        .pack_bytes = ref_pack_bytes,
        .pack = ref_pack,
        .matmul = ref_matmul,
        .matmul_t = ref_matmul_t,
        .dot = dot_entry,
        .rmsnorm = ref_rmsnorm,
        .layernorm = ref_layernorm,
        .rope = ref_rope,
        .silu_mul = ref_silu_mul,
        .softmax = ref_softmax,
        .sigmoid = ref_sigmoid,
        .add = ref_add,
        .axpy = ref_axpy,
        .hadamard = ref_hadamard,
        .topk = ref_topk,
        .above = ref_above,
        .kv_store = ref_kv_store,
        .kv_load = ref_kv_load,
        .index_bytes = ref_index_bytes,
        .index_score = ref_index_score,
        .attend_bytes = ref_attend_bytes,
        .attend = ref_attend,
        .peak = ref_peak,
    };
    kernels_ref_dequant(k);
    for (int t = 0; t < DT_COUNT; t++)
        k->product[t] = decoder[t] ? k->level : NULL;
}
