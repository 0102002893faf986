/* pack_amx.c - a vector for prompts on the tile unit: f32, then bf16 (x86.h). */
#include "kernels/x86/vec_avx512.h"
#include "kernels/x86/x86.h"

size_t pack_bytes_amx(size_t n)
{
    const size_t prompt = packed_after_x(n) + round_up_64(n) * sizeof(uint16_t);
    const size_t decode = x86_pack_bytes(n);
    return round_up_64(prompt > decode ? prompt : decode);
}

void pack_amx(void *dst, const float *x, size_t n, enum kernel_role role)
{
    if (role == ROLE_DECODE) {
        x86_pack(dst, x, n, role);
        return;
    }
    const size_t N = round_up_64(n);
    const float *const copy = packed_copy(dst, x, n);
    uint8_t *const rounded = (uint8_t *)dst + packed_after_x(n);
    for (size_t i = 0; i < N; i += LANES) {
        const __m256bh v = _mm512_cvtneps_pbh(float_load(copy + i));
        memcpy(rounded + i * sizeof(uint16_t), &v, sizeof v);
    }
}
