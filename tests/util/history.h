/* history.h - the same use of experts added to a history (engine/usage.h) again and again, and what
 * that must have come to.
 */
#ifndef GLIM_TESTS_UTIL_HISTORY_H
#define GLIM_TESTS_UTIL_HISTORY_H

#include "engine/usage.h"

enum { HISTORY_TOKENS = 1000 }; /* of one addition, in which expert i was used i times */

int history_add(const char *path, const struct usage_key *k, int wait_ms, struct err *e);
/* How often that was added; fails the test unless all sums are those. */
uint64_t history_check(const char *path, const struct usage_key *k);

#endif
