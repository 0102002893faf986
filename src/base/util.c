/* util.c - see util.h. */
#include "base/util.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/err.h"

void *mem_zalloc(uint64_t count, uint64_t size)
{
    uint64_t bytes;
    if (!mul_u64(count, size, &bytes) || bytes > SIZE_MAX / 2)
        return NULL;
    return calloc(1, bytes ? (size_t)bytes : 1);
}

void mem_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int mem_grow(void *array_ptr, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return GLIM_OK;
    size_t want = *cap ? *cap : 16;
    while (want < need) {
        if (want > SIZE_MAX / 4)
            return GLIM_ENOMEM;
        want *= 2;
    }
    uint64_t bytes;
    if (!mul_u64(want, size, &bytes) || bytes > SIZE_MAX / 2)
        return GLIM_ENOMEM;
    void *old;
    memcpy(&old, array_ptr, sizeof old);
    void *grown = realloc(old, (size_t)bytes);
    if (!grown)
        return GLIM_ENOMEM;
    memcpy(array_ptr, &grown, sizeof grown);
    *cap = want;
    return GLIM_OK;
}
