/* kernels.c - see kernels.h. Which levels exist and in which order they overwrite each other. */
#include "kernels/kernels.h"
#include "kernels/x86/x86.h"

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
#else
    (void)max;
#endif
}

size_t kv_type_bytes(enum kv_type t)
{
    static const size_t bytes[KV_TYPE_COUNT] = {[KV_F32] = 4, [KV_F16] = 2, [KV_BF16] = 2};
    assert((unsigned)t < KV_TYPE_COUNT);
    return bytes[t];
}
