/* pack_amx.c - a vector for prompts on the tile unit: bf16 (x86.h). */
#include "kernels/x86/vec_avx512.h"
#include "kernels/x86/x86.h"

size_t pack_bytes_amx(size_t n, enum kernel_role role)
{
    return role == ROLE_DECODE ? x86_pack_bytes(n, role)
                               : PACKED_HEAD + round_up_64(n) * sizeof(uint16_t);
}

void pack_amx(void *dst, const float *x, size_t n, enum kernel_role role)
{
    if (role == ROLE_DECODE) {
        x86_pack(dst, x, n, role);
        return;
    }
    const size_t N = round_up_64(n);
    uint8_t *const rounded = (uint8_t *)dst + PACKED_HEAD;
    packed_begin(dst, x);
    for (size_t i = 0; i < N; i += LANES) {
        const vlanes have = lanes_first(i < n ? n - i : 0);
        const __m256bh v = _mm512_cvtneps_pbh(lanes_load(have, x + i));
        memcpy(rounded + i * sizeof(uint16_t), &v, sizeof v);
    }
}
