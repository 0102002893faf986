/* history.c - see history.h. */
#include "util/history.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

int history_add(const char *path, const struct usage_key *k, int wait_ms, struct err *e)
{
    const uint64_t n = k->layers * k->experts;
    uint32_t *const uses = calloc(n, sizeof *uses);
    for (uint32_t i = 0; i < n; i++)
        uses[i] = i;
    const int rc = usage_add(path, k, uses, HISTORY_TOKENS, wait_ms, e);
    free(uses);
    return rc;
}

/* What so many additions leave of one use. */
static double left(uint64_t times)
{
    const double kept = exp2(-(double)HISTORY_TOKENS / USAGE_HALF_LIFE_TOK);
    return (1 - pow(kept, (double)times)) / (1 - kept);
}

uint64_t history_check(const char *path, const struct usage_key *k)
{
    const uint64_t n = k->layers * k->experts;
    float *const uses = calloc(n, sizeof *uses);
    struct err e;
    uint64_t tokens;
    if (usage_read(path, k, uses, &tokens, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(tokens % HISTORY_TOKENS, 0);
    const double each = left(tokens / HISTORY_TOKENS);
    for (uint64_t i = 0; i < n; i++)
        if (fabs((double)uses[i] - (double)i * each) > 1e-4 * (1 + (double)uses[i]))
            fail_msg("use %llu is %g, expected %g after %llu tokens", (unsigned long long)i,
                     (double)uses[i], (double)i * each, (unsigned long long)tokens);
    free(uses);
    return tokens / HISTORY_TOKENS;
}
