/* failing.h - allocations that fail: the n-th, or all from the n-th on. Header only, for programs
 * that are linked with malloc, calloc, realloc and mmap wrapped. */
#ifndef GLIM_TESTS_FAULT_FAILING_H
#define GLIM_TESTS_FAULT_FAILING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t off);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t off);

static struct {
    unsigned long calls, fail_at; /* 0 = never */
    bool sticky;
} plan;

static bool fails(void)
{
    plan.calls++;
    return plan.fail_at && (plan.sticky ? plan.calls >= plan.fail_at : plan.calls == plan.fail_at);
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
    return fails() ? MAP_FAILED : __real_mmap(at, n, prot, flags, fd, off);
}

#endif
