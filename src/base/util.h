/* util.h - checked arithmetic on sizes, and the two or three helpers that every layer needs. */
#ifndef GLIM_BASE_UTIL_H
#define GLIM_BASE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* True when the result fits; *out is undefined otherwise. All sizes that come from a file pass
 * through these. */
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline uint64_t min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline uint64_t ceil_div_u64(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

/* calloc with a checked product; NULL on overflow as well as when memory is out. */
void *mem_zalloc(uint64_t count, uint64_t size);
/* Gives what was freed back to the system, where the allocator keeps it; takes up to some 100 ms a
 * GiB, and those that allocate meanwhile wait. */
void mem_trim(void);

/* Nanoseconds of a clock that only moves forward. */
uint64_t now_ns(void);

/* Grows *array (of `size`-byte elements, capacity *cap) so that it holds at least `need`; doubles.
 * 0 or GLIM_ENOMEM. */
int mem_grow(void *array_ptr, size_t *cap, size_t need, size_t size);

#endif
