/* kernels.c - see kernels.h. Which levels exist and in which order they overwrite each other. */
#include "kernels/kernels.h"
#if defined(__x86_64__)
#include "kernels/x86/x86.h"
#elif defined(__aarch64__)
#include "kernels/arm/arm.h"
#endif

#include <assert.h>

void kernels_init(struct kernels *k, enum cpu_level max)
{
    kernels_ref(k);
    k->level = cpu_level_name(CPU_BASELINE);
#if defined(__x86_64__)
    if (max >= CPU_AVX2)
        kernels_avx2(k);
    if (max >= CPU_AVX512)
        kernels_avx512(k);
    if (max >= CPU_AMX)
        kernels_amx(k);
#elif defined(__aarch64__)
    if (max >= CPU_NEON)
        kernels_neon(k, cpu_extras());
#else
    (void)max;
#endif
}

size_t kv_row_bytes(enum kv_type t, size_t n)
{
    assert((unsigned)t < KV_TYPE_COUNT);
    switch (t) {
    case KV_F32: return 4 * n;
    case KV_Q8: return n + sizeof(float) * ((n + KV_BLOCK - 1) / KV_BLOCK);
    case KV_I8: return n + sizeof(float) * (n > 0);
    default: return 2 * n;
    }
}
